import { expect } from 'chai'
import { DEFAULT_TENANT, newId } from '../../server/domain/ids.ts'
import { purgeTenants, tablesOfTenants } from '../../server/domain/tenant-purge.ts'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

describe('suspended and deleted tenants', () => {
  let app: TestApp
  let root: string
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    root = await app.admin()
  })
  after(() => app.close())
  const top = (method: string, path: string, body?: unknown) =>
    app.call(method, path, { token: root, ...(body !== undefined && { body }) })
  const login = (person: Person, base: string) =>
    app.call('POST', `${base}/v1/auth/login`, {
      body: { email: person.email, password: person.password },
      headers: from(),
    })

  it('a suspended one says so: as a page, as a problem, as an OAuth error, in the envelope', async () => {
    const { boss } = await withTenant(app, 'hush')
    await top('PUT', '/v1/tenants/hush', { status: 'suspended' })
    await eventually(async () =>
      expectProblem(await app.call('GET', '/t/hush/v1/auth/settings'), 403, 'TENANT_SUSPENDED'),
    )
    const page = await app.call('GET', '/t/hush/oauth/authorize?client_id=x', {
      headers: { accept: 'text/html', 'accept-language': 'de' },
    })
    expect(page.status).to.equal(403)
    expect(page.headers.get('content-security-policy')).to.include("default-src 'none'")
    expect(page.body).to.include('Die Anmeldung ist hier abgeschaltet').and.include('hush')
    const token = await fetch(`${app.url}/t/hush/oauth/token`, { method: 'POST', body: new URLSearchParams() })
    expect(token.status).to.equal(403)
    expect(await token.json()).to.include({ error: 'access_denied', code: 'TENANT_SUSPENDED' })
    const envelope = await app.call('GET', '/t/hush/api/permissions', { token: boss.accessToken })
    expect(envelope.body).to.include({ success: false })
    expect(envelope.body.error.code).to.equal('TENANT_SUSPENDED')
    expectProblem(await login(boss, '/t/hush'), 403, 'TENANT_SUSPENDED')
    expectProblem(
      await app.call('POST', '/t/hush/v1/auth/refresh', { body: { refresh_token: boss.refreshToken } }),
      403,
      'TENANT_SUSPENDED',
    )
    await top('PUT', '/v1/tenants/hush', { status: 'active' })
    await eventually(async () => expect((await login(boss, '/t/hush')).status).to.equal(200))
    const unknown = await app.call('GET', '/t/nowhere/', { headers: { accept: 'text/html' } })
    expect([unknown.status, unknown.headers.get('content-type')]).to.deep.equal([404, 'text/html; charset=utf-8'])
  })

  it('a deleted one comes back within its grace as it was, and not after', async () => {
    const { id, boss } = await withTenant(app, 'phoenix')
    const gone = await top('DELETE', '/v1/tenants/phoenix?grace_days=7')
    expect(gone.status, JSON.stringify(gone.body)).to.equal(200)
    const listed = (await top('GET', '/v1/tenants?status=deleted')).body.tenants.find((t: any) => t.id === id)
    expect(Date.parse(listed.purge_at) - Date.now()).to.be.within(6.9 * 86_400_000, 7.1 * 86_400_000)
    expect(await purgeTenants(app.db)).to.deep.equal([])
    await eventually(async () => expectProblem(await login(boss, '/t/phoenix'), 404, 'NOT_FOUND'))
    const back = await top('PUT', '/v1/tenants/phoenix', { status: 'active' })
    expect(back.body, JSON.stringify(back.body)).to.include({ status: 'active', purge_at: null })
    await eventually(async () => expect((await login(boss, '/t/phoenix')).status).to.equal(200))
    await top('DELETE', `/v1/tenants/${id}?grace_days=1`)
    await app.db('tenants').where({ id }).update({ purging_at: app.db.fn.now() })
    expectProblem(await top('PUT', `/v1/tenants/${id}`, { status: 'active' }), 404, 'NOT_FOUND')
    expectProblem(await top('DELETE', '/v1/tenants/hush?grace_days=0'), 400, 'VALIDATION_ERROR')
    expect((await app.db('tenants').where({ slug: 'hush' }).first()).status).to.equal('active')
  })

  /** A row in every table that has tenant_id, as far as a story of the API does not make one. */
  async function live(slug: string): Promise<{ id: string; boss: Person }> {
    const { id, boss } = await withTenant(app, slug)
    const call = (method: string, path: string, body?: unknown) =>
      app.call(method, `/t/${slug}${path}`, { token: boss.accessToken, ...(body !== undefined && { body }) })
    await call('POST', '/clients', { client_name: 'App', redirect_uris: ['https://app.example/cb'] })
    await call('POST', '/v1/resources', { identifier: 'https://api.example', name: 'API' })
    await call('POST', '/v1/api-keys', { name: 'key' })
    await call('POST', '/v1/admin/roles', { name: 'staff', permissions: ['users:read'] })
    await call('POST', `/api/admin/${slug}/roles/composite`, { name: 'all', childRoles: ['staff'] })
    await call('PATCH', '/v1/admin/settings/support_url', { value: 'https://help.example' })
    await call('POST', '/v1/users', { email: 'guest@example.com' })
    await app.call('POST', `/t/${slug}/v1/auth/forgot-password`, { body: { email: boss.email }, headers: from() })
    await someone(app, undefined, { base: `/t/${slug}`, tenantId: id })
    return { id, boss }
  }
  const rowsOf = async (id: string): Promise<Record<string, number>> => {
    const { rows } = await app.db.raw(
      `select table_name from information_schema.columns
       where column_name = 'tenant_id' and table_schema = current_schema() order by 1`,
    )
    const counted: Record<string, number> = {}
    for (const { table_name: table } of rows)
      counted[table] = Number((await app.db(table).where({ tenant_id: id }).count({ n: '*' }))[0]!.n)
    const jobs = await app.db.raw(
      `select count(*)::int as n from graphile_worker._private_jobs where payload->>'tenantId' = ?`,
      [id],
    )
    return { ...counted, jobs: jobs.rows[0].n }
  }
  const total = (counted: Record<string, number>) => Object.values(counted).reduce((a, b) => a + b, 0)

  it('nothing is left of one whose grace is over, and nothing of others is touched', async () => {
    const [doomed, other] = [await live('doomed'), await live('other')]
    const job = { tenantId: doomed.id, template: 'welcome', locales: ['en'] }
    await app.db.raw(`select graphile_worker.add_job('mail', ?::json, run_at => now() + interval '1 day')`, [
      JSON.stringify(job),
    ])
    for (let i = 0; i < 30; i += 1)
      await app.db('events').insert({ tenant_id: doomed.id, id: newId(), type: 'user.updated', data: '{}' })
    await app.db('login_counters').insert({ tenant_id: doomed.id, key: Buffer.from('x'), expires_at: app.db.fn.now() })
    await eventually(async () => expect(await rowsOf(other.id)).to.include({ jobs: 0 }))
    const [before, kept, home] = [await rowsOf(doomed.id), await rowsOf(other.id), await rowsOf(DEFAULT_TENANT)]
    for (const table of [
      'users',
      'events',
      'sessions',
      'oidc_models',
      'signing_keys',
      'roles',
      'role_parts',
      'api_keys',
      'jobs',
    ])
      expect(before[table], table).to.be.greaterThan(0)
    await top('DELETE', '/v1/tenants/doomed')
    await app.db('tenants').where({ id: doomed.id }).update({ purge_at: app.db.fn.now() })
    for (const { id } of [doomed, other]) {
      const refused = await app.db('events').where({ tenant_id: id }).delete().then(String, String)
      expect(refused, 'while it is not being purged, its log is append-only').to.include('events is append-only')
    }
    const [first, second] = await Promise.all([purgeTenants(app.db, 10), purgeTenants(app.db, 10)])
    expect([...first!, ...second!]).to.deep.equal(['doomed'])
    expect(total(await rowsOf(doomed.id))).to.equal(0)
    expect(await app.db('tenants').where({ id: doomed.id })).to.deep.equal([])
    expect(await rowsOf(other.id)).to.deep.equal(kept)
    const change = await app.db('events').where({ tenant_id: other.id }).update({ type: 'x' }).then(String, String)
    expect(change).to.include('events is append-only')
    expect((await login(other.boss, '/t/other')).status).to.equal(200)
    const told = await app.db('events').where({ tenant_id: DEFAULT_TENANT, type: 'tenant.purged' })
    expect(told.map((e: any) => e.data.slug)).to.deep.equal(['doomed'])
    expect((await rowsOf(DEFAULT_TENANT)).users).to.equal(home.users)
    const tables = await tablesOfTenants(app.db)
    expect(tables.indexOf('credentials')).to.be.lessThan(tables.indexOf('users'))
    expect(tables).to.not.include('tenants')
  })

  it('the slug of one that is gone is free for another', async () => {
    const made = await top('POST', '/v1/tenants', { name: 'Doomed again', slug: 'doomed' })
    expect(made.status).to.equal(201)
    await eventually(async () =>
      expect((await app.call('GET', '/t/doomed/.well-known/openid-configuration')).body.issuer).to.equal(
        made.body.issuer,
      ),
    )
  })
})
