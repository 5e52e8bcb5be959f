/** Counters in Redis by koa-ratelimit, driven as a function: its middleware gets a context that only remembers headers. */
import { Redis } from 'ioredis'
import ratelimit from 'koa-ratelimit'
import type { Counted, Hit, Rule } from '../limits.ts'

export interface RedisCounters {
  /** False while there is no connection; then do not ask. */
  ready(): boolean
  count(hits: Hit[]): Promise<Counted[]>
  close(): void
}

type Middleware = ReturnType<typeof ratelimit>

/** Connects in the background and keeps reconnecting. A command fails after 300 ms, and at once without a connection. */
export function redisCounters(url: string, onError: (error: Error) => void): RedisCounters {
  const redis = new Redis(url, {
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 0,
    connectTimeout: 2000,
    commandTimeout: 300,
    retryStrategy: (attempt) => Math.min(attempt * 100, 2000),
  })
  redis.on('error', onError)
  const middlewares = new Map<string, Middleware>()
  const headers = { remaining: 'remaining', reset: 'reset', total: 'total' }
  const middlewareOf = ({ count, seconds }: Rule): Middleware => {
    const name = `${count}/${seconds}`
    const known = middlewares.get(name)
    if (known) return known
    const namespace = 'gatehouse:limit'
    const id = (ctx: { key: string }) => ctx.key
    const made = ratelimit({ driver: 'redis', db: redis, max: count, duration: seconds * 1000, namespace, id, headers })
    middlewares.set(name, made)
    return made
  }
  const countOne = async ({ key, rule }: Hit): Promise<Counted> => {
    const seen: Record<string, unknown> = {}
    const set = (name: string | Record<string, unknown>, value?: unknown) => {
      Object.assign(seen, typeof name === 'string' ? { [name]: value } : name)
    }
    let ok = false
    await middlewareOf(rule)({ key, state: {}, set }, async () => {
      ok = true
    })
    // It rounds the time of the reset down, which would ask people to come back too early.
    const reset = Number(seen.reset) + 1
    return { ok, remaining: Number(seen.remaining), reset, wait: reset - Date.now() / 1000 }
  }
  return {
    ready: () => redis.status === 'ready',
    count: (hits) => Promise.all(hits.map(countOne)),
    close: () => redis.disconnect(),
  }
}
