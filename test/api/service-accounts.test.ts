import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { eventually, introspect, makeClient, type OAuthClient, post } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'
import { REDIRECT } from '../support/rp.ts'

const MACHINE = { grant_types: ['client_credentials'], redirect_uris: [], scope: 'openid' }

describe('clients that act by themselves', () => {
  let app: TestApp
  let admin: string
  before(async () => {
    app = await startApp()
    admin = await app.admin()
  })
  after(() => app.close())

  const rolesOf = (client: OAuthClient) => `/clients/${client.id}/service-account/roles`
  const give = (client: OAuthClient, role: string, token = admin) =>
    app.call('POST', rolesOf(client), { token, body: { role } })
  const ask = (client: OAuthClient, scope: string, more = {}) =>
    post(app, '/oauth/token', { grant_type: 'client_credentials', scope, ...more }, { client })
  const role = async (name: string, permissions: string[]) => {
    const made = await app.call('POST', '/roles', { token: admin, body: { name, permissions } })
    expect(made.status).to.equal(201)
    return made.body.id as string
  }

  it('may do what their roles allow, as far as they ask for it, and no longer than they hold them', async () => {
    const watcher = await makeClient(app, { scope: 'openid tokens:introspect' })
    for (const [i, access_token_format] of ['jwt', 'opaque'].entries()) {
      const reader = await role(`reader${i}`, ['users:read', 'roles:read'])
      const client = await makeClient(app, { ...MACHINE, access_token_format })
      expect((await ask(client, 'users:read')).body.error).to.equal('invalid_scope')
      const given = await give(client, reader)
      expect(given.status).to.equal(200)
      expect(given.body.roles.map((r: any) => r.name)).to.deep.equal([`reader${i}`])
      const tokens = await eventually(async () => {
        const answer = await ask(client, 'users:read')
        expect(answer.status, JSON.stringify(answer.body)).to.equal(200)
        return answer.body
      })
      expect(tokens.scope).to.equal('users:read')
      const token = tokens.access_token
      expect((await app.call('GET', '/v1/users', { token })).status).to.equal(200)
      expectProblem(await app.call('GET', '/roles', { token }), 403, 'ACCESS_DENIED')
      expect((await ask(client, 'users:write')).body.error).to.equal('invalid_scope')
      expect(await introspect(app, watcher, token)).to.include({ active: true, scope: 'users:read' })

      const at = `${rolesOf(client)}/${reader}`
      expect((await app.call('DELETE', at, { token: admin })).status).to.equal(200)
      await eventually(async () => expectProblem(await app.call('GET', '/v1/users', { token }), 403, 'ACCESS_DENIED'))
      expect((await introspect(app, watcher, token)).scope).to.equal(undefined)
      expect((await ask(client, 'users:read')).body.error).to.equal('invalid_scope')
      expectProblem(await app.call('DELETE', at, { token: admin }), 404, 'NOT_FOUND')
    }
  })

  it('lose what a role no longer allows, and the role that is deleted', async () => {
    const reader = await role('shrinking', ['users:read', 'roles:read'])
    const client = await makeClient(app, MACHINE)
    await give(client, reader)
    const token = await eventually(async () => {
      const { body } = await ask(client, 'users:read roles:read')
      expect(body.access_token).to.be.a('string')
      return body.access_token
    })
    expect((await app.call('GET', '/roles', { token })).status).to.equal(200)
    await app.call('DELETE', `/roles/${reader}/permissions/roles:read`, { token: admin })
    await eventually(async () => expectProblem(await app.call('GET', '/roles', { token }), 403, 'ACCESS_DENIED'))
    expect((await app.call('GET', '/v1/users', { token })).status).to.equal(200)
    await app.call('DELETE', `/roles/${reader}`, { token: admin })
    await eventually(async () => expectProblem(await app.call('GET', '/v1/users', { token }), 403, 'ACCESS_DENIED'))
  })

  it('ask for scopes of API resources by roles as well', async () => {
    const identifier = 'https://orders.example.com'
    const scopes = [{ name: 'orders:read' }, { name: 'orders:write' }]
    await app.call('POST', '/v1/resources', { token: admin, body: { identifier, name: 'Orders', scopes } })
    await app.call('POST', '/permissions', { token: admin, body: { name: 'orders:read' } })
    const client = await makeClient(app, MACHINE)
    expect((await ask(client, 'orders:read', { resource: identifier })).body.error).to.equal('invalid_target')
    await give(client, await role('orders', ['orders:read']))
    await eventually(async () => {
      const { body } = await ask(client, 'orders:read orders:write', { resource: identifier })
      expect(body.scope).to.equal('orders:read')
    })
  })

  it('do not lend their roles to people who sign in to them', async () => {
    const client = await makeClient(app, {
      grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
      scope: 'openid',
    })
    await give(client, await role('lender', ['users:read']))
    await eventually(async () => expect((await ask(client, 'users:read')).status).to.equal(200))
    const query = new URLSearchParams({
      client_id: client.clientId,
      response_type: 'code',
      redirect_uri: REDIRECT,
      scope: 'openid users:read',
      code_challenge: 'x'.repeat(43),
      code_challenge_method: 'S256',
    })
    const answer = await fetch(`${app.url}/oauth/authorize?${query}`, { redirect: 'manual' })
    expect(new URL(answer.headers.get('location')!).searchParams.get('error')).to.equal('invalid_scope')
  })

  it('get no role, and are managed by nobody, that allows more than the caller may', async () => {
    const rita = await someone(app, ROLE.admin)
    const client = await makeClient(app, MACHINE)
    expectProblem(await give(client, 'super_admin', rita.accessToken), 403, 'ACCESS_DENIED')
    expect(await app.db('client_roles').where({ client: client.id })).to.have.length(0)
    expect((await give(client, 'super_admin')).status).to.equal(200)
    const as = (method: string, path: string, body?: unknown) =>
      app.call(method, `/clients/${client.id}${path}`, { token: rita.accessToken, ...(body ? { body } : {}) })
    expectProblem(await as('POST', '/secret/regenerate', {}), 403, 'ACCESS_DENIED')
    expectProblem(await as('PUT', '', { client_name: 'Mine' }), 403, 'ACCESS_DENIED')
    expectProblem(await as('DELETE', ''), 403, 'ACCESS_DENIED')
    expectProblem(await as('DELETE', `/service-account/roles/${ROLE.superAdmin}`), 403, 'ACCESS_DENIED')
    expect(await app.db('client_roles').where({ client: client.id })).to.have.length(1)
    expect(await app.db('client_secrets').where({ client: client.id })).to.have.length(1)
  })

  it('are confidential, and hold roles of the tenant or their own', async () => {
    const pages = await makeClient(app)
    expectProblem(await give(pages, 'admin'), 400, 'VALIDATION_ERROR')
    expectProblem(await give(await makeClient(app, MACHINE), 'no-such'), 404, 'NOT_FOUND')
    const [one, two] = [await makeClient(app, MACHINE), await makeClient(app, MACHINE)]
    for (const client of [one, two])
      await app.call('POST', `/clients/${client.id}/roles`, { token: admin, body: { name: 'mine' } })
    const [foreign] = await app.db('roles').where({ owner_id: two.id })
    expectProblem(await give(one, foreign.id), 404, 'NOT_FOUND')
    const given = await give(one, 'mine')
    expect(given.body.roles[0].owner_id).to.equal(one.id)
    const acme = await withTenant(app, 'acme')
    const there = { token: acme.boss.accessToken, body: { role: 'user' } }
    expectProblem(await app.call('POST', `/t/acme${rolesOf(one)}`, there), 404, 'NOT_FOUND')
  })
})
