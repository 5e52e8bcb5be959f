/**
 * Administration of people and roles: indexes that page through users in either direction with one row comparison, prefix
 * search of names and addresses, what a set of roles allows as one SQL function, and the permissions that came with it.
 */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
drop index users_created;
create index users_created on users (tenant_id, created_at, id) where deleted_at is null;
-- -infinity: who never signed in comes last where the newest comes first.
create index users_last_login on users (tenant_id, coalesce(last_login_at, '-infinity'::timestamptz), id)
  where deleted_at is null;
-- Few of many: without these a page of them would read all users.
create index users_disabled on users (tenant_id, created_at, id) where deleted_at is null and status = 'disabled';
create index users_locked on users (tenant_id, created_at, id) where deleted_at is null and locked_until is not null;
create index users_unverified on users (tenant_id, created_at, id) where deleted_at is null and email_verified_at is null;
create index users_gone on users (tenant_id, created_at, id) where deleted_at is not null;
-- Search by prefix, and the order of addresses, read indexes alone: C, since LIKE cannot use another collation; id, to know whom.
alter table users
  add column name_key text collate "C"
    generated always as (lower(coalesce(given_name, '') || ' ' || coalesce(family_name, ''))) stored,
  add column family_key text collate "C" generated always as (lower(family_name)) stored;
create index users_email_order on users (tenant_id, email_key collate "C", id) where deleted_at is null;
create index users_name on users (tenant_id, name_key, id) where deleted_at is null;
create index users_family on users (tenant_id, family_key, id) where deleted_at is null and family_key is not null;
create index role_parts_part on role_parts (tenant_id, part_id);
create index role_permissions_permission on role_permissions (tenant_id, permission_id);

-- What these roles and all their parts allow, as of this statement. UNION ends on cycles.
create function effective_permissions(of_tenant uuid, of_roles uuid[]) returns text[] language sql stable as $$
  with recursive parts (id) as (
    select unnest(of_roles)
    union
    select p.part_id from role_parts p join parts on p.role_id = parts.id where p.tenant_id = of_tenant
  )
  select coalesce(array_agg(distinct p.name order by p.name), '{}')
  from parts
  join role_permissions rp on rp.tenant_id = of_tenant and rp.role_id = parts.id
  join permissions p on p.tenant_id = of_tenant and p.id = rp.permission_id
$$;

insert into permissions (tenant_id, id, name, description, system)
  select id, gen_random_uuid(), 'realm:manage', 'What sso-api keeps for super administrators', true from tenants
  on conflict (tenant_id, name) do nothing;
insert into role_permissions (tenant_id, role_id, permission_id)
  select p.tenant_id, r.role::uuid, p.id from permissions p
  join (values ('00000000-0000-0000-0000-000000000003', 'realm:manage'),
    ('00000000-0000-0000-0000-000000000002', 'permissions:write')) r (role, name) on r.name = p.name
  on conflict do nothing;
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
delete from permissions where name = 'realm:manage';
delete from role_permissions rp using permissions p where p.tenant_id = rp.tenant_id and p.id = rp.permission_id
  and p.name = 'permissions:write' and rp.role_id = '00000000-0000-0000-0000-000000000002';
drop function effective_permissions;
drop index role_permissions_permission, role_parts_part, users_family, users_name, users_email_order,
  users_gone, users_unverified, users_locked, users_disabled, users_last_login, users_created;
alter table users drop column name_key, drop column family_key;
create index users_created on users (tenant_id, created_at desc, id) where deleted_at is null;
`)
}
