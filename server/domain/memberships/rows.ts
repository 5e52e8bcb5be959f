/** Memberships as rows, and what a role of one allows. */
import type { Knex } from 'knex'
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { ROLE } from '../ids.ts'
import { organizationPermissions } from '../policy.ts'

export interface MembershipRow {
  id: string
  organization_id: string
  user_id: string
  role_id: string
  created_at: Date
  updated_at: Date
}

export const of = (ctx: Context) => ctx.db('memberships').where({ 'memberships.tenant_id': ctx.tenant.id })

export const find = (ctx: Context, organizationId: string, userId: string): Promise<MembershipRow | undefined> =>
  of(ctx).where({ organization_id: organizationId, user_id: userId }).first()

/** With the name of its role and what that allows in the organization, as of this statement. */
export const holding = (
  ctx: Context,
  organizationId: string,
  userId: string,
): Promise<(MembershipRow & { role: string; permissions: string[] }) | undefined> =>
  of(ctx)
    .where({ organization_id: organizationId, user_id: userId })
    .first(
      '*',
      roleName(ctx, ctx.db.ref('memberships.role_id')),
      ctx.db.raw('effective_permissions(tenant_id, array[role_id]) as permissions'),
    )

/** As a column of a membership's statement: the name of a role by its id. */
export const roleName = (ctx: Context, id: string | Knex.Ref<string, any>) =>
  ctx.db.raw('(select name from roles r where r.tenant_id = memberships.tenant_id and r.id = ?) as role', [id])

/** Through an app that is not our own, within the scopes of its token. */
export const allowedToCaller = (ctx: Context, permissions: string[]): string[] =>
  permissions.filter((name) => ctx.actor!.firstParty || ctx.actor!.scopes.has(name))

/** What the caller may do in every organization. */
export const tenantWide = (ctx: Context): string[] =>
  ctx.actor?.permissions.has('organizations:write') ? [...organizationPermissions] : []

/** ACCESS_DENIED unless what the operation asks for inside an organization is among `held`. Reading asks for nothing. */
export function assertInside(ctx: Context, held: ReadonlySet<string>, place: NonNullable<Context['place']>): void {
  ctx.place = place
  if (!ctx.inside) return
  ctx.inside.entered = true
  if (!held.has(ctx.inside.permission))
    throw fail('ACCESS_DENIED', `This needs ${ctx.inside.permission} in the organization`, {
      details: { permission: ctx.inside.permission },
    })
}

/** CONFLICT. The organization is locked by who changes it, so of two Owners leaving at once one sees the other gone. */
export async function assertOwned(ctx: Context, organizationId: string): Promise<void> {
  const owner = await of(ctx).where({ organization_id: organizationId, role_id: ROLE.owner }).first('id')
  if (!owner) throw fail('CONFLICT', 'An organization keeps at least one Owner: make somebody else Owner first')
}
