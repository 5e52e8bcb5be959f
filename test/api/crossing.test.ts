/** Another tenant's id, in every parameter of every path, answers what an unknown id answers. Taken from the rows. */
import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import { snake } from '../../server/kernel/surface.ts'
import { from } from '../support/address.ts'
import { type Answer, startApp, type TestApp } from '../support/app.ts'
import { someone, withTenant } from '../support/roles.ts'
import { allRows, type Bound, nameOf } from '../support/rows.ts'
import { filled, maker, type Side, thingsOf } from '../support/things.ts'

/** Parameters that name no thing of a tenant: languages, settings, kinds, providers, whose own rules are tested elsewhere. */
const names = new Set(['realm', 'locale', 'name', 'key', 'type', 'provider'])
/** Registering and single sign-on have credentials and paths of their own. */
const elsewhere = /^\/oauth\/|^\/api\/auth\/(login|callback)\/|webauthn|consents|^\/auth\/token\/|audit\/logs/
const named = allRows.filter(({ row }) => !elsewhere.test(row.path) && parameters(row.path).length > 0)
/** One row of each operation with the same keys in its path: the rows differ in spelling only. */
const rows = named.filter(
  (bound, i) => named.findIndex((other) => other.row.op === bound.row.op && keysOf(other) === keysOf(bound)) === i,
)
function keysOf({ row }: Bound): string {
  return parameters(row.path)
    .map((name) => snake(row.names?.[name] ?? name))
    .join()
}
function parameters(path: string): string[] {
  return [...path.matchAll(/:(\w+)/g)].map(([, name]) => name!).filter((name) => !names.has(name))
}
/** What a tenant's own super administrator is refused there whatever the id, because tenants are managed from the default one. */
const refusedAnyway = /^\/v1\/tenants\//
/** Nobody's list is empty. */
const lists = /^\/api\/organization-memberships\/user\//
/** Whoever is invited accepts by themselves: test/api/invitations.test.ts. */
const notTheirs = /^\/v1\/invitations\/:id\/accept$/

describe("another tenant's ids", () => {
  let app: TestApp
  let acme: Side
  let home: Side
  /** Calls with one's own ids that did what they ask for: where none does, the test says nothing. */
  let succeeded = 0
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    const { id, boss } = await withTenant(app, 'acme')
    acme = { app, base: '/t/acme', tenantId: id, boss }
    home = { app, base: '', tenantId: DEFAULT_TENANT, boss: await someone(app, ROLE.superAdmin) }
  })
  after(() => app.close())

  /** With a body that fits, so that the id is what decides. */
  async function call(bound: Bound, values: Record<string, string>): Promise<Answer> {
    const { method, path, op } = bound.row
    const known = op.input.properties as Record<string, unknown>
    const own = op.example ?? {}
    const guest = 'userId' in known && !('userId' in values) ? { userId: (await thingsOf(acme, '/users/:id')).id } : {}
    const title = (op.input as any).title
    const inPath = parameters(path).map((name) => bound.row.names?.[name] ?? name)
    const body = Object.fromEntries(
      Object.entries({ ...(own as object), ...guest })
        .filter(([key]) => key in known && !inPath.includes(bound.surface.name(title, key)))
        .map(([key, value]) => [bound.surface.name(title, key), value]),
    )
    return app.call(method, acme.base + filled(path, { realm: 'acme', ...values }), {
      token: acme.boss.accessToken,
      headers: from(),
      ...(method !== 'GET' && method !== 'DELETE' && { body }),
    })
  }
  /** Without what differs from one call to the next. */
  const told = ({ status, body }: Answer, values: Record<string, string>) =>
    Object.values(values).reduce(
      (text, value) => text.replaceAll(value, '*'),
      JSON.stringify({
        status,
        body: { ...body, request_id: '', ...(body.error && { error: { ...body.error, requestId: '' } }) },
      }),
    )

  it('are looked for in every row', () => {
    expect(rows.length).to.be.greaterThan(90)
    for (const bound of rows) expect(maker(bound.row.path), nameOf(bound)).to.be.a('function')
  })

  for (const noun of [...new Set(rows.map(({ row }) => row.op.tag))])
    it(`are unknown to ${noun}`, async () => {
      const faults: string[] = []
      for (const bound of rows.filter(({ row }) => row.op.tag === noun)) {
        const { path } = bound.row
        const theirs = await thingsOf(home, path)
        const mine = await thingsOf(acme, path)
        const unknowns: string[] = []
        for (const name of parameters(path)) {
          const unknown = { ...mine, [name]: randomUUID() }
          const foreign = { ...mine, [name]: theirs[name]! }
          const [a, b] = [await call(bound, unknown), await call(bound, foreign)]
          unknowns.push(told(a, unknown))
          if (told(a, unknown) !== told(b, foreign))
            faults.push(`${nameOf(bound)} ${name}: unknown ${told(a, unknown)}, foreign ${told(b, foreign)}`)
          if (!lists.test(path) && (a.status < 400 || a.status >= 500))
            faults.push(`${nameOf(bound)} ${name}: unknown answers ${a.status}`)
        }
        if (refusedAnyway.test(path) || notTheirs.test(path)) continue
        const own = await call(bound, mine)
        if (unknowns.includes(told(own, mine))) faults.push(`${nameOf(bound)}: one's own too: ${told(own, mine)}`)
        if (own.status < 300) succeeded += 1
      }
      expect(faults).to.deep.equal([])
    }).timeout(60_000)

  it('are unknown in bodies and queries as well', async () => {
    const makerOf: Record<string, string> = {
      userId: '/users/:id',
      ownerId: '/users/:id',
      userIds: '/users/:id',
      orgId: '/api/organizations/:id',
      roleId: '/v1/admin/roles/:id',
      roleIds: '/v1/admin/roles/:id',
      role: '/v1/admin/roles/:id',
      roles: '/v1/admin/roles/:id',
      childRoles: '/v1/admin/roles/:id',
      permissionId: '/api/permissions/:id',
      permissionIds: '/api/permissions/:id',
      permissions: '/api/permissions/:id',
      invitationId: '/v1/invitations/:id',
      deviceId: '/v1/devices/:id',
      organization: '/api/organizations/:id',
    }
    const faults: string[] = []
    let refused = 0
    const seen = new Set<string>()
    for (const bound of allRows.filter(({ row }) => row.op.auth !== 'anyone' && !elsewhere.test(row.path))) {
      const { method, path, op, names: spelled = {}, self } = bound.row
      const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name]) => spelled[name!] ?? name!)
      const title = (op.input as any).title
      const isAsked = (key: string) => makerOf[key] && key !== self && !inPath.includes(bound.surface.name(title, key))
      for (const key of Object.keys(op.input.properties as object).filter(isAsked)) {
        if (seen.has(`${op.id} ${key}`)) continue
        seen.add(`${op.id} ${key}`)
        const schema = (op.input.properties as any)[key]
        const as = (id: string) => (schema.type === 'array' ? [id] : id)
        const { id: foreign } = await thingsOf(home, makerOf[key]!)
        const mine = path.replace(':realm', '').includes(':') ? await thingsOf(acme, path) : {}
        const own = { userId: '/users/:id', orgId: '/api/organizations/:id' }
        const rest: Record<string, unknown> = { ...(op.example as object) }
        for (const [other, from] of Object.entries(own))
          if (other in rest && other !== key) rest[other] = (await thingsOf(acme, from)).id
        if (key === 'roleId' || key === 'roles' || key === 'roleIds') delete rest.role
        const ask = (id: string) => {
          const body = Object.fromEntries(
            Object.entries({ ...rest, [key]: as(id) }).map(([k, value]) => [bound.surface.name(title, k), value]),
          )
          const at = acme.base + filled(path, { realm: 'acme', ...mine })
          const asQuery = method === 'GET' || method === 'DELETE'
          return app.call(method, asQuery ? `${at}?${new URLSearchParams(body as any)}` : at, {
            token: acme.boss.accessToken,
            headers: from(),
            ...(!asQuery && { body }),
          })
        }
        const unknown = randomUUID()
        const [a, b] = [await ask(unknown), await ask(foreign!)]
        if (told(a, { unknown, ...mine }) !== told(b, { foreign: foreign!, ...mine }))
          faults.push(`${nameOf(bound)} ${key}: unknown ${JSON.stringify(a.body)}, foreign ${JSON.stringify(b.body)}`)
        if (a.status >= 400) refused += 1
      }
    }
    expect(faults).to.deep.equal([])
    expect(seen.size).to.be.greaterThan(30)
    expect(refused).to.be.greaterThan(20)
  }).timeout(60_000)

  it('are the only reason: with their own ids most calls succeed', () => {
    expect(succeeded).to.be.greaterThan(70)
  })
})
