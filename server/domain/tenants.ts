/** A tenant ready to use: its row, keys, permissions, roles and the built-in client, in one transaction. */
import type { Knex } from 'knex'
import type { Sealing } from '../../adapters/sealing.ts'
import { DIRECT_CLIENT, newId } from './ids.ts'
import { type FreshKey, makeKeys, storeKeys } from './keys.ts'
import { permissions, systemRoles } from './policy.ts'

export async function create(
  trx: Knex.Transaction,
  sealing: Sealing,
  tenant: { id?: string; slug: string; name: string; keys?: FreshKey[] },
): Promise<string> {
  const id = tenant.id ?? newId()
  await trx('tenants').insert({ id, slug: tenant.slug, name: tenant.name })
  await storeKeys(trx, sealing, id, tenant.keys ?? (await makeKeys()))
  await seedPermissions(trx, [id])
  await trx('clients').insert({
    tenant_id: id,
    id: newId(),
    client_id: DIRECT_CLIENT,
    first_party: true,
    system: true,
    metadata: JSON.stringify({
      client_name: tenant.name,
      token_endpoint_auth_method: 'none',
      grant_types: ['refresh_token'],
      response_types: [],
      redirect_uris: [],
      scope: 'openid profile email phone address offline_access roles permissions tenant account',
    }),
  })
  return id
}

/**
 * Makes permissions and system roles what this version of the program says; also for tenants made by an older one. Three
 * statements for many tenants: an upgrade meets thousands.
 */
export async function seedPermissions(trx: Knex.Transaction, tenantIds: string[]): Promise<void> {
  await trx.raw(
    `insert into permissions (tenant_id, id, name, description, system)
     select t, gen_random_uuid(), p.key, p.value, true from unnest(?::uuid[]) t, jsonb_each_text(?) p
     on conflict (tenant_id, name) do nothing`,
    [tenantIds, JSON.stringify(permissions)],
  )
  await trx.raw(
    `insert into roles (tenant_id, id, name, description, scope, system)
     select t, r.id, r.name, r.description, coalesce(r.scope, 'tenant'), true
     from unnest(?::uuid[]) t, jsonb_to_recordset(?) as r (id uuid, name text, description text, scope text)
     on conflict (tenant_id, id) do nothing`,
    [tenantIds, JSON.stringify(systemRoles)],
  )
  await trx.raw(
    `insert into role_permissions (tenant_id, role_id, permission_id)
     select p.tenant_id, r.id, p.id from jsonb_to_recordset(?) as r (id uuid, permissions jsonb)
     join permissions p on p.tenant_id = any(?::uuid[]) and r.permissions @> to_jsonb(p.name)
     on conflict (tenant_id, role_id, permission_id) do nothing`,
    [JSON.stringify(systemRoles), tenantIds],
  )
}
