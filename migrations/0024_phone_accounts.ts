/**
 * People without an e-mail address (expand). email_key stays not null and unique: of a person without an address it is the
 * telephone number. No two are alike by accident, since an address has an @ and a number has none.
 */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
alter table users alter column email drop not null;
-- Whoever has no address has a number. Not valid: the rows there are have addresses, and need no scan to say so.
alter table users add constraint users_reachable check (email is not null or phone_number = email_key) not valid;
-- Codes are texted to who has proven a number.
create index users_phone on users (tenant_id, phone_number) where deleted_at is null and phone_number is not null;
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop index users_phone;
alter table users drop constraint users_reachable;
alter table users alter column email set not null;
`)
}
