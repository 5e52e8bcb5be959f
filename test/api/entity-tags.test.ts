/** ETag, If-Match and If-None-Match, for everything that is read by itself and changed: taken from the rows. */
import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import type { Row } from '../../server/kernel/surface.ts'
import { from } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { someone } from '../support/roles.ts'
import { allRows, type Bound, nameOf } from '../support/rows.ts'
import { filled, go, maker, type Side, thingsOf } from '../support/things.ts'

const WRITES = ['PUT', 'PATCH', 'DELETE']
const isList = ({ op }: Row) => Boolean((op.output as any).page)
/** One's own face, which nobody else changes; and registration by RFC 7592, which replaces as a whole. */
const exempt = /^\/users\/me$|^\/api\/account\/|^\/oauth\/register\//

interface Thing {
  path: string
  get: Bound
  writes: Bound[]
}
const things: Thing[] = []
const shape = (path: string) => path.replace(/:(?!realm)\w+/g, ':')
for (const get of allRows) {
  const { path } = get.row
  if (get.row.method !== 'GET' || exempt.test(path) || (isList(get.row) && !get.row.op.version)) continue
  const writes = allRows.filter(({ row }) => shape(row.path) === shape(path) && WRITES.includes(row.method))
  if (writes.length > 0) things.push({ path, get, writes })
}
/** What changes it, where the example of the operation would not do. */
const changes: Record<string, () => object> = {
  'permissions.update': () => ({ description: randomBytes(4).toString('hex') }),
  'memberships.update': () => ({ roleId: 'Admin' }),
  'settings.put_configuration': () => ({ supportUrl: `https://${randomBytes(4).toString('hex')}.example.com` }),
  'texts.change': () => ({ texts: { 'login.title': randomBytes(4).toString('hex') } }),
  'mail_templates.change': () => ({ blocks: { subject: randomBytes(4).toString('hex') } }),
  'branding.update': () => ({ primaryColor: `#${randomBytes(3).toString('hex')}` }),
}
const text = () => randomBytes(4).toString('hex')
const otherwise = ({ row }: Bound): object => {
  const known = row.op.input.properties as object
  if ('description' in known) return { description: text() }
  if ('name' in known) return { name: `n${text()}` }
  if ('nickname' in known) return { nickname: text() }
  if ('clientName' in known) return { clientName: text() }
  throw new Error(`how is ${nameOf({ row } as Bound)} changed?`)
}

describe('entity tags', () => {
  let app: TestApp
  let side: Side
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    side = { app, base: '', tenantId: DEFAULT_TENANT, boss: await someone(app, ROLE.superAdmin) }
  })
  after(() => app.close())

  const bodyOf = (bound: Bound): object | undefined => {
    if (bound.row.method === 'DELETE') return undefined
    const change = (changes[bound.row.op.id] ?? (() => otherwise(bound)))()
    const { op } = bound.row
    return Object.fromEntries(
      Object.entries(change).map(([key, value]) => [bound.surface.name((op.input as any).title, key), value]),
    )
  }
  const paramsOf = async (path: string): Promise<Record<string, string>> => {
    if (path.startsWith('/v1/tenants/')) return { id: (await go(side, 'POST', '/v1/tenants', { name: text() })).id }
    return path.replace(':realm', '').includes(':') ? thingsOf(side, path) : {}
  }
  const call = (method: string, path: string, headers: Record<string, string> = {}, body?: object) =>
    app.call(method, path, { token: side.boss.accessToken, headers: { ...from(), ...headers }, body })

  it('cover every operation on what has a page of its own', () => {
    expect(things.length).to.be.greaterThan(25)
    const without = things.flatMap(({ get, writes }) => [get, ...writes]).filter(({ row }) => !row.op.version)
    expect(without.map(nameOf)).to.deep.equal([])
  })

  for (const { path, get, writes } of things) {
    const changing = writes.filter(({ row }) => row.method !== 'DELETE')
    it(`of ${path}: ${writes.map(({ row }) => row.method).join(', ')}`, async () => {
      const params = await paramsOf(path)
      const at = filled(path, { realm: 'default', ...params })
      const refused = get.surface.id === 'sso' ? expectSsoFailure : expectProblem
      const read = async () => {
        const { status, headers, body } = await call('GET', at)
        expect(status, JSON.stringify(body)).to.equal(200)
        return headers.get('etag')!
      }
      for (const bound of changing) {
        const { method } = bound.row
        const seen = await read()
        expect(seen).to.match(/^"[\w-]{22}"$/)
        const known = await call('GET', at, { 'if-none-match': `"other", W/${seen}` })
        expect(known).to.include({ status: 304, body: '' })
        expect(known.headers.get('etag')).to.equal(seen)
        expect((await call('GET', at, { 'if-none-match': '"other"' })).status).to.equal(200)
        for (const tag of ['"other"', `W/${seen}`, seen.slice(1, -1)])
          refused(await call(method, at, { 'if-match': tag }, bodyOf(bound)), 412, 'PRECONDITION_FAILED')
        expect(await read(), 'nothing was changed').to.equal(seen)
        const two = await Promise.all([1, 2].map(() => call(method, at, { 'if-match': seen }, bodyOf(bound))))
        const [won, ...more] = two.filter(({ status }) => status === 200)
        expect(more, 'one of two who read the same').to.deep.equal([])
        expect(won, JSON.stringify(two.map(({ body }) => body))).to.be.an('object')
        refused(two.find((answer) => answer !== won)!, 412, 'PRECONDITION_FAILED')
        const now = won!.headers.get('etag')!
        expect(now)
          .to.match(/^"[\w-]{22}"$/)
          .and.not.equal(seen)
        expect(await read()).to.equal(now)
        expect((await call(method, at, { 'if-match': `"other", ${now}` }, bodyOf(bound))).status).to.equal(200)
      }
      for (const { row } of writes.filter(({ row }) => row.method === 'DELETE')) {
        refused(await call(row.method, at, { 'if-match': '"other"' }), 412, 'PRECONDITION_FAILED')
        expect((await call(row.method, at, { 'if-match': await read() })).status).to.equal(200)
      }
    })
  }

  it('are of the thing, whatever address it is changed by', async () => {
    const name = `things:${text()}`
    const { id } = await go(side, 'POST', '/api/permissions', { name })
    const read = async () => (await call('GET', `/api/permissions/${id}`)).headers.get('etag')!
    for (let round = 0; round < 5; round += 1) {
      const seen = await read()
      const both = [id, id.toUpperCase(), name].map((key) =>
        call('PUT', `/api/permissions/${key}`, { 'if-match': seen }, { description: text() }),
      )
      const statuses = (await Promise.all(both)).map(({ status }) => status).sort()
      expect(statuses, 'one of three who read the same').to.deep.equal([200, 412, 412])
    }
  })

  it('do not tell that something exists to who may not see it', async () => {
    const { accessToken: token } = await someone(app)
    for (const { path, get } of things.filter(({ path }) => path.includes(':id') && maker(path))) {
      const at = filled(path, await thingsOf(side, path))
      const headers = { 'if-none-match': '*', 'if-match': '"other"' }
      for (const { row } of allRows.filter((bound) => bound.row.path === path)) {
        const answer = await app.call(row.method, at, { token, headers, ...(row.method !== 'GET' && { body: {} }) })
        expect(answer.status, `${row.method} ${path}`).to.be.oneOf([400, 403, 404])
        expect(answer.headers.get('etag')).to.equal(null)
      }
      expect(get.row.op.version).to.be.a('function')
    }
  }).timeout(60_000)
})
