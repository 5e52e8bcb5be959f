/** Answers to creations that were sent with an Idempotency-Key, for a day, so that sending one again makes nothing twice. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table idempotency_keys (
  tenant_id uuid not null references tenants on delete cascade,
  -- SHA-256 of caller, row and key.
  hash bytea not null,
  -- SHA-256 of what was sent.
  fingerprint bytea not null,
  -- The answer, sealed: it may show a secret that is shown once.
  answer bytea not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '1 day',
  primary key (tenant_id, hash)
);
create index idempotency_keys_expiry on idempotency_keys (expires_at);
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop table idempotency_keys')
}
