/**
 * Sealing: committed events become leaves, in batches, by a job. Writers do nothing for it. Whoever holds the row of
 * audit_progress seals; others leave at once.
 */
import type { Knex } from 'knex'
import type { Outside } from '../context.ts'
import { signHeads } from './heads.ts'
import type { EventRecord } from './leaf.ts'
import { addLeaves } from './store.ts'

const BATCH = 5000
/** Transactions looked at in one statement, so that a long absence is caught up with in steps. */
const WINDOW = 5000

export const COLUMNS = [
  'tenant_id',
  'id',
  'type',
  'actor_id',
  'user_id',
  'client_id',
  'session_id',
  'ip',
  'user_agent',
  'request_id',
  'data',
  'created_at',
].map((column) => `e.${column}`)

/**
 * Seals all there is, and signs the heads as of `at`, else of the database's clock. Answers how many events became leaves.
 * `db` may wait longer than requests do.
 */
export async function seal(out: Outside, db: Knex, at?: Date): Promise<number> {
  let sealed = 0
  for (let isDone = false; !isDone; ) {
    const step = await db.transaction((trx) => sealSome(trx))
    sealed += step.sealed
    isDone = step.isDone
  }
  await signHeads(out, db, at)
  return sealed
}

async function sealSome(trx: Knex.Transaction): Promise<{ sealed: number; isDone: boolean }> {
  const progress = await trx('audit_progress').forUpdate().skipLocked().first()
  if (!progress) return { sealed: 0, isDone: true }
  const { horizon, cluster } = await transactions(trx)
  // Another cluster, or one set back: numbers say nothing, so all events are looked at once.
  const isElsewhere = progress.cluster !== cluster || horizon < progress.next_xid
  const to = Math.min(progress.next_xid + WINDOW, horizon)
  const events = await unsealed(trx, isElsewhere ? undefined : { from: progress.next_xid, to })
  await addLeaves(trx, events)
  const isAll = events.length < BATCH
  // Of the last transaction of a full batch there may be more; what is sealed already is passed over.
  const reached = isAll ? (isElsewhere ? horizon : to) : isElsewhere ? progress.next_xid : events.at(-1)!.xid
  await trx('audit_progress').update({ next_xid: reached, cluster: isAll ? cluster : progress.cluster })
  return { sealed: events.length, isDone: isAll && reached === horizon }
}

/**
 * The oldest transaction still open: all before it are over, and what they wrote is seen by every later statement. And which
 * cluster counts them.
 */
async function transactions(trx: Knex.Transaction): Promise<{ horizon: number; cluster: string }> {
  const { rows } = await trx.raw(
    `select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as horizon,
       (select system_identifier::text from pg_control_system()) as cluster`,
  )
  return rows[0]
}

async function unsealed(
  trx: Knex.Transaction,
  window: { from: number; to: number } | undefined,
): Promise<(EventRecord & { xid: number })[]> {
  const query = trx('events as e')
    .whereNotExists(
      trx('audit_leaves as l').whereRaw('l.tenant_id = e.tenant_id and l.event_id = e.id').select(trx.raw('1')),
    )
    .orderBy(['e.xid', 'e.id'])
    .limit(BATCH)
    .select(...COLUMNS, 'e.xid')
  if (window) query.where('e.xid', '>=', window.from).where('e.xid', '<', window.to)
  return query
}
