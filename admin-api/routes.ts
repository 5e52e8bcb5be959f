/** Paths of administration, by document. */
import { type Row, row } from '../server/kernel/surface.ts'
import * as clients from './clients.ts'
import * as identityProviders from './identity-providers.ts'
import * as resources from './resources.ts'

export const plainRows: Row[] = [
  row('GET', '/clients', clients.list, { as: 'clients' }),
  row('POST', '/clients', clients.create, { status: 201 }),
  row('GET', '/clients/{id}', clients.get),
  row('PUT', '/clients/{id}', clients.update),
  row('DELETE', '/clients/{id}', clients.remove),
  row('GET', '/clients/{id}/secret', clients.secret),
  row('POST', '/clients/{id}/secret/regenerate', clients.regenerateSecret),
]

export const v1Rows: Row[] = [
  row('GET', '/v1/admin/identity-providers', identityProviders.list, { as: 'identity_providers' }),
  row('POST', '/v1/admin/identity-providers', identityProviders.create, { status: 201 }),
  row('GET', '/v1/admin/identity-providers/{slug}', identityProviders.get),
  row('PATCH', '/v1/admin/identity-providers/{slug}', identityProviders.update),
  row('DELETE', '/v1/admin/identity-providers/{slug}', identityProviders.remove),
  row('GET', '/v1/resources', resources.list, { as: 'resources' }),
  row('POST', '/v1/resources', resources.create, { status: 201 }),
  row('GET', '/v1/resources/{id}', resources.get),
  row('PUT', '/v1/resources/{id}', resources.update),
  row('PATCH', '/v1/resources/{id}', resources.update),
  row('DELETE', '/v1/resources/{id}', resources.remove),
]

export const ssoRows: Row[] = []
