/**
 * Members of roles and organizations are found as quickly as people: those of a group in the order in which they came to the tenant,
 * and each by id without a look at the table, since the primary key holds what lists look at.
 */
import type { Knex } from 'knex'

/** Foreign keys hang on the index that the primary key had: they are made again. */
const remade = (primaryKey: string) => `
do $$
declare
  names text[];
  definitions text[];
begin
  select array_agg(format('alter table %s drop constraint %I', conrelid::regclass, conname)),
    array_agg(format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)))
  into names, definitions from pg_constraint where confrelid = 'users'::regclass and contype = 'f';
  execute array_to_string(names, '; ');
  alter table users drop constraint users_pkey;
  alter table users add constraint users_pkey ${primaryKey};
  execute array_to_string(definitions, '; ');
end $$;
`

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
${remade(`primary key (tenant_id, id)
    include (email_key, name_key, family_key, created_at, last_login_at, email_verified_at, status, deleted_at)`)}
-- Before its rows are written: one index less to write.
drop index user_roles_role_user;
alter table user_roles add column user_created_at timestamptz;
alter table memberships add column user_created_at timestamptz;
update user_roles g set user_created_at = u.created_at from users u where u.tenant_id = g.tenant_id and u.id = g.user_id;
update memberships g set user_created_at = u.created_at from users u where u.tenant_id = g.tenant_id and u.id = g.user_id;
alter table user_roles alter column user_created_at set not null;
alter table memberships alter column user_created_at set not null;
-- When somebody came to the tenant never changes. Somebody made in the same statement is not there yet.
create function members_came() returns trigger language plpgsql as $$
begin
  select created_at into new.user_created_at from users where tenant_id = new.tenant_id and id = new.user_id;
  if not found then
    raise foreign_key_violation using message = 'no such person: ' || new.user_id;
  end if;
  return new;
end $$;
create trigger members_came before insert on user_roles for each row execute function members_came();
create trigger members_came before insert on memberships for each row execute function members_came();
create index user_roles_came on user_roles (tenant_id, role_id, user_created_at, user_id);
create index memberships_came on memberships (tenant_id, organization_id, user_created_at, user_id);
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
create index user_roles_role_user on user_roles (tenant_id, role_id, user_id);
drop index user_roles_came, memberships_came;
drop trigger members_came on user_roles;
drop trigger members_came on memberships;
drop function members_came();
alter table user_roles drop column user_created_at;
alter table memberships drop column user_created_at;
${remade('primary key (tenant_id, id)')}
`)
}
