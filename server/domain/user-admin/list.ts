/**
 * The list of users: pages by cursor or offset. What a page costs is bounded, however many users there are and however few of them
 * pass: their order is walked for a while, else all of the rarest part of the filter is read. Totals are counted up to 10,000 and
 * estimated beyond.
 */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { open, seal } from '../cursors.ts'
import type { ManagedRow } from '../user-admin.ts'
import { ALL, among, COUNTED, type Sized, STEPS, sized } from './arms.ts'
import {
  createdWithin,
  type Group,
  LAST_LOGIN,
  lookedUp,
  passing,
  people,
  type Query,
  seenWithin,
  type UserFilter,
} from './filter.ts'
import { total } from './totals.ts'

/** Column of each sort key, as its index has it. */
const sorts = {
  created_at: { column: 'users.created_at', type: 'timestamptz', bounds: createdWithin },
  last_login_at: { column: LAST_LOGIN, type: 'timestamptz', bounds: seenWithin },
  email: { column: 'users.email_key', type: 'text', bounds: undefined },
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
/** Ids of a page in order, with one more where there is a next one. */
interface Found {
  ids: string[]
  /** Where all who pass were read. */
  total: number | undefined
}

/** No order's index has locks: a step looks at the table, which takes as long as so many that do not. */
const OUTSIDE = 10
/** Skipping looks at all who are skipped, and with filters at those between them. */
const FARTHEST = 10_000
/** How much is done before something else is tried, in steps of an order. */
export const EFFORT = {
  /** All of an arm are read at once up to this cost. */
  cheap: 60_000,
  /** Up to this cost as well, unless walking promises to take a quarter of it. */
  sure: 100_000,
  /** At least so many steps are walked before all of an arm is read; beyond, twice as many as were expected. */
  walk: 40_000,
  /** So many members of a group are kept in memory at most while an order is walked: PostgreSQL's work_mem must hold them. */
  kept: 100_000,
}

export async function list(ctx: Context, filter: UserFilter, window: Window): Promise<UserPage> {
  const arms = await sized(ctx, filter)
  const found = await find(ctx, filter, window, arms)
  const page = await read(ctx, window, found)
  const isEnd = window.cursor === undefined && page.nextCursor === undefined
  if (isEnd && (page.items.length > 0 || window.offset === 0))
    return { ...page, total: window.offset + page.items.length, totalEstimated: false }
  if (found.total !== undefined) return { ...page, total: found.total, totalEstimated: false }
  return { ...page, ...(await total(ctx, filter, arms)) }
}

/** One page without any total, to read all of them. */
export async function page(ctx: Context, filter: UserFilter, window: Window): Promise<Page> {
  return read(ctx, window, await find(ctx, filter, window, await sized(ctx, filter)))
}

async function find(ctx: Context, filter: UserFilter, window: Window, arms: Sized[]): Promise<Found> {
  assertReachable(filter, window)
  const [cheapest] = arms
  if (!cheapest) return (await walk(ctx, filter, window, arms))!
  const { cost } = cheapest
  if (cost <= EFFORT.cheap) return readAll(ctx, filter, window, cheapest)
  const { everybody } = cheapest
  const share = arms.reduce((product, { size }) => product * Math.min(1, size / everybody), 1)
  const needed = (window.offset + window.limit + 1) / share
  const expected = Math.min(everybody, needed * (filter.status === 'locked' ? OUTSIDE : 1))
  const steps = Math.max(EFFORT.walk, 2 * expected)
  const members = membersOf(filter, window, arms, needed)
  // What walking takes is a guess, what an arm takes is not.
  const costs = [
    cost / (cost <= EFFORT.sure ? 4 : 2),
    walking(window, arms, expected),
    members?.cost ?? Number.POSITIVE_INFINITY,
  ]
  const least = costs.indexOf(Math.min(...costs))
  const found =
    least === 1
      ? await walk(ctx, filter, window, arms, { steps: steps < everybody ? steps : ALL, expected })
      : least === 2
        ? await walkMembers(ctx, filter, window, members!)
        : undefined
  if (found) return found
  // It was the least, or those who pass are not where they were expected.
  return cost < everybody ? readAll(ctx, filter, window, cheapest) : (await walk(ctx, filter, window, arms))!
}

/** What walking an order costs that is expected to take so many steps. */
const walking = (window: Window, arms: Sized[], expected: number): number =>
  arms.reduce((cost, arm) => cost + (arm.group ? Math.min(keeping(arm), asking(window, arm, expected)) : 0), expected)
const keeping = ({ size }: Sized) => (size <= EFFORT.kept ? size * STEPS.keeping : Number.POSITIVE_INFINITY)
/** Only those are asked for who pass all else: of them so many are members as the page needs. */
const asking = ({ offset, limit }: Window, { size, everybody }: Sized, expected: number) =>
  Math.min(expected, ((offset + limit + 1) * everybody) / Math.max(1, size)) * STEPS.meeting

/** VALIDATION_ERROR for an offset that would read too much: the cursor leads on. */
function assertReachable(filter: UserFilter, { offset }: Window): void {
  const isFiltered = Object.values(filter).some((value) => value !== undefined && (value as []).length !== 0)
  if (isFiltered && offset > FARTHEST)
    throw fail('VALIDATION_ERROR', `offset: at most ${FARTHEST} with filters. Read on by next_cursor`)
}

/** People in the order asked for, behind the cursor. */
function ordered(window: Window, filter: UserFilter, found: Query): Query {
  const { column, direction, type, isDescending } = orderOf(window.sort)
  found.orderByRaw(`${column} ${direction}${isUnique(window, filter) ? '' : `, users.id ${direction}`}`)
  if (window.cursor === undefined) return found
  const { key, id } = open(window.sort, window.cursor)
  return found.whereRaw(`(${column}, users.id) ${isDescending ? '<' : '>'} (?::${type}, ?::uuid)`, [key, id])
}

/** Addresses of those who are there are, which the planner does not conclude. */
const isUnique = ({ sort }: Window, { status }: UserFilter) => sort.endsWith('email') && status !== 'deleted'

function orderOf(sort: Sort) {
  const isDescending = sort.startsWith('-')
  return {
    ...sorts[sort.replace('-', '') as keyof typeof sorts],
    isDescending,
    direction: isDescending ? 'desc' : 'asc',
  }
}

/** Steps through the order, at most so many (`expected`: about how many it will be, if all goes well); undefined if the page is not full by then. */
async function walk(
  ctx: Context,
  filter: UserFilter,
  window: Window,
  arms: Sized[],
  { steps, expected } = { steps: ALL, expected: ALL },
): Promise<Found | undefined> {
  const { bounds, column, direction } = orderOf(window.sort)
  const order = ordered(window, filter, people(ctx, filter)).select(ctx.db.raw(`${column} as sort_key`))
  bounds?.(order, filter)
  const rows: { id: string }[] = await meeting(
    ctx,
    ctx.db.from(order.limit(steps).as('users')),
    filter,
    window,
    arms,
    expected,
  )
    .select('users.id')
    .orderByRaw(`users.sort_key ${direction}${isUnique(window, filter) ? '' : `, users.id ${direction}`}`)
    .limit(window.limit + 1)
    .offset(window.cursor === undefined ? window.offset : 0)
  if (rows.length <= window.limit && steps < ALL) return undefined
  return { ids: rows.map(({ id }) => id), total: undefined }
}

interface Members {
  /** The smallest group. */
  arm: Sized
  group: Group
  steps: number
  cost: number
}

/** Walking the members of the smallest group in the order in which they came, where that is asked for. `needed`: of everybody. */
function membersOf(filter: UserFilter, window: Window, arms: Sized[], needed: number): Members | undefined {
  const [arm] = arms.filter(({ group }) => group).sort((a, b) => a.size - b.size)
  if (!arm?.group || !window.sort.endsWith('created_at')) return undefined
  const expected = needed * Math.min(1, arm.size / arm.everybody)
  const each = (filter.status === 'locked' ? 2 : 1) * STEPS.lookingUp + arm.others.length * STEPS.meeting
  const steps = Math.ceil(Math.max(EFFORT.walk / each, 2 * expected))
  return { arm, group: arm.group, steps: steps < arm.size ? steps : ALL, cost: expected * each }
}

/** Undefined if the page is not full after so many steps. */
async function walkMembers(
  ctx: Context,
  filter: UserFilter,
  window: Window,
  { arm, group: { table, key, id }, steps }: Members,
): Promise<Found | undefined> {
  const came = ctx.db(table).where({ tenant_id: ctx.tenant.id, [key]: id })
  const members = ctx.db.from(came.select('user_id as id', 'user_created_at as created_at').as('users'))
  const order = createdWithin(ordered(window, filter, members), filter).select('users.id', 'users.created_at')
  const found = ctx.db.from(order.limit(steps).as('member'))
  for (const { group } of arm.others) lookedUp(ctx, found, group, 'member.id')
  const person = passing(ctx, people(ctx, filter).whereRaw('users.id = member.id'), filter)
  const { direction } = orderOf(window.sort)
  const rows: { id: string }[] = await found
    // Limited, it is not made another join by the planner, which would give up the order.
    .joinRaw('cross join lateral (?) as person', [person.limit(1)] as any)
    .select('member.id')
    .orderByRaw(`member.created_at ${direction}, member.id ${direction}`)
    .limit(window.limit + 1)
    .offset(window.cursor === undefined ? window.offset : 0)
  if (rows.length <= window.limit && steps < ALL) return undefined
  return { ids: rows.map(({ id }) => id), total: undefined }
}

/** Narrows people to those who pass, while an order is walked. */
function meeting(
  ctx: Context,
  found: Query,
  filter: UserFilter,
  window: Window,
  arms: Sized[],
  expected: number,
): Query {
  const met = passing(ctx, found, filter)
  for (const arm of arms) {
    if (!arm.group) continue
    if (keeping(arm) <= asking(window, arm, expected)) kept(ctx, met, arm.group)
    else lookedUp(ctx, met, arm.group, 'users.id')
  }
  return met
}

/** Narrows people to a group's members, who are all kept in memory. Neither this nor the next is made a join by the planner, which would give up the order. */
const kept = (ctx: Context, found: Query, { table, key, id }: Group): Query =>
  found.whereRaw(`(users.id in (select g.user_id from ${table} g where g.tenant_id = ? and g.${key} = ?)) is true`, [
    ctx.tenant.id,
    id,
  ])

/** All of an arm who pass, sorted; counted where the arm is small, since counting keeps them all in memory. */
async function readAll(ctx: Context, filter: UserFilter, window: Window, arm: Sized): Promise<Found> {
  const count = arm.size <= COUNTED ? 'count(*) over ()::int' : 'null::int'
  const all = among(ctx, filter, arm).select('users.*', ctx.db.raw(`${count} as total`))
  const rows: { id: string; total: number | null }[] = await ordered(window, filter, ctx.db.from(all.as('users')))
    .select('users.id', 'users.total')
    .limit(window.limit + 1)
    .offset(window.cursor === undefined ? window.offset : 0)
  return { ids: rows.map(({ id }) => id), total: rows[0]?.total ?? undefined }
}

/** The people themselves. */
async function read(ctx: Context, window: Window, { ids }: Found): Promise<Page> {
  const { column } = orderOf(window.sort)
  const rows = await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id })
    .whereIn('id', ids.slice(0, window.limit))
    .select('users.*', ctx.db.raw(`(${column})::text as sort_key`))
  const byId = new Map(rows.map((row) => [row.id, row]))
  const items = ids.flatMap((id) => byId.get(id) ?? []).slice(0, window.limit)
  const last = items.at(-1)
  return {
    items: items as ManagedRow[],
    nextCursor: ids.length > window.limit && last ? seal(window.sort, last.sort_key, last.id) : undefined,
  }
}
