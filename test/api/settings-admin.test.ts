import { expect } from 'chai'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import { definitions } from '../../server/domain/settings.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

describe('settings', () => {
  let app: TestApp
  let root: string
  let anna: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    root = await app.admin()
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
  })
  after(() => app.close())
  const admin = (method: string, path: string, body?: unknown, headers = {}) =>
    app.call(method, path, { token: anna.accessToken, headers, ...(body !== undefined && { body }) })
  const changes = () => app.db('events').where({ type: 'setting.changed' }).orderBy('id')

  it('are all listed, with what they mean and may be', async () => {
    const { status, body } = await admin('GET', '/v1/admin/settings')
    expect(status).to.equal(200)
    expect(body.settings.map((s: any) => s.key)).to.deep.equal(Object.keys(definitions))
    const lifetime = body.settings.find((s: any) => s.key === 'access_token_lifetime')
    expect(lifetime).to.include({ value: 900, default: 900, changed: false, updated_at: null, updated_by: null })
    expect(lifetime.schema).to.include({ type: 'integer', minimum: 60, maximum: 86_400 })
  })

  it('change at once, say who and what, and go back to the default', async () => {
    const off = await admin('PATCH', '/v1/admin/settings/registration_enabled', { value: false })
    expect(off.status, JSON.stringify(off.body)).to.equal(200)
    expect(off.body).to.include({ key: 'registration_enabled', value: false, changed: true, updated_by: anna.id })
    const body = { email: 'late@example.com', password: 'SecurePassword123!' }
    await eventually(async () =>
      expectProblem(await app.call('POST', '/v1/auth/register', { body }), 403, 'REGISTRATION_DISABLED'),
    )
    expect((await app.call('GET', '/v1/auth/settings')).body.registration_enabled).to.equal(false)
    const on = await admin('PATCH', '/v1/admin/settings/registration_enabled', { value: null })
    expect(on.body).to.include({ value: true, changed: false })
    const told = await changes()
    expect(told.map((e: any) => e.data)).to.deep.equal([
      { key: 'registration_enabled', old: true, new: false },
      { key: 'registration_enabled', old: false, new: true },
    ])
    expect(told[0]).to.include({ actor_id: anna.id, tenant_id: DEFAULT_TENANT })
    await admin('PATCH', '/v1/admin/settings/registration_enabled', { value: true })
    expect((await changes()).length).to.equal(2)
  })

  it('refuse what is not allowed, all or nothing', async () => {
    const before = (await changes()).length
    expectProblem(await admin('PATCH', '/v1/admin/settings/no_such', { value: 1 }), 404, 'NOT_FOUND')
    expectProblem(await admin('PATCH', '/v1/admin/settings/__proto__', { value: 1 }), 404, 'NOT_FOUND')
    for (const [key, value] of [
      ['access_token_lifetime', 5],
      ['access_token_lifetime', '600'],
      ['mfa_policy', 'sometimes'],
      ['allowed_origins', ['nonsense']],
      ['allowed_origins', ['https://app.example.com/path']],
      ['allowed_origins', ['https://*.example.com']],
      ['allowed_origins', ['https://somebody@app.example.com']],
      ['support_url', 'javascript:alert(1)'],
      ['registration_enabled', 'false'],
      ['support_url', { a: 1 }],
    ]) {
      expectProblem(await admin('PATCH', `/v1/admin/settings/${key}`, { value }), 400, 'VALIDATION_ERROR')
    }
    expectProblem(await admin('PATCH', '/v1/admin/settings/mfa_policy', {}), 400, 'VALIDATION_ERROR')
    const both = { access_token_lifetime: 600, mfa_policy: 'sometimes' }
    expectProblem(await admin('PUT', '/admin/settings', both), 400, 'VALIDATION_ERROR')
    expectProblem(await admin('PUT', '/admin/settings', { nonsense: 1 }), 400, 'VALIDATION_ERROR')
    expect(await app.db('settings')).to.deep.equal([])
    expect((await changes()).length).to.equal(before)
  })

  it('are one document on the core API, guarded by its version', async () => {
    const read = await admin('GET', '/admin/settings')
    expect(read.body).to.include({ access_token_lifetime: 900, mfa_policy: 'optional' })
    const match = { 'if-match': read.headers.get('etag')! }
    const put = await admin('PUT', '/admin/settings', { access_token_lifetime: 600, support_url: null }, match)
    expect(put.status, JSON.stringify(put.body)).to.equal(200)
    expect(put.body).to.include({ access_token_lifetime: 600, mfa_policy: 'optional' })
    const late = await admin('PUT', '/admin/settings', { access_token_lifetime: 700 }, match)
    expectProblem(late, 412, 'PRECONDITION_FAILED')
    expect((await admin('GET', '/admin/settings')).body.access_token_lifetime).to.equal(600)
  })

  it('are a realm’s security configuration, changed by super administrators only', async () => {
    const acme = await withTenant(app, 'acme')
    const path = '/api/admin/acme/security/config'
    expectSsoFailure(
      await admin('PUT', '/api/admin/default/security/config', { mfaPolicy: 'off' }),
      403,
      'ACCESS_DENIED',
    )
    expectSsoFailure(await admin('GET', path), 404, 'NOT_FOUND')
    const put = await app.call('PUT', path, { token: root, body: { mfaPolicy: 'off', passwordMinLength: 12 } })
    expect(put.status, JSON.stringify(put.body)).to.equal(200)
    expect(put.body.data).to.include({ mfaPolicy: 'off', passwordMinLength: 12 })
    const own = await app.call('GET', `/t/acme${path}`, { token: acme.boss.accessToken })
    expect(own.body.data.passwordMinLength).to.equal(12)
    expect((await admin('GET', '/admin/settings')).body.password_min_length).to.equal(8)
    const told = await app.db('events').where({ tenant_id: acme.id, type: 'setting.changed' })
    expect(told.length).to.equal(2)
  })
})
