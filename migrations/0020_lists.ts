/**
 * Lists of many people: members of a role, last logins and locks are read from indexes alone, and people who are gone in every order. An
 * index of those costs others nothing; the three that were there before only carry one column more.
 */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create index user_roles_role_user on user_roles (tenant_id, role_id, user_id);
drop index user_roles_role;
drop index users_last_login;
-- An expression alone is not taken from an index; its column beside it is.
create index users_last_login on users (tenant_id, coalesce(last_login_at, '-infinity'::timestamptz), id)
  include (last_login_at) where deleted_at is null;
drop index users_locked;
create index users_locked on users (tenant_id, created_at, id) include (locked_until)
  where deleted_at is null and locked_until is not null;
create index users_gone_email on users (tenant_id, email_key collate "C", id) where deleted_at is not null;
create index users_gone_last_login on users (tenant_id, coalesce(last_login_at, '-infinity'::timestamptz), id)
  where deleted_at is not null;
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop index users_gone_last_login, users_gone_email, users_locked, users_last_login, user_roles_role_user;
create index users_locked on users (tenant_id, created_at, id) where deleted_at is null and locked_until is not null;
create index users_last_login on users (tenant_id, coalesce(last_login_at, '-infinity'::timestamptz), id)
  where deleted_at is null;
create index user_roles_role on user_roles (tenant_id, role_id);
`)
}
