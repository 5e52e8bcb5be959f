/** Invitations to organizations and workspaces, which who manages members there sends, sees and takes back. */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { ROLE } from '../ids.ts'
import { about, end, type InvitationRow, invite, newest, open } from '../invitations.ts'
import { managedWith } from '../memberships/lists.ts'
import * as memberships from '../memberships.ts'
import * as organizations from '../organizations.ts'
import type { Page, Window } from '../pages.ts'
import type { WorkspaceRole } from '../workspaces.ts'
import * as workspaces from '../workspaces.ts'

export interface NewInsideInvitation {
  email: string
  organizationId: string
  /** Of the organization, by id or name; Member where absent. */
  role?: string | undefined
}

export interface NewWorkspaceInvitation {
  email: string
  workspaceId: string
  role?: WorkspaceRole | undefined
}

/** To an organization. NOT_FOUND to outsiders, VALIDATION_ERROR for a role it has not, ACCESS_DENIED, CONFLICT for members. */
export async function create(ctx: Context, input: NewInsideInvitation): Promise<InvitationRow> {
  const { id } = await organizations.enter(ctx, input.organizationId)
  const role = input.role === undefined ? ROLE.member : (await memberships.roleFor(ctx, id, input.role)).id
  // Also within the scopes of the caller's token.
  await memberships.assertMayGive(ctx, id, role)
  return invite(ctx, input.email, {
    organization_id: id,
    workspace_id: null,
    role_ids: [role],
    workspace_role: null,
  })
}

/** To a workspace, and as a Member to its organization. The same failures. */
export async function createInWorkspace(ctx: Context, input: NewWorkspaceInvitation): Promise<InvitationRow> {
  const { id, organization_id } = await workspaces.enter(ctx, input.workspaceId)
  return invite(ctx, input.email, {
    organization_id,
    workspace_id: id,
    role_ids: [ROLE.member],
    workspace_role: input.role ?? 'member',
  })
}

/** Of an organization or workspace; without either, of all organizations whose members the caller manages. */
export interface Inside {
  organizationId?: string | undefined
  workspaceId?: string | undefined
}

/** Asks whether the caller manages invitations there; answers which these are. NOT_FOUND to outsiders, ACCESS_DENIED. */
async function inside(ctx: Context, { organizationId, workspaceId }: Inside): Promise<{ where: Narrow }> {
  if (workspaceId) {
    await workspaces.enter(ctx, workspaceId)
    return { where: (found) => found.where({ workspace_id: workspaceId }) }
  }
  if (organizationId) {
    await organizations.enter(ctx, organizationId)
    return { where: (found) => found.where({ organization_id: organizationId }) }
  }
  if (ctx.inside) ctx.inside.entered = true
  const { permissions, userId } = ctx.actor!
  if (permissions.has('organizations:write')) return { where: (found) => found.whereNotNull('organization_id') }
  const managed = managedWith(ctx, userId!, 'members:manage')
  return { where: (found) => found.whereIn('organization_id', managed) }
}

/** A query is a promise, so it cannot be what an async function answers. */
type Narrow = (found: ReturnType<typeof open>) => ReturnType<typeof open>

/** Those that can be accepted, the newest first. */
export async function pending(ctx: Context, where: Inside, page: Window): Promise<Page<InvitationRow>> {
  const managed = await inside(ctx, where)
  return newest(ctx, managed.where(open(ctx)).where('expires_at', '>', ctx.db.fn.now()), page)
}

/** NOT_FOUND also for those that are over. */
export async function revoke(ctx: Context, id: string, where: Inside = {}): Promise<void> {
  const managed = await inside(ctx, where)
  const [row] = await end(ctx, managed.where(open(ctx).where({ id })))
  if (!row) throw fail('NOT_FOUND', 'No such invitation')
  ctx.event('invitation.revoked', about(row))
}
