import { expect } from 'chai'
import type { Context } from '../../server/domain/context.ts'
import { DEFAULT_TENANT as TENANT } from '../../server/domain/ids.ts'
import { STEPS } from '../../server/domain/user-admin/arms.ts'
import type { UserFilter } from '../../server/domain/user-admin/filter.ts'
import { EFFORT, list, SORTS, type Sort } from '../../server/domain/user-admin/list.ts'
import { startApp, type TestApp } from '../support/app.ts'

const PEOPLE = 240
const DAY = 86_400_000
const START = Date.UTC(2024, 0, 1)
const day = (n: number) => new Date(START + n * DAY)

interface Made {
  id: string
  email_key: string
  given_name: string
  family_name: string | null
  created_at: Date
  last_login_at: Date | null
  status: 'active' | 'disabled' | 'deleted'
  locked_until: Date | null
  deleted_at: Date | null
  email_verified_at: Date | null
  groups: string[]
}

describe('lists of people', () => {
  let app: TestApp
  let ctx: Context
  const people: Made[] = []
  const [staff, crew, club] = ['a', 'b', 'c'].map((letter) => `00000000-0000-7000-9000-00000000000${letter}`) as [
    string,
    string,
    string,
  ]

  before(async () => {
    app = await startApp()
    ctx = { db: app.db, tenant: { id: TENANT } } as Context
    await app.db('user_roles').delete()
    await app.db('users').delete()
    for (let i = 0; i < PEOPLE; i += 1) people.push(made(i))
    await app
      .db('users')
      .insert(people.map(({ groups, ...person }) => ({ ...person, tenant_id: TENANT, email: person.email_key })))
    await app.db('roles').insert([staff, crew].map((id) => ({ tenant_id: TENANT, id, name: `role-${id.slice(-1)}` })))
    await app.db('organizations').insert({ tenant_id: TENANT, id: club, slug: 'club', name: 'Club' })
    const holders = (group: string) => people.filter(({ groups }) => groups.includes(group)).map(({ id }) => id)
    for (const role_id of [staff, crew])
      await app.db('user_roles').insert(holders(role_id).map((user_id) => ({ tenant_id: TENANT, user_id, role_id })))
    await app.db('memberships').insert(
      holders(club).map((user_id) => ({
        tenant_id: TENANT,
        id: user_id,
        user_id,
        organization_id: club,
        role_id: '00000000-0000-0000-0000-000000000006',
      })),
    )
    await app.db.raw('analyze users, user_roles, memberships')
  })
  after(() => app.close())

  /** Every property has its own period, several times of coming and signing in are shared. */
  function made(i: number): Made {
    const isGone = i % 11 === 3
    return {
      id: `00000000-0000-7000-8000-${String((i * 7919) % 100_000).padStart(12, '0')}`,
      email_key: `${['ada', 'grace', 'alan', 'AB_c'][i % 4]!.toLowerCase()}${(i * 37) % PEOPLE}@list.example`,
      given_name: ['Ada', 'Grace', 'Alan', 'Åsa', 'A%b'][i % 5]!,
      family_name: i % 6 === 0 ? null : ['Byron', 'Hopper', 'Adams'][i % 3]!,
      created_at: day((i * 13) % 40),
      last_login_at: i % 2 ? day(40 + ((i * 17) % 30)) : null,
      status: isGone ? 'deleted' : i % 7 === 2 ? 'disabled' : 'active',
      locked_until: i % 9 === 4 ? new Date(Date.now() + DAY) : i % 9 === 5 ? day(0) : null,
      // Not so long ago that the clean-up comes for them.
      deleted_at: isGone ? day(1) : null,
      email_verified_at: i % 5 ? day(1) : null,
      groups: [...(i % 3 === 0 ? [staff] : []), ...(i < 60 ? [crew] : []), ...(i % 8 < 3 ? [club] : [])],
    }
  }

  const kinds: UserFilter[][] = [
    [{ q: 'ada' }, { q: 'A%' }, { q: 'ab_' }, { q: 'grace HOP' }, { q: 'nobody' }],
    [{ status: 'active' }, { status: 'disabled' }, { status: 'locked' }, { status: 'deleted' }],
    [{ roleIds: [staff] }, { roleIds: [staff, crew] }],
    [{ organizationId: club }],
    [{ emailVerified: true }, { emailVerified: false }],
    [{ createdAfter: day(10) }, { createdAfter: day(3), createdBefore: day(5) }],
    [{ lastLoginAfter: day(50) }, { lastLoginBefore: day(45) }],
  ]
  const singles = kinds.flat()
  const pairs = kinds.flatMap((ones, i) =>
    ones.flatMap((one) => kinds.slice(i + 1).flatMap((others) => others.map((other) => ({ ...one, ...other })))),
  )
  const three = { q: 'a', roleIds: [staff], organizationId: club, emailVerified: true }

  function naive(filter: UserFilter, sort: Sort): string[] {
    const begins = (text: string, q: string) => text.toLowerCase().startsWith(q.toLowerCase())
    const seen = ({ last_login_at }: Made) => last_login_at?.getTime() ?? -Infinity
    const passes = (p: Made) =>
      (p.deleted_at !== null) === (filter.status === 'deleted') &&
      (!filter.q ||
        begins(p.email_key, filter.q) ||
        begins(`${p.given_name} ${p.family_name ?? ''}`, filter.q) ||
        begins(p.family_name ?? '', filter.q)) &&
      (filter.status === undefined ||
        (filter.status === 'locked' ? (p.locked_until?.getTime() ?? 0) > Date.now() : p.status === filter.status)) &&
      [...(filter.roleIds ?? []), filter.organizationId].every((id) => !id || p.groups.includes(id)) &&
      (filter.emailVerified === undefined || (p.email_verified_at !== null) === filter.emailVerified) &&
      (!filter.createdAfter || p.created_at >= filter.createdAfter) &&
      (!filter.createdBefore || p.created_at < filter.createdBefore) &&
      (!filter.lastLoginAfter || seen(p) >= filter.lastLoginAfter.getTime()) &&
      (!filter.lastLoginBefore || seen(p) < filter.lastLoginBefore.getTime())
    const key = (p: Made) =>
      sort.endsWith('email') ? p.email_key : sort.endsWith('created_at') ? p.created_at.getTime() : seen(p)
    const order = (a: Made, b: Made) =>
      key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.id < b.id ? -1 : a.id > b.id ? 1 : 0
    const found = people.filter(passes).sort(order)
    return (sort.startsWith('-') ? found.reverse() : found).map(({ id }) => id)
  }

  /** All pages by cursor, and one by offset. */
  async function compare(filter: UserFilter, sort: Sort): Promise<void> {
    const wanted = naive(filter, sort)
    const title = `${JSON.stringify(filter)} by ${sort}`
    const found: string[] = []
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
      const page = await list(ctx, filter, { limit: 25, offset: 0, sort, cursor })
      found.push(...page.items.map(({ id }) => id))
      if (!page.totalEstimated) expect(page.total, title).to.equal(wanted.length)
      cursor = page.nextCursor
      if (cursor) expect(page.items, title).to.have.length(25)
    }
    expect(found, title).to.deep.equal(wanted)
    const later = await list(ctx, filter, { limit: 10, offset: 20, sort })
    expect(
      later.items.map(({ id }) => id),
      title,
    ).to.deep.equal(wanted.slice(20, 30))
  }

  const dear = { reading: Number.POSITIVE_INFINITY }
  const efforts: Record<string, [effort?: Partial<typeof EFFORT>, steps?: Partial<typeof STEPS>]> = {
    'few are read all at once': [],
    'orders are walked, members kept in memory': [{}, { ...dear, lookingUp: 1e6 }],
    'orders are walked, members looked up': [{ kept: 0 }, { ...dear, lookingUp: 1e6 }],
    'walks end early': [{ cheap: -1, sure: -1, walk: 10 }, { reading: 50 }],
    'members are walked in the order in which they came': [
      { cheap: -1, sure: -1, walk: 10_000 },
      { ...dear, lookingUp: 0 },
    ],
  }
  for (const [name, [effort, steps]] of Object.entries(efforts))
    it(`are the same as by looking at everybody: ${name}`, async function () {
      this.timeout(120_000)
      const usual = [{ ...EFFORT }, { ...STEPS }]
      Object.assign(EFFORT, effort)
      Object.assign(STEPS, steps)
      try {
        for (const [i, filter] of [{}, ...singles, ...pairs, three].entries()) await compare(filter, SORTS[i % 6]!)
        for (const filter of singles) for (const sort of SORTS) await compare(filter, sort)
      } finally {
        Object.assign(EFFORT, usual[0])
        Object.assign(STEPS, usual[1])
      }
    })
})
