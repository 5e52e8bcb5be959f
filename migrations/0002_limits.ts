/** Counters of the rate limits, for installations without Redis. Logged: they must survive a restart. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table rate_limits (
  -- Hash of who and which rule; no address or account is readable here.
  key text primary key,
  count integer not null,
  expires_at timestamptz not null
-- Room in each page, so that counting up rewrites the row where it is and touches no index.
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);

create index rate_limits_expires_at on rate_limits (expires_at);
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop table rate_limits')
}
