/** Where one can be invited to: who may invite there and as what, and what accepting gives. */
import { fail } from '../../kernel/errors.ts'
import { assertHolds, permissionsOf, rolesOf } from '../authority.ts'
import type { Context, UserRow } from '../context.ts'
import { ROLE } from '../ids.ts'
import { assertWithin } from '../memberships/giving.ts'
import * as memberships from '../memberships.ts'
import * as organizations from '../organizations.ts'
import { organizationPermissions } from '../policy.ts'
import * as roles from '../roles.ts'
import * as users from '../users.ts'
import type { WorkspaceRole } from '../workspaces.ts'
import * as workspaces from '../workspaces.ts'

/** Both null: the tenant itself. A workspace's organization is named as well. */
export interface Place {
  organization_id: string | null
  workspace_id: string | null
}
export const TENANT: Place = { organization_id: null, workspace_id: null }

/** What is offered there. */
export interface Offering extends Place {
  /** Of the tenant; or the one role in the organization. */
  role_ids: string[]
  workspace_role: WorkspaceRole | null
}

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
  const names = new Set(await permissionsOf(ctx, held))
  return { userId, emailVerified: users.isReachable(user), permissions: names, user }
}

/** The ids of these roles (ids or names), without the default role, which everybody gets. */
export async function rolesFor(ctx: Context, keys: string[]): Promise<string[]> {
  const found = await roles.findMany(ctx, keys, { scopes: ['tenant', 'client'] })
  return found.map(({ id }) => id).filter((id) => id !== ROLE.user)
}

/** Whether they may change invitations of others to the tenant. */
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
export function assertMayInvite(ctx: Context, inviter: Inviter, offering: Offering): Promise<void> {
  const { organization_id, role_ids } = offering
  return organization_id
    ? assertMayInviteInside(ctx, inviter, { ...offering, organization_id })
    : assertMayInviteHere(ctx, inviter, role_ids)
}

async function assertMayInviteHere(ctx: Context, inviter: Inviter, roleIds: string[]): Promise<void> {
  if (!manages(inviter)) {
    if (roleIds.length > 0 || !mayEverybody(ctx))
      throw fail('ACCESS_DENIED', 'This needs the permission invitations:write', {
        details: { permission: 'invitations:write' },
      })
    if (!inviter.emailVerified) throw fail('EMAIL_VERIFICATION_REQUIRED', 'Verify your own e-mail address first')
  }
  assertHolds({ actor: inviter }, await permissionsOf(ctx, roleIds))
}

/** Members of the organization come by the word of who manages the workspace; for others see assertMayBring. */
async function assertMayInviteInside(
  ctx: Context,
  inviter: Inviter,
  { organization_id, workspace_id, role_ids }: Offering & { organization_id: string },
): Promise<void> {
  const held = await heldIn(ctx, inviter, organization_id, workspace_id)
  const needed = workspace_id ? 'workspaces:manage' : 'members:manage'
  if (!held.has(needed))
    throw fail('ACCESS_DENIED', `This needs ${needed} in the organization`, { details: { permission: needed } })
  assertWithin(await permissionsOf(ctx, role_ids), held, inviter.permissions)
}

async function heldIn(
  ctx: Context,
  { userId, permissions: wide }: Inviter,
  organizationId: string,
  workspaceId: string | null,
): Promise<Set<string>> {
  const membership = await memberships.holding(ctx, organizationId, userId)
  const inWorkspace = workspaceId && membership ? await workspaces.memberIn(ctx, workspaceId, userId) : undefined
  return new Set([
    ...(membership?.permissions ?? []),
    ...(inWorkspace?.role === 'admin' ? ['workspaces:manage'] : []),
    ...(wide.has('organizations:write') ? organizationPermissions : []),
  ])
}

/** ACCESS_DENIED unless they may bring people into the organization who are not in it yet. */
export async function assertMayBring(ctx: Context, inviter: Inviter, organizationId: string): Promise<void> {
  if ((await heldIn(ctx, inviter, organizationId, null)).has('members:manage')) return
  throw fail('ACCESS_DENIED', 'Only who manages members may invite people from outside the organization', {
    details: { permission: 'members:manage' },
  })
}

/** Refuses who is there already with CONFLICT; answers whether the address is that of a member of the organization. */
export async function assertOutside(ctx: Context, place: Place, email: string): Promise<boolean> {
  const user = place.organization_id ? await users.byEmail(ctx.db, ctx.tenant.id, email) : undefined
  const membership = user && (await memberships.find(ctx, place.organization_id!, user.id))
  if (!membership) return false
  if (!place.workspace_id || (await workspaces.memberIn(ctx, place.workspace_id, user.id)))
    throw fail('CONFLICT', 'This person is a member already')
  return true
}

/** Lets somebody who accepted in. CONFLICT for members, SINGLE_ORGANIZATION_MODE. */
export async function admit(
  ctx: Context,
  offering: Offering,
  userId: string,
  inviter: Inviter | undefined,
): Promise<void> {
  const { organization_id: organizationId, workspace_id, role_ids } = offering
  if (!organizationId) return give(ctx, role_ids, userId, inviter?.userId ?? null)
  const isMember = (await memberships.find(ctx, organizationId, userId)) !== undefined
  if (!isMember && workspace_id) await assertMayBring(ctx, inviter!, organizationId)
  if (!isMember || !workspace_id) await memberships.add(ctx, { organizationId, userId, roleId: role_ids[0] })
  if (workspace_id)
    await workspaces.addMember(ctx, await workspaces.byId(ctx, workspace_id), userId, offering.workspace_role!)
}

/** Roles of the tenant; those the person has stay. */
async function give(ctx: Context, roleIds: string[], userId: string, invitedBy: string | null): Promise<void> {
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

export interface Where {
  organization: { id: string; name: string } | null
  workspace: { id: string; name: string } | null
}

export const NOWHERE: Where = { organization: null, workspace: null }

/** The names of the place. NOT_FOUND when it is gone, ACCESS_DENIED while the organization is suspended. */
export async function whereIs(ctx: Context, { organization_id, workspace_id }: Place): Promise<Where> {
  const organization = organization_id ? await organizations.byId(ctx, organization_id) : null
  if (organization?.status === 'suspended') throw fail('ACCESS_DENIED', 'This organization is suspended')
  const workspace = workspace_id ? await workspaces.byId(ctx, workspace_id) : null
  const brief = (row: { id: string; name: string } | null) => row && { id: row.id, name: row.name }
  return { organization: brief(organization), workspace: brief(workspace) }
}
