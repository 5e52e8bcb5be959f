/**
 * Deleted tenants go for good after their grace: every row of every table that has tenant_id, in batches. Which tables these
 * are and what refers to what is read from PostgreSQL's catalogue, so that no table that comes later is forgotten.
 */
import type { Knex } from 'knex'
import { insertEvent } from './events.ts'
import { DEFAULT_TENANT } from './ids.ts'

const BATCH = 5000
/** Jobs have no column for the tenant, but name it. */
const JOBS = 'graphile_worker._private_jobs'

/**
 * Purges what is due, one tenant after the other; answers their slugs. What is interrupted goes on with the next call. Safe
 * by several processes at once.
 */
export async function purgeTenants(db: Knex, batch = BATCH): Promise<string[]> {
  const purged: string[] = []
  for (;;) {
    // From here on nobody brings it back.
    const next = db('tenants')
      .where({ status: 'deleted' })
      .where('purge_at', '<=', db.fn.now())
      .whereNot({ id: DEFAULT_TENANT })
      .orderBy('purge_at')
      .limit(1)
      .forUpdate()
      .skipLocked()
      .select('id')
    const [due] = await db('tenants')
      .whereIn('id', next)
      .update({ purging_at: db.raw('coalesce(purging_at, now())') })
      .returning(['id', 'slug'])
    if (!due) return purged
    if (await purgeTenant(db, due, batch)) purged.push(due.slug)
  }
}

/** False when another process took the last step. */
async function purgeTenant(db: Knex, tenant: { id: string; slug: string }, batch: number): Promise<boolean> {
  let rows = 0
  for (const table of await tablesOfTenants(db)) rows += await empty(db, table, 'tenant_id = ?', tenant.id, batch)
  rows += await empty(db, JOBS, `payload->>'tenantId' = ?`, tenant.id, batch)
  return db.transaction(async (trx) => {
    if ((await trx('tenants').where({ id: tenant.id }).delete()) === 0) return false
    const data = { tenantId: tenant.id, slug: tenant.slug, rows }
    await insertEvent(trx, DEFAULT_TENANT, { type: 'tenant.purged', data })
    return true
  })
}

async function empty(db: Knex, table: string, where: string, id: string, batch: number): Promise<number> {
  let gone = 0
  for (let last = batch; last === batch; gone += last) {
    // The condition stands twice: a ctid alone would mean other rows in the partitions of a table.
    const { rowCount } = await db.raw(
      `delete from ${table} where ${where} and ctid = any(array(select ctid from ${table} where ${where} limit ${batch}))`,
      [id, id],
    )
    last = rowCount
  }
  return gone
}

/** Quoted names, those that refer to others first. */
export async function tablesOfTenants(db: Knex): Promise<string[]> {
  const { rows } = await db.raw(
    `select c.oid::regclass::text as name, array(select k.confrelid::regclass::text from pg_constraint k
       where k.conrelid = c.oid and k.contype = 'f' and k.confrelid <> c.oid) as targets
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
     where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
     order by 1`,
  )
  const left = new Map<string, string[]>(
    rows.map((row: { name: string; targets: string[] }) => [row.name, row.targets]),
  )
  const order: string[] = []
  while (left.size > 0) {
    const referred = new Set([...left.values()].flat())
    const free = [...left.keys()].filter((name) => !referred.has(name))
    // Tables that refer to each other in a circle go by their ON DELETE rules.
    const next = free.length > 0 ? free : [...left.keys()]
    for (const name of next) left.delete(name)
    order.push(...next)
  }
  return order
}
