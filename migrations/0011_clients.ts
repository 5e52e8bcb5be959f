/** Clients: what signing in to one asks for, its face, lifetimes, roles of its own; where it came from, and who may still come. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table clients
  -- mfa, factors, methods, require_verified_email: what signing in asks for, beside the tenant's settings.
  add column login_policy jsonb not null default '{}',
  -- logo_uri, primary_color, texts: how hosted pages look when people come from it.
  add column branding jsonb not null default '{}',
  -- Seconds by kind of token; the tenant's are the upper bound.
  add column lifetimes jsonb not null default '{}',
  add column origin text not null default 'admin' check (origin in ('admin', 'request', 'registration')),
  -- What a client that asked for approval said of organizations.
  add column organization_support jsonb,
  -- SHA-256 of the token by which a registered client manages itself (RFC 7592).
  add column registration_token_hash bytea;
create index clients_registered on clients (tenant_id) where origin = 'registration';

-- What a client may do by itself (client_credentials).
create table client_roles (
  tenant_id uuid not null,
  client uuid not null,
  role_id uuid not null,
  created_at timestamptz not null default now(),
  created_by uuid,
  primary key (tenant_id, client, role_id),
  foreign key (tenant_id, client) references clients on delete cascade,
  foreign key (tenant_id, role_id) references roles on delete cascade
);
create index client_roles_role on client_roles (tenant_id, role_id);
-- As secrets do: the client that cached copies hold grows a version.
create trigger client_roles_change after insert or update or delete on client_roles
  for each row execute function announce_client_secret();

-- A client that waits for approval, and what was decided.
create table client_requests (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  client_key text not null,
  name text not null,
  description text,
  redirect_url text,
  callback_url text not null,
  developer_email text not null,
  developer_name text,
  framework text,
  purpose text,
  organization_support jsonb not null,
  -- Languages of whoever asked, for the mails.
  locales text[] not null default '{}',
  status text not null default 'pending' check (status in ('pending', 'approved', 'rejected')),
  reason text,
  client uuid,
  created_at timestamptz not null default now(),
  decided_at timestamptz,
  decided_by uuid,
  primary key (tenant_id, id),
  foreign key (tenant_id, client) references clients on delete cascade
);
create unique index client_requests_pending on client_requests (tenant_id, client_key) where status = 'pending';
create index client_requests_key on client_requests (tenant_id, client_key, id desc);
create index client_requests_status on client_requests (tenant_id, status, id);
create index client_requests_client on client_requests (tenant_id, client) where client is not null;
create index client_requests_over on client_requests (coalesce(decided_at, created_at)) where status <> 'approved';

-- Who holds one may register clients (RFC 7591 3); counted, bounded in time, and revocable.
create table initial_access_tokens (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  name text not null,
  hash bytea not null,
  max_uses integer not null,
  uses integer not null default 0,
  created_at timestamptz not null default now(),
  created_by uuid,
  expires_at timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, hash)
);
create index initial_access_tokens_expiry on initial_access_tokens (expires_at);
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop table initial_access_tokens, client_requests, client_roles;
drop index clients_registered;
alter table clients drop column login_policy, drop column branding, drop column lifetimes, drop column origin,
  drop column organization_support, drop column registration_token_hash;
`)
}
