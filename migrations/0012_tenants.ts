/** Tenants over time: keys that are published before they sign, deletion for good after a grace, a face of their own. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
-- Published from the start, signs from signs_at until retired_at. A revoked key is gone at once.
alter table signing_keys add column signs_at timestamptz, add column revoked_at timestamptz;
update signing_keys set signs_at = created_at;
alter table signing_keys alter column signs_at set not null, alter column signs_at set default now();
create index signing_keys_over on signing_keys (expires_at) where expires_at is not null;
create index signing_keys_due on signing_keys (signs_at) where retired_at is null and revoked_at is null;

-- A deleted tenant can be brought back until purge_at; once purging_at is set its rows are going.
alter table tenants add column purge_at timestamptz, add column purging_at timestamptz;
update tenants set purge_at = now() + interval '30 days' where status = 'deleted';
create index tenants_purge on tenants (purge_at) where purge_at is not null;

-- Small pictures served by us, such as the logo.
create table tenant_images (
  tenant_id uuid not null references tenants on delete cascade,
  kind text not null check (kind in ('logo')),
  -- SHA-256 of the bytes, part of the address.
  hash text not null,
  content_type text not null,
  bytes bytea not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, kind)
);

-- Words of pages, mails and text messages in place of the program's, by language and key of views/messages.
create table tenant_texts (
  tenant_id uuid not null references tenants on delete cascade,
  locale text not null,
  key text not null,
  value text not null,
  updated_at timestamptz not null default now(),
  updated_by uuid,
  primary key (tenant_id, locale, key)
);
create trigger tenant_texts_change after insert or update or delete on tenant_texts
  for each row execute function announce_change();
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop table tenant_texts, tenant_images;
drop index tenants_purge;
alter table tenants drop column purge_at, drop column purging_at;
drop index signing_keys_due, signing_keys_over;
alter table signing_keys drop column signs_at, drop column revoked_at;
`)
}
