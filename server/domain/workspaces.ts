/** Workspaces: teams inside an organization. Their members are members of the organization first, and leave with it. */
import type { Knex } from 'knex'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { newId } from './ids.ts'
import { managedWith } from './memberships/lists.ts'
import { assertInside } from './memberships/rows.ts'
import * as memberships from './memberships.ts'
import * as organizations from './organizations.ts'
import { type Page, readPage, type Window } from './pages.ts'
import { like } from './permissions.ts'

export const WORKSPACE_ROLES = ['admin', 'member', 'viewer'] as const
export type WorkspaceRole = (typeof WORKSPACE_ROLES)[number]

export interface WorkspaceRow {
  id: string
  organization_id: string
  slug: string
  name: string
  description: string | null
  created_at: Date
  updated_at: Date
}

export interface MemberView {
  user: { id: string; email: string | null; name: string | null }
  role: WorkspaceRole
  createdAt: Date
}

const of = (ctx: Context) => ctx.db('workspaces').where({ 'workspaces.tenant_id': ctx.tenant.id })
const members = (ctx: Context) => ctx.db('workspace_members as w').where({ 'w.tenant_id': ctx.tenant.id })

export async function byId(ctx: Context, id: string): Promise<WorkspaceRow> {
  const row = await of(ctx).where({ id }).first()
  if (!row) throw fail('NOT_FOUND', 'No such workspace')
  return row
}

export const memberIn = (
  ctx: Context,
  workspaceId: string,
  userId: string,
): Promise<{ role: WorkspaceRole } | undefined> =>
  members(ctx).where({ workspace_id: workspaceId, user_id: userId }).first('role')

/**
 * The workspace, for who may see it: its members, and who manages the workspaces of the organization. Its admins may do what
 * asks for workspaces:manage in it. NOT_FOUND to all others, also to other members of the organization.
 */
export async function enter(ctx: Context, id: string): Promise<WorkspaceRow> {
  const row = await byId(ctx, id)
  const held = await organizations.permissionsIn(ctx, row.organization_id)
  const mine = held && ctx.actor?.userId ? await memberIn(ctx, id, ctx.actor.userId) : undefined
  const sees = mine || held?.has('workspaces:manage') || ctx.actor?.permissions.has('organizations:read')
  if (!held || !sees) throw fail('NOT_FOUND', 'No such workspace')
  const organization = await organizations.byId(ctx, row.organization_id)
  assertInside(ctx, mine?.role === 'admin' ? new Set([...held, 'workspaces:manage']) : held, { workspaceId: id })
  if (ctx.inside && organization.status === 'suspended' && !ctx.actor!.permissions.has('organizations:write'))
    throw fail('ACCESS_DENIED', 'This organization is suspended')
  return row
}

/** Those the caller may see; `organizationId` narrows. */
export async function list(
  ctx: Context,
  { organizationId, q }: { organizationId?: string | undefined; q?: string | undefined },
  page: Window,
): Promise<Page<WorkspaceRow>> {
  const { actor } = ctx
  const found = of(ctx)
  if (organizationId) found.where({ organization_id: organizationId })
  if (q) found.whereILike('name', `%${like(q)}%`)
  if (!actor!.permissions.has('organizations:read'))
    found.where((either) =>
      either
        .whereIn('id', members(ctx).where({ 'w.user_id': actor!.userId }).select('w.workspace_id'))
        .orWhereIn('organization_id', managedWith(ctx, actor!.userId!, 'workspaces:manage')),
    )
  return readPage(found, page, (q) => q.orderBy('name').orderBy('id'))
}

export interface NewWorkspace {
  organizationId: string
  name: string
  slug?: string | undefined
  description?: string | null | undefined
}

/** The person who makes it is its first admin, if they are a member of the organization. */
export async function create(ctx: Context, input: NewWorkspace): Promise<WorkspaceRow> {
  const organization = await organizations.enter(ctx, input.organizationId)
  const [row] = await ctx
    .db('workspaces')
    .insert({
      tenant_id: ctx.tenant.id,
      id: newId(),
      organization_id: organization.id,
      slug: input.slug ?? organizations.slugOf(input.name, 'workspace'),
      name: input.name,
      description: input.description ?? null,
      created_by: ctx.actor?.userId ?? null,
    })
    .onConflict(['tenant_id', 'organization_id', 'slug'])
    .ignore()
    .returning('*')
  if (!row) throw fail('CONFLICT', 'The organization has a workspace with this slug already')
  ctx.event('workspace.created', { data: { workspace: row.id, organization: organization.id, name: row.name } })
  const { userId } = ctx.actor!
  if (userId && (await memberships.find(ctx, organization.id, userId))) await addMember(ctx, row, userId, 'admin')
  return row
}

/** Absent keys stay, null clears. */
export async function update(
  ctx: Context,
  id: string,
  change: { name?: string | undefined; slug?: string | undefined; description?: string | null | undefined },
): Promise<WorkspaceRow> {
  const before = await enter(ctx, id)
  const values = Object.fromEntries(
    Object.entries(change).filter(([key, value]) => value !== undefined && value !== before[key as keyof WorkspaceRow]),
  )
  if (Object.keys(values).length === 0) return before
  if (values.slug && (await of(ctx).where({ organization_id: before.organization_id, slug: values.slug }).first('id')))
    throw fail('CONFLICT', 'The organization has a workspace with this slug already')
  const [row] = await of(ctx)
    .where({ id })
    .update({ ...values, updated_at: ctx.db.fn.now() })
    .returning('*')
  ctx.event('workspace.updated', {
    data: { workspace: id, organization: row.organization_id, fields: Object.keys(values) },
  })
  return row
}

export async function remove(ctx: Context, id: string): Promise<void> {
  const row = await enter(ctx, id)
  await of(ctx).where({ id }).delete()
  ctx.event('workspace.deleted', { data: { workspace: id, organization: row.organization_id, name: row.name } })
}

export async function listMembers(ctx: Context, id: string, page: Window): Promise<Page<MemberView>> {
  await enter(ctx, id)
  const found = members(ctx).where({ workspace_id: id })
  const { items, total } = await readPage<MemberRow>(found, page, (q) =>
    withPerson(ctx, q).orderBy('w.created_at').orderBy('w.user_id'),
  )
  return { items: items.map(memberView), total }
}

interface MemberRow {
  user_id: string
  email: string | null
  name: string | null
  role: WorkspaceRole
  created_at: Date
}

/** With whom a membership is of. */
const withPerson = (ctx: Context, query: Knex.QueryBuilder) =>
  query
    .join('users as u', (on) => on.on('u.tenant_id', 'w.tenant_id').on('u.id', 'w.user_id'))
    .select('w.*', 'u.email', ctx.db.raw(`nullif(trim(concat_ws(' ', u.given_name, u.family_name)), '') as name`))

const memberView = (row: MemberRow): MemberView => ({
  user: { id: row.user_id, email: row.email, name: row.name },
  role: row.role,
  createdAt: row.created_at,
})

export async function member(ctx: Context, id: string, userId: string): Promise<MemberView> {
  const row = await withPerson(ctx, members(ctx).where({ workspace_id: id, user_id: userId })).first()
  if (!row) throw fail('NOT_FOUND', 'This person is no member of the workspace')
  return memberView(row)
}

/** Without asking whether the caller may: enter() first. VALIDATION_ERROR for people outside the organization. */
export async function addMember(
  ctx: Context,
  workspace: WorkspaceRow,
  userId: string,
  role: WorkspaceRole,
): Promise<void> {
  const { id, organization_id } = workspace
  if (!(await memberships.find(ctx, organization_id, userId)))
    throw fail('VALIDATION_ERROR', 'user_id: this person is no member of the organization')
  const [row] = await ctx
    .db('workspace_members')
    .insert({ tenant_id: ctx.tenant.id, workspace_id: id, organization_id, user_id: userId, role })
    .onConflict(['tenant_id', 'workspace_id', 'user_id'])
    .ignore()
    .returning('user_id')
  if (!row) throw fail('CONFLICT', 'This person is a member of the workspace already')
  ctx.event('workspace.member_added', { userId, data: { workspace: id, organization: organization_id, role } })
}

export async function changeMember(ctx: Context, id: string, userId: string, role: WorkspaceRole): Promise<void> {
  const { organization_id } = await enter(ctx, id)
  const [row] = await members(ctx).where({ workspace_id: id, user_id: userId }).update({ role }).returning('role')
  if (!row) throw fail('NOT_FOUND', 'This person is no member of the workspace')
  ctx.event('workspace.member_updated', { userId, data: { workspace: id, organization: organization_id, role } })
}

/** Members may take themselves out. */
export async function removeMember(ctx: Context, id: string, userId: string): Promise<void> {
  const isOwn = userId === ctx.actor?.userId && (await memberIn(ctx, id, userId)) !== undefined
  if (isOwn && ctx.inside) ctx.inside.entered = true
  const { organization_id } = isOwn ? await byId(ctx, id) : await enter(ctx, id)
  const gone = await members(ctx).where({ workspace_id: id, user_id: userId }).delete()
  if (gone === 0) throw fail('NOT_FOUND', 'This person is no member of the workspace')
  ctx.event('workspace.member_removed', { userId, data: { workspace: id, organization: organization_id } })
}
