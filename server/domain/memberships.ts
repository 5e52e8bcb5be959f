/** Who belongs to which organization as what. Every organization that had an Owner keeps one. */
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { NIL, newId, ROLE } from './ids.ts'
import * as organizations from './organizations.ts'
import { organizationPermissions, permissions } from './policy.ts'
import * as roles from './roles.ts'
import * as users from './users.ts'

export interface MembershipRow {
  id: string
  organization_id: string
  user_id: string
  role_id: string
  created_at: Date
  updated_at: Date
}

export interface MembershipView {
  id: string
  user: { id: string; email: string; name: string | null }
  organization: { id: string; name: string; slug: string }
  role: { id: string; name: string }
  createdAt: Date
}

const of = (ctx: Context) => ctx.db('memberships').where({ 'memberships.tenant_id': ctx.tenant.id })

export const find = (ctx: Context, organizationId: string, userId: string): Promise<MembershipRow | undefined> =>
  of(ctx).where({ organization_id: organizationId, user_id: userId }).first()

/** What a role of a membership allows in its organization. */
export const allowedBy = (ctx: Context, roleId: string): string[] => ctx.tenant.roles.get(roleId)?.permissions ?? []

/** Through an app that is not our own, within the scopes of its token. */
export const allowedToCaller = (ctx: Context, roleId: string): string[] =>
  allowedBy(ctx, roleId).filter((name) => ctx.actor!.firstParty || ctx.actor!.scopes.has(name))

/** What the caller may do in every organization. */
export const tenantWide = (ctx: Context): string[] =>
  ctx.actor?.permissions.has('organizations:write') ? [...organizationPermissions] : []

/** ACCESS_DENIED unless what the operation asks for inside an organization is among `held`. Reading asks for nothing. */
export function assertInside(ctx: Context, held: ReadonlySet<string>): void {
  if (!ctx.inside) return
  ctx.inside.entered = true
  if (!held.has(ctx.inside.permission))
    throw fail('ACCESS_DENIED', `This needs ${ctx.inside.permission} in the organization`, {
      details: { permission: ctx.inside.permission },
    })
}

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
  const isOwner = organizationPermissions.every((name) => held.has(name))
  // What means nothing to us but to the tenant's apps, Owners may give.
  const isTheirs = (name: string) => isOwner && !Object.hasOwn(permissions, name)
  const missing = allowedBy(ctx, roleId).find(
    (name) => !held.has(name) && !ctx.actor!.permissions.has(name) && !isTheirs(name),
  )
  if (missing)
    throw fail('ACCESS_DENIED', `This needs ${missing} in the organization, which you do not hold yourself`, {
      details: { permission: missing },
    })
}

/**
 * Adds a person, without asking whether the caller may: enter() first. CONFLICT for members, NOT_FOUND for people who are
 * not there, SINGLE_ORGANIZATION_MODE where people belong to one organization and this one does to another.
 */
export async function add(
  ctx: Context,
  input: { organizationId: string; userId: string; roleId?: string | undefined },
): Promise<MembershipRow> {
  const user = await users.byId(ctx.db, ctx.tenant.id, input.userId)
  if (!user) throw fail('NOT_FOUND', 'No such user')
  await assertRoom(ctx, input.userId)
  const roleId = input.roleId ?? ROLE.member
  const [row] = await ctx
    .db('memberships')
    .insert({
      tenant_id: ctx.tenant.id,
      id: newId(),
      organization_id: input.organizationId,
      user_id: input.userId,
      role_id: roleId,
      created_by: ctx.actor?.userId ?? null,
    })
    .onConflict(['tenant_id', 'organization_id', 'user_id'])
    .ignore()
    .returning('*')
  if (!row) throw fail('CONFLICT', 'This person is a member already')
  ctx.event('membership.created', {
    userId: input.userId,
    data: { organization: input.organizationId, role: ctx.tenant.roles.get(roleId)?.name ?? roleId },
  })
  return row
}

/** In single mode, two joins of one person at once take turns. */
async function assertRoom(ctx: Context, userId: string): Promise<void> {
  const { organization_mode: mode } = ctx.tenant.settings
  if (mode === 'none') throw fail('ACCESS_DENIED', 'This tenant has no organizations')
  if (mode === 'multi') return
  await ctx.db.raw('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`one organization ${userId}`])
  if (await of(ctx).where({ user_id: userId }).first('id'))
    throw fail('SINGLE_ORGANIZATION_MODE', 'This person belongs to an organization already')
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
  const [updated] = await of(ctx).where({ id }).update({ role_id: role.id, updated_at: ctx.db.fn.now() }).returning('*')
  if (row.role_id === ROLE.owner) await assertOwned(ctx, row.organization_id)
  ctx.event('membership.updated', {
    userId: row.user_id,
    data: { organization: row.organization_id, role: role.name, before: ctx.tenant.roles.get(row.role_id)?.name },
  })
  return updated
}

/** Ends a membership; the person's own may be ended by themselves. CONFLICT for the last Owner. */
export async function remove(ctx: Context, id: string): Promise<void> {
  const row: MembershipRow | undefined = await of(ctx).where({ id }).first()
  const isOwn = row !== undefined && row.user_id === ctx.actor?.userId
  if (isOwn && ctx.inside) ctx.inside.entered = true
  if (!isOwn) {
    const { organization_id, role_id } = await enter(ctx, id)
    await assertMayGive(ctx, organization_id, role_id)
  } else await organizations.byId(ctx, row.organization_id, true)
  await of(ctx).where({ id }).delete()
  if (row!.role_id === ROLE.owner) await assertOwned(ctx, row!.organization_id)
  ctx.event('membership.deleted', { userId: row!.user_id, data: { organization: row!.organization_id } })
}

/** The organization is locked by who changes it, so of two Owners leaving at once one sees the other gone. */
async function assertOwned(ctx: Context, organizationId: string): Promise<void> {
  const owner = await of(ctx).where({ organization_id: organizationId, role_id: ROLE.owner }).first('id')
  if (!owner) throw fail('CONFLICT', 'An organization keeps at least one Owner: make somebody else Owner first')
}

export interface Filter {
  organizationId?: string | undefined
  userId?: string | undefined
  roleId?: string | undefined
  /** Only of organizations in which this person manages members. */
  managedBy?: string | undefined
}

export async function list(
  ctx: Context,
  filter: Filter,
  page: { limit: number; offset: number },
): Promise<{ items: MembershipView[]; total: number }> {
  const found = of(ctx)
  if (filter.organizationId) found.where({ organization_id: filter.organizationId })
  if (filter.userId) found.where({ user_id: filter.userId })
  if (filter.roleId) found.where({ role_id: filter.roleId })
  if (filter.managedBy) found.whereIn('organization_id', managedWith(ctx, filter.managedBy, 'members:manage'))
  const [rows, [counted]] = await Promise.all([
    found.clone().orderBy('memberships.created_at').orderBy('id').limit(page.limit).offset(page.offset),
    found.clone().count({ total: '*' }),
  ])
  return { items: await views(ctx, rows), total: Number(counted!.total) }
}

/** Ids of the organizations in which the person's role allows this, as a query. */
export const managedWith = (ctx: Context, userId: string, permission: string) =>
  ctx
    .db('memberships as mine')
    .where({ 'mine.tenant_id': ctx.tenant.id, 'mine.user_id': userId })
    .whereIn(
      'mine.role_id',
      [...ctx.tenant.roles.values()]
        .filter((role) => role.scope === 'organization' && role.permissions.includes(permission))
        .map(({ id }) => id),
    )
    .select('mine.organization_id')

/** Rows with who, where and as what, by one statement. */
export async function views(ctx: Context, rows: MembershipRow[]): Promise<MembershipView[]> {
  if (rows.length === 0) return []
  const { rows: found } = await ctx.db.raw(
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
  return found.map((row: any) => ({
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

/** The organizations of a person, at most 200, for tokens and the profile. */
export async function belongings(ctx: Pick<Context, 'db' | 'tenant'>, userId: string): Promise<Belonging[]> {
  return ctx
    .db('memberships as m')
    .join('organizations as o', (on) => on.on('o.tenant_id', 'm.tenant_id').on('o.id', 'm.organization_id'))
    .join('roles as r', (on) => on.on('r.tenant_id', 'm.tenant_id').on('r.id', 'm.role_id'))
    .where({ 'm.tenant_id': ctx.tenant.id, 'm.user_id': userId, 'o.status': 'active' })
    .orderBy(['o.name', 'o.id'])
    .limit(200)
    .select('o.id', 'o.name', 'o.slug', 'r.name as role')
}

export async function overview(ctx: Context) {
  const { rows } = await ctx.db.raw(
    `select count(*)::int as memberships, count(distinct user_id)::int as users,
       count(distinct organization_id)::int as organizations,
       count(*) filter (where created_at > now() - interval '30 days')::int as "joinedLast30Days"
     from memberships where tenant_id = ?`,
    [ctx.tenant.id],
  )
  const byRole = await of(ctx)
    .join('roles as r', (on) => on.on('r.tenant_id', 'memberships.tenant_id').on('r.id', 'memberships.role_id'))
    .groupBy('r.name')
    .orderBy('r.name')
    .select('r.name as role', ctx.db.raw('count(*)::int as members'))
  return { ...rows[0], roles: byRole }
}
