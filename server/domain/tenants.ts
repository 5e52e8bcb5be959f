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
  await seedPermissions(trx, id)
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

/** Makes permissions and system roles what this version of the program says; also for tenants made by an older one. */
export async function seedPermissions(trx: Knex.Transaction, tenantId: string): Promise<void> {
  const rows = Object.entries(permissions).map(([name, description]) => ({
    tenant_id: tenantId,
    id: newId(),
    name,
    description,
    system: true,
  }))
  await trx('permissions').insert(rows).onConflict(['tenant_id', 'name']).ignore()
  const known = await trx('permissions').where({ tenant_id: tenantId }).select('id', 'name')
  const idOf = new Map(known.map((p) => [p.name, p.id]))
  for (const role of systemRoles) {
    await trx('roles')
      .insert({
        tenant_id: tenantId,
        id: role.id,
        name: role.name,
        description: role.description,
        scope: role.scope ?? 'tenant',
        system: true,
      })
      .onConflict(['tenant_id', 'id'])
      .ignore()
    if (role.permissions.length === 0) continue
    await trx('role_permissions')
      .insert(
        role.permissions.map((name) => ({ tenant_id: tenantId, role_id: role.id, permission_id: idOf.get(name) })),
      )
      .onConflict(['tenant_id', 'role_id', 'permission_id'])
      .ignore()
  }
}
