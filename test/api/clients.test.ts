import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { eventually, makeClient, signInto } from '../support/oauth.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

describe('clients of a tenant', () => {
  let app: TestApp
  let admin: string
  before(async () => {
    app = await startApp()
    admin = await app.admin()
  })
  after(() => app.close())

  it('say what signing in to them asks for, key by key', async () => {
    const client = await makeClient(app, { login_policy: { mfa: 'required', factors: ['totp', 'webauthn'] } })
    const known = () => app.deps.out.directory.client(DEFAULT_TENANT, client.clientId)
    expect((await known())!.loginPolicy).to.deep.equal({ mfa: 'required', factors: ['totp', 'webauthn'] })
    const change = async (login_policy: unknown) =>
      (await app.call('PUT', `/clients/${client.id}`, { token: admin, body: { login_policy } })).body.login_policy
    expect(await change({ factors: null, require_verified_email: true })).to.deep.equal({
      mfa: 'required',
      require_verified_email: true,
    })
    await eventually(async () =>
      expect((await known())!.loginPolicy).to.deep.equal({ mfa: 'required', require_verified_email: true }),
    )
    expect(await change(null)).to.deep.equal({})
    for (const bad of [{ mfa: 'maybe' }, { factors: [] }, { methods: ['guess'] }, { other: 1 }, 'x']) {
      const answer = await app.call('PUT', `/clients/${client.id}`, { token: admin, body: { login_policy: bad } })
      expectProblem(answer, 400, 'VALIDATION_ERROR')
    }
  })

  it('are changed only by who has seen the last change, if they ask for that', async () => {
    const client = await makeClient(app)
    const at = `/clients/${client.id}`
    const seen = (await app.call('GET', at, { token: admin })).headers.get('etag')!
    const change = (client_name: string) =>
      app.call('PUT', at, { token: admin, body: { client_name }, headers: { 'if-match': seen } })
    const first = await change('First')
    expect(first.status).to.equal(200)
    expect(first.headers.get('etag')).to.not.equal(seen)
    expectProblem(await change('Second'), 412, 'PRECONDITION_FAILED')
    expectProblem(
      await app.call('DELETE', at, { token: admin, headers: { 'if-match': seen } }),
      412,
      'PRECONDITION_FAILED',
    )
    expect((await app.call('GET', at, { token: admin })).body.client_name).to.equal('First')
  })

  it('are addressed by client_id even where that is the id of another', async () => {
    const first = await makeClient(app)
    const second = await makeClient(app, { client_id: first.id })
    const get = async (id: string) => (await app.call('GET', `/clients/${id}`, { token: admin })).body.id
    expect(await get(first.id)).to.equal(first.id)
    expect(await get(second.id)).to.equal(second.id)
  })

  it('are never called as a person is, who stands in tokens as they do', async () => {
    const ada = await app.person()
    const body = { client_id: ada.id, redirect_uris: ['https://x.example.com/cb'] }
    expectProblem(await app.call('POST', '/clients', { token: admin, body }), 400, 'VALIDATION_ERROR')
    const { clientId: id } = await makeClient(app, { client_id: randomUUID() })
    const users = [{ id, email: 'twin@example.com' }]
    const imported = await app.call('POST', '/v1/admin/users/import', { token: admin, body: { users } })
    expect(imported.body.results[0].errors).to.deep.equal([{ field: 'id', message: 'is of somebody else' }])
  })

  it('have roles of their own, each name once, which count in their tokens alone', async () => {
    const [shop, other] = [await makeClient(app, { first_party: true, scope: 'openid' }), await makeClient(app)]
    const at = `/api/admin/default/clients/${shop.clientId}/roles`
    const body = { name: 'clerk', permissions: ['users:read'] }
    const made = await app.call('POST', at, { token: admin, body })
    expect(made.status).to.equal(201)
    expect(made.body.data).to.include({ name: 'clerk', scope: 'client', ownerId: shop.id })
    expectSsoFailure(await app.call('POST', at, { token: admin, body }), 409, 'CONFLICT')
    const elsewhere = `/api/admin/default/clients/${other.clientId}/roles`
    expect((await app.call('POST', elsewhere, { token: admin, body })).status).to.equal(201)
    expectSsoFailure(await app.call('GET', `${elsewhere}/${made.body.data.id}`, { token: admin }), 404, 'NOT_FOUND')
    expectSsoFailure(await app.call('DELETE', `${at}/user`, { token: admin }), 404, 'NOT_FOUND')
    const lead = await app.call('POST', at, { token: admin, body: { name: 'lead', roles: [made.body.data.id] } })
    expect(lead.body.data).to.deep.include({ composite: true, permissions: ['users:read'] })
    expect((await app.call('GET', at, { token: admin })).body.data.map((r: any) => r.name)).to.deep.equal([
      'clerk',
      'lead',
    ])

    const ada = await app.person()
    const given = { token: admin, body: { roles: ['lead'] } }
    const roles = `/api/admin/default/users/${ada.id}/roles/client/${shop.clientId}/assign`
    expect((await app.call('POST', roles, given)).status).to.equal(200)
    const { access_token } = (await signInto(app, shop, ada)).body
    expect((await app.call('GET', '/v1/users', { token: access_token })).status).to.equal(200)
    expectProblem(await app.call('GET', '/v1/users', { token: ada.accessToken }), 403, 'ACCESS_DENIED')

    expect((await app.call('DELETE', `/clients/${shop.id}`, { token: admin })).status).to.equal(200)
    expect(await app.db('roles').where({ owner_id: shop.id })).to.have.length(0)
    expect(await app.db('roles').where({ owner_id: other.id })).to.have.length(1)
  })

  it('get no role that allows more than who makes it may', async () => {
    const rita = await someone(app, ROLE.admin)
    const client = await makeClient(app)
    const body = { name: 'too-much', permissions: ['tenants:write'] }
    const answer = await app.call('POST', `/clients/${client.id}/roles`, { token: rita.accessToken, body })
    expectProblem(answer, 403, 'ACCESS_DENIED')
    expect(await app.db('roles').where({ owner_id: client.id })).to.have.length(0)
  })

  it('of another tenant do not exist', async () => {
    const acme = await withTenant(app, 'acme')
    const client = await makeClient(app)
    for (const path of [client.id, `${client.id}/roles`, `${client.clientId}/secret`])
      expectProblem(
        await app.call('GET', `/t/acme/clients/${path}`, { token: acme.boss.accessToken }),
        404,
        'NOT_FOUND',
      )
    const body = { clientName: 'Mine now' }
    const put = { token: acme.boss.accessToken, body }
    expectSsoFailure(await app.call('PUT', `/t/acme/auth/clients/${client.clientId}`, put), 404, 'NOT_FOUND')
    expect((await app.call('GET', `/clients/${client.id}`, { token: admin })).body.client_name).to.equal('Client')
  })

  it('let no machine without authentication act by itself', async () => {
    const body = { token_endpoint_auth_method: 'none', grant_types: ['client_credentials'], redirect_uris: [] }
    const answer = await app.call('POST', '/clients', { token: admin, body })
    expectProblem(answer, 400, 'VALIDATION_ERROR')
    expect(answer.body.detail).to.match(/grant_types/)
  })
})
