/**
 * The parts of a filter that an index finds people by (arms), how many each finds, and the one by which all who pass are read
 * the cheapest.
 */
import type { Context } from '../context.ts'
import {
  createdWithin,
  type Group,
  groupsOf,
  hasAddress,
  hasFamily,
  hasName,
  locked,
  lookedUp,
  passing,
  people,
  type Query,
  seenWithin,
  textOf,
  type UserFilter,
  within,
} from './filter.ts'

/** No limit; as a limit it keeps the planner from joining what is inside with what is around. */
export const ALL = 2 ** 31 - 1
/** What things take, in steps of an order's index (0.3 microseconds of the processor, as measured among a million people). */
export const STEPS = {
  /** Reading one of an arm and sorting it in. */
  reading: 2,
  /** Keeping a member of a group in memory, to meet people with. */
  keeping: 1.5,
  /** Meeting one of an arm with members who are kept. */
  joining: 4,
  /** Asking whether somebody is in a group. */
  meeting: 20,
  /** Looking somebody up by id. */
  lookingUp: 16,
}
/** Counted exactly up to here. */
export const COUNTED = 10_000

export interface Arm {
  /** All it finds: people, or ids of a group's members. */
  rows(): Query
  group?: Group
  /** What is left to ask of those it finds. */
  rest: UserFilter
}
export interface Sized extends Arm {
  /** Exact up to COUNTED, the planner's estimate beyond. */
  size: number
  /** Of reading all, in steps. */
  cost: number
  /** The planner's estimate. */
  everybody: number
  /** The other groups of the filter, by size. */
  others: { group: Group; size: number }[]
}

/** None where the filter asks for nothing that an index finds people by. */
export function armsOf(ctx: Context, filter: UserFilter): Arm[] {
  const arms: Arm[] = groupsOf(filter).map((group) => ({
    group,
    rest: filter,
    rows: () =>
      ctx
        .db(group.table)
        .where({ tenant_id: ctx.tenant.id, [group.key]: group.id })
        .select('user_id as id'),
  }))
  const among = (narrow: (found: Query) => Query, ...parts: (keyof UserFilter)[]) =>
    arms.push({ rows: () => narrow(people(ctx, filter)), rest: without(filter, parts) })
  if (filter.status === 'deleted') {
    among((found) => found, 'status')
    return arms
  }
  if (filter.status === 'disabled') among((found) => found.where('users.status', 'disabled'), 'status')
  if (filter.status === 'locked') among((found) => locked(ctx, found), 'status')
  if (filter.emailVerified === false) among((found) => found.whereNull('users.email_verified_at'), 'emailVerified')
  if (filter.createdAfter || filter.createdBefore)
    among((found) => createdWithin(found, filter), 'createdAfter', 'createdBefore')
  if (filter.lastLoginAfter || filter.lastLoginBefore)
    among((found) => seenWithin(found, filter), 'lastLoginAfter', 'lastLoginBefore')
  const text = textOf(filter)
  if (text) arms.push({ rows: () => beginning(ctx, filter, text), rest: without(filter, ['q']) })
  return arms
}

const without = (filter: UserFilter, parts: (keyof UserFilter)[]): UserFilter => ({
  ...filter,
  ...Object.fromEntries(parts.map((part) => [part, undefined])),
})

/** By the beginning of address, name or family name: three reads of indexes, each of those whom none before it found. */
function beginning(ctx: Context, filter: UserFilter, text: string): Query {
  const conditions = [hasAddress(text), hasName(text), hasFamily(text)]
  return ctx.db.unionAll(
    conditions.map((condition, i) => {
      const found = people(ctx, filter).whereRaw(...condition)
      for (const [earlier, values] of conditions.slice(0, i)) found.whereRaw(`not (${earlier})`, values)
      return found
    }),
    true,
  )
}

/** The cheapest first. */
export async function sized(ctx: Context, filter: UserFilter): Promise<Sized[]> {
  const arms = armsOf(ctx, filter)
  if (arms.length === 0) return []
  const each = arms.map((arm, i) =>
    ctx.db
      .count('*')
      .from(
        arm
          .rows()
          .limit(COUNTED + 1)
          .as('arm'),
      )
      .as(`n${i}`),
  )
  const [row] = await ctx.db.select(each)
  const sizes: number[] = []
  for (const [i, arm] of arms.entries()) {
    const counted = Number(row[`n${i}`])
    sizes.push(counted <= COUNTED ? counted : Math.max(counted, await planned(ctx, arm.rows())))
  }
  const everybody = await planned(ctx, people(ctx, filter))
  return arms
    .map((arm, i) => {
      const others = arms.flatMap(({ group }, other) => (group && other !== i ? [{ group, size: sizes[other]! }] : []))
      return { ...arm, size: sizes[i]!, others, cost: costOf(arm, sizes[i]!, others, everybody), everybody }
    })
    .sort((a, b) => a.cost - b.cost)
}

/** All are read and met with the other groups; of a group, those left are looked up. */
function costOf({ group }: Arm, size: number, others: Sized['others'], everybody: number): number {
  const met = others.reduce(
    (cost, other) => cost + Math.min(other.size * STEPS.keeping + size * STEPS.joining, size * STEPS.meeting),
    size * STEPS.reading,
  )
  if (!group) return met
  return met + others.reduce((left, other) => left * Math.min(1, other.size / everybody), size) * STEPS.lookingUp
}

/** What the planner expects. */
export async function planned(ctx: Context, query: Query): Promise<number> {
  const { sql, bindings } = query.toSQL()
  const { rows } = await ctx.db.raw(`explain (format json) ${sql}`, bindings as any)
  return rows[0]['QUERY PLAN'][0].Plan['Plan Rows']
}

/** Of an arm's first `most`, those who pass the whole filter. Of a group, only those are looked up who are in the others too. */
export function among(ctx: Context, filter: UserFilter, { rows, group, rest, size, others }: Sized, most = ALL): Query {
  const some = rows().limit(most)
  const meet = (found: Query, person: string): Query => {
    for (const other of others) {
      const isFew = Math.min(size, most) * (STEPS.meeting - STEPS.joining) < other.size * STEPS.keeping
      found = (isFew ? lookedUp : within)(ctx, found, other.group, person)
    }
    return found
  }
  if (!group) return meet(passing(ctx, ctx.db.from(some.as('users')), rest), 'users.id')
  const ids = meet(ctx.db.from(some.as('member')).select('member.id'), 'member.id').limit(ALL)
  // As an array they are looked up in the order of the index, and neighbours together.
  const found = people(ctx, filter).whereRaw('users.id = any(array(?))', [ids] as any)
  return passing(ctx, ctx.db.from(found.as('users')), filter)
}
