/** How many people a filter finds: counted where they are few, estimated from a sample and the planner's statistics beyond. */
import type { Knex } from 'knex'
import type { Context } from '../context.ts'
import { type Arm, amongFew, isWhole, matching, type UserFilter } from './filter.ts'

/** No limit. */
const ALL = 2 ** 31 - 1
/** Totals are exact up to here. */
const COUNTED = 10_000
/** Up to so many are looked at one by one. */
const FEW = 5000
/** Of two arms that find more, but about so many at most, it is asked whom they have in common. */
const COMMON = 100_000
/** Of more, so many are looked at to learn how many of them pass. */
const SAMPLE = 1000

export interface Counted {
  arms: Arm[]
  /** Of each arm, up to one more than are counted. */
  counts: number[]
  /** Ids of all who may pass, if they are few: of the smallest arm, or those that two arms have in common. */
  few: Knex.QueryBuilder | undefined
}
export interface Total {
  total: number
  totalEstimated: boolean
}

export async function countArms(ctx: Context, arms: Arm[]): Promise<Counted> {
  if (arms.length === 0) return { arms, counts: [], few: undefined }
  const each = arms.map((arm, i) =>
    ctx.db
      .count('*')
      .from(arm(COUNTED + 1).as('arm'))
      .as(`n${i}`),
  )
  const [row] = await ctx.db.select(each)
  const counts = arms.map((_, i) => Number(row[`n${i}`]))
  const least = Math.min(...counts)
  if (least <= FEW) return { arms, counts, few: arms[counts.indexOf(least)]!(FEW + 1) }
  const ids = await common(ctx, arms)
  return { arms, counts, few: ids && ctx.db.select(ctx.db.raw('unnest(?::uuid[]) as id', [ids])) }
}

/** Walking an order for people whom two large arms have in common would take the longest where these are few. */
async function common(ctx: Context, arms: Arm[]): Promise<string[] | undefined> {
  if (arms.length < 2) return undefined
  const all = arms.map((arm) => arm(ALL))
  const sizes = await Promise.all(all.map((arm) => planned(ctx, arm)))
  const [first, second] = sizes.map((size, i) => ({ size, i })).sort((a, b) => a.size - b.size)
  if (second!.size > COMMON) return undefined
  const both = ctx.db.intersect([all[first!.i]!, all[second!.i]!], true)
  const ids = (
    await ctx.db
      .select('id')
      .from(both.as('both'))
      .limit(FEW + 1)
  ).map(({ id }) => id)
  return ids.length <= FEW ? ids : undefined
}

export async function total(ctx: Context, filter: UserFilter, { arms, counts, few }: Counted): Promise<Total> {
  if (isWhole(filter, arms) && counts[0]! <= COUNTED) return exact(counts[0]!)
  if (few) return exact(await countOf(ctx, amongFew(ctx, filter, few).select(ctx.db.raw('1'))))
  if (isWhole(filter, arms)) return estimated(await planned(ctx, arms[0]!(ALL)))
  if (arms.length > 0) return estimated(await sampled(ctx, filter, arms))
  const some = await countOf(
    ctx,
    matching(ctx, filter)
      .select(ctx.db.raw('1'))
      .limit(COUNTED + 1),
  )
  if (some <= COUNTED) return exact(some)
  return estimated(Math.max(COUNTED + 1, await planned(ctx, matching(ctx, filter).select(ctx.db.raw('1')))))
}

const exact = (count: number): Total => ({ total: count, totalEstimated: false })
const estimated = (count: number): Total => ({ total: count, totalEstimated: true })

async function countOf(ctx: Context, query: Knex.QueryBuilder): Promise<number> {
  const [counted] = (await ctx.db.count({ total: '*' }).from(query.as('some'))) as { total: number }[]
  return Number(counted!.total)
}

/** The smallest arm by statistics, times the share of its first people who pass the whole filter. */
async function sampled(ctx: Context, filter: UserFilter, arms: Arm[]): Promise<number> {
  const sizes = []
  for (const arm of arms) sizes.push(await planned(ctx, arm(ALL)))
  const least = Math.min(...sizes)
  const sample = arms[sizes.indexOf(least)]!(SAMPLE)
  return Math.round((least * (await countOf(ctx, amongFew(ctx, filter, sample).select(ctx.db.raw('1'))))) / SAMPLE)
}

/** What the planner expects. */
async function planned(ctx: Context, query: Knex.QueryBuilder): Promise<number> {
  const { sql, bindings } = query.toSQL()
  const { rows } = await ctx.db.raw(`explain (format json) ${sql}`, bindings as any)
  return rows[0]['QUERY PLAN'][0].Plan['Plan Rows']
}
