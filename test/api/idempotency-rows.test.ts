/** Every creation takes an Idempotency-Key, says so in its document, and keeps its word. Taken from the rows. */
import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { type Answer, startApp, type TestApp } from '../support/app.ts'
import { exampleFor, parametersFor } from '../support/contract.ts'
import { setting, verified } from '../support/mfa.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { someone } from '../support/roles.ts'
import { allRows, isOpen, nameOf } from '../support/rows.ts'
import { filled, go, maker, type Side, thingsOf } from '../support/things.ts'

/** Who is nobody in particular has no keys, and apps that register themselves come as nobody. */
const rows = allRows.filter(
  (bound) => bound.row.method === 'POST' && bound.row.status === 201 && !isOpen(bound) && bound.surface.id !== 'oauth',
)
/** A ceremony with an authenticator, whose challenge is used up by the first call: its answer is kept by the same code. */
const ceremonies = /webauthn\/register\/finish$/

describe('creations, each with an idempotency key', () => {
  let app: TestApp
  let side: Side
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    side = { app, base: '', tenantId: DEFAULT_TENANT, boss: await someone(app, ROLE.superAdmin) }
    await verified(app, side.boss)
    await setting(app, 'organizations_per_person', 100)
  })
  after(() => app.close())

  it('declare it, and nothing else does', () => {
    expect(rows.length).to.be.greaterThan(25)
    for (const bound of allRows) {
      const declared = parametersFor(bound).some(({ name }: { name: string }) => name === 'Idempotency-Key')
      expect(declared, nameOf(bound)).to.equal(rows.includes(bound))
    }
  })

  /** A body that nobody sent before. */
  async function bodyFor(bound: (typeof rows)[number]): Promise<Record<string, any>> {
    const { row, surface } = bound
    const title = (row.op.input as any).title
    const known = row.op.input.properties as object
    const inPath = [...row.path.matchAll(/:(\w+)/g)].map(([, name]) => row.names?.[name!] ?? name!)
    const fresh: Record<string, any> = {}
    const word = `w${randomUUID().slice(0, 8)}`
    const person = async () => (await go(side, 'POST', '/v1/users', { email: `${randomUUID()}@example.com` })).id
    if ('name' in known && !/permissions/.test(row.path)) fresh.name = word
    if (/permissions$/.test(row.path)) fresh.name = `things:${word}`
    if ('email' in known) fresh.email = `${word}@example.com`
    if ('slug' in known) fresh.slug = word
    if ('identifier' in known) fresh.identifier = `https://${word}.example.com`
    if ('clientId' in known && /clients$/.test(row.path)) fresh.clientId = word
    if ('orgId' in known) fresh.orgId = (await thingsOf(side, '/api/organizations/:id')).id
    if ('ownerEmail' in known) fresh.ownerEmail = side.boss.email
    if ('clientKey' in known) fresh.clientKey = 'gatehouse'
    if ('userId' in known && !inPath.includes(surface.name(title, 'userId'))) fresh.userId = await person()
    if (row.op.id === 'roles.create_composite') fresh.roles = ['user']
    if (row.op.id === 'webhooks.create') fresh.url = 'https://hooks.invalid/'
    const spelled = Object.fromEntries(Object.entries(fresh).map(([key, value]) => [surface.name(title, key), value]))
    return { ...exampleFor(bound), ...spelled }
  }

  for (const bound of rows.filter(({ row }) => !ceremonies.test(row.path)))
    it(nameOf(bound), async () => {
      const { path } = bound.row
      const values = path.replace(':realm', '').includes(':') && maker(path) ? await thingsOf(side, path) : {}
      const at = filled(path, { realm: 'default', ...values })
      const body = await bodyFor(bound)
      if (/workspaces\/:id\/members$/.test(path)) {
        const { organization_id } = await app.db('workspaces').where({ id: values.id }).first('organization_id')
        await go(side, 'POST', '/api/organization-memberships', { user_id: body.user_id, org_id: organization_id })
      }
      const key = randomUUID()
      const send = (sent: object, as = key) =>
        app.call('POST', at, {
          token: side.boss.accessToken,
          body: sent,
          headers: { ...from(), 'idempotency-key': as },
        })
      const events = async () => Number((await app.db('events').count({ n: '*' }))[0]!.n)
      const first = await send(body)
      expect(first.status, JSON.stringify(first.body)).to.equal(201)
      expect(first.headers.get('idempotency-replayed')).to.equal(null)
      const made = await events()
      const again: Answer = await send(body)
      expect(again.status).to.equal(201)
      expect(again.body).to.deep.equal(first.body)
      expect(again.headers.get('idempotency-replayed')).to.equal('true')
      expect(await events(), 'nothing was done twice').to.equal(made)
      const other = { ...body, ...changed(body) }
      const refused = bound.surface.id === 'sso' ? expectSsoFailure : expectProblem
      if (JSON.stringify(other) !== JSON.stringify(body)) refused(await send(other), 422, 'IDEMPOTENCY_KEY_REUSED')
      expect(await events()).to.equal(made)
    })

  /** The same with one value of it changed, in its form. */
  const changed = (body: Record<string, any>): object => {
    const [key, value] =
      Object.entries(body).find(([, one]) => typeof one === 'string' || typeof one === 'number') ?? []
    if (key === undefined) return {}
    if (typeof value === 'number') return { [key]: value + 1 }
    return { [key]: /@/.test(value) ? `other-${value}` : /^[0-9a-f-]{36}$/.test(value) ? randomUUID() : `${value}x` }
  }
})
