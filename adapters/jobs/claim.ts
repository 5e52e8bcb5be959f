/**
 * Which processes that run jobs are alive, said by a lock that even kill -9 gives back. graphile-worker alone would leave
 * the jobs of a killed process locked for 4 hours.
 */
import type pg from 'pg'
import { listener } from '../knex.ts'

const LOCK = 0x6761_746a
const CHECK_MS = 5000
/** Seconds. A process takes its lock a moment after it starts, and again when the database comes back. */
const GRACE = 10

const UNLOCK = `select graphile_worker.force_unlock_workers(array_agg(distinct j.locked_by)) from graphile_worker.jobs j
  where j.locked_at < now() - make_interval(secs => $2) and not exists (select from pg_locks l
    where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
    and l.classid = $1::bigint::oid and l.objid = (hashtext(j.locked_by)::bigint & 4294967295)::oid and l.granted)
  having count(*) > 0`

export interface Claim {
  /** The pool whose jobs this process runs from now on; an earlier one runs none any more. */
  hold(pool: string): void
  stop(): Promise<void>
}

/** Holds the lock of this process' pool until stop(), and frees the jobs of pools whose process holds no lock any more. */
export function createClaim(databaseUrl: string): Claim {
  let current: string | undefined
  let held: { client: pg.Client; since: number } | undefined
  let busy: Promise<void> | undefined
  const lock = async (client: pg.Client) => {
    await client.query('select pg_advisory_unlock_all()')
    if (current) await client.query('select pg_advisory_lock_shared($1, hashtext($2))', [LOCK, current])
  }

  async function open(): Promise<void> {
    const client = listener(databaseUrl)
    client.on('error', () => {})
    client.once('end', () => {
      if (held?.client === client) held = undefined
    })
    try {
      await client.connect()
      await lock(client)
      held = { client, since: performance.now() }
    } catch (error) {
      await client.end().catch(() => {})
      throw error
    }
  }
  async function check(): Promise<void> {
    if (!held) return open()
    // Others may still be on their way back to the database.
    if (performance.now() - held.since > GRACE * 1000) await held.client.query(UNLOCK, [LOCK, GRACE])
  }
  const tick = () => {
    busy ??= check()
      .catch(() => {})
      .finally(() => {
        busy = undefined
      })
    return busy
  }
  const timer = setInterval(tick, CHECK_MS)
  timer.unref()
  return {
    hold(pool) {
      current = pool
      if (held) void lock(held.client).catch(() => {})
      else void tick()
    },
    async stop() {
      clearInterval(timer)
      await busy
      await held?.client.end().catch(() => {})
    },
  }
}
