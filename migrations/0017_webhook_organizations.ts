/**
 * Owners hear of their organizations. The function of before stays for processes of the version before. And what failed is found
 * in a long log without reading all that was delivered.
 */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create function webhook_receivers(of_tenant uuid, of_type text, of_user uuid, of_organization uuid) returns table (webhook_id uuid)
language sql stable as $$
  select webhook_id from webhook_receivers(of_tenant, of_type, of_user)
  union all
  select w.id from memberships m
  join webhooks w on w.tenant_id = m.tenant_id and w.owner_id = m.user_id and not w.tenant_wide and w.enabled
    and w.event_types && array[of_type, split_part(of_type, '.', 1) || '.*', '*']
  where m.tenant_id = of_tenant and m.organization_id = of_organization and m.user_id is distinct from of_user
    -- The seeded role Owner.
    and m.role_id = '00000000-0000-0000-0000-000000000004'
$$;
create index webhook_deliveries_failed on webhook_deliveries (tenant_id, webhook_id, event_id) where status = 'failed';
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop index webhook_deliveries_failed;
drop function webhook_receivers(uuid, text, uuid, uuid);
`)
}
