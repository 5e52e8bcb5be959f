/**
 * Events go after the tenant's event_retention_days: always all of the tree before some signed head that is old enough. Their
 * hashes stay, so that old heads still verify; an event says from where on the log begins, and that head proves that it was time.
 */
import type { Knex } from 'knex'
import { insertEvents } from '../events.ts'
import { newId } from '../ids.ts'
import { definitions } from '../settings.ts'

/** Statements of the transaction may change or delete events. Retention and erasure are the only ones who say so. */
export const mayChangeEvents = (trx: Knex.Transaction) => trx.raw(`set local gatehouse.may_change = 'events'`)

/** Deletes what is over; answers how many events. Interrupted, it goes on with the next call. */
export async function purgeEvents(db: Knex, batch: number): Promise<number> {
  for (const { tenant_id, size } of await due(db)) await mark(db, tenant_id, size)
  let gone = 0
  const unfinished = await db('audit_trees as a')
    .whereExists(
      db('audit_leaves as l').whereRaw('l.tenant_id = a.tenant_id and l.leaf_index < a.purged_to').select(db.raw('1')),
    )
    .select('a.tenant_id', 'a.purged_to')
  for (const { tenant_id, purged_to } of unfinished) {
    for (let last = batch; last === batch; gone += last) last = await deleteSome(db, tenant_id, purged_to, batch)
  }
  return gone
}

/** Trees whose oldest head after the last purge is old enough, with the newest such head. */
async function due(db: Knex): Promise<{ tenant_id: string; size: number }[]> {
  const { rows } = await db.raw(
    `select a.tenant_id, h.size from audit_trees a
     left join settings s on s.tenant_id = a.tenant_id and s.key = 'event_retention_days'
     cross join lateral (select now() - make_interval(days => coalesce((s.value #>> '{}')::int, ?)) as bound) b
     join lateral (select created_at from audit_heads where tenant_id = a.tenant_id and size > a.purged_to order by size limit 1) o
       on o.created_at < b.bound
     join lateral (select size from audit_heads where tenant_id = a.tenant_id and size > a.purged_to and created_at < b.bound
       order by size desc limit 1) h on true`,
    [definitions.event_retention_days.fallback],
  )
  return rows
}

/** Told before it is done, so that what is missing is never unexplained. */
const mark = (db: Knex, tenantId: string, size: number) =>
  db.transaction(async (trx) => {
    const marked = await trx('audit_trees')
      .where({ tenant_id: tenantId })
      .where('purged_to', '<', size)
      .update({ purged_to: size })
    if (marked === 0) return
    await insertEvents(trx, { id: tenantId, hasWebhooks: true }, [
      { id: newId(), type: 'audit.purged', data: { leavesBefore: size } },
    ])
  })

const deleteSome = (db: Knex, tenantId: string, before: number, batch: number): Promise<number> =>
  db.transaction(async (trx) => {
    await mayChangeEvents(trx)
    const { rowCount } = await trx.raw(
      `with gone as (
         delete from audit_leaves where tenant_id = :tenantId and leaf_index in (
           select leaf_index from audit_leaves where tenant_id = :tenantId and leaf_index < :before order by leaf_index limit :batch)
         returning event_id)
       delete from events where tenant_id = :tenantId and id in (select event_id from gone)`,
      { tenantId, before, batch },
    )
    return rowCount
  })

/** Of heads all of a week are kept, then the last of each day. */
export async function thinHeads(db: Knex): Promise<number> {
  const { rowCount } = await db.raw(
    `delete from audit_heads h where created_at < now() - interval '4000 days'
       or created_at between now() - interval '30 days' and now() - interval '7 days' and exists (
         select 1 from audit_heads n where n.tenant_id = h.tenant_id and n.size > h.size
           and (n.created_at at time zone 'UTC')::date = (h.created_at at time zone 'UTC')::date)`,
  )
  return rowCount
}
