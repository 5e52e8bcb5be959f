/**
 * Webhooks and what is to be delivered to them. A delivery is one event for one webhook; it refers to the event and holds no
 * copy of it. Which webhooks an event goes to is decided by one function, in the statement that writes the event.
 */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table webhooks (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  -- Whose account it is about; of tenant-wide ones, who answers for the address.
  owner_id uuid not null,
  tenant_wide boolean not null default false,
  url text not null,
  description text,
  -- user.created, user.* or *
  event_types text[] not null,
  secret_encrypted bytea not null,
  -- The secret before, which signs as well while it is being replaced.
  previous_secret_encrypted bytea,
  previous_expires_at timestamptz,
  enabled boolean not null default true,
  enabled_at timestamptz not null default now(),
  disabled_reason text check (disabled_reason in ('owner', 'failing', 'gone', 'not_allowed')),
  -- Since the first failure after the last success.
  failing_since timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  foreign key (tenant_id, owner_id) references users on delete cascade
);
create index webhooks_owner on webhooks (tenant_id, owner_id);
create index webhooks_tenant_wide on webhooks (tenant_id) where tenant_wide;

-- No foreign keys: the rows of a webhook that is deleted go by clean-up, not in somebody's request.
create table webhook_deliveries (
  tenant_id uuid not null,
  webhook_id uuid not null,
  event_id uuid not null,
  event_type text not null,
  status text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
  -- Grows with each try and never falls, so that who was given up cannot answer for a later try.
  attempts integer not null default 0,
  -- How far along the schedule of retries; starts again with a redelivery.
  step smallint not null default 0,
  -- When to try next; null when there is nothing left to try.
  due_at timestamptz default now(),
  -- While a process is at it. Whoever died is not waited for longer.
  sending_until timestamptz,
  queued_at timestamptz not null default now(),
  response_status integer,
  response_body text,
  -- The latest tries: at, status, error, ms.
  log jsonb not null default '[]',
  finished_at timestamptz,
  created_at timestamptz not null default now(),
  primary key (tenant_id, webhook_id, event_id)
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);
create index webhook_deliveries_due on webhook_deliveries (tenant_id, webhook_id, due_at) where due_at is not null;
create index webhook_deliveries_created on webhook_deliveries (created_at);

-- The webhooks that an event goes to. A trial (webhook.test) is queued for the one webhook it tries.
create function webhook_receivers(of_tenant uuid, of_type text, of_user uuid) returns table (webhook_id uuid)
language sql stable as $$
  select w.id from webhooks w
  where w.tenant_id = of_tenant and w.tenant_wide and w.enabled and of_type <> 'webhook.test'
    and w.event_types && array[of_type, split_part(of_type, '.', 1) || '.*', '*']
  union all
  select w.id from webhooks w
  where w.tenant_id = of_tenant and w.owner_id = of_user and not w.tenant_wide and w.enabled and of_type <> 'webhook.test'
    and w.event_types && array[of_type, split_part(of_type, '.', 1) || '.*', '*']
$$;

-- Processes know of each tenant whether any webhook listens. Only the first and the last one are news to them; who changes
-- that takes turns, so that of two at once one sees the other.
create function announce_webhooks() returns trigger language plpgsql as $$
declare changed record;
begin
  if tg_op = 'DELETE' then changed := old; else changed := new; end if;
  perform pg_advisory_xact_lock(hashtextextended('webhooks ' || changed.tenant_id, 0));
  if not exists (select from webhooks where tenant_id = changed.tenant_id and enabled and id <> changed.id) then
    update tenants set version = version + 1, updated_at = now() where id = changed.tenant_id;
  end if;
  return null;
end $$;
create trigger webhooks_change after insert or delete or update of enabled on webhooks
  for each row execute function announce_webhooks();
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop table webhook_deliveries, webhooks;
drop function webhook_receivers, announce_webhooks;
`)
}
