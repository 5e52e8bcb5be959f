/** What an app says of organizations stands in its request alone: no client ever had any of its own. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table clients drop column organization_support')
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw('alter table clients add column organization_support jsonb')
}
