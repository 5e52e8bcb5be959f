/** What a sign-in may owe besides factors: accepting terms, choosing a password. */
import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
-- The version of the terms that the person accepted last; every acceptance is an event.
alter table users add column terms_version text, add column terms_accepted_at timestamptz;

-- What the sign-in waits for: a second factor, or what is asked of the person after it. One never passes for the other.
alter table login_attempts
  add column stage text not null default 'factor' check (stage in ('factor', 'actions'));

-- Whichever way the address was proven, proving it is no longer asked for.
create function users_address_proven() returns trigger language plpgsql as $$
begin
  new.required_actions := array_remove(new.required_actions, 'verify_email');
  return new;
end $$;
create trigger users_address_proven before update of email_verified_at on users
  for each row when (new.email_verified_at is not null and old.required_actions @> array['verify_email'])
  execute function users_address_proven();
`)
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
drop trigger users_address_proven on users;
drop function users_address_proven();
alter table login_attempts drop column stage;
alter table users drop column terms_version, drop column terms_accepted_at;
`)
}
