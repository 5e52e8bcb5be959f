/** Every way to sign in: login attempts, factors, passkeys, devices, API keys, linked identities, password history. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
-- A factor counts once it was proven; setting one up again makes a second, unverified row beside the live one.
alter table credentials
  add column verified_at timestamptz default now(),
  add column name text,
  -- A passkey's credential id (base64url).
  add column external_id text;
create unique index credentials_external on credentials (tenant_id, external_id) where external_id is not null;
-- One live factor of a kind; passkeys may be many.
create unique index credentials_factor on credentials (tenant_id, user_id, type)
  where type in ('totp', 'email', 'sms', 'backup_codes') and verified_at is not null;

alter table users
  add column preferred_factor text,
  add column required_actions text[] not null default '{}';
-- Who deleted their account, until what is personal is erased.
create index users_deleted on users (deleted_at) where deleted_at is not null;

-- A sign-in of which the first factor is proven. Ends at once, by success, by five wrong codes, or after five minutes.
create table login_attempts (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  -- SHA-256 of mfa_token, which the caller holds.
  token_hash bytea not null,
  user_id uuid not null,
  client_id text,
  -- Of the hosted pages, whose interaction it is.
  interaction_id text,
  amr text[] not null,
  -- SHA-256 of address and user agent, for callers that send only user_id.
  caller_hash bytea not null,
  tries integer not null default 0,
  -- A mailed or texted code: SHA-256 with the attempt's id.
  code_hash bytea,
  code_factor text,
  code_expires_at timestamptz,
  codes_sent integer not null default 0,
  -- A WebAuthn challenge of this attempt.
  challenge text,
  data jsonb not null default '{}',
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  finished_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references users on delete cascade
);
create unique index login_attempts_token on login_attempts (tenant_id, token_hash);
create index login_attempts_user on login_attempts (tenant_id, user_id) where finished_at is null;
create index login_attempts_interaction on login_attempts (tenant_id, interaction_id) where interaction_id is not null;
create index login_attempts_expiry on login_attempts (expires_at);

-- Codes typed by hand are short, so their tries are counted here.
alter table secrets
  add column tries integer not null default 0,
  add column code_hash bytea,
  -- Where it was sent, as a key (an e-mail address or a telephone number): only the newest one there works.
  add column address text;
create index secrets_address on secrets (tenant_id, purpose, address) where address is not null;

create table devices (
  tenant_id uuid not null references tenants on delete cascade,
  -- Made from the person and the secret the device keeps (a cookie, or what an app sends as X-Device-Token).
  id uuid not null,
  user_id uuid not null,
  -- False where nothing but address and user agent tells it from others: such a one cannot be trusted.
  bound boolean not null default false,
  name text,
  fingerprint text,
  ip inet,
  country text,
  city text,
  user_agent text,
  -- Until when a second factor is not asked for on this device.
  trusted_until timestamptz,
  trusted_at timestamptz,
  -- Sign-ins from a blocked device are refused.
  blocked_at timestamptz,
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references users on delete cascade
);
create index devices_user on devices (tenant_id, user_id, last_used_at desc);
create index devices_blocked on devices (tenant_id, user_id) where blocked_at is not null;
alter table sessions add column device_id uuid, add column country text, add column city text;
create index sessions_device on sessions (tenant_id, device_id) where device_id is not null;

create table api_keys (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  user_id uuid not null,
  name text not null,
  -- First characters of the key, to recognise it by.
  prefix text not null,
  hash bytea not null,
  scopes text[] not null default '{}',
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  last_used_ip inet,
  revoked_at timestamptz,
  -- The key this one replaced, which works for an overlap.
  replaces uuid,
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references users on delete cascade
);
create unique index api_keys_hash on api_keys (tenant_id, hash);
create index api_keys_user on api_keys (tenant_id, user_id, created_at desc);
create index api_keys_over on api_keys ((least(revoked_at, expires_at)));

-- Other identity providers people may sign in with.
create table identity_providers (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  -- Part of addresses: /v1/oauth/<slug>/authorize
  slug text not null check (slug ~ '^[a-z0-9-]{1,40}$'),
  name text not null,
  protocol text not null check (protocol in ('oidc', 'oauth2')),
  -- issuer, or endpoints and claim mapping; scopes; trust_email
  config jsonb not null,
  client_id text not null,
  client_secret_encrypted bytea,
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, slug)
);

create table identities (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  user_id uuid not null,
  provider text not null,
  subject text not null,
  email text,
  profile jsonb not null default '{}',
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, provider, subject),
  foreign key (tenant_id, user_id) references users on delete cascade
);
create index identities_user on identities (tenant_id, user_id);

create trigger identity_providers_change after insert or update or delete on identity_providers
  for each row execute function announce_change();

create table password_history (
  tenant_id uuid not null,
  user_id uuid not null,
  hash text not null,
  created_at timestamptz not null default now(),
  foreign key (tenant_id, user_id) references users on delete cascade
);
create index password_history_user on password_history (tenant_id, user_id, created_at desc);
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop table password_history, identities, identity_providers, api_keys, login_attempts;
alter table sessions drop column device_id, drop column country, drop column city;
drop table devices;
alter table secrets drop column tries, drop column code_hash, drop column address;
alter table users drop column preferred_factor, drop column required_actions;
drop index credentials_external, credentials_factor, users_deleted;
alter table credentials drop column verified_at, drop column name, drop column external_id;
`)
}
