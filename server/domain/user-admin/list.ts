/**
 * The list of users: pages by cursor or offset. A page costs what it holds, however many users there are: totals are counted
 * up to 10,000 and estimated beyond.
 */
import type { Knex } from 'knex'
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { open, seal } from '../cursors.ts'
import type { ManagedRow } from '../user-admin.ts'
import { amongFew, armsOf, isInOrder, LAST_LOGIN, matching, type UserFilter } from './filter.ts'
import { type Counted, countArms, total } from './totals.ts'

/** Column of each sort key, as its index has it. */
const sorts = {
  created_at: { column: 'users.created_at', type: 'timestamptz' },
  last_login_at: { column: LAST_LOGIN, type: 'timestamptz' },
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
interface Page {
  items: ManagedRow[]
  nextCursor: string | undefined
}
export interface UserPage extends Page {
  total: number
  totalEstimated: boolean
}

/** Skipping reads what is skipped; of people who must be looked at one by one, so many at most. */
const FARTHEST = 10_000

export async function list(ctx: Context, filter: UserFilter, window: Window): Promise<UserPage> {
  const counted = await countArms(ctx, armsOf(ctx, filter))
  const { total: known, ...found } = await read(ctx, filter, window, counted)
  const isEnd = window.cursor === undefined && found.nextCursor === undefined
  if (isEnd && (found.items.length > 0 || window.offset === 0))
    return { ...found, total: window.offset + found.items.length, totalEstimated: false }
  if (known !== undefined) return { ...found, total: known, totalEstimated: false }
  return { ...found, ...(await total(ctx, filter, counted)) }
}

/** One page without any count, to read all of them. */
export async function page(ctx: Context, filter: UserFilter, window: Window): Promise<Page> {
  return read(ctx, filter, window, await countArms(ctx, armsOf(ctx, filter)))
}

/** `total` where all were looked at. */
async function read(
  ctx: Context,
  filter: UserFilter,
  window: Window,
  { few }: Counted,
): Promise<Page & { total: number | undefined }> {
  const descending = window.sort.startsWith('-')
  const { column, type } = sorts[window.sort.replace('-', '') as keyof typeof sorts]
  const direction = descending ? 'desc' : 'asc'
  const order = `users.tenant_id ${direction}, ${column} ${direction}, users.id ${direction}`
  const looked = few && !isInOrder(filter, window.sort)
  // Ids first: skipping reads the index only.
  const page: Knex.QueryBuilder = looked
    ? ctx.db.from(
        amongFew(ctx, filter, few).select('users.*', ctx.db.raw('count(*) over ()::int as total')).as('users'),
      )
    : matching(ctx, filter)
  page
    .select('users.tenant_id', 'users.id', looked ? 'users.total' : ctx.db.raw('null::int as total'))
    .orderByRaw(order)
    .limit(window.limit + 1)
  if (window.cursor !== undefined) {
    const { key, id } = open(window.sort, window.cursor)
    page.whereRaw(`(${column}, users.id) ${descending ? '<' : '>'} (?::${type}, ?::uuid)`, [key, id])
  } else page.offset(reachable(filter, window.offset))
  const rows = await ctx
    .db('users')
    .join(page.as('page'), (on) => on.on('page.tenant_id', 'users.tenant_id').on('page.id', 'users.id'))
    .select('users.*', 'page.total', ctx.db.raw(`(${column})::text as sort_key`))
    .orderByRaw(order)
  const items = rows.slice(0, window.limit)
  const last = items.at(-1)
  return {
    items: items as ManagedRow[],
    nextCursor: rows.length > window.limit ? seal(window.sort, last.sort_key, last.id) : undefined,
    total: rows[0]?.total ?? undefined,
  }
}

/** VALIDATION_ERROR for an offset that would read too much: the cursor leads on. */
function reachable(filter: UserFilter, offset: number): number {
  const isFiltered = Object.values(filter).some((value) => value !== undefined && (value as []).length !== 0)
  if (isFiltered && offset > FARTHEST)
    throw fail('VALIDATION_ERROR', `offset: at most ${FARTHEST} with filters. Read on by next_cursor`)
  return offset
}
