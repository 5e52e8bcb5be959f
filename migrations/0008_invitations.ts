/** Invitations: who may come, by whose word, and as what. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table invitations (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  email text not null,
  email_key text not null,
  -- The account that waits for its owner, where an administrator made one.
  user_id uuid,
  -- Besides the default role. Looked at again when the invitation is accepted: a role may be gone by then.
  role_ids uuid[] not null default '{}',
  invited_by uuid,
  -- Which mail carries the live link: an earlier job that comes late must not replace it.
  sends integer not null default 1,
  -- SHA-256 of the link's token and of the code to type; null until the mail is made.
  token_hash bytea,
  code_hash bytea,
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid,
  revoked_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references users on delete cascade,
  -- An invitation is somebody's word: it goes with them.
  foreign key (tenant_id, invited_by) references users on delete cascade,
  check (user_id is not null or invited_by is not null)
);
create unique index invitations_token on invitations (tenant_id, token_hash) where token_hash is not null;
create unique index invitations_code on invitations (tenant_id, code_hash) where code_hash is not null;
create index invitations_email on invitations (tenant_id, email_key, id desc);
create index invitations_inviter on invitations (tenant_id, invited_by, id desc);
create index invitations_user on invitations (tenant_id, user_id) where user_id is not null;
create index invitations_accepted_by on invitations (tenant_id, accepted_by) where accepted_by is not null;
create index invitations_over on invitations (coalesce(accepted_at, revoked_at, expires_at));
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop table invitations')
}
