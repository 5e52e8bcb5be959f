import { expect } from 'chai'
import { fail, statusOf } from '../../server/kernel/errors.ts'
import { object, optional, resource, string } from '../../server/kernel/schema.ts'
import { encoder } from '../../server/kernel/surface.ts'
import { plain } from '../../server/surfaces/plain.ts'
import { sso } from '../../server/surfaces/sso.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { allRows, type Bound, isOpen, nameOf, pathOf } from '../support/rows.ts'
import { type Access, documented, elsewhere, extensions, served } from './documented.ts'

/** METHOD /path/{} whatever the parameter is called. */
const key = (name: string) => name.replace(/\{\w+\}|:\w+/g, '{}')
const promised = new Map<string, Access>()
for (const [name, access] of Object.entries({ ...documented, ...extensions })) promised.set(key(name), access)

function accessOf(bound: Bound): Access {
  const { auth } = bound.row.op
  if (isOpen(bound)) return 'anyone'
  if (bound.row.permission) return 'admin'
  if (auth === 'user' || (typeof auth === 'object' && 'orUser' in auth)) return 'user'
  return typeof auth === 'object' && 'orSelf' in auth ? 'self' : 'admin'
}

describe('rows', () => {
  let app: TestApp
  let user: Person
  before(async () => {
    app = await startApp()
    user = await app.person()
  })
  after(() => app.close())

  it('are bound once each', () => {
    const names = allRows.map((bound) => key(nameOf(bound)))
    expect(names.filter((name, i) => names.indexOf(name) !== i)).to.deep.equal([])
  })

  it('are those of the documents, or declared extensions', () => {
    const bound = new Set(allRows.map((b) => key(nameOf(b))))
    expect([...bound].filter((name) => !promised.has(name))).to.deep.equal([])
    expect(served.filter((name) => !bound.has(key(name)) && !elsewhere.test(name))).to.deep.equal([])
  })

  it('are for those whom the documents say', () => {
    for (const bound of allRows) {
      expect(accessOf(bound), nameOf(bound)).to.equal(promised.get(key(nameOf(bound))))
    }
  })

  it('of the front door and the provider answer, too', async () => {
    // /health gives the database 150 ms, which a busy machine may need more than once.
    await eventually(async () =>
      expect((await app.call('GET', '/health')).body).to.deep.equal({ status: 'ok', services: { database: 'up' } }),
    )
    expect((await app.call('GET', '/metrics')).body).to.match(/^# HELP/m)
    expect((await app.call('GET', '/oauth/authorize')).status).to.equal(400)
    expect((await app.call('GET', '/oauth/userinfo')).status).to.be.oneOf([400, 401])
    for (const path of ['/oauth/token', '/oauth/revoke', '/oauth/introspect']) {
      const answer = await fetch(app.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: 'token=x&grant_type=x',
      })
      expect(answer.status, path).to.be.oneOf([400, 401])
      expect(await answer.json()).to.have.property('error')
    }
  })

  it('answer 401 without credentials before they look at anything else', async () => {
    for (const bound of allRows.filter((b) => !isOpen(b))) {
      const body = bound.row.method === 'GET' || bound.row.method === 'DELETE' ? undefined : { nonsense: true }
      for (const headers of [{}, { authorization: 'Bearer nonsense' }, { authorization: 'Basic eDp4' }] as Record<
        string,
        string
      >[]) {
        const answer = await app.call(bound.row.method, pathOf(bound), { body, headers })
        const expected = bound.surface.id === 'sso' ? expectSsoFailure : expectProblem
        expected(answer, 401, 'UNAUTHORIZED')
        expect(answer.headers.get('www-authenticate'), nameOf(bound)).to.match(/^Bearer/)
        expect(answer.headers.get('cache-control')).to.equal('no-store')
      }
    }
  })

  it('of administration answer 403 to an ordinary user, before they say what exists', async () => {
    for (const bound of allRows.filter((b) => b.admin)) {
      const answer = await app.call(bound.row.method, pathOf(bound, 'gatehouse'), {
        token: user.accessToken,
        body: bound.row.method === 'GET' ? undefined : {},
      })
      const expected = bound.surface.id === 'sso' ? expectSsoFailure : expectProblem
      expected(answer, 403, 'ACCESS_DENIED')
    }
    expect((await app.db('clients').where({ client_id: 'gatehouse' })).length).to.equal(1)
  })

  it('let nothing out that their schema does not declare', () => {
    const schema = object({ id: string(), inner: resource('Inner', { nickName: optional(string()) }) })
    const value = { id: '1', password_hash: 'x', inner: { nickName: null, secret: 'x' }, extra: [1] }
    expect(encoder(plain([]), schema)(value)).to.deep.equal({ id: '1', inner: { nick_name: null } })
    expect(encoder(sso([]), schema)({ ...value, inner: {} })).to.deep.equal({ id: '1', inner: {} })
  })

  it('fail by a catalogue of codes that holds those of the documents', () => {
    const ofTheDocument = {
      VALIDATION_ERROR: 400,
      UNAUTHORIZED: 401,
      ACCESS_DENIED: 403,
      NOT_FOUND: 404,
      CONFLICT: 409,
      SINGLE_ORGANIZATION_MODE: 409,
      EMAIL_VERIFICATION_REQUIRED: 403,
      EMAIL_MISMATCH: 403,
      INVITATION_EXPIRED: 400,
    }
    expect(statusOf).to.include(ofTheDocument)
    const fault = (method: string) => (sso([]).fail(fail('INTERNAL_ERROR', 'x'), 'r', method).body as any).error.code
    expect([fault('GET'), fault('POST'), fault('PUT'), fault('DELETE')]).to.deep.equal([
      'FETCH_FAILED',
      'CREATION_FAILED',
      'UPDATE_FAILED',
      'UPDATE_FAILED',
    ])
    for (const [code, status] of Object.entries(statusOf)) {
      expect(code).to.match(/^[A-Z_]+$/)
      expect(status).to.be.within(400, 503)
    }
    for (const bound of allRows) for (const code of bound.row.op.errors ?? []) expect(statusOf).to.have.property(code)
  })
})
