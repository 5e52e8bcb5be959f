/** Organizations: groups of people inside a tenant, who belongs to them as what, and their teams (workspaces). */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table organizations (
  tenant_id uuid not null references tenants on delete cascade,
  id uuid not null,
  -- Part of tokens and addresses; sso-api calls it tenant_id.
  slug text collate "C" not null check (slug ~ '^[a-z0-9](|[a-z0-9-]{0,61}[a-z0-9])$'),
  name text not null,
  description text,
  status text not null default 'active' check (status in ('active', 'suspended')),
  settings jsonb not null default '{}',
  -- client_id of the app in which somebody made it, where that was so.
  client_id text,
  created_by uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, slug)
);
create index organizations_created on organizations (tenant_id, created_at, id);
-- Search by the beginning of the name.
create index organizations_name on organizations (tenant_id, lower(name) collate "C");

create table memberships (
  tenant_id uuid not null,
  id uuid not null,
  organization_id uuid not null,
  user_id uuid not null,
  -- Of scope organization: one for all organizations, or this one's own.
  role_id uuid not null,
  created_by uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, organization_id, user_id),
  foreign key (tenant_id, organization_id) references organizations on delete cascade,
  foreign key (tenant_id, user_id) references users on delete cascade,
  -- A role that members hold cannot be deleted.
  foreign key (tenant_id, role_id) references roles
);
create index memberships_user on memberships (tenant_id, user_id);
create index memberships_role on memberships (tenant_id, role_id);
-- The first Owner, and pages of one role.
create index memberships_organization_role on memberships (tenant_id, organization_id, role_id, id);
create index memberships_created on memberships (tenant_id, organization_id, created_at, id);

create table workspaces (
  tenant_id uuid not null,
  id uuid not null,
  organization_id uuid not null,
  slug text collate "C" not null check (slug ~ '^[a-z0-9](|[a-z0-9-]{0,61}[a-z0-9])$'),
  name text not null,
  description text,
  created_by uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, organization_id, slug),
  foreign key (tenant_id, organization_id) references organizations on delete cascade
);
create index workspaces_name on workspaces (tenant_id, name, id);

create table workspace_members (
  tenant_id uuid not null,
  workspace_id uuid not null,
  -- Of the workspace; with it, the reference below says that members of a workspace are members of its organization.
  organization_id uuid not null,
  user_id uuid not null,
  role text not null default 'member' check (role in ('admin', 'member', 'viewer')),
  created_at timestamptz not null default now(),
  primary key (tenant_id, workspace_id, user_id),
  foreign key (tenant_id, workspace_id) references workspaces on delete cascade,
  foreign key (tenant_id, organization_id, user_id) references memberships (tenant_id, organization_id, user_id) on delete cascade
);
create index workspace_members_user on workspace_members (tenant_id, user_id);
create index workspace_members_membership on workspace_members (tenant_id, organization_id, user_id);
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop table workspace_members, workspaces, memberships, organizations;
delete from roles where scope = 'organization' and system;
`)
}
