/** Who belongs to which organization as what. Every organization that had an Owner keeps one. */
import { fail } from '../kernel/errors.ts'
import { permissionsOf } from './authority.ts'
import type { Context } from './context.ts'
import { NIL, ROLE } from './ids.ts'
import { assertWithin } from './memberships/giving.ts'
import { assertOwned, type MembershipRow, of, roleName } from './memberships/rows.ts'
import * as organizations from './organizations.ts'
import * as roles from './roles.ts'

export { add, addMany, OUTCOMES, type Outcome, takeTurns } from './memberships/adding.ts'
export { find, holding, type MembershipRow, of } from './memberships/rows.ts'

/** A role that members of the organization may hold, by id or name; its own before that of all. VALIDATION_ERROR. */
export async function roleFor(ctx: Context, organizationId: string, key: string): Promise<roles.RoleRow> {
  const row = await roles.find(ctx, key, { scopes: ['organization'], owner: [organizationId, NIL] }).catch((error) => {
    if (error.code === 'NOT_FOUND') throw fail('VALIDATION_ERROR', `role: this organization has no role ${key}`)
    throw error
  })
  return row
}

/** Nobody gives or takes a role of an organization that allows more there than they may. */
export async function assertMayGive(ctx: Context, organizationId: string, roleId: string): Promise<void> {
  const held = (await organizations.permissionsIn(ctx, organizationId)) ?? new Set()
  assertWithin(await permissionsOf(ctx, [roleId]), held, ctx.actor!.permissions)
}

/** The role the caller gives in this organization; none named is Member. NOT_FOUND, ACCESS_DENIED, VALIDATION_ERROR. */
export async function givable(ctx: Context, organizationId: string, key: string = ROLE.member): Promise<roles.RoleRow> {
  await organizations.enter(ctx, organizationId)
  const role = await roleFor(ctx, organizationId, key)
  await assertMayGive(ctx, organizationId, role.id)
  return role
}

/** The membership, for the person themselves and who manages members there. NOT_FOUND. */
export async function visible(ctx: Context, id: string): Promise<MembershipRow> {
  const row: MembershipRow | undefined = await of(ctx).where({ id }).first()
  const actor = ctx.actor!
  const sees =
    row &&
    (row.user_id === actor.userId ||
      actor.permissions.has('organizations:read') ||
      (await organizations.permissionsIn(ctx, row.organization_id))?.has('members:manage'))
  if (!sees) throw fail('NOT_FOUND', 'No such membership')
  return row
}

/** By its id, for members of the organization. NOT_FOUND. */
export async function enter(ctx: Context, id: string): Promise<MembershipRow> {
  const row: MembershipRow | undefined = await of(ctx).where({ id }).first()
  if (!row) throw fail('NOT_FOUND', 'No such membership')
  await organizations.enter(ctx, row.organization_id, ctx.inside !== undefined).catch((error) => {
    throw error.code === 'NOT_FOUND' ? fail('NOT_FOUND', 'No such membership') : error
  })
  return row
}

/** Another role. CONFLICT for the last Owner. */
export async function changeRole(ctx: Context, id: string, roleKey: string): Promise<MembershipRow> {
  const row = await enter(ctx, id)
  const role = await roleFor(ctx, row.organization_id, roleKey)
  await assertMayGive(ctx, row.organization_id, row.role_id)
  await assertMayGive(ctx, row.organization_id, role.id)
  if (role.id === row.role_id) return row
  const [{ role: before, ...updated }] = await of(ctx)
    .where({ id })
    .update({ role_id: role.id, updated_at: ctx.db.fn.now() })
    .returning(['*', roleName(ctx, row.role_id)])
  if (row.role_id === ROLE.owner) await assertOwned(ctx, row.organization_id)
  ctx.event('membership.updated', {
    userId: row.user_id,
    data: { organization: row.organization_id, role: role.name, before },
  })
  return updated
}
