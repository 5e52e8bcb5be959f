/**
 * The list of users: filters that indexes answer, pages by cursor or offset. A page costs what it holds, however many
 * users there are: totals are counted up to 10,000 and estimated from the planner's statistics beyond.
 */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { like } from '../permissions.ts'
import type { ManagedRow } from '../user-admin.ts'
import { emailKey } from '../users.ts'

export interface UserFilter {
  q?: string | undefined
  status?: 'active' | 'disabled' | 'locked' | 'deleted' | undefined
  /** Ids of roles, each held directly. */
  roleIds?: string[] | undefined
  /** Only members of this organization. */
  organizationId?: string | undefined
  emailVerified?: boolean | undefined
  createdAfter?: Date | undefined
  createdBefore?: Date | undefined
  lastLoginAfter?: Date | undefined
  lastLoginBefore?: Date | undefined
}

/** Column of each sort key, as its index has it. */
const sorts = {
  created_at: { column: 'users.created_at', type: 'timestamptz' },
  last_login_at: { column: `coalesce(users.last_login_at, '-infinity'::timestamptz)`, type: 'timestamptz' },
  email: { column: 'users.email_key collate "C"', type: 'text' },
} as const
export const SORTS = ['created_at', '-created_at', 'last_login_at', '-last_login_at', 'email', '-email'] as const
export type Sort = (typeof SORTS)[number]

export interface Window {
  limit: number
  offset: number
  sort: Sort
  cursor?: string | undefined
}
export interface UserPage {
  items: ManagedRow[]
  total: number
  totalEstimated: boolean
  nextCursor: string | undefined
}

const COUNTED = 10_000
/** Up to so many people found by text are looked at one by one; of more, the order's index soon meets enough. */
const FEW = 4000

export async function list(ctx: Context, filter: UserFilter, window: Window): Promise<UserPage> {
  const hits = filter.q?.trim() ? await countHits(ctx, filter.q.trim()) : undefined
  return { ...(await read(ctx, filter, window, hits)), ...(await count(ctx, filter, hits)) }
}

/** One page without any count, to read all of them. */
export async function page(
  ctx: Context,
  filter: UserFilter,
  window: Window,
): Promise<Omit<UserPage, 'total' | 'totalEstimated'>> {
  const hits = filter.q?.trim() ? await countHits(ctx, filter.q.trim()) : undefined
  return read(ctx, filter, window, hits)
}

async function read(ctx: Context, filter: UserFilter, window: Window, hits: number | undefined) {
  const descending = window.sort.startsWith('-')
  const { column, type } = sorts[window.sort.replace('-', '') as keyof typeof sorts]
  const direction = descending ? 'desc' : 'asc'
  const order = `users.tenant_id ${direction}, ${column} ${direction}, users.id ${direction}`
  const isFew = hits !== undefined && hits <= FEW
  const page = filtered(ctx, filter, isFew)
    .select('users.tenant_id', 'users.id')
    .orderByRaw(order)
    .limit(window.limit + 1)
  if (window.cursor !== undefined) {
    const { key, id } = open(window)
    page.whereRaw(`(${column}, users.id) ${descending ? '<' : '>'} (?::${type}, ?::uuid)`, [key, id])
  } else page.offset(window.offset)
  // Ids first: skipping reads the index only.
  const rows = await ctx
    .db('users')
    .join(page.as('page'), (on) => on.on('page.tenant_id', 'users.tenant_id').on('page.id', 'users.id'))
    .select('users.*', ctx.db.raw(`(${column})::text as sort_key`))
    .orderByRaw(order)
  const items = rows.slice(0, window.limit)
  const last = items.at(-1)
  return {
    items: items as ManagedRow[],
    nextCursor: rows.length > window.limit ? seal(window.sort, last.sort_key, last.id) : undefined,
  }
}

/** Ids of people by the beginning of address, name or family name: three reads of indexes alone. */
function hitsOf(ctx: Context, text: string, most: number) {
  const name = `${like(text.replace(/\s+/g, ' '))}%`
  const arm = (condition: string, pattern: string) =>
    ctx
      .db('users')
      .where({ tenant_id: ctx.tenant.id })
      .whereNull('deleted_at')
      .whereRaw(condition, [pattern])
      .select('id')
      .limit(most)
  return ctx.db.union(
    [
      arm('email_key collate "C" like ?', `${like(emailKey(text))}%`),
      arm('name_key like lower(?)', name),
      arm('family_key is not null and family_key like lower(?)', name),
    ],
    true,
  )
}

async function countHits(ctx: Context, text: string): Promise<number> {
  const [counted] = (await ctx.db.count({ total: '*' }).from(hitsOf(ctx, text, COUNTED + 1).as('hits'))) as {
    total: number
  }[]
  return Number(counted!.total)
}

function filtered(ctx: Context, filter: UserFilter, isFew: boolean) {
  const found = ctx.db('users').where({ 'users.tenant_id': ctx.tenant.id })
  if (filter.status === 'deleted') found.whereNotNull('users.deleted_at')
  else found.whereNull('users.deleted_at')
  if (filter.status === 'active' || filter.status === 'disabled') found.where('users.status', filter.status)
  if (filter.status === 'locked')
    found.whereNotNull('users.locked_until').where('users.locked_until', '>', ctx.db.fn.now())
  if (filter.emailVerified === true) found.whereNotNull('users.email_verified_at')
  if (filter.emailVerified === false) found.whereNull('users.email_verified_at')
  if (filter.createdAfter) found.where('users.created_at', '>=', filter.createdAfter)
  if (filter.createdBefore) found.where('users.created_at', '<', filter.createdBefore)
  const seen = `coalesce(users.last_login_at, '-infinity'::timestamptz)`
  if (filter.lastLoginAfter) found.whereRaw(`${seen} >= ?`, [filter.lastLoginAfter])
  if (filter.lastLoginBefore) found.whereRaw(`${seen} < ?`, [filter.lastLoginBefore])
  if (filter.organizationId)
    found.whereIn(
      'users.id',
      ctx
        .db('memberships')
        .where({ tenant_id: ctx.tenant.id, organization_id: filter.organizationId })
        .select('user_id'),
    )
  for (const roleId of filter.roleIds ?? [])
    found.whereIn(
      'users.id',
      ctx.db('user_roles').where({ tenant_id: ctx.tenant.id, role_id: roleId }).select('user_id'),
    )
  const text = filter.q?.trim()
  if (text && isFew && filter.status !== 'deleted') found.whereIn('users.id', hitsOf(ctx, text, COUNTED + 1) as any)
  else if (text) {
    const name = `${like(text.replace(/\s+/g, ' '))}%`
    found.where((q) =>
      q
        .whereRaw('users.email_key collate "C" like ?', [`${like(emailKey(text))}%`])
        .orWhereRaw('users.name_key like lower(?)', [name])
        .orWhereRaw('users.family_key like lower(?)', [name]),
    )
  }
  return found
}

/** `hits`: of the text alone, where there is one. */
async function count(
  ctx: Context,
  filter: UserFilter,
  hits: number | undefined,
): Promise<{ total: number; totalEstimated: boolean }> {
  const isFew = hits !== undefined && hits <= FEW
  const { q, roleIds = [], ...rest } = filter
  const isTextOnly = roleIds.length === 0 && Object.values(rest).every((value) => value === undefined)
  if (isTextOnly && hits !== undefined && hits <= COUNTED) return { total: hits, totalEstimated: false }
  const isBroad = roleIds.length === 1 && (await holds(ctx, roleIds[0]!)) > COUNTED
  if (isFew || (hits === undefined && !isBroad)) {
    const some = filtered(ctx, filter, isFew)
      .select(ctx.db.raw('1'))
      .limit(COUNTED + 1)
    const [counted] = (await ctx.db.count({ total: '*' }).from(some.as('some'))) as { total: number }[]
    const total = Number(counted!.total)
    if (total <= COUNTED) return { total, totalEstimated: false }
  }
  const { sql, bindings } = filtered(ctx, filter, isFew).select(ctx.db.raw('1')).toSQL()
  const { rows } = await ctx.db.raw(`explain (format json) ${sql}`, bindings as any)
  const estimate: number = rows[0]['QUERY PLAN'][0].Plan['Plan Rows']
  const isMany = isTextOnly || (hits === undefined && !isBroad)
  return { total: isMany ? Math.max(estimate, COUNTED + 1) : estimate, totalEstimated: true }
}

/** How many hold the role, as far as it matters here. */
async function holds(ctx: Context, roleId: string): Promise<number> {
  const some = ctx
    .db('user_roles')
    .where({ tenant_id: ctx.tenant.id, role_id: roleId })
    .select(ctx.db.raw('1'))
    .limit(COUNTED + 1)
  const [counted] = (await ctx.db.count({ total: '*' }).from(some.as('some'))) as { total: number }[]
  return Number(counted!.total)
}

const seal = (sort: Sort, key: string, id: string): string =>
  Buffer.from(JSON.stringify([sort, key, id])).toString('base64url')

/** VALIDATION_ERROR for a cursor of another sort or none of ours. */
function open({ cursor, sort }: Window): { key: string; id: string } {
  try {
    const [of, key, id] = JSON.parse(Buffer.from(cursor!, 'base64url').toString())
    if (of === sort && typeof key === 'string' && /^[0-9a-f-]{36}$/.test(id)) return { key, id }
  } catch {}
  throw fail('VALIDATION_ERROR', 'cursor: is not one of this list and order')
}
