/**
 * Organizations: groups of people inside a tenant. Who is no member does not learn of one, unless they may see all. What a
 * member may do in it comes from the role of the membership and counts there only.
 */
import type { Knex } from 'knex'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { openTime, seal } from './cursors.ts'
import { newId, ROLE } from './ids.ts'
import { add } from './memberships/adding.ts'
import * as memberships from './memberships/rows.ts'
import { type CursorWindow, countOf, cut } from './pages.ts'
import { isUuid, like } from './permissions.ts'
import { queueAhead } from './webhooks/ahead.ts'

export interface OrganizationRow {
  id: string
  slug: string
  name: string
  description: string | null
  status: 'active' | 'suspended'
  settings: Record<string, unknown>
  client_id: string | null
  created_by: string | null
  created_at: Date
  updated_at: Date
}

export interface OrganizationView extends OrganizationRow {
  memberCount: number
  /** Who has been Owner longest. */
  owner: { id: string; email: string | null } | null
}

const of = (ctx: Context) => ctx.db('organizations').where({ 'organizations.tenant_id': ctx.tenant.id })

/** NOT_FOUND where the tenant has no such organization. `lock` makes other changes of it wait. */
export async function byId(ctx: Context, id: string, lock = false): Promise<OrganizationRow> {
  const query = of(ctx).where({ id })
  const row = await (lock ? query.forNoKeyUpdate() : query).first()
  if (!row) throw fail('NOT_FOUND', 'No such organization')
  return row
}

/** By id or slug. NOT_FOUND. */
export async function byKey(ctx: Context, key: string): Promise<OrganizationRow> {
  const row = await of(ctx)
    .where(isUuid(key) ? { id: key } : { slug: key })
    .first()
  if (!row) throw fail('NOT_FOUND', `No such organization: ${key}`)
  return row
}

/** What the caller may do in an organization: by the role of their membership, or in all of them. */
export async function permissionsIn(ctx: Context, id: string): Promise<Set<string> | undefined> {
  const { actor } = ctx
  if (!actor) return undefined
  const mine = actor.userId ? await memberships.holding(ctx, id, actor.userId) : undefined
  if (!mine && !actor.permissions.has('organizations:read') && !actor.permissions.has('organizations:write'))
    return undefined
  return new Set([...(mine ? memberships.allowedToCaller(ctx, mine.permissions) : []), ...memberships.tenantWide(ctx)])
}

/**
 * The organization, for who may see it, with what the operation asks for (`auth: { inside }`) held in it. NOT_FOUND to
 * outsiders, ACCESS_DENIED to members who may not.
 */
export async function enter(ctx: Context, id: string, lock = false): Promise<OrganizationRow> {
  const seen = await permissionsIn(ctx, id)
  if (!seen) throw fail('NOT_FOUND', 'No such organization')
  const row = await byId(ctx, id, lock)
  // Whoever waited for the lock may have lost what they held.
  memberships.assertInside(ctx, lock ? ((await permissionsIn(ctx, id)) ?? new Set()) : seen, { organizationId: id })
  if (ctx.inside && row.status === 'suspended' && !ctx.actor!.permissions.has('organizations:write'))
    throw fail('ACCESS_DENIED', 'This organization is suspended')
  return row
}

export interface Filter {
  q?: string | undefined
  status?: OrganizationRow['status'] | undefined
  /** Only those of this person. */
  memberId?: string | undefined
}

const ORDER = '-created_at'

/**
 * The newest first; `q` is the beginning of a name or slug. One query for the page, one for what is shown of its organizations.
 * VALIDATION_ERROR for a cursor of another list.
 */
export async function list(
  ctx: Context,
  { q, status, memberId }: Filter,
  page: CursorWindow,
): Promise<{ items: OrganizationView[]; total: number; nextCursor: string | undefined }> {
  const found = of(ctx)
  if (status) found.where({ status })
  const beginning = q && `${like(q.toLowerCase())}%`
  if (beginning)
    found.where((either) =>
      either.whereRaw(`lower(name) collate "C" like ?`, [beginning]).orWhereRaw('slug like ?', [beginning]),
    )
  if (memberId)
    found.whereIn(
      'id',
      ctx.db('memberships').where({ tenant_id: ctx.tenant.id, user_id: memberId }).select('organization_id'),
    )
  const [rows, total] = await Promise.all([
    after(found.clone(), page)
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(page.limit + 1)
      .select('*', ctx.db.raw('created_at::text as place')),
    countOf(found),
  ])
  const { items, nextCursor } = cut<OrganizationRow & { place: string }>(rows, page.limit, (last) =>
    seal(ORDER, last.place, last.id),
  )
  return { items: await described(ctx, items), total, nextCursor }
}

function after(query: Knex.QueryBuilder, page: { offset: number; cursor?: string | undefined }) {
  if (page.cursor === undefined) return query.offset(page.offset)
  const { key, id } = openTime(ORDER, page.cursor)
  return query.whereRaw('(created_at, id) < (?::timestamptz, ?::uuid)', [key, id])
}

export const describe = async (ctx: Context, row: OrganizationRow): Promise<OrganizationView> =>
  (await described(ctx, [row]))[0]!

type Facts = { id: string; members: number; owner: OrganizationView['owner'] }

async function described(ctx: Context, rows: OrganizationRow[]): Promise<OrganizationView[]> {
  if (rows.length === 0) return []
  const { rows: facts }: { rows: Facts[] } = await ctx.db.raw(
    `select o.id, (select count(*)::int from memberships m where m.tenant_id = :tenant and m.organization_id = o.id) as members,
       (select jsonb_build_object('id', u.id, 'email', u.email) from memberships m
          join users u on u.tenant_id = m.tenant_id and u.id = m.user_id and u.deleted_at is null
          where m.tenant_id = :tenant and m.organization_id = o.id and m.role_id = :owner order by m.id limit 1) as owner
     from unnest(:ids::uuid[]) o (id)`,
    { tenant: ctx.tenant.id, owner: ROLE.owner, ids: rows.map(({ id }) => id) },
  )
  const factsOf = new Map(facts.map((fact) => [fact.id, fact]))
  return rows.map((row) => {
    const { members, owner } = factsOf.get(row.id)!
    return { ...row, memberCount: members, owner }
  })
}

export interface NewOrganization {
  name: string
  slug?: string | undefined
  description?: string | null | undefined
  settings?: Record<string, unknown> | undefined
  /** client_id of the app in which somebody makes it. */
  clientId?: string | undefined
}

/** With its first Owner, if one is named. A slug made of the name is numbered until it is free; a chosen one is CONFLICT. */
export async function create(ctx: Context, input: NewOrganization, ownerId?: string): Promise<OrganizationRow> {
  if (ctx.tenant.settings.organization_mode === 'none')
    throw fail('ACCESS_DENIED', 'This tenant has no organizations (setting organization_mode)')
  assertSettings(input.settings)
  const wanted = input.slug ?? slugOf(input.name, 'organization')
  const row = await insert(ctx, input, wanted, input.slug === undefined)
  ctx.event('organization.created', { data: { organization: row.id, slug: row.slug, name: row.name } })
  if (ownerId) await add(ctx, { organizationId: row.id, userId: ownerId, roleId: ROLE.owner })
  ctx.place = { organizationId: row.id }
  return row
}

const TRIES = 20

async function insert(
  ctx: Context,
  input: NewOrganization,
  wanted: string,
  mayNumber: boolean,
): Promise<OrganizationRow> {
  for (let n = 1; n <= (mayNumber ? TRIES : 1); n += 1) {
    const slug = n === 1 ? wanted : `${wanted.slice(0, 58)}-${n < TRIES / 2 ? n : newId().slice(-4)}`
    const [row] = await ctx
      .db('organizations')
      .insert({
        tenant_id: ctx.tenant.id,
        id: newId(),
        slug,
        name: input.name,
        description: input.description ?? null,
        settings: JSON.stringify(input.settings ?? {}),
        client_id: input.clientId ?? null,
        created_by: ctx.actor?.userId ?? null,
      })
      .onConflict(['tenant_id', 'slug'])
      .ignore()
      .returning('*')
    if (row) return row
  }
  throw fail('CONFLICT', 'There is an organization with this slug already')
}

/** Letters, digits and dashes of the name; `otherwise` where it has none of them. */
export const slugOf = (name: string, otherwise: string): string =>
  name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replace(/^-+|-+$/g, '') || otherwise

/** Absent keys stay, null clears; settings are merged key by key. */
export async function update(
  ctx: Context,
  id: string,
  change: Partial<NewOrganization> & { status?: OrganizationRow['status'] | undefined },
): Promise<OrganizationRow> {
  if (change.status !== undefined && !ctx.actor!.permissions.has('organizations:write'))
    throw fail('ACCESS_DENIED', 'status: only administrators of the tenant suspend organizations', {
      details: { permission: 'organizations:write' },
    })
  const before = await enter(ctx, id, true)
  const values: Record<string, unknown> = {}
  for (const key of ['name', 'slug', 'description', 'status'] as const)
    if (change[key] !== undefined && change[key] !== before[key]) values[key] = change[key]
  if (values.slug && (await of(ctx).where({ slug: values.slug }).first('id')))
    throw fail('CONFLICT', 'There is an organization with this slug already')
  if (change.settings) {
    const settings = merged(before.settings, change.settings)
    assertSettings(settings)
    values.settings = JSON.stringify(settings)
  }
  if (Object.keys(values).length === 0) return before
  const [row] = await of(ctx)
    .where({ id })
    .update({ ...values, updated_at: ctx.db.fn.now() })
    .returning('*')
  ctx.event('organization.updated', { data: { organization: id, fields: Object.keys(values) } })
  return row
}

const merged = (before: Record<string, unknown>, change: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries({ ...before, ...change }).filter(([, value]) => value !== null))

const MAX_SETTINGS = 16 * 1024

function assertSettings(settings: Record<string, unknown> | undefined): void {
  if (settings && JSON.stringify(settings).length > MAX_SETTINGS)
    throw fail('VALIDATION_ERROR', 'settings: larger than 16 KiB')
}

/** Memberships, workspaces and its own roles go with it. */
export async function remove(ctx: Context, id: string): Promise<void> {
  const row = await enter(ctx, id, true)
  const members = await countOf(ctx.db('memberships').where({ tenant_id: ctx.tenant.id, organization_id: id }))
  await erase(ctx, row, members)
}

/** remove() for who need not ask, `members` of whom it had so many. */
export async function erase(
  ctx: Context,
  { id, slug, name }: Pick<OrganizationRow, 'id' | 'slug' | 'name'>,
  members: number,
): Promise<void> {
  const eventId = await queueAhead(ctx, 'organization.deleted', id)
  await of(ctx).where({ id }).delete()
  await ctx.db('roles').where({ tenant_id: ctx.tenant.id, scope: 'organization', owner_id: id }).delete()
  ctx.event('organization.deleted', { id: eventId, data: { organization: id, slug, name, members } })
}

export interface Statistics {
  members: number
  workspaces: number
  roles: { role: string; members: number }[]
  joinedLast30Days: number
}

export async function statistics(ctx: Context, id: string): Promise<Statistics> {
  await enter(ctx, id)
  const { rows } = await ctx.db.raw(
    `select (select count(*)::int from memberships where tenant_id = :tenant and organization_id = :id) as members,
       (select count(*)::int from workspaces where tenant_id = :tenant and organization_id = :id) as workspaces,
       (select count(*)::int from memberships where tenant_id = :tenant and organization_id = :id
          and created_at > now() - interval '30 days') as joined,
       (select coalesce(jsonb_agg(jsonb_build_object('role', r.name, 'members', held.members) order by r.name), '[]')
          from (select role_id, count(*)::int as members from memberships
            where tenant_id = :tenant and organization_id = :id group by role_id) held
          join roles r on r.tenant_id = :tenant and r.id = held.role_id) as roles`,
    { tenant: ctx.tenant.id, id },
  )
  const { members, workspaces, joined, roles } = rows[0]
  return { members, workspaces, roles, joinedLast30Days: joined }
}
