/**
 * Roles for organizations are read from the tables whenever somebody asks, so their changes are no changes of the tenant that
 * processes hold. Processes of the version before hold them with it: they are told to drop it.
 */
import type { Knex } from 'knex'

/** Each role and each permission by its key, whatever the planner knows of tables that grew just now; planned once a connection. */
const EFFECTIVE = `create or replace function effective_permissions(of_tenant uuid, of_roles uuid[]) returns text[] language plpgsql stable as $$
begin
  return (
    with recursive parts (id) as (
      select unnest(of_roles)
      union
      select p.part_id from parts cross join lateral (
        select part_id from role_parts where tenant_id = of_tenant and role_id = parts.id offset 0) p
    )
    select coalesce(array_agg(distinct p.name order by p.name), '{}')
    from parts
    cross join lateral (
      select permission_id from role_permissions where tenant_id = of_tenant and role_id = parts.id offset 0) rp
    cross join lateral (
      select name from permissions where tenant_id = of_tenant and id = rp.permission_id offset 0) p
  );
end $$;`
/** As 0005 made it. */
const EFFECTIVE_BEFORE = `create or replace function effective_permissions(of_tenant uuid, of_roles uuid[]) returns text[] language sql stable as $$
  with recursive parts (id) as (
    select unnest(of_roles)
    union
    select p.part_id from role_parts p join parts on p.role_id = parts.id where p.tenant_id = of_tenant
  )
  select coalesce(array_agg(distinct p.name order by p.name), '{}')
  from parts
  join role_permissions rp on rp.tenant_id = of_tenant and rp.role_id = parts.id
  join permissions p on p.tenant_id = of_tenant and p.id = rp.permission_id
$$;`

const TABLES = ['roles', 'role_parts', 'role_permissions']

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
${EFFECTIVE}
create function announce_role() returns trigger language plpgsql as $$
declare
  changed record;
  of_scope text;
begin
  if tg_op = 'DELETE' then changed := old; else changed := new; end if;
  if tg_table_name = 'roles' then
    of_scope := changed.scope;
  else
    -- Null where the role itself was deleted, which is announced by its own row.
    select scope into of_scope from roles where tenant_id = changed.tenant_id and id = changed.role_id;
  end if;
  if of_scope = 'organization' then
    perform pg_notify('gatehouse', json_build_object('tenant', changed.tenant_id, 'of', 'organizations')::text);
  elsif of_scope is not null then
    update tenants set version = version + 1, updated_at = now() where id = changed.tenant_id;
  end if;
  return null;
end $$;
${TABLES.map(
  (table) => `drop trigger ${table}_change on ${table};
create trigger ${table}_change after insert or update or delete on ${table} for each row execute function announce_role();`,
).join('\n')}
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
${TABLES.map(
  (table) => `drop trigger ${table}_change on ${table};
create trigger ${table}_change after insert or update or delete on ${table} for each row execute function announce_change();`,
).join('\n')}
drop function announce_role;
${EFFECTIVE_BEFORE}
`)
}
