/** Invitations to organizations and workspaces. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table invitations
  -- Both null: to the tenant itself. A workspace's organization is named as well.
  add column organization_id uuid,
  add column workspace_id uuid,
  add column workspace_role text check (workspace_role in ('admin', 'member', 'viewer')),
  add foreign key (tenant_id, organization_id) references organizations on delete cascade,
  add foreign key (tenant_id, workspace_id) references workspaces on delete cascade,
  add check (workspace_id is null or organization_id is not null),
  add check ((workspace_id is null) = (workspace_role is null));
create index invitations_organization on invitations (tenant_id, organization_id, id desc) where organization_id is not null;
create index invitations_workspace on invitations (tenant_id, workspace_id, id desc) where workspace_id is not null;
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
delete from invitations where organization_id is not null;
alter table invitations drop column organization_id, drop column workspace_id, drop column workspace_role;
`)
}
