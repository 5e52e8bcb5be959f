import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { purge } from '../../server/domain/maintenance.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

/** Rita's script sends again what got no answer. */
describe('an idempotency key', () => {
  let app: TestApp
  let rita: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    rita = await someone(app, ROLE.superAdmin, { email: 'rita@example.com' })
  })
  after(() => app.close())
  const post = (path: string, body: unknown, key: string, token = rita.accessToken) =>
    app.call('POST', path, { token, body, headers: { 'idempotency-key': key } })
  const client = (name: string) => ({ client_name: name, redirect_uris: ['https://app.example.com/cb'] })
  const clients = async (name: string) =>
    Number((await app.db('clients').whereRaw(`metadata ->> 'client_name' = ?`, [name]).count({ n: '*' }))[0]!.n)
  const kept = async () => Number((await app.db('idempotency_keys').count({ n: '*' }))[0]!.n)

  it('brings the same answer again, the secret in it too, and makes nothing twice', async () => {
    const key = randomUUID()
    const events = async () =>
      Number((await app.db('events').where({ type: 'client.created' }).count({ n: '*' }))[0]!.n)
    const before = await events()
    const first = await post('/clients', client('once'), key)
    expect(first.status, JSON.stringify(first.body)).to.equal(201)
    expect(first.headers.get('idempotency-replayed')).to.equal(null)
    const again = await post('/clients', client('once'), `"${key}"`)
    expect(again.status).to.equal(201)
    expect(again.body).to.deep.equal(first.body)
    expect(again.headers.get('idempotency-replayed')).to.equal('true')
    expect(again.headers.get('etag')).to.equal(first.headers.get('etag'))
    expect(await clients('once')).to.equal(1)
    const { answer } = await app.db('idempotency_keys').orderBy('created_at', 'desc').first()
    expect(answer.toString('latin1')).to.not.contain('once')
    expect(await events()).to.equal(before + 1)
  })

  it('works once where fifty come at the same time', async () => {
    const key = randomUUID()
    const answers = await Promise.all(Array.from({ length: 50 }, () => post('/clients', client('crowd'), key)))
    expect(await clients('crowd')).to.equal(1)
    for (const answer of answers) {
      if (answer.status === 201) continue
      expectProblem(answer, answer.status, answer.status === 409 ? 'CONFLICT' : 'UNAVAILABLE')
      expect(answer.headers.get('retry-after')).to.match(/^\d+$/)
    }
    const ids = new Set(answers.filter(({ status }) => status === 201).map(({ body }) => body.client_id ?? body.id))
    expect(ids.size).to.equal(1)
    expect((await post('/clients', client('crowd'), key)).status).to.equal(201)
  })

  it('is refused with another request, and does not depend on the order of fields', async () => {
    const key = randomUUID()
    expect((await post('/v1/admin/roles', { name: 'helper', description: 'Helps' }, key)).status).to.equal(201)
    const turned = await post('/v1/admin/roles', { description: 'Helps', name: 'helper' }, key)
    expect(turned.headers.get('idempotency-replayed')).to.equal('true')
    expectProblem(await post('/v1/admin/roles', { name: 'other' }, key), 422, 'IDEMPOTENCY_KEY_REUSED')
    expect(await app.db('roles').where({ name: 'other' })).to.have.length(0)
    const elsewhere = await post('/roles', { name: 'other' }, key)
    expect(elsewhere.status, 'on another row it is another key').to.equal(201)
  })

  it('keeps nothing of what failed, so that it can be mended and sent again', async () => {
    const key = randomUUID()
    await post('/v1/admin/roles', { name: 'taken' }, randomUUID())
    expectProblem(await post('/v1/admin/roles', { name: 'taken' }, key), 409, 'CONFLICT')
    await app.db('roles').where({ name: 'taken' }).delete()
    const mended = await post('/v1/admin/roles', { name: 'taken' }, key)
    expect(mended.status).to.equal(201)
    expect(mended.headers.get('idempotency-replayed')).to.equal(null)
  })

  it('belongs to its caller, and asks for the permission every time', async () => {
    const key = randomUUID()
    const carl = await someone(app, ROLE.superAdmin)
    expect((await post('/v1/users', { email: 'one@example.com' }, key)).status).to.equal(201)
    const other = await post('/v1/users', { email: 'two@example.com' }, key, carl.accessToken)
    expect(other.status).to.equal(201)
    expect(other.headers.get('idempotency-replayed')).to.equal(null)
    const acme = await withTenant(app, 'acme')
    const there = await post('/t/acme/v1/users', { email: 'one@example.com' }, key, acme.boss.accessToken)
    expect(there.headers.get('idempotency-replayed')).to.equal(null)
    const known = await post('/v1/users', { email: 'two@example.com' }, key, carl.accessToken)
    expect(known.body.id).to.equal(other.body.id)
    await app.db('user_roles').where({ user_id: carl.id, role_id: ROLE.superAdmin }).delete()
    const refused = await post('/v1/users', { email: 'two@example.com' }, key, carl.accessToken)
    expectProblem(refused, 403, 'ACCESS_DENIED')
  })

  it('asks again inside the organization, where the caller may have lost what they held', async () => {
    await app.db('rate_limits').delete()
    const olga = await someone(app, undefined, { email: 'olga@example.com' })
    await app.db('users').where({ id: olga.id }).update({ email_verified_at: new Date() })
    const made: { path: string; body: object; key: string }[] = []
    const make = async (path: string, body: object) => {
      const key = randomUUID()
      made.push({ path, body, key })
      const answer = await post(path, body, key, olga.accessToken)
      expect(answer.status, `${path} ${JSON.stringify(answer.body)}`).to.equal(201)
      return answer.body.data.id as string
    }
    const id = await make('/api/organizations', { name: 'Acme' })
    await make(`/api/organizations/${id}/roles`, { name: 'Helper' })
    await make('/api/organization-memberships', { org_id: id, user_id: rita.id })
    await make('/api/onboarding/invitations', { org_id: id, email: 'new@acme.example' })
    const workspace = await make('/api/workspaces', { org_id: id, name: 'Team' })
    await make(`/api/workspaces/${workspace}/members`, { user_id: rita.id })
    await make(`/api/workspaces/${workspace}/invitations`, { email: 'newer@acme.example' })
    const again = async () =>
      Promise.all(made.map(async (one) => (await post(one.path, one.body, one.key, olga.accessToken)).status))
    expect(await again()).to.deep.equal(made.map(() => 201))

    const mine = () => app.db('memberships').where({ organization_id: id, user_id: olga.id })
    await mine().update({ role_id: ROLE.member })
    // She sees the organization, and is still admin of the team she made.
    expect(await again()).to.deep.equal([201, 403, 403, 403, 403, 201, 201])
    await app.db('workspace_members').where({ user_id: olga.id }).delete()
    expect(await again()).to.deep.equal([201, 403, 403, 403, 403, 404, 404])
    await mine().delete()
    expect(await again()).to.deep.equal(made.map(() => 404))
  })

  it('is not taken from who is nobody in particular, nor where nothing is made', async () => {
    const before = await kept()
    const body = { email: 'new@example.com', password: 'SecurePassword123!' }
    const headers = { 'idempotency-key': randomUUID() }
    expect((await app.call('POST', '/v1/auth/register', { body, headers })).status).to.equal(201)
    expectProblem(await app.call('POST', '/v1/auth/register', { body, headers }), 409, 'CONFLICT')
    const { id } = (await post('/v1/users', { email: 'locked@example.com' }, randomUUID())).body
    expect((await post(`/v1/users/${id}/lock`, {}, randomUUID())).status).to.equal(200)
    expect(await kept()).to.equal(before + 1)
    for (const key of ['x'.repeat(256), 'with space', '""'])
      expectProblem(await post('/v1/admin/roles', { name: 'bad' }, key), 400, 'VALIDATION_ERROR')
    const sso = await post('/api/admin/default/roles', { name: 'sso' }, 'k')
    expect(sso.status).to.equal(201)
    expectSsoFailure(await post('/api/admin/default/roles', { name: 'sos' }, 'k'), 422, 'IDEMPOTENCY_KEY_REUSED')
  })

  it('is over after a day', async () => {
    const key = randomUUID()
    await post('/v1/admin/roles', { name: 'daily' }, key)
    await app.db('idempotency_keys').update({ expires_at: app.db.raw(`now() - interval '1 s'`) })
    expectProblem(await post('/v1/admin/roles', { name: 'daily' }, key), 409, 'CONFLICT')
    await app.db('roles').where({ name: 'daily' }).delete()
    expect((await post('/v1/admin/roles', { name: 'daily' }, key)).status).to.equal(201)
    expect((await purge(app.db)).idempotency_keys).to.be.greaterThan(3)
    expect(await kept()).to.equal(1)
  })
})
