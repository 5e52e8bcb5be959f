/**
 * Events as the leaves of one Merkle tree a tenant (RFC 9162 2.1), made by a job behind the writers: see
 * server/domain/audit/. And events that can only be added, unless whoever deletes says so first.
 */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
-- The writing transaction: what is older than every transaction still open has all been committed, so that a reader who follows
-- this number misses nothing, whenever it was committed. Older rows read as 0. BRIN, since it costs next to nothing to keep.
alter table events add column xid bigint not null default 0;
alter table events alter column xid set default (pg_current_xact_id()::text::bigint);
create index events_xid on events using brin (xid) with (pages_per_range = 32, autosummarize = on);

-- How far sealing has come: everything written by transactions before next_xid. One row; who holds its lock seals.
create table audit_progress (
  id boolean primary key default true check (id),
  next_xid bigint not null default 0,
  -- Transactions are numbered by the cluster; after a restore into another one next_xid says nothing.
  cluster text
);
insert into audit_progress default values;

create table audit_trees (
  tenant_id uuid primary key,
  size bigint not null default 0,
  -- SHA-256 of the complete subtrees, the largest first; all that appending needs.
  frontier bytea not null default '',
  -- Size of the newest signed head.
  signed_size bigint not null default 0,
  -- Events of all leaves before this one were deleted by retention.
  purged_to bigint not null default 0
);
create index audit_trees_unsigned on audit_trees (tenant_id) where size > signed_size;

-- Where an event is in the tree, and what its leaf needs besides the event. Goes with the event.
create table audit_leaves (
  tenant_id uuid not null,
  event_id uuid not null,
  leaf_index bigint not null,
  -- Null once the person it was about is erased; details stays and proves nothing about them.
  salt bytea,
  details bytea not null,
  primary key (tenant_id, event_id),
  unique (tenant_id, leaf_index)
);

-- 256 hashes a row: of leaves at level 0, of complete subtrees of 256 leaves at level 1, and so on. Stays.
create table audit_tiles (
  tenant_id uuid not null,
  level smallint not null,
  tile bigint not null,
  hashes bytea not null,
  primary key (tenant_id, level, tile)
);

-- Signed statements about the tree at a size, as JWS.
create table audit_heads (
  tenant_id uuid not null,
  size bigint not null,
  root bytea not null,
  jws text not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, size)
);
create index audit_heads_created on audit_heads (created_at);

create function refuse_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'TRUNCATE' then
    null;
  elsif current_setting('gatehouse.may_change', true) = tg_table_name
    or exists (select 1 from tenants where id = old.tenant_id and purging_at is not null) then
    if tg_op = 'DELETE' then return old; end if;
    return new;
  end if;
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege',
    hint = 'Retention and erasure do: set local gatehouse.may_change = ''' || tg_table_name || '''';
end $$;
create trigger events_append_only before update or delete on events for each row execute function refuse_change();
create trigger events_not_emptied before truncate on events for each statement execute function refuse_change();
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop trigger events_not_emptied on events;
drop trigger events_append_only on events;
drop function refuse_change;
drop table audit_heads, audit_tiles, audit_leaves, audit_trees, audit_progress;
drop index events_xid;
alter table events drop column xid;
`)
}
