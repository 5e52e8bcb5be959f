/** Roles that rows name, by id, name, or client and name. Nobody gives what they do not hold. */
import { assertHolds } from '../authority.ts'
import type { Context } from '../context.ts'
import { ROLE } from '../ids.ts'
import { messageOf, refuse, type Work } from './work.ts'

/** Fills in roleIds; ends works that name a role that is unknown or not the caller's to give. */
export async function resolveRoles(ctx: Context, works: Work[]): Promise<void> {
  const keys = [...new Set(works.flatMap(({ roles }) => roles))]
  if (keys.length === 0) return
  const found = await findRoles(ctx, keys)
  const mayGive = ctx.actor!.permissions.has('roles:write')
  for (const work of works) {
    for (const key of work.roles) {
      const role = found.get(key)
      const problem = role ? refusal(role, mayGive) : `no such role: ${key}`
      if (problem === undefined) work.roleIds.push(role!.id)
      else if (!work.ended) refuse(work, 'roles', problem)
    }
    work.roleIds = [...new Set(work.roleIds)]
  }
}

interface Found {
  id: string
  name: string
  /** Why the caller cannot give it. */
  refused?: string
}

function refusal({ id, refused }: Found, mayGive: boolean): string | undefined {
  // Everybody has it.
  if (id === ROLE.user) return undefined
  return mayGive ? refused : 'giving roles needs the permission roles:write'
}

/** By each way of naming them. Of a tenant's role and a client's that are spelled alike, it is the tenant's. */
async function findRoles(ctx: Context, keys: string[]): Promise<Map<string, Found>> {
  const { rows } = await ctx.db.raw(
    `select r.id, r.name, r.scope, c.client_id, effective_permissions(r.tenant_id, array[r.id]) as permissions
     from roles r left join clients c on c.tenant_id = r.tenant_id and c.id = r.owner_id and r.scope = 'client'
     where r.tenant_id = :tenant and (r.scope = 'tenant' and r.name = any(:keys::text[])
       or r.scope = 'client' and c.client_id || '/' || r.name = any(:keys::text[])
       or r.scope <> 'organization' and r.id::text = any(:keys::text[]))
     order by r.scope = 'tenant'`,
    { tenant: ctx.tenant.id, keys },
  )
  const found = new Map<string, Found>()
  for (const row of rows) {
    const role: Found = { id: row.id, name: row.name }
    try {
      assertHolds(ctx, row.permissions)
    } catch (error) {
      role.refused = messageOf(error)
    }
    found.set(row.id, role)
    found.set(row.scope === 'client' ? `${row.client_id}/${row.name}` : row.name, role)
  }
  return found
}
