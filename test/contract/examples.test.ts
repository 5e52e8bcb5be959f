import { expect } from 'chai'
import { startApp, type TestApp } from '../support/app.ts'
import { succeeded } from '../support/contract.ts'
import { allRows, nameOf } from '../support/rows.ts'
import { served } from './documented.ts'
import { walkAdmin } from './walk-admin.ts'
import { walkAudit } from './walk-audit.ts'
import { walkBulk } from './walk-bulk.ts'
import { walkClients } from './walk-clients.ts'
import { walkDevices } from './walk-devices.ts'
import { walkInvitations } from './walk-invitations.ts'
import { walkOrganizations } from './walk-organizations.ts'
import { walkTenants } from './walk-tenants.ts'
import { walkWebhooks } from './walk-webhooks.ts'

/** Calls of the published examples and of every other row; the harness holds each answer against its schema. */
describe('examples of the documents', () => {
  let app: TestApp
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
  })
  after(() => app.close())
  const fresh = () => app.db('rate_limits').delete()
  const tokenOf = async (to: string, path: string) => {
    const mail = await app.smtp.waitFor(to, new RegExp(`${path}\\?token=`))
    return new URL(mail.link(path)).searchParams.get('token')
  }

  it('answer as v1-api shows: register, login, refresh, forgot, reset, change', async () => {
    const credentials = { email: 'user@example.com', password: 'SecurePassword123!' }
    expect((await app.call('POST', '/v1/auth/register', { body: credentials })).status).to.equal(201)
    const login = await app.call('POST', '/v1/auth/login', { body: credentials })
    expect(login.status).to.equal(200)
    expect(login.body.user).to.include.keys('id', 'email', 'is_email_verified', 'created_at')
    expect(login.body.tokens).to.have.all.keys('access_token', 'refresh_token', 'token_type', 'expires_in')
    expect(login.body.tokens).to.include({ token_type: 'Bearer', expires_in: 900 })
    expect(login.body.tokens.access_token).to.match(/^eyJ/)
    expect(login.body.tokens.refresh_token).to.match(/^rt_/)
    const refresh = await app.call('POST', '/v1/auth/refresh', {
      body: { refresh_token: login.body.tokens.refresh_token },
    })
    expect(refresh.body).to.have.all.keys('access_token', 'refresh_token', 'token_type', 'expires_in')
    const token = refresh.body.access_token
    const change = { current_password: credentials.password, new_password: 'NewSecurePassword123!' }
    expect((await app.call('POST', '/v1/auth/change-password', { token, body: change })).status).to.equal(200)
    expect(
      (await app.call('POST', '/v1/auth/forgot-password', { body: { email: credentials.email } })).status,
    ).to.equal(200)
    const reset = { token: await tokenOf(credentials.email, 'reset-password'), new_password: 'NewSecurePassword456!' }
    expect((await app.call('POST', '/v1/auth/reset-password', { body: reset })).status).to.equal(200)
    await fresh()
    const again = await app.call('POST', '/v1/auth/login', {
      body: { ...credentials, password: 'NewSecurePassword456!' },
    })
    expect(again.status).to.equal(200)
  })

  it('every row answers at least once as its schema says', async () => {
    const admin = await app.admin()
    const spellings = {
      register: ['/v1/auth/register', '/auth/register', '/auth/signup'],
      login: ['/v1/auth/login', '/auth/login'],
      refresh: ['/v1/auth/refresh', '/auth/refresh-token', '/auth/token/refresh', '/api/auth/refresh'],
      me: ['/v1/auth/me', '/auth/user-info', '/users/me'],
      send: ['/v1/auth/send-verification', '/auth/email/send-verification'],
      verify: ['/v1/auth/verify-email', '/auth/verify-email', '/auth/email/verify'],
      forgot: ['/v1/auth/forgot-password', '/auth/forgot-password', '/auth/password/reset-request'],
      reset: ['/v1/auth/reset-password', '/auth/reset-password', '/auth/password/reset'],
      change: ['/v1/auth/change-password', '/auth/change-password', '/auth/password/change'],
      list: ['/v1/sessions', '/sessions', '/api/account/sessions'],
    }
    const ok = async (method: string, path: string, options: { body?: unknown; token?: string } = {}) => {
      const answer = await app.call(method, path, options)
      expect(answer.status, `${method} ${path} ${JSON.stringify(answer.body)}`).to.be.within(200, 202)
      return answer.body
    }
    const signedIn = () => app.person()
    for (const [i, path] of spellings.register.entries()) {
      await fresh()
      await ok('POST', path, {
        body: {
          email: `new${i}@example.com`,
          password: 'SecurePassword123!',
          given_name: 'Neu',
          phone_number: '+4915112345678',
        },
      })
    }
    const ada = await signedIn()
    for (const path of spellings.login) await ok('POST', path, { body: { email: ada.email, password: ada.password } })
    let { refreshToken } = ada
    for (const path of spellings.refresh) {
      const body = await ok('POST', path, { body: { refresh_token: refreshToken } })
      refreshToken = (body.data ?? body).refresh_token
    }
    for (const path of spellings.me) await ok('GET', path, { token: ada.accessToken })
    await ok('PUT', '/users/me', {
      token: ada.accessToken,
      body: { given_name: 'Ada', picture: 'https://example.com/ada.png', zoneinfo: 'Europe/Berlin' },
    })
    await ok('GET', '/v1/auth/settings')
    for (const path of spellings.list) await ok('GET', path, { token: ada.accessToken })
    for (const path of spellings.send) await ok('POST', path, { token: ada.accessToken })
    await ok('POST', '/auth/resend-verification', { body: { email: ada.email } })
    for (const path of spellings.verify) {
      const person = await signedIn()
      await ok('POST', path, { body: { token: await tokenOf(person.email, 'verify-email') } })
    }
    for (const [i, path] of spellings.forgot.entries()) {
      const person = await signedIn()
      await ok('POST', path, { body: { email: person.email } })
      await ok('POST', spellings.reset[i]!, {
        body: { token: await tokenOf(person.email, 'reset-password'), new_password: 'NewSecurePassword123!' },
      })
    }
    for (const path of spellings.change) {
      const { accessToken: token, password } = await signedIn()
      await ok('POST', path, { token, body: { current_password: password, new_password: 'NewSecurePassword123!' } })
    }
    const bea = await signedIn()
    await ok('PUT', '/api/account/password', {
      token: bea.accessToken,
      body: { currentPassword: bea.password, newPassword: 'NewSecurePassword123!' },
    })
    for (const path of ['/sessions/', '/api/account/sessions/']) {
      const cy = await signedIn()
      const [session] = (await ok('GET', '/sessions', { token: cy.accessToken })).sessions
      await ok('DELETE', path + session.id, { token: cy.accessToken })
    }
    for (const [method, path] of [
      ['POST', '/v1/auth/logout'],
      ['POST', '/auth/logout'],
      ['POST', '/api/auth/logout'],
      ['POST', '/v1/auth/revoke-all-sessions'],
      ['POST', '/sessions/logout-all'],
      ['DELETE', '/api/account/sessions'],
    ] as const) {
      await ok(method, path, { token: (await signedIn()).accessToken })
    }
    const client = await ok('POST', '/clients', {
      token: admin,
      body: {
        client_name: 'My App',
        redirect_uris: ['https://app.example.com/callback'],
        logo_uri: 'https://app.example.com/l.png',
        jwks: { keys: [] },
        default_max_age: 60,
        contacts: ['a@example.com'],
      },
    })
    await ok('GET', '/clients', { token: admin })
    await ok('GET', `/clients/${client.id}`, { token: admin })
    await ok('PUT', `/clients/${client.id}`, { token: admin, body: { client_name: null, logo_uri: null } })
    await ok('GET', `/clients/${client.id}/secret`, { token: admin })
    await ok('POST', `/clients/${client.id}/secret/regenerate`, { token: admin, body: {} })
    await ok('DELETE', `/clients/${client.id}`, { token: admin })
    const resource = await ok('POST', '/v1/resources', {
      token: admin,
      body: { identifier: 'https://api.example.com', name: 'Orders API', scopes: [{ name: 'orders:read' }] },
    })
    await ok('GET', '/v1/resources', { token: admin })
    await ok('GET', `/v1/resources/${resource.id}`, { token: admin })
    await ok('PUT', `/v1/resources/${resource.id}`, { token: admin, body: { name: 'Orders' } })
    await ok('PATCH', `/v1/resources/${resource.id}`, { token: admin, body: { token_lifetime: 60 } })
    await ok('DELETE', `/v1/resources/${resource.id}`, { token: admin })
    await walkDevices(app, ok)
    await walkAdmin(app, ok)
    await walkClients(app, ok)
    await walkInvitations(app, ok)
    await fresh()
    await walkAudit(app, ok)
    await walkTenants(app, ok)
    await walkOrganizations(app, ok)
    await walkBulk(app, ok)
    await walkWebhooks(app, ok)
    const due = new Set(served.map((name) => name.replace(/\{\w+\}/g, ':')))
    const rows = allRows.filter((bound) => due.has(nameOf(bound).replace(/:\w+/g, ':')))
    expect(rows.length).to.be.greaterThan(50)
    // These redirect browsers or need one: test/oidc/sso-login.test.ts.
    const browsed = /^GET \/api\/auth\/(login|callback)\//
    const missed = rows.map(nameOf).filter((name) => !succeeded.has(seen(name)) && !browsed.test(name))
    expect(missed).to.deep.equal([])
  }).timeout(60_000)

  const seen = (name: string) =>
    name.replace(/ (.*)$/, (_, path: string) => ` ^${path.replaceAll('/', '\\/').replace(/:\w+/g, '[^/]+')}$`)
})
