/** Memberships as they are shown: lists, statistics, and what a person belongs to. */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { openTime, seal } from '../cursors.ts'
import { enter } from '../organizations.ts'
import { type CursorWindow, countOf, cut } from '../pages.ts'
import { isUuid } from '../permissions.ts'
import { type MembershipRow, of } from './rows.ts'

export interface MembershipView {
  id: string
  user: { id: string; email: string | null; name: string | null }
  organization: { id: string; name: string; slug: string }
  role: { id: string; name: string }
  createdAt: Date
}

export interface Filter {
  organizationId?: string | undefined
  userId?: string | undefined
  roleId?: string | undefined
  /** Only of organizations in which this person manages members. */
  managedBy?: string | undefined
}

function filtered(ctx: Context, filter: Filter) {
  const found = of(ctx)
  if (filter.organizationId) found.where({ organization_id: filter.organizationId })
  if (filter.userId) found.where({ user_id: filter.userId })
  if (filter.roleId) found.where({ role_id: filter.roleId })
  if (filter.managedBy) found.whereIn('organization_id', managedWith(ctx, filter.managedBy, 'members:manage'))
  return found
}

/**
 * Which memberships the caller may list: those of one organization, of all they manage, or of all there are. NOT_FOUND and
 * ACCESS_DENIED for an organization that is not theirs to manage.
 */
export async function managed(ctx: Context, organizationId?: string | undefined): Promise<Filter> {
  const actor = ctx.actor!
  if (actor.permissions.has('organizations:read')) {
    ctx.inside!.entered = true
    return { organizationId }
  }
  if (organizationId) {
    await enter(ctx, organizationId)
    return { organizationId }
  }
  ctx.inside!.entered = true
  if (!actor.firstParty && !actor.scopes.has(ctx.inside!.permission))
    throw fail('ACCESS_DENIED', `This access token was not given the scope ${ctx.inside!.permission}`)
  return { managedBy: actor.userId! }
}

const ORDER = 'created_at'

/** The oldest first. VALIDATION_ERROR for a cursor of another list. */
export async function list(
  ctx: Context,
  filter: Filter,
  page: CursorWindow,
): Promise<{ items: MembershipView[]; total: number; nextCursor: string | undefined }> {
  const found = filtered(ctx, filter)
  if (page.cursor === undefined) found.offset(page.offset)
  else {
    const { key, id } = openTime(ORDER, page.cursor)
    found.whereRaw('(memberships.created_at, id) > (?::timestamptz, ?::uuid)', [key, id])
  }
  const [rows, total] = await Promise.all([
    found
      .orderBy('memberships.created_at')
      .orderBy('id')
      .limit(page.limit + 1)
      .select('*', ctx.db.raw('memberships.created_at::text as place')),
    countOf(filtered(ctx, filter)),
  ])
  const { items, nextCursor } = cut(rows, page.limit, (last) => seal(ORDER, last.place, last.id))
  return { items: await views(ctx, items), total, nextCursor }
}

/** Ids of the organizations in which the person's role allows this, as a query. Each role is looked up by its key: organizations have thousands. */
export const managedWith = (ctx: Context, userId: string, permission: string) =>
  ctx
    .db('memberships as mine')
    .where({ 'mine.tenant_id': ctx.tenant.id, 'mine.user_id': userId })
    .whereRaw(
      `mine.role_id = any(array(
         with recursive parts (role_id, part_id) as (
           select role_id, role_id from memberships where tenant_id = :tenant and user_id = :userId
           union
           select parts.role_id, p.part_id from parts join role_parts p on p.tenant_id = :tenant and p.role_id = parts.part_id)
         select role_id from parts where exists (
           select from role_permissions rp where rp.tenant_id = :tenant and rp.role_id = parts.part_id
             and rp.permission_id = (select id from permissions where tenant_id = :tenant and name = :permission) offset 0)))`,
      { tenant: ctx.tenant.id, userId, permission },
    )
    .select('mine.organization_id')

interface Joined {
  id: string
  created_at: Date
  user_id: string
  email: string | null
  name: string | null
  organization_id: string
  organization: string
  slug: string
  role_id: string
  role: string
}

/** Rows with who, where and as what, by one statement. */
export async function views(ctx: Context, rows: MembershipRow[]): Promise<MembershipView[]> {
  if (rows.length === 0) return []
  const { rows: found }: { rows: Joined[] } = await ctx.db.raw(
    `select m.id, m.created_at, u.id as user_id, u.email, nullif(trim(concat_ws(' ', u.given_name, u.family_name)), '') as name,
       o.id as organization_id, o.name as organization, o.slug, r.id as role_id, r.name as role
     from unnest(:ids::uuid[]) with ordinality wanted (id, at)
     join memberships m on m.tenant_id = :tenant and m.id = wanted.id
     join users u on u.tenant_id = :tenant and u.id = m.user_id
     join organizations o on o.tenant_id = :tenant and o.id = m.organization_id
     join roles r on r.tenant_id = :tenant and r.id = m.role_id
     order by wanted.at`,
    { tenant: ctx.tenant.id, ids: rows.map(({ id }) => id) },
  )
  return found.map((row) => ({
    id: row.id,
    user: { id: row.user_id, email: row.email, name: row.name },
    organization: { id: row.organization_id, name: row.organization, slug: row.slug },
    role: { id: row.role_id, name: row.role },
    createdAt: row.created_at,
  }))
}

export const view = async (ctx: Context, row: MembershipRow): Promise<MembershipView> => (await views(ctx, [row]))[0]!

export interface Belonging {
  id: string
  name: string
  slug: string
  role: string
}

type Reader = Pick<Context, 'db' | 'tenant'>

/** Of active organizations. */
const belongingsOf = (ctx: Reader, userId: string) =>
  ctx
    .db('memberships as m')
    .join('organizations as o', (on) => on.on('o.tenant_id', 'm.tenant_id').on('o.id', 'm.organization_id'))
    .join('roles as r', (on) => on.on('r.tenant_id', 'm.tenant_id').on('r.id', 'm.role_id'))
    .where({ 'm.tenant_id': ctx.tenant.id, 'm.user_id': userId, 'o.status': 'active' })
    .select('o.id', 'o.name', 'o.slug', 'r.name as role')

/** The active organizations of a person, at most 200, for tokens, the profile and the page that asks for one. */
export const belongings = async (ctx: Reader, userId: string): Promise<Belonging[]> =>
  belongingsOf(ctx, userId).orderBy(['o.name', 'o.id']).limit(200)

/** The one of this id or slug; undefined where there is none, it is suspended, or the person is not in it. */
export const belonging = async (ctx: Reader, userId: string, key: string): Promise<Belonging | undefined> =>
  belongingsOf(ctx, userId)
    .where(isUuid(key) ? { 'o.id': key } : { 'o.slug': key })
    .first()

export interface Overview {
  memberships: number
  users: number
  organizations: number
  joinedLast30Days: number
  roles: { role: string; members: number }[]
}

export async function overview(ctx: Context, filter: Filter): Promise<Overview> {
  const [counted]: Omit<Overview, 'roles'>[] = await filtered(ctx, filter).select(
    ctx.db.raw(`count(*)::int as memberships, count(distinct user_id)::int as users,
      count(distinct organization_id)::int as organizations,
      (count(*) filter (where memberships.created_at > now() - interval '30 days'))::int as "joinedLast30Days"`),
  )
  const roles = await filtered(ctx, filter)
    .join('roles as r', (on) => on.on('r.tenant_id', 'memberships.tenant_id').on('r.id', 'memberships.role_id'))
    .groupBy('r.name')
    .orderBy('r.name')
    .select('r.name as role', ctx.db.raw('count(*)::int as members'))
  return { ...counted!, roles }
}
