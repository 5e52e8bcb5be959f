/** Clean-up in batches, by the clock: no table grows without bound, no statement holds many rows. */
import type { Knex } from 'knex'
import { purgeEvents, thinHeads } from './audit/retention.ts'
import { erase } from './deletion.ts'
import { giveUp } from './webhooks/queue.ts'

const BATCH = 5000
const DAY = '1 day'

/** table → which rows are over. Conditions use the database's clock and an index. */
const rules: { table: string; where: string }[] = [
  { table: 'oidc_models', where: `expires_at < now()` },
  { table: 'sessions', where: `expires_at < now() - interval '30 days'` },
  { table: 'secrets', where: `expires_at < now() - interval '${DAY}'` },
  { table: 'login_attempts', where: `expires_at < now() - interval '1 hour'` },
  {
    table: 'client_requests',
    where: `coalesce(decided_at, created_at) < now() - interval '180 days' and status <> 'approved'`,
  },
  { table: 'initial_access_tokens', where: `expires_at < now() - interval '30 days'` },
  { table: 'login_counters', where: `expires_at < now()` },
  // Kept a while after their end, so that their owner can look back.
  { table: 'api_keys', where: `least(revoked_at, expires_at) < now() - interval '90 days'` },
  { table: 'invitations', where: `coalesce(accepted_at, revoked_at, expires_at) < now() - interval '90 days'` },
  { table: 'devices', where: `last_used_at < now() - interval '400 days'` },
  // Jobs that were tried to the end and failed; kept a while for whoever looks for the reason.
  { table: 'graphile_worker._private_jobs', where: `attempts >= max_attempts and run_at < now() - interval '7 days'` },
  // Public parts stay as long as events may: signatures in the audit log are verified with them.
  { table: 'signing_keys', where: `expires_at < now() - interval '3650 days'` },
  { table: 'webhook_deliveries', where: `created_at < now() - interval '30 days'` },
  // With the results of every row, which name people.
  { table: 'imports', where: `finished_at < now() - interval '30 days'` },
  // Uploads whose process came to an end.
  { table: 'imports', where: `status = 'receiving' and updated_at < now() - interval '${DAY}'` },
  { table: 'idempotency_keys', where: `expires_at < now()` },
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
  await forgetPrivateKeys(db)
  gone.webhooks_waiting = await giveUp(db, batch)
  gone.audit_heads = await thinHeads(db, batch)
  gone.events = await purgeEvents(db, batch)
  gone.users = await erase(db)
  return gone
}

/** What is no longer published signs nothing, and cannot be stolen when it is gone. */
const forgetPrivateKeys = (db: Knex) =>
  db('signing_keys')
    .where('expires_at', '<', db.fn.now())
    .whereRaw(`private_encrypted <> ''`)
    .update({ private_encrypted: Buffer.alloc(0) })
