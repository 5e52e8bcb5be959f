/**
 * What each sign-in and refresh writes, made cheaper. Sessions, grants, tokens and events refer to their tenant by value only:
 * a foreign key would read and lock the one row of the tenant for every row written (about a fifth of PostgreSQL's work in a
 * sign-in, as measured on one noisy machine), and tenants are marked as deleted, never removed. And two indexes get conditions
 * that lookups by primary key do not have, so that a plan made while tables were empty cannot read all of a tenant's grants
 * or users through them.
 */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table oidc_models drop constraint oidc_models_tenant_id_fkey;
alter table sessions drop constraint sessions_tenant_id_fkey;
alter table events drop constraint events_tenant_id_fkey;
drop index oidc_models_user;
create index oidc_models_user on oidc_models (tenant_id, user_id) where model = 'Grant' and user_id is not null;
drop index users_created;
create index users_created on users (tenant_id, created_at desc, id) where deleted_at is null;
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop index users_created;
create index users_created on users (tenant_id, created_at desc, id);
drop index oidc_models_user;
create index oidc_models_user on oidc_models (tenant_id, user_id) where model = 'Grant';
alter table events add constraint events_tenant_id_fkey foreign key (tenant_id) references tenants on delete cascade;
alter table sessions add constraint sessions_tenant_id_fkey foreign key (tenant_id) references tenants on delete cascade;
alter table oidc_models add constraint oidc_models_tenant_id_fkey foreign key (tenant_id) references tenants on delete cascade;
`)
}
