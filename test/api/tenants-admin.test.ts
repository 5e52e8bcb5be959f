import { expect } from 'chai'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { appCode, forgetSteps, withApp } from '../support/mfa.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

describe('tenants', () => {
  let app: TestApp
  let root: string
  let anna: Person
  let globex: { id: string; boss: Person }
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    root = await app.admin()
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
    globex = await withTenant(app, 'globex')
  })
  after(() => app.close())
  const top = (method: string, path: string, body?: unknown, headers = {}) =>
    app.call(method, path, { token: root, headers, ...(body !== undefined && { body }) })
  const login = (person: Pick<Person, 'email' | 'password'>, base = '') =>
    app.call('POST', `${base}/v1/auth/login`, {
      body: { email: person.email, password: person.password },
      headers: from(),
    })

  it('are ready as soon as they are made: issuer, keys, roles, settings, people', async () => {
    const settings = { password_min_length: 12 }
    const made = await top('POST', '/v1/tenants', {
      name: 'Ácme & Söhne',
      branding: { primary_color: '#0a7d4f' },
      settings,
    })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    expect(made.body).to.include({ slug: 'acme-sohne', status: 'active', issuer: `${app.url}/t/acme-sohne` })
    expect(made.body.branding).to.deep.equal({ primary_color: '#0a7d4f' })
    const base = '/t/acme-sohne'
    expect((await app.call('GET', `${base}/.well-known/openid-configuration`)).body.issuer).to.equal(made.body.issuer)
    expect((await app.call('GET', `${base}/v1/auth/settings`)).body.password_min_length).to.equal(12)
    const cleo = await someone(app, ROLE.superAdmin, { base, tenantId: made.body.id, email: 'cleo@example.com' })
    expect((await app.call('GET', `${base}/v1/users`, { token: cleo.accessToken })).status).to.equal(200)
    const users = await top('GET', `/v1/tenants/${made.body.id}/users?limit=20&offset=0`)
    expect(users.body).to.include({ limit: 20, offset: 0, count: 1, total: 1 })
    expect(users.body.users[0].email).to.equal(cleo.email)
    const stats = await top('GET', '/v1/tenants/acme-sohne/stats')
    expect(stats.body.users).to.include({ total: 1, active: 1, created: 1 })
    expect(stats.body.sessions).to.include({ active: 1, api: 1, people: 1 })
    expect(stats.body.logins).to.include({ succeeded: 1, registered: 1 })
    const told = await app.db('events').where({ tenant_id: DEFAULT_TENANT, type: 'tenant.created' })
    expect(told.map((e: any) => e.data.slug)).to.deep.equal(['acme-sohne'])
  })

  it('have names of their own and good values, or are not made', async () => {
    const before = await app.db('tenants').count({ n: '*' })
    expectProblem(await top('POST', '/v1/tenants', { name: 'X', slug: 'globex' }), 409, 'CONFLICT')
    expectProblem(await top('POST', '/v1/tenants', { name: 'X', slug: 'Not/Good' }), 400, 'VALIDATION_ERROR')
    expectProblem(await top('POST', '/v1/tenants', { name: '!!!' }), 400, 'VALIDATION_ERROR')
    expectProblem(await top('POST', '/v1/tenants', { name: 'X', settings: { nonsense: 1 } }), 404, 'NOT_FOUND')
    const script = { logo_uri: 'javascript:alert(1)' }
    expectProblem(await top('POST', '/v1/tenants', { name: 'X', branding: script }), 400, 'VALIDATION_ERROR')
    expectProblem(await top('POST', '/v1/tenants', { name: 'X', status: 'deleted' }), 400, 'VALIDATION_ERROR')
    expect(await app.db('tenants').count({ n: '*' })).to.deep.equal(before)
  })

  it('are managed from the default tenant only, and made by super administrators only', async () => {
    const boss = { token: globex.boss.accessToken }
    const body = { name: 'Mine' }
    for (const path of [
      '/v1/tenants',
      `/v1/tenants/${DEFAULT_TENANT}`,
      '/v1/tenants/globex',
      '/v1/tenants/globex/users',
    ])
      expectProblem(await app.call('GET', `/t/globex${path}`, boss), 404, 'NOT_FOUND')
    expectProblem(await app.call('POST', '/t/globex/v1/tenants', { ...boss, body }), 404, 'NOT_FOUND')
    const path = `/t/globex/v1/tenants/globex/users/${anna.id}`
    expectProblem(await app.call('POST', path, { ...boss, body: {} }), 404, 'NOT_FOUND')
    const admin = { token: anna.accessToken }
    expect((await app.call('GET', '/v1/tenants', admin)).status).to.equal(200)
    expectProblem(await app.call('POST', '/v1/tenants', { ...admin, body }), 403, 'ACCESS_DENIED')
    expectProblem(await app.call('DELETE', '/v1/tenants/globex', admin), 403, 'ACCESS_DENIED')
    expect(await app.db('tenants').where({ name: 'Mine' })).to.deep.equal([])
    expect((await app.db('tenants').where({ slug: 'globex' }).first()).status).to.equal('active')
  })

  it('are found by slug or name, page after page', async () => {
    await app.db('tenants').insert(
      Array.from({ length: 30 }, (_, i) => ({
        id: newId(),
        slug: `bulk-${String(i).padStart(2, '0')}`,
        name: `Bulk ${i}`,
      })),
    )
    const first = (await top('GET', '/v1/tenants?q=bulk&limit=20')).body
    expect(first).to.include({ total: 30, count: 20, next_cursor: 'bulk-19' })
    const rest = (await top('GET', `/v1/tenants?q=bulk&limit=20&cursor=${first.next_cursor}`)).body
    expect(rest.tenants.map((t: any) => t.slug)).to.deep.equal(Array.from({ length: 10 }, (_, i) => `bulk-${20 + i}`))
    expect((await top('GET', '/v1/tenants?q=bulk&limit=20&offset=20')).body.tenants).to.deep.equal(rest.tenants)
    expect((await top('GET', '/v1/tenants?q=%25')).body.total).to.equal(0)
    expect((await top('GET', '/v1/tenants?q=BULK')).body.total).to.equal(first.total)
  })

  it('look in another way: as told in their own log, and without what was uploaded before', async () => {
    const there = (method: string, path: string, body?: unknown) =>
      app.call(method, `/t/globex${path}`, { token: globex.boss.accessToken, ...(body !== undefined && { body }) })
    const uploaded = await there('PUT', '/v1/admin/branding/logo', { data: 'R0lGODlhAQABAAAAACw=' })
    expect(uploaded.body.logo_uploaded).to.equal(true)
    const logo_uri = 'https://globex.example/logo.png'
    const changed = await top('PUT', '/v1/tenants/globex', { branding: { logo_uri, primary_color: '#112233' } })
    expect(changed.body.branding).to.deep.equal({ logo_uri, primary_color: '#112233' })
    const { body } = await there('GET', '/v1/audit/logs?event_type=branding.changed&limit=1')
    expect(body.logs[0].data.new).to.deep.equal({ logo: null, logo_uri, primary_color: '#112233' })
    expect(await app.db('tenant_images').where({ tenant_id: globex.id })).to.deep.equal([])
    const again = await top('PUT', '/v1/tenants/globex', { branding: { logo_uri: null, primary_color: null } })
    expect(again.body.branding).to.deep.equal({})
  })

  it('change, and are suspended and woken again at once', async () => {
    const read = await top('GET', '/v1/tenants/globex')
    const match = { 'if-match': read.headers.get('etag')! }
    const named = await top('PUT', '/v1/tenants/globex', { name: 'Globex SE' }, match)
    expect(named.body, JSON.stringify(named.body)).to.include({ name: 'Globex SE', slug: 'globex' })
    expectProblem(await top('PUT', '/v1/tenants/globex', { name: 'Late' }, match), 412, 'PRECONDITION_FAILED')
    expect((await top('PUT', '/v1/tenants/globex', { status: 'suspended' })).body.status).to.equal('suspended')
    await eventually(async () => {
      for (const path of ['/v1/auth/me', '/.well-known/openid-configuration', '/v1/auth/settings']) {
        const answer = await app.call('GET', `/t/globex${path}`, { token: globex.boss.accessToken })
        expect(answer.status, path).to.equal(403)
      }
    })
    expect((await login(globex.boss, '/t/globex')).status).to.equal(403)
    expect((await top('GET', '/v1/tenants?status=suspended')).body.tenants.map((t: any) => t.slug)).to.deep.equal([
      'globex',
    ])
    expect((await top('PUT', '/v1/tenants/globex', { status: 'active' })).status).to.equal(200)
    await eventually(async () => expect((await login(globex.boss, '/t/globex')).status).to.equal(200))
    const types = await app.db('events').whereILike('type', 'tenant.%').pluck('type')
    expect(types).to.include.members(['tenant.updated', 'tenant.suspended', 'tenant.activated'])
    expectProblem(await top('PUT', '/v1/tenants/default', { status: 'suspended' }), 409, 'CONFLICT')
    expect((await app.db('tenants').where({ id: DEFAULT_TENANT }).first()).status).to.equal('active')
  })

  it('are deleted with a way back, the default one never', async () => {
    const { id, boss } = await withTenant(app, 'initech')
    expect((await top('DELETE', '/v1/tenants/initech')).status).to.equal(200)
    await eventually(async () => expect((await login(boss, '/t/initech')).status).to.equal(404))
    expectProblem(await top('GET', `/v1/tenants/${id}`), 404, 'NOT_FOUND')
    expectProblem(await top('DELETE', `/v1/tenants/${id}`), 404, 'NOT_FOUND')
    expectProblem(await top('PUT', `/v1/tenants/${id}`, { name: 'Ghost' }), 404, 'NOT_FOUND')
    expectProblem(await top('POST', '/v1/tenants', { name: 'X', slug: 'initech' }), 409, 'CONFLICT')
    expect((await top('PUT', `/v1/tenants/${id}`, { status: 'active' })).body.status).to.equal('active')
    await eventually(async () => expect((await login(boss, '/t/initech')).status).to.equal(200))
    expectProblem(await top('DELETE', '/v1/tenants/default'), 409, 'CONFLICT')
  })

  it('a person moves with password and factors, without roles and sessions, and back', async () => {
    const dora = await someone(app, ROLE.admin, { email: 'dora@example.com' })
    const { secret } = await withApp(app, dora)
    const path = `/v1/tenants/globex/users/${dora.id}`
    expectProblem(await app.call('POST', path, { token: anna.accessToken, body: {} }), 403, 'ACCESS_DENIED')
    const moved = await top('POST', path, {})
    expect(moved.status, JSON.stringify(moved.body)).to.equal(200)
    expect((await app.call('GET', '/v1/auth/me', { token: dora.accessToken })).status).to.equal(401)
    expect((await login(dora)).status).to.equal(401)
    const first = await login(dora, '/t/globex')
    expect(first.body, JSON.stringify(first.body)).to.include({ mfa_required: true, user_id: dora.id })
    await forgetSteps(app, dora.id)
    const second = await app.call('POST', '/t/globex/v1/auth/login/mfa', {
      body: { user_id: dora.id, mfa_token: first.body.mfa_token, code: appCode(secret) },
      headers: from(),
    })
    expect(second.status, JSON.stringify(second.body)).to.equal(200)
    expect(await app.db('user_roles').where({ user_id: dora.id }).pluck('role_id')).to.deep.equal([ROLE.user])
    expect((await top('POST', path, {})).status).to.equal(200)
    expect((await top('DELETE', path)).status).to.equal(200)
    expectProblem(await top('DELETE', path), 404, 'NOT_FOUND')
    expect((await login(dora)).body).to.include({ mfa_required: true })
    expect(await app.db('users').where({ id: dora.id }).pluck('tenant_id')).to.deep.equal([DEFAULT_TENANT])
    const log = await app.db('events').where({ user_id: dora.id }).whereILike('type', '%moved%').orderBy('id')
    expect(log.map((e: any) => e.type)).to.have.members([
      ...['user.moved_away', 'user.moved_here', 'tenant.user_moved'],
      ...['user.moved_away', 'user.moved_here', 'tenant.user_moved'],
    ])
  })

  it('nobody moves onto somebody else’s address, and the last super administrator stays', async () => {
    const here = await someone(app, undefined, { email: 'emil@example.com' })
    const there = await someone(app, undefined, { base: '/t/globex', tenantId: globex.id, email: 'Emil@example.com' })
    expectProblem(await top('POST', `/v1/tenants/globex/users/${here.id}`, {}), 409, 'CONFLICT')
    expectProblem(await top('DELETE', `/v1/tenants/globex/users/${there.id}`), 409, 'CONFLICT')
    expectProblem(await top('POST', `/v1/tenants/globex/users/${newId()}`, {}), 404, 'NOT_FOUND')
    expectProblem(await top('DELETE', `/v1/tenants/default/users/${here.id}`), 409, 'CONFLICT')
    expect((await login(here)).status).to.equal(200)
    expect((await login(there, '/t/globex')).status).to.equal(200)
    const me = (await top('GET', '/v1/auth/me')).body
    expectProblem(await top('POST', `/v1/tenants/globex/users/${me.id ?? me.user.id}`, {}), 409, 'CONFLICT')
    expect((await top('GET', '/v1/auth/me')).status).to.equal(200)
  })

  it('where two tenants have somebody with one id, nobody is moved by guess', async () => {
    const here = await someone(app)
    const row = await app.db('users').where({ id: here.id }).first('id', 'email', 'email_key')
    await app.db('users').insert({ ...row, tenant_id: globex.id })
    expectProblem(await top('POST', `/v1/tenants/initech/users/${here.id}`, {}), 409, 'CONFLICT')
    await app.db('users').where({ id: here.id, tenant_id: globex.id }).delete()
    expect((await login(here)).status).to.equal(200)
  })

  it('statistics count, and services say how they are', async () => {
    const admin = { token: anna.accessToken }
    const { body } = await app.call('GET', '/v1/admin/stats?days=7', admin)
    expect(body.users.total).to.equal(await counted())
    expect(body).to.include({ organizations: 0, invitations: 0, client_requests: 0 })
    const factor = { tenant_id: DEFAULT_TENANT, user_id: anna.id, type: 'totp', secret: 'x' }
    await app.db('credentials').insert([
      { ...factor, id: newId(), verified_at: new Date() },
      { ...factor, id: newId(), type: 'sms' },
    ])
    const after = (await app.call('GET', '/v1/admin/stats', admin)).body.users
    expect(after.second_factor, 'not what waits for its proof').to.equal(body.users.second_factor + 1)
    await app.db('credentials').where({ user_id: anna.id, secret: 'x' }).delete()
    expect(body.logins.per_day.length).to.equal(7)
    expect(body.logins.per_day.at(-1).succeeded).to.equal(body.logins.succeeded).and.greaterThan(2)
    expect(body.sessions.active).to.be.greaterThan(1)
    expect((await app.call('GET', '/admin/stats?days=7', admin)).body.users).to.deep.equal(body.users)
    const services = (await app.call('GET', '/v1/admin/services', admin)).body
    const status = Object.fromEntries(services.services.map((s: any) => [s.name, s.status]))
    expect(status).to.deep.equal({ database: 'up', mail: 'up', sms: 'not_configured', redis: 'not_configured' })
    expect(services.queue).to.have.all.keys('waiting', 'scheduled', 'running', 'failed', 'oldest')
    expect(services.webhooks).to.deep.equal({ due: 0, waiting: 0 })
    expect(JSON.stringify(services)).not.to.match(/127\.0\.0\.1|localhost/)
    const realm = '/api/admin/globex/analytics'
    const logins = (await app.call('GET', `${realm}/login-stats?days=1`, { token: root })).body.data
    expect(logins.perDay.length).to.equal(1)
    expect(logins.succeeded).to.be.greaterThan(0)
    const sessions = (await app.call('GET', `${realm}/session-stats`, { token: root })).body.data
    expect(sessions).to.include.keys('active', 'browser', 'api', 'people', 'opened', 'countries')
    const nobody = await someone(app)
    expectProblem(await app.call('GET', '/v1/admin/stats', { token: nobody.accessToken }), 403, 'ACCESS_DENIED')
  })
  const counted = async () =>
    Number((await app.db('users').where({ tenant_id: DEFAULT_TENANT, deleted_at: null }).count({ n: '*' }))[0]!.n)
})
