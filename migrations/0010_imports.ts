/** Bulk imports: what was asked for and how far it is, and the rows that wait with what became of them, some hundred at a time. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table imports (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  -- receiving: its rows are still coming in; queued: they wait for the job.
  status text not null check (status in ('receiving', 'queued', 'running', 'done', 'failed', 'cancelled')),
  format text not null,
  -- What becomes of people who exist, and the like.
  options jsonb not null,
  -- Who asked, with which permissions, from where: what the job does is done in their name.
  asked_by jsonb not null,
  total integer not null default 0,
  created integer not null default 0,
  updated integer not null default 0,
  skipped integer not null default 0,
  failed integer not null default 0,
  -- What of the source was not taken: [{what, name, reason}].
  not_taken jsonb not null default '[]',
  -- Why it failed as a whole.
  error text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (tenant_id, id)
);
create index imports_open on imports (tenant_id) where status in ('receiving', 'queued', 'running');
create index imports_over on imports (finished_at) where finished_at is not null;

create table import_chunks (
  tenant_id uuid not null,
  import_id uuid not null,
  -- Of its first row, from 1.
  first integer not null,
  rows integer not null,
  -- The rows as they came, packed and sealed: there are password hashes in them. Gone when they are done.
  data bytea,
  -- [{line, email, outcome, user_id, errors}], in the order of the rows.
  results jsonb,
  failed integer not null default 0,
  primary key (tenant_id, import_id, first),
  foreign key (tenant_id, import_id) references imports on delete cascade
);
-- Sealed bytes cannot be compressed.
alter table import_chunks alter column data set storage external;
create index import_chunks_waiting on import_chunks (tenant_id, import_id, first) where data is not null;
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`drop table import_chunks, imports`)
}
