/** How many people a filter finds: counted where they are few, estimated from a sample and the planner's statistics beyond. */
import type { Context } from '../context.ts'
import { among, COUNTED, planned, type Sized } from './arms.ts'
import { passing, people, type Query, type UserFilter } from './filter.ts'

/** So many of an arm are looked at to learn how many of them pass. */
const SAMPLE = 1000

export interface Total {
  total: number
  totalEstimated: boolean
}

/** By the arm that is read the cheapest. */
export async function total(ctx: Context, filter: UserFilter, [arm]: Sized[]): Promise<Total> {
  if (!arm) return ofAll(ctx, filter)
  if (isWhole(filter, arm)) return arm.size <= COUNTED ? exact(arm.size) : estimated(arm.size)
  const passed = await countOf(ctx, among(ctx, filter, arm, SAMPLE).select(ctx.db.raw('1')))
  return estimated(Math.round((arm.size * passed) / Math.min(SAMPLE, arm.size)))
}

/** Without any arm nearly all pass. */
async function ofAll(ctx: Context, filter: UserFilter): Promise<Total> {
  const all = passing(ctx, people(ctx, filter), filter)
  const some = await countOf(ctx, all.clone().limit(COUNTED + 1))
  return some <= COUNTED ? exact(some) : estimated(Math.max(some, await planned(ctx, all)))
}

/** Whether an arm alone says who is meant: nothing is left to look at. One of a group knows nothing of the account. */
function isWhole(filter: UserFilter, { group }: Sized): boolean {
  if (group || filter.status === 'active' || filter.emailVerified === true) return false
  const { createdAfter, createdBefore, lastLoginAfter, lastLoginBefore, roleIds, ...others } = filter
  const parts = [
    createdAfter ?? createdBefore,
    lastLoginAfter ?? lastLoginBefore,
    roleIds?.[0],
    ...Object.values(others),
  ]
  return parts.filter((part) => part !== undefined).length === 1
}

const exact = (count: number): Total => ({ total: count, totalEstimated: false })
const estimated = (count: number): Total => ({ total: count, totalEstimated: true })

async function countOf(ctx: Context, query: Query): Promise<number> {
  const [counted] = (await ctx.db.count({ total: '*' }).from(query.as('some'))) as { total: number }[]
  return Number(counted!.total)
}
