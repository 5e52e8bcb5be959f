/**
 * A million people by plain SQL, as a large tenant has them: in random order on disk, names of very different frequency, a few who are
 * disabled, locked or gone, roles and organizations of all sizes. Some of it is spiteful: nobody disabled has the commonest name, and one
 * role and one organization hold people who came at the same time.
 */
import type { Knex } from 'knex'
import { newId, ROLE, DEFAULT_TENANT as TENANT } from '../server/domain/ids.ts'

export interface Crowd {
  /** Ids by about how many people they hold; `together` are people who came one after another. */
  roles: Record<string, string>
  organizations: Record<string, string>
}

const ROLES = {
  all: 1,
  third: 0.3,
  tenth: 0.1,
  twentieth: 0.05,
  fiftieth: 0.02,
  hundredth: 0.01,
  few: 0.005,
  thousandth: 0.001,
}
const ORGANIZATIONS = { fiftieth: 'bench-1', together: 'bench-2', thousands: 'bench-3', tens: 'bench-2000' }
const SMALLER = 5000

/** Made where they are not there yet, which takes a minute or two for a million. */
export async function crowdOf(db: Knex, people: number): Promise<Crowd> {
  const made = await db('roles').where({ tenant_id: TENANT, name: 'bench-third' }).first()
  if (!made) await make(db, people)
  const roles = await db('roles').where({ tenant_id: TENANT }).whereLike('name', 'bench-%')
  const organizations = await db('organizations')
    .where({ tenant_id: TENANT })
    .whereIn('slug', Object.values(ORGANIZATIONS))
  return {
    roles: { all: ROLE.user, ...Object.fromEntries(roles.map(({ name, id }) => [name.slice(6), id])) },
    organizations: Object.fromEntries(
      Object.entries(ORGANIZATIONS).map(([name, slug]) => [name, organizations.find((row) => row.slug === slug)!.id]),
    ),
  }
}

async function make(db: Knex, people: number): Promise<void> {
  const restore = await withoutIndexes(db)
  await db.transaction(async (trx) => {
    // Neither foreign keys nor triggers: there is nothing here that they would find.
    await trx.raw('set local session_replication_role = replica')
    await trx.raw(`set local work_mem = '256MB'`)
    await trx.raw('select setseed(0.5)')
    await makePeople(trx, TENANT, people)
    for (let i = 0; i < 3; i += 1) await smallTenant(trx)
    await makeRoles(trx, people)
    await makeOrganizations(trx, people)
  })
  await restore()
  await db.raw('vacuum analyze users, user_roles, memberships, organizations')
}

/** `n` of a person is their place in the order of coming. */
const makePeople = (trx: Knex, tenant: string, people: number) =>
  trx.raw(
    `with drawn as materialized (
       select n, now() - interval '3 years' * (1 - n::float8 / :people) as created_at,
         floor(200 * power(random(), 3))::int as given, floor(20000 * power(random(), 2.5))::int as family,
         random() as login, random() as since, random() as status, random() as locked, random() as gone, random() as verified
       from generate_series(1, :people) n
     ), named as (
       select *, case given when 0 then 'Maria' else word('g' || given) end as given_name,
         case family when 0 then 'Schmidt' else word('f' || family) end as family_name
       from drawn
     ), made as (
       select *, lower(given_name || '.' || family_name) || n || '@d' || n % 50 || '.example' as email from named
     )
     insert into users (tenant_id, id, email, email_key, given_name, family_name, created_at, last_login_at, status, locked_until,
       deleted_at, email_verified_at, attributes)
     select :tenant, uuidv7(created_at - clock_timestamp()), email, email, given_name, family_name, created_at,
       case when login < 0.5 then created_at + (now() - created_at) * since end,
       case when gone < 0.005 then 'deleted' when given <> 0 and status < 0.036 then 'disabled' else 'active' end,
       case when locked < 0.005 then now() + interval '1 year' when locked < 0.01 then now() - interval '1 day' end,
       case when gone < 0.005 then now() end,
       case when verified < 0.9 then created_at end,
       jsonb_build_object('place', n, 'department', 'D' || n % 100)
     from made order by random()`.replaceAll(/word\(([^)]+)\)/g, WORD),
    { tenant, people },
  )
/** Some letters that begin in many ways. */
const WORD = `initcap(left(translate(md5($1), '0123456789', 'ghijklmnop'), 6))`

async function smallTenant(trx: Knex): Promise<void> {
  const id = newId()
  await trx('tenants').insert({ id, slug: `small-${id.slice(-12)}`, name: 'Small' })
  await makePeople(trx, id, 1000)
}

async function makeRoles(trx: Knex, people: number): Promise<void> {
  const give = async (name: string, condition: string) => {
    const id = name === 'all' ? ROLE.user : newId()
    if (name !== 'all') await trx('roles').insert({ tenant_id: TENANT, id, name: `bench-${name}` })
    await trx.raw(
      `insert into user_roles (tenant_id, user_id, role_id, user_created_at) select tenant_id, id, ?, created_at from users where tenant_id = ? and ${condition}
       order by random() on conflict do nothing`,
      [id, TENANT],
    )
  }
  for (const [name, share] of Object.entries(ROLES)) await give(name, `random() < ${share}`)
  for (let i = 0; i < 11; i += 1) await give(`other-${i}`, 'random() < 0.01')
  await give('together', `(attributes->>'place')::int between ${0.3 * people} and ${0.32 * people}`)
}

async function makeOrganizations(trx: Knex, people: number): Promise<void> {
  await trx.raw(
    `insert into organizations (tenant_id, id, slug, name)
     select ?, gen_random_uuid(), 'bench-' || n, 'Bench ' || n from generate_series(1, ?) n`,
    [TENANT, SMALLER],
  )
  const join = (slug: string, condition: string) =>
    trx.raw(
      `insert into memberships (tenant_id, id, organization_id, user_id, role_id, user_created_at)
       select u.tenant_id, gen_random_uuid(), o.id, u.id, ?, u.created_at from
         (select *, ${slug} as slug from users where tenant_id = ? and ${condition} order by random()) u
       join organizations o on o.tenant_id = u.tenant_id and o.slug = u.slug on conflict do nothing`,
      [ROLE.member, TENANT],
    )
  await join(`'bench-1'`, 'random() < 0.02')
  await join(`'bench-2'`, `(attributes->>'place')::int between ${0.6 * people} and ${0.62 * people}`)
  await join(`'bench-' || 3 + floor(power(random(), 2) * ${SMALLER - 3})`, 'random() < 0.4')
}

/** Drops all indexes but those of constraints; answers how to make them again, which is much faster than filling them. */
async function withoutIndexes(db: Knex): Promise<() => Promise<void>> {
  const { rows } = await db.raw(
    `select i.indexname as name, i.indexdef as definition from pg_indexes i
     where i.schemaname = 'public' and i.tablename in ('users', 'user_roles', 'memberships')
       and not exists (select from pg_constraint c where c.conname = i.indexname)`,
  )
  for (const { name } of rows) await db.raw('drop index ??', [name])
  return async () => {
    for (const { definition } of rows) await db.raw(definition)
  }
}
