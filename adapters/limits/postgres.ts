/** Fixed-window counters in PostgreSQL: any number of keys in one round trip, by the database's clock. */
import { type Db, named } from '../knex.ts'
import type { Counted, Hit, Rule } from '../limits.ts'

const counting = `on conflict (key) do update set
       count = case when l.expires_at <= statement_timestamp() then 1 else l.count + 1 end,
       expires_at = case when l.expires_at <= statement_timestamp() then excluded.expires_at else l.expires_at end
returning key, count, extract(epoch from expires_at)::float8 as reset,
          extract(epoch from expires_at - statement_timestamp())::float8 as wait`

// Sorted, so that two requests that share keys take their row locks in the same order.
const hitSql = `
insert into rate_limits as l (key, count, expires_at)
select key, 1, statement_timestamp() + make_interval(secs => seconds)
  from unnest($1::text[], $2::int[]) as hit (key, seconds)
 order by key
    ${counting}`

/** One hit as part of a longer statement: an insert that returns count, reset and wait, from the names of two parameters. */
export const hitPart = (key: string, seconds: string): string => `
insert into rate_limits as l (key, count, expires_at)
values (${key}::text, 1, statement_timestamp() + make_interval(secs => ${seconds}::int))
    ${counting}`

/** A returned row as the state of its key under the rule. */
export function countedOf({ count, reset, wait }: Row, rule: Rule): Counted {
  return { ok: count <= rule.count, remaining: Math.max(0, rule.count - count), reset, wait }
}
interface Row {
  count: number
  reset: number
  wait: number
}

/** Counts one hit on each key (all different) and answers in their order. */
export async function countInPostgres(db: Db, hits: Hit[]): Promise<Counted[]> {
  const keys = hits.map((hit) => hit.key)
  const seconds = hits.map((hit) => hit.rule.seconds)
  const rows = await named(db, 'limits_hit', hitSql, [keys, seconds])
  const byKey = new Map(rows.map((row) => [row.key, row]))
  return hits.map(({ key, rule }) => countedOf(byKey.get(key), rule))
}

/** Deletes at most `batch` counters whose window is over; answers how many, so that the caller can go on until fewer. */
export async function purge(db: Db, batch = 1000): Promise<number> {
  const rows = await named(
    db,
    'limits_purge',
    `delete from rate_limits where key = any (array(
       select key from rate_limits where expires_at <= now() order by expires_at limit $1 for update skip locked))
     returning 1`,
    [batch],
  )
  return rows.length
}
