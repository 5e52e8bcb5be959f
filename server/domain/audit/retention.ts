/**
 * Events go after the tenant's event_retention_days: always all of the tree before some signed head that is old enough. Their
 * hashes stay, so that old heads still verify; an event says from where on the log begins, and that head proves that it was time.
 */
import type { Knex } from 'knex'
import { insertOfMany } from '../events.ts'
import { definitions } from '../settings.ts'

/** Statements of the transaction may change or delete events. Retention and erasure are the only ones who say so. */
export const mayChangeEvents = (trx: Knex.Transaction) => trx.raw(`set local gatehouse.may_change = 'events'`)

/** Trees marked by one transaction. */
const TREES = 500

/** Deletes what is over, of all tenants together; answers how many events. Interrupted, it goes on with the next call. */
export async function purgeEvents(db: Knex, batch: number): Promise<number> {
  for (let last = TREES; last === TREES; ) last = await db.transaction((trx) => markSome(trx))
  let gone = 0
  for (let isDone = false; !isDone; ) {
    const { leaves, events } = await db.transaction((trx) => deleteSome(trx, batch))
    gone += events
    isDone = leaves < batch
  }
  return gone
}

/**
 * Trees whose oldest head after the last purge is old enough, with the newest such head. Locked in the order in which sealing
 * locks them.
 */
const DUE = `select a.tenant_id, h.size from audit_trees a
  left join settings s on s.tenant_id = a.tenant_id and s.key = 'event_retention_days'
  cross join lateral (select now() - make_interval(days => coalesce((s.value #>> '{}')::int, :days)) as bound) b
  join lateral (select created_at from audit_heads where tenant_id = a.tenant_id and size > a.purged_to order by size limit 1) o
    on o.created_at < b.bound
  join lateral (select size from audit_heads where tenant_id = a.tenant_id and size > a.purged_to and created_at < b.bound
    order by size desc limit 1) h on true
  order by a.tenant_id limit :limit for update of a`

/** Told before it is done, so that what is missing is never unexplained. Answers how many trees. */
async function markSome(trx: Knex.Transaction): Promise<number> {
  const days = definitions.event_retention_days.fallback
  const due: { tenant_id: string; size: number }[] = (await trx.raw(DUE, { days, limit: TREES })).rows
  if (due.length === 0) return 0
  await trx.raw(
    `update audit_trees a set purged_to = due.size from unnest(?::uuid[], ?::bigint[]) due (tenant_id, size)
     where a.tenant_id = due.tenant_id`,
    [due.map(({ tenant_id }) => tenant_id), due.map(({ size }) => size)] as any,
  )
  await insertOfMany(
    trx,
    'audit.purged',
    due.map(({ tenant_id, size }) => ({ tenantId: tenant_id, data: { leavesBefore: size } })),
  )
  return due.length
}

/** By the places of rows, which leaves the planner nothing to guess of tables that grew just now. */
async function deleteSome(trx: Knex.Transaction, batch: number): Promise<{ leaves: number; events: number }> {
  // Erasure waits: a row that it changed meanwhile would have another place.
  await trx('audit_progress').forUpdate().first()
  await mayChangeEvents(trx)
  const { rows } = await trx.raw(
    `with gone as (
       delete from audit_leaves where ctid = any(array(
         select l.ctid from audit_trees a cross join lateral (
           select ctid from audit_leaves where tenant_id = a.tenant_id and leaf_index < a.purged_to
           order by leaf_index limit :batch) l
         where a.purged_to > 0 limit :batch))
       returning tenant_id, event_id),
     deleted as (
       delete from events where ctid = any(array(
         select e.ctid from gone cross join lateral (
           select ctid from events where tenant_id = gone.tenant_id and id = gone.event_id offset 0) e))
       returning 1)
     select (select count(*)::int from gone) as leaves, (select count(*)::int from deleted) as events`,
    { batch },
  )
  return rows[0]
}

/** Of heads all of a week are kept, then the last of each day. */
export async function thinHeads(db: Knex, batch: number): Promise<number> {
  let thinned = 0
  for (let last = batch; last === batch; thinned += last) {
    const { rowCount } = await db.raw(
      `delete from audit_heads where ctid = any(array(
         select h.ctid from audit_heads h where created_at < now() - interval '4000 days'
           or created_at between now() - interval '30 days' and now() - interval '7 days'
             and (created_at at time zone 'UTC')::date = (
               select (n.created_at at time zone 'UTC')::date from audit_heads n
               where n.tenant_id = h.tenant_id and n.size > h.size order by n.size limit 1)
         limit :batch))`,
      { batch },
    )
    last = rowCount
  }
  return thinned
}
