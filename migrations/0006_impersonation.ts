/** Who acts as whom, and why: kept with the session in which it happens. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table sessions add column impersonator_id uuid, add column impersonation_reason text;
create index sessions_impersonated on sessions (tenant_id, created_at desc) where impersonator_id is not null;
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop index sessions_impersonated;
alter table sessions drop column impersonator_id, drop column impersonation_reason;
`)
}
