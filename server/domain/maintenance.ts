/** Clean-up in batches, by the clock: no table grows without bound, no statement holds many rows. */
import type { Knex } from 'knex'

const BATCH = 5000
const DAY = '1 day'

/** table → which rows are over. Conditions use the database's clock and an index. */
const rules: { table: string; where: string }[] = [
  { table: 'oidc_models', where: `expires_at < now()` },
  { table: 'sessions', where: `expires_at < now() - interval '30 days'` },
  { table: 'secrets', where: `expires_at < now() - interval '${DAY}'` },
  { table: 'login_attempts', where: `expires_at < now() - interval '1 hour'` },
  { table: 'login_counters', where: `expires_at < now()` },
  { table: 'mailbox', where: `created_at < now() - interval '7 days'` },
]
/** Grants whose session ended and that no refresh token stands on. */
const ORPHANED_GRANTS = `model = 'Grant' and session_id is not null and created_at < now() - interval '1 hour'
  and not exists (select 1 from sessions s where s.tenant_id = oidc_models.tenant_id and s.id = oidc_models.session_id
    and s.ended_at is null and s.expires_at > now())
  and not exists (select 1 from oidc_models t where t.tenant_id = oidc_models.tenant_id and t.grant_id = oidc_models.id
    and t.model in ('RefreshToken', 'AuthorizationCode') and t.expires_at > now() and t.consumed_at is null)`

/** Deletes what is over; answers how many rows by table. */
export async function purge(db: Knex, batch = BATCH): Promise<Record<string, number>> {
  const gone: Record<string, number> = {}
  for (const { table, where } of [...rules, { table: 'oidc_models', where: ORPHANED_GRANTS }]) {
    for (let last = batch; last === batch; ) {
      const { rowCount } = await db.raw(
        `delete from ${table} where ctid = any(array(select ctid from ${table} where ${where} limit ${batch} for update skip locked))`,
      )
      last = rowCount
      gone[table] = (gone[table] ?? 0) + rowCount
    }
  }
  return gone
}
