/**
 * Rate limits: so many hits on a key in a window. Shared by all processes through Redis where there is one, else through
 * PostgreSQL, where they also go while Redis is away. Who is over the limit is remembered here, so a flood costs no query.
 */
import { createHash } from 'node:crypto'
import type { LimitState } from '../server/kernel/operation.ts'
import type { Db } from './knex.ts'
import { countedOf, countInPostgres, hitPart } from './limits/postgres.ts'
import type { RedisCounters } from './limits/redis.ts'
import type { Logger } from './log.ts'

export { purge } from './limits/postgres.ts'

export interface Rule {
  count: number
  seconds: number
}

export interface Hit {
  key: string
  rule: Rule
}

/** What a store answers for one key. `reset` is Unix time, `wait` the time until then, both in seconds. */
export interface Counted {
  ok: boolean
  remaining: number
  reset: number
  wait: number
}

export interface Limits {
  /** Counts one hit. Throws only if the store is away, never lets pass for that reason. */
  hit(key: string, rule: Rule): Promise<LimitState>
  /**
   * Counts one hit on several keys in one round trip. Answers the state that decides: the longest wait if any is over
   * its limit, else the one with the fewest hits left. While one is known to be over, nothing is counted on the others.
   */
  hitAll(hits: Hit[]): Promise<LimitState>
  /**
   * One hit that a statement of the caller counts along, to save a round trip; undefined where hit() has to be asked:
   * while Redis counts, and while the key is known to be over its limit (which costs no round trip).
   */
  along(key: string, rule: Rule): Along | undefined
  close(): Promise<void>
}

export interface Along {
  /** What the statement binds, in the order of `sql`'s parameters. */
  values: [key: string, seconds: number]
  /** The part of the statement that counts, from the names of its parameters. Returns one row. */
  sql(key: string, seconds: string): string
  /** The state, from that row. */
  settle(row: { count: number; reset: number; wait: number }): LimitState
}

interface Options {
  db: Db
  redisUrl?: string | undefined
  log: Logger
}

const MAX_BLOCKED = 50_000

export function createLimits({ db, redisUrl, log }: Options): Limits {
  const blocked = new Map<string, { until: number; reset: number }>()
  let complained = 0
  const complain = (err: Error) => {
    if (Date.now() - complained < 60_000) return
    complained = Date.now()
    log.warn({ err }, 'Redis is away; rate limits are counted in PostgreSQL meanwhile')
  }
  let redis: RedisCounters | undefined
  let closed = false
  if (redisUrl) {
    // Loaded only where it is used: the process is 5 MB smaller without.
    void import('./limits/redis.ts').then(({ redisCounters }) => {
      if (!closed) redis = redisCounters(redisUrl, complain)
    })
  }

  async function count(hits: Hit[]): Promise<Counted[]> {
    if (redis?.ready()) {
      try {
        return await redis.count(hits)
      } catch (error) {
        complain(error as Error)
      }
    }
    return countInPostgres(db, hits)
  }

  function remembered(hits: Hit[]): LimitState | undefined {
    let longest: LimitState | undefined
    for (const { key, rule } of hits) {
      const block = blocked.get(key)
      if (!block) continue
      const wait = (block.until - performance.now()) / 1000
      if (wait <= 0) blocked.delete(key)
      else longest = stricter(longest, stateOf(rule, { ok: false, remaining: 0, reset: block.reset, wait }))
    }
    return longest
  }

  function remember(key: string, { reset, wait }: Counted): void {
    // Forgetting one costs a query, no more.
    if (blocked.size >= MAX_BLOCKED) blocked.delete(blocked.keys().next().value!)
    blocked.set(key, { until: performance.now() + wait * 1000, reset })
  }

  async function hitAll(named: Hit[]): Promise<LimitState> {
    const hits = [...new Map(named.map(({ key, rule }) => [hash(key, rule), rule]))].map(([key, rule]) => ({
      key,
      rule,
    }))
    const known = remembered(hits)
    if (known) return known
    const counted = await count(hits)
    let result: LimitState | undefined
    hits.forEach(({ key, rule }, index) => {
      const one = counted[index]!
      if (!one.ok) remember(key, one)
      result = stricter(result, stateOf(rule, one))
    })
    if (!result) throw new TypeError('hitAll needs at least one key')
    return result
  }

  return {
    hit: (key, rule) => hitAll([{ key, rule }]),
    hitAll,
    along(key, rule) {
      const hit = { key: hash(key, rule), rule }
      if (redis?.ready() || remembered([hit])) return undefined
      return {
        values: [hit.key, rule.seconds],
        sql: hitPart,
        settle(row) {
          const counted = countedOf(row, rule)
          if (!counted.ok) remember(hit.key, counted)
          return stateOf(rule, counted)
        },
      }
    },
    async close() {
      closed = true
      redis?.close()
    },
  }
}

function stateOf(rule: Rule, { ok, remaining, reset, wait }: Counted): LimitState {
  const retryAfter = ok ? 0 : Math.max(1, Math.ceil(wait))
  return { ok, limit: rule.count, remaining, reset: Math.ceil(reset), retryAfter }
}

function stricter(a: LimitState | undefined, b: LimitState): LimitState {
  if (!a) return b
  if (a.ok !== b.ok) return a.ok ? b : a
  if (!a.ok) return b.retryAfter > a.retryAfter ? b : a
  return b.remaining < a.remaining ? b : a
}

/** Short and unreadable. A changed rule starts a count of its own. */
function hash(key: string, { count, seconds }: Rule): string {
  return createHash('sha256').update(`${count}/${seconds} ${key}`).digest('base64url').slice(0, 24)
}
