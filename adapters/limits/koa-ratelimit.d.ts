/** The part of koa-ratelimit that we use; the package has no types. */
declare module 'koa-ratelimit' {
  import type { Redis } from 'ioredis'

  interface Asking {
    key: string
    state: object
    set(headers: Record<string, unknown>): void
    set(name: string, value: unknown): void
  }
  interface Options {
    driver: 'redis'
    db: Redis
    /** Milliseconds. */
    duration: number
    max: number
    namespace: string
    id(ctx: Asking): string
    headers: { remaining: string; reset: string; total: string }
  }
  export default function ratelimit(options: Options): (ctx: Asking, next: () => Promise<void>) => Promise<void>
}
