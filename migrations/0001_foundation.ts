/** Foundation: tenants, people, roles, clients, sessions, OAuth storage, one-time secrets, events. Tenant first in every key. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
-- Facts about this installation, such as the check value of SECRET_KEY.
create table installation (key text primary key, value jsonb not null, updated_at timestamptz not null default now());

create table tenants (
  id uuid primary key,
  slug text not null unique check (slug ~ '^[a-z0-9](|[a-z0-9-]{0,61}[a-z0-9])$'),
  name text not null,
  status text not null default 'active' check (status in ('active', 'suspended', 'deleted')),
  branding jsonb not null default '{}',
  -- Grows with every change that cached copies must notice.
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table settings (
  tenant_id uuid not null references tenants on delete cascade,
  key text not null,
  value jsonb not null,
  updated_at timestamptz not null default now(),
  updated_by uuid,
  primary key (tenant_id, key)
);

create table signing_keys (
  tenant_id uuid not null references tenants on delete cascade,
  kid text not null,
  alg text not null,
  public_jwk jsonb not null,
  private_encrypted bytea not null,
  created_at timestamptz not null default now(),
  -- Signs until retired_at; published until expires_at.
  retired_at timestamptz,
  expires_at timestamptz,
  primary key (tenant_id, kid)
);

create table users (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  email text not null,
  -- Lower-cased NFKC of email, made by the application (PostgreSQL's lower() depends on the collation).
  email_key text not null,
  email_verified_at timestamptz,
  phone_number text,
  phone_verified_at timestamptz,
  given_name text,
  family_name text,
  nickname text,
  picture text,
  locale text,
  zoneinfo text,
  attributes jsonb not null default '{}',
  status text not null default 'active' check (status in ('active', 'disabled', 'deleted')),
  locked_until timestamptz,
  last_login_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  primary key (tenant_id, id)
);
create unique index users_email on users (tenant_id, email_key) where deleted_at is null;
create index users_created on users (tenant_id, created_at desc, id);

-- What proves who someone is; secret is a PHC string for passwords.
create table credentials (
  tenant_id uuid not null,
  id uuid not null,
  user_id uuid not null,
  type text not null,
  secret text not null,
  data jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_used_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references users on delete cascade
);
create unique index credentials_password on credentials (tenant_id, user_id) where type = 'password';
create index credentials_user on credentials (tenant_id, user_id);

-- Failed proofs by account and by account and address; back-off ends by itself.
create table login_counters (
  tenant_id uuid not null,
  key bytea not null,
  failures integer not null default 0,
  blocked_until timestamptz,
  -- Whether the last attempt came while blocked (RETURNING cannot see the old row).
  refused boolean not null default false,
  expires_at timestamptz not null,
  primary key (tenant_id, key)
);
create index login_counters_expiry on login_counters (expires_at);

create table clients (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  client_id text not null,
  -- RFC 7591 metadata by its own names, without secrets.
  metadata jsonb not null,
  first_party boolean not null default false,
  require_pkce boolean not null default true,
  access_token_format text not null default 'jwt' check (access_token_format in ('jwt', 'opaque')),
  status text not null default 'active' check (status in ('active', 'disabled')),
  system boolean not null default false,
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, client_id)
);
create index clients_created on clients (tenant_id, created_at desc, id);

create table client_secrets (
  tenant_id uuid not null,
  id uuid not null,
  client uuid not null,
  secret_encrypted bytea not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, client) references clients on delete cascade
);
create index client_secrets_client on client_secrets (tenant_id, client);

-- Resource servers (RFC 8707).
create table resources (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  identifier text not null,
  name text not null,
  scopes jsonb not null default '[]',
  token_format text not null default 'jwt' check (token_format in ('jwt', 'opaque')),
  token_lifetime integer not null default 900,
  signing_alg text not null default 'ES256',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, identifier)
);

create table roles (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  name text not null,
  description text,
  scope text not null default 'tenant' check (scope in ('tenant', 'client', 'organization')),
  -- The client or organization the role belongs to; the nil UUID for tenant roles, so that the name is unique.
  owner_id uuid not null default '00000000-0000-0000-0000-000000000000',
  system boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, scope, owner_id, name)
);

create table role_parts (
  tenant_id uuid not null,
  role_id uuid not null,
  part_id uuid not null,
  primary key (tenant_id, role_id, part_id),
  foreign key (tenant_id, role_id) references roles on delete cascade,
  foreign key (tenant_id, part_id) references roles on delete cascade
);

create table permissions (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  name text not null check (name ~ '^[a-z0-9_.-]+:[a-z0-9_.*-]+$'),
  description text,
  system boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);

create table role_permissions (
  tenant_id uuid not null,
  role_id uuid not null,
  permission_id uuid not null,
  primary key (tenant_id, role_id, permission_id),
  foreign key (tenant_id, role_id) references roles on delete cascade,
  foreign key (tenant_id, permission_id) references permissions on delete cascade
);

create table user_roles (
  tenant_id uuid not null,
  user_id uuid not null,
  role_id uuid not null,
  created_at timestamptz not null default now(),
  created_by uuid,
  primary key (tenant_id, user_id, role_id),
  foreign key (tenant_id, user_id) references users on delete cascade,
  foreign key (tenant_id, role_id) references roles on delete cascade
);
create index user_roles_role on user_roles (tenant_id, role_id);

-- One row a signed-in browser or API login. payload is oidc-provider's Session.
create table sessions (
  tenant_id uuid not null references tenants on delete cascade,
  id text not null,
  -- SHA-256 of the cookie's value; null for API logins and for ended sessions.
  cookie_hash bytea,
  user_id uuid,
  client_id text,
  kind text not null check (kind in ('browser', 'api')),
  payload jsonb not null,
  ip inet,
  user_agent text,
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz,
  -- 'logout' by the person at the end-session endpoint (offline_access survives), 'revoked' otherwise (nothing does).
  end_reason text check (end_reason in ('logout', 'revoked')),
  primary key (tenant_id, id)
);
create unique index sessions_cookie on sessions (tenant_id, cookie_hash) where cookie_hash is not null;
create index sessions_user on sessions (tenant_id, user_id, created_at desc) where user_id is not null;
create index sessions_expiry on sessions (expires_at);

-- Grants, codes, tokens, interactions, replay marks. Bearer values are stored as SHA-256 only.
create table oidc_models (
  tenant_id uuid not null references tenants on delete cascade,
  model text not null,
  id text not null,
  grant_id text,
  session_id text,
  user_id uuid,
  client_id text,
  payload jsonb not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  consumed_at timestamptz,
  primary key (tenant_id, model, id)
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
create index oidc_models_grant on oidc_models (tenant_id, grant_id) where grant_id is not null;
create index oidc_models_session on oidc_models (tenant_id, session_id) where session_id is not null;
create index oidc_models_user on oidc_models (tenant_id, user_id) where model = 'Grant';
create index oidc_models_expiry on oidc_models (expires_at);

-- What a person allowed a third-party client; a session's grant is made from it without asking again.
create table consents (
  tenant_id uuid not null,
  user_id uuid not null,
  client uuid not null,
  scopes text[] not null default '{}',
  -- identifier → scopes
  resources jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, user_id, client),
  foreign key (tenant_id, user_id) references users on delete cascade,
  foreign key (tenant_id, client) references clients on delete cascade
);

-- One-time secrets of links and codes; taken by one update … returning.
create table secrets (
  tenant_id uuid not null references tenants on delete cascade,
  hash bytea not null,
  purpose text not null,
  user_id uuid,
  data jsonb not null default '{}',
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  primary key (tenant_id, purpose, hash)
);
create index secrets_user on secrets (tenant_id, user_id, purpose);
create index secrets_expiry on secrets (expires_at);

-- Append-only: one row per fact.
create table events (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  type text not null,
  actor_id uuid,
  user_id uuid,
  client_id text,
  session_id text,
  ip inet,
  user_agent text,
  request_id text,
  data jsonb not null default '{}',
  created_at timestamptz not null default now(),
  primary key (tenant_id, id)
);
create index events_user on events (tenant_id, user_id, id desc) where user_id is not null;
create index events_type on events (tenant_id, type, id desc);

-- Mails kept for /dev/mailbox where there is no SMTP server.
create table mailbox (
  id uuid primary key,
  tenant_id uuid not null references tenants on delete cascade,
  recipient text not null,
  subject text not null,
  html text not null,
  body text not null,
  created_at timestamptz not null default now()
);
create index mailbox_created on mailbox (created_at);

-- Tells every process which cached copies are stale.
create function announce_change() returns trigger language plpgsql as $$
declare changed record;
begin
  if tg_op = 'DELETE' then changed := old; else changed := new; end if;
  if tg_table_name = 'tenants' then
    perform pg_notify('gatehouse', json_build_object('tenant', changed.id)::text);
  elsif tg_table_name in ('clients') then
    perform pg_notify('gatehouse', json_build_object('tenant', changed.tenant_id, 'client', changed.client_id)::text);
  else
    update tenants set version = version + 1, updated_at = now() where id = changed.tenant_id;
  end if;
  return null;
end $$;
create trigger tenants_change after insert or update or delete on tenants for each row execute function announce_change();
create trigger clients_change after insert or update or delete on clients for each row execute function announce_change();
create trigger settings_change after insert or update or delete on settings for each row execute function announce_change();
create trigger signing_keys_change after insert or update or delete on signing_keys for each row execute function announce_change();
create trigger resources_change after insert or update or delete on resources for each row execute function announce_change();
create trigger roles_change after insert or update or delete on roles for each row execute function announce_change();
create trigger role_parts_change after insert or update or delete on role_parts for each row execute function announce_change();
create trigger permissions_change after update or delete on permissions for each row execute function announce_change();
create trigger role_permissions_change after insert or update or delete on role_permissions for each row execute function announce_change();
create function announce_client_secret() returns trigger language plpgsql as $$
declare changed record;
begin
  if tg_op = 'DELETE' then changed := old; else changed := new; end if;
  update clients set version = version + 1, updated_at = now()
    where tenant_id = changed.tenant_id and id = changed.client;
  return null;
end $$;
create trigger client_secrets_change after insert or update or delete on client_secrets
  for each row execute function announce_client_secret();
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop table mailbox, events, secrets, consents, oidc_models, sessions, user_roles, role_permissions, permissions, role_parts, roles,
  resources, client_secrets, clients, login_counters, credentials, users, signing_keys, settings, tenants, installation;
drop function announce_change, announce_client_secret;
`)
}
