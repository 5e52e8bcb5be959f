/**
 * Lists are read from indexes alone: whatever a filter or an order looks at is in each. Addresses are compared byte by byte, so that the
 * index that keeps them unique is their order as well: one index less to write when somebody signs in, which pays for wider ones.
 */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
drop index users_email, users_email_order, users_gone_email, users_created, users_last_login, users_name, users_family, users_disabled,
  users_locked, users_unverified, users_gone;
alter table users alter column email_key type text collate "C";
create unique index users_email on users (tenant_id, email_key)
  include (id, name_key, family_key, created_at, last_login_at, email_verified_at, status) where deleted_at is null;
create index users_created on users (tenant_id, created_at, id)
  include (email_key, name_key, family_key, last_login_at, email_verified_at, status) where deleted_at is null;
-- An expression alone is not taken from an index; its column beside it is.
create index users_last_login on users (tenant_id, coalesce(last_login_at, '-infinity'::timestamptz), id)
  include (last_login_at, email_key, name_key, family_key, created_at, email_verified_at, status) where deleted_at is null;
create index users_name on users (tenant_id, name_key, id)
  include (email_key, family_key, created_at, last_login_at, email_verified_at, status) where deleted_at is null;
create index users_family on users (tenant_id, family_key, id)
  include (email_key, name_key, created_at, last_login_at, email_verified_at, status)
  where deleted_at is null and family_key is not null;
-- Few of many. Signing in writes these for those without a verified address only.
create index users_disabled on users (tenant_id, created_at, id)
  include (email_key, name_key, family_key, last_login_at, email_verified_at, status)
  where deleted_at is null and status = 'disabled';
create index users_locked on users (tenant_id, created_at, id)
  include (email_key, name_key, family_key, last_login_at, email_verified_at, status, locked_until)
  where deleted_at is null and locked_until is not null;
create index users_unverified on users (tenant_id, created_at, id)
  include (email_key, name_key, family_key, last_login_at, email_verified_at, status)
  where deleted_at is null and email_verified_at is null;
create index users_gone on users (tenant_id, created_at, id)
  include (email_key, name_key, family_key, last_login_at, email_verified_at, status) where deleted_at is not null;
create index users_gone_email on users (tenant_id, email_key, id) where deleted_at is not null;
-- What is not vacuumed is not read from an index alone.
alter table users set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
alter table users reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor);
drop index users_email, users_gone_email, users_created, users_last_login, users_name, users_family, users_disabled,
  users_locked, users_unverified, users_gone;
alter table users alter column email_key type text collate "default";
create unique index users_email on users (tenant_id, email_key) where deleted_at is null;
create index users_email_order on users (tenant_id, email_key collate "C", id) where deleted_at is null;
create index users_gone_email on users (tenant_id, email_key collate "C", id) where deleted_at is not null;
create index users_created on users (tenant_id, created_at, id) where deleted_at is null;
create index users_last_login on users (tenant_id, coalesce(last_login_at, '-infinity'::timestamptz), id)
  include (last_login_at) where deleted_at is null;
create index users_name on users (tenant_id, name_key, id) where deleted_at is null;
create index users_family on users (tenant_id, family_key, id) where deleted_at is null and family_key is not null;
create index users_disabled on users (tenant_id, created_at, id) where deleted_at is null and status = 'disabled';
create index users_locked on users (tenant_id, created_at, id) include (locked_until)
  where deleted_at is null and locked_until is not null;
create index users_unverified on users (tenant_id, created_at, id) where deleted_at is null and email_verified_at is null;
create index users_gone on users (tenant_id, created_at, id) where deleted_at is not null;
`)
}
