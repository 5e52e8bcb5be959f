/** Who may invite and as what, and what accepting gives. */
import { fail } from '../../kernel/errors.ts'
import { assertHolds, permissionsOf, rolesOf } from '../authority.ts'
import type { Context, UserRow } from '../context.ts'
import { ROLE } from '../ids.ts'
import * as roles from '../roles.ts'
import * as users from '../users.ts'

/** Whose word an invitation is. */
export interface Inviter {
  userId: string
  emailVerified: boolean
  /** In the tenant. */
  permissions: Set<string>
}

/** The caller. ACCESS_DENIED for clients by themselves, and while acting as somebody else. */
export function inviting({ actor }: Pick<Context, 'actor'>): Inviter {
  if (actor?.kind !== 'user' || !actor.userId)
    throw fail('ACCESS_DENIED', 'This needs a person, not a client by itself')
  if (actor.impersonatorId) throw fail('ACCESS_DENIED', 'This cannot be done while acting as somebody else')
  return { userId: actor.userId, emailVerified: actor.emailVerified, permissions: actor.permissions }
}

/** Who invited, with what they may do by now; undefined when they may not act any more. */
export async function inviterOf(ctx: Context, userId: string): Promise<(Inviter & { user: UserRow }) | undefined> {
  const user = await users.byId(ctx.db, ctx.tenant.id, userId)
  if (user?.status !== 'active') return undefined
  // Roles of a client count there only.
  const held = (await rolesOf(ctx, userId)).filter((id) => ctx.tenant.roles.get(id)?.scope === 'tenant')
  const permissions = new Set(await permissionsOf(ctx, held))
  return { userId, emailVerified: user.email_verified_at !== null, permissions, user }
}

/** The ids of these roles (ids or names), without the default role, which everybody gets. */
export async function rolesFor(ctx: Context, keys: string[]): Promise<string[]> {
  const found = await roles.findMany(ctx, keys, { scopes: ['tenant', 'client'] })
  return found.map(({ id }) => id).filter((id) => id !== ROLE.user)
}

/** Whether they may change invitations of others. */
export const manages = (inviter: Inviter): boolean => inviter.permissions.has('invitations:write')

/** What the tenant lets everybody do. */
function mayEverybody(ctx: Context): boolean {
  const { user_invitations: rule, registration_enabled: isOpen } = ctx.tenant.settings
  return rule === 'always' || (rule === 'registration' && isOpen)
}

/**
 * Asked when one invites, and again when the invitation is accepted. ACCESS_DENIED; EMAIL_VERIFICATION_REQUIRED of people who
 * only may what everybody may.
 */
export async function assertMayInvite(ctx: Context, inviter: Inviter, roleIds: string[]): Promise<void> {
  if (!manages(inviter)) {
    if (roleIds.length > 0 || !mayEverybody(ctx))
      throw fail('ACCESS_DENIED', 'This needs the permission invitations:write', {
        details: { permission: 'invitations:write' },
      })
    if (!inviter.emailVerified) throw fail('EMAIL_VERIFICATION_REQUIRED', 'Verify your own e-mail address first')
  }
  assertHolds({ actor: inviter }, await permissionsOf(ctx, roleIds))
}

/** Gives roles to somebody who accepted; those they have stay. */
export async function admit(ctx: Context, roleIds: string[], userId: string, invitedBy: string | null): Promise<void> {
  if (roleIds.length === 0) return
  const given = await ctx
    .db('user_roles')
    .insert(roleIds.map((role_id) => ({ tenant_id: ctx.tenant.id, user_id: userId, role_id, created_by: invitedBy })))
    .onConflict(['tenant_id', 'user_id', 'role_id'])
    .ignore()
    .returning('role_id')
  const names = given.map(({ role_id }) => ctx.tenant.roles.get(role_id)?.name ?? role_id)
  if (names.length > 0) ctx.event('role.assigned', { userId, data: { roles: names, how: 'invitation' } })
}
