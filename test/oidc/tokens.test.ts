import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import {
  basic,
  claimsOf,
  codeFor,
  introspect,
  makeClient,
  type OAuthClient,
  post,
  signInto,
  verifierOf,
} from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

describe('tokens', () => {
  let app: TestApp
  let ada: Person
  /** A third party that a person asked for consent. */
  let shop: OAuthClient
  /** One that may look at all tokens. */
  let watcher: OAuthClient
  before(async () => {
    app = await startApp()
    ada = await app.person('ada@example.com')
    shop = await makeClient(app, { client_name: 'Shop' })
    watcher = await makeClient(app, { scope: 'openid tokens:introspect' })
  })
  after(() => app.close())
  beforeEach(() => app.db('rate_limits').delete())
  const userinfo = async (token: string) =>
    fetch(`${app.url}/oauth/userinfo`, { headers: { authorization: `Bearer ${token}` } })

  describe('of the direct login', () => {
    it('are introspected, used at userinfo, refreshed and revoked at the OAuth endpoints', async () => {
      const bob = await app.person()
      const seen = await introspect(app, watcher, bob.accessToken)
      expect(seen).to.include({ active: true, sub: bob.id, client_id: 'gatehouse', iss: app.url, token_type: 'Bearer' })
      expect((await introspect(app, watcher, bob.refreshToken)).active).to.equal(true)
      expect((await introspect(app, shop, bob.accessToken)).active).to.equal(false)
      expect(await (await userinfo(bob.accessToken)).json()).to.include({
        sub: bob.id,
        email: bob.email,
        tenant: claimsOf(bob.accessToken).tenant,
      })
      const fresh = await post(app, '/oauth/token', {
        grant_type: 'refresh_token',
        refresh_token: bob.refreshToken,
        client_id: 'gatehouse',
      })
      expect(fresh.status).to.equal(200)
      expect((await app.call('GET', '/v1/auth/me', { token: fresh.body.access_token })).body.id).to.equal(bob.id)
      const again = await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: fresh.body.refresh_token } })
      expect(again.status).to.equal(200)
      expect(
        (await post(app, '/oauth/revoke', { token: again.body.access_token, client_id: 'gatehouse' })).status,
      ).to.equal(200)
      expectProblem(await app.call('GET', '/v1/auth/me', { token: again.body.access_token }), 401, 'UNAUTHORIZED')
      expect((await introspect(app, watcher, again.body.access_token)).active).to.equal(false)
      expect(
        (await post(app, '/oauth/revoke', { token: again.body.refresh_token, client_id: 'gatehouse' })).status,
      ).to.equal(200)
      expectProblem(
        await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: again.body.refresh_token } }),
        401,
      )
    })

    it('cannot be revoked or refreshed by another client', async () => {
      const cy = await app.person()
      const revoked = await post(app, '/oauth/revoke', { token: cy.accessToken }, { client: shop })
      expect(revoked.status).to.be.oneOf([200, 400])
      const stolen = await post(
        app,
        '/oauth/token',
        { grant_type: 'refresh_token', refresh_token: cy.refreshToken },
        { client: shop },
      )
      expect(stolen.body.error).to.equal('invalid_grant')
      expect((await app.call('GET', '/v1/auth/me', { token: cy.accessToken })).status).to.equal(200)
      expect(
        (await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: cy.refreshToken } })).status,
      ).to.equal(200)
    })
  })

  describe('of a third party', () => {
    it('refresh at /v1/auth/refresh only with the secret of their client', async () => {
      const tokens = (await signInto(app, shop, ada)).body
      const refresh = (more: object = {}) =>
        app.call('POST', '/v1/auth/refresh', { body: { refresh_token: tokens.refresh_token, ...more } })
      expectProblem(await refresh(), 401, 'UNAUTHORIZED')
      expectProblem(await refresh({ client_id: shop.clientId }), 401, 'UNAUTHORIZED')
      expectProblem(await refresh({ client_id: shop.clientId, client_secret: 'wrong-secret-wrong-secret' }), 401)
      expectProblem(await refresh({ client_id: 'gatehouse' }), 401)
      expectProblem(await refresh({ client_id: watcher.clientId, client_secret: watcher.clientSecret }), 401)
      const fresh = await refresh({ client_id: shop.clientId, client_secret: shop.clientSecret })
      expect(fresh.status, JSON.stringify(fresh.body)).to.equal(200)
      expect((await introspect(app, shop, fresh.body.access_token)).active).to.equal(true)
    })

    it('with identity scopes alone do nothing to the account; of our own apps they do', async () => {
      const third = (await signInto(app, shop, ada)).body.access_token
      for (const [method, path, body] of [
        ['GET', '/v1/auth/me', undefined],
        ['GET', '/v1/sessions', undefined],
        ['PUT', '/users/me', { nickname: 'taken over' }],
        ['POST', '/v1/auth/revoke-all-sessions', {}],
        ['POST', '/v1/auth/logout', {}],
        ['POST', '/v1/auth/change-password', { current_password: ada.password, new_password: 'NewSecurePassword123!' }],
      ] as const) {
        expectProblem(await app.call(method, path, { token: third, body }), 403, 'ACCESS_DENIED')
      }
      const me = await app.call('GET', '/v1/auth/me', { token: ada.accessToken })
      expect(me.body.nickname).to.equal(null)
      const granted = await makeClient(app, { scope: 'openid account' })
      const account = (await signInto(app, granted, ada, { scope: 'openid account' })).body.access_token
      expect((await app.call('GET', '/v1/auth/me', { token: account })).status).to.equal(200)
      // Not even right after the sign-in: who changes these can become the person.
      for (const [method, path, body] of [
        ['POST', '/v1/account/email', { email: 'mallory@example.com' }],
        ['DELETE', '/v1/account', { confirmation: ada.email }],
        ['POST', '/v1/auth/mfa/setup', {}],
        ['POST', '/v1/api-keys', { name: 'Mine', scopes: ['account'] }],
      ] as const)
        expectProblem(await app.call(method, path, { token: account, body }), 403, 'ACCESS_DENIED')
      const ours = await makeClient(app, { first_party: true })
      const first = (await signInto(app, ours, ada)).body.access_token
      expect((await app.call('GET', '/v1/auth/me', { token: first })).status).to.equal(200)
      const change = await app.call('POST', '/v1/account/email', { token: first, body: { email: 'ada2@example.com' } })
      expect(change.status, JSON.stringify(change.body)).to.be.oneOf([200, 202])
    })

    it('act with an administrator’s permissions only as far as they were granted', async () => {
      const root = { email: 'root@example.com', password: 'Root-Password-123!' }
      const tool = await makeClient(app, { scope: 'openid clients:read' })
      const tokens = (await signInto(app, tool, root, { scope: 'openid clients:read' })).body
      expect(tokens.scope).to.include('clients:read')
      expect((await app.call('GET', '/clients', { token: tokens.access_token })).status).to.equal(200)
      expectProblem(
        await app.call('POST', '/clients', { token: tokens.access_token, body: { redirect_uris: [REDIRECT] } }),
        403,
        'ACCESS_DENIED',
      )
      const forAda = (await signInto(app, tool, ada, { scope: 'openid clients:read' })).body
      expectProblem(await app.call('GET', '/clients', { token: forAda.access_token }), 403, 'ACCESS_DENIED')
    })

    it('carry the issuer, by redirect and by form_post', async () => {
      const { params } = await codeFor(app, shop, ada)
      expect(params.get('iss')).to.equal(app.url)
      const browser = new Browser(app.url)
      await codeFor(app, shop, ada, {}, browser)
      const { verifier, challenge } = verifierOf()
      const query = new URLSearchParams({
        client_id: shop.clientId,
        response_type: 'code',
        response_mode: 'form_post',
        redirect_uri: REDIRECT,
        scope: 'openid',
        state: 's"><1',
        code_challenge: challenge,
        code_challenge_method: 'S256',
      })
      const at = await browser.open(`${app.url}/oauth/authorize?${query}`)
      expect(at.status).to.equal(200)
      expect(at.page).to.include(`action="${REDIRECT}"`).and.not.include('s"><1')
      const field = (name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(at.page!)?.[1]
      expect(field('iss')).to.equal(app.url)
      const tokens = await post(
        app,
        '/oauth/token',
        { grant_type: 'authorization_code', code: field('code')!, redirect_uri: REDIRECT, code_verifier: verifier },
        { client: shop },
      )
      expect(tokens.status).to.equal(200)
      const bad = await codeFor(app, shop, ada, { prompt: 'none' })
      expect(bad.params.get('error')).to.equal('login_required')
      expect(bad.params.get('iss')).to.equal(app.url)
    })

    it('need the right verifier, redirect_uri and client', async () => {
      const other = await makeClient(app)
      for (const [change, client] of [
        [{ code_verifier: 'x'.repeat(43) }, shop],
        [{ redirect_uri: 'https://rp.example.com/other' }, shop],
        [{}, other],
      ] as const) {
        const { code, verifier } = await codeFor(app, shop, ada)
        const answer = await post(
          app,
          '/oauth/token',
          { grant_type: 'authorization_code', code, redirect_uri: REDIRECT, code_verifier: verifier, ...change },
          { client },
        )
        expect(answer.body.error).to.equal('invalid_grant')
        expect(answer.headers.get('cache-control')).to.equal('no-store')
      }
    })
  })

  describe('of a client by itself', () => {
    it('reach of the admin API what was asked for and granted, and nothing of a person', async () => {
      const service = await makeClient(app, {
        grant_types: ['client_credentials'],
        redirect_uris: [],
        scope: 'clients:read resources:read',
      })
      const ask = (scope?: string) =>
        post(app, '/oauth/token', { grant_type: 'client_credentials', ...(scope && { scope }) }, { client: service })
      const token = (await ask('clients:read')).body.access_token
      expect(claimsOf(token)).to.include({
        sub: service.clientId,
        client_id: service.clientId,
        aud: app.url,
        scope: 'clients:read',
      })
      expect((await app.call('GET', '/clients', { token })).status).to.equal(200)
      expectProblem(await app.call('GET', '/v1/resources', { token }), 403, 'ACCESS_DENIED')
      expectProblem(
        await app.call('POST', '/clients', { token, body: { redirect_uris: [REDIRECT] } }),
        403,
        'ACCESS_DENIED',
      )
      expectProblem(await app.call('GET', '/v1/auth/me', { token }), 403, 'ACCESS_DENIED')
      expectProblem(await app.call('POST', '/v1/auth/revoke-all-sessions', { token }), 403, 'ACCESS_DENIED')
      expect((await userinfo(token)).status).to.be.oneOf([401, 403])
      const none = (await ask()).body.access_token
      expectProblem(await app.call('GET', '/clients', { token: none }), 403, 'ACCESS_DENIED')
      expect((await ask('clients:write')).body.error).to.equal('invalid_scope')
      expect((await ask('openid')).body).to.not.have.property('id_token')
    })

    it('cannot be asked for by a client without the grant, or without its secret', async () => {
      expect(
        (await post(app, '/oauth/token', { grant_type: 'client_credentials' }, { client: shop })).body.error,
      ).to.be.oneOf(['unauthorized_client', 'invalid_request'])
      const bare = await post(app, '/oauth/token', { grant_type: 'client_credentials', client_id: shop.clientId })
      expect(bare.status).to.equal(401)
      const wrong = await post(
        app,
        '/oauth/token',
        { grant_type: 'client_credentials' },
        { client: shop, secret: 'wrong' },
      )
      expect(wrong.status).to.equal(401)
      expect(wrong.headers.get('www-authenticate')).to.match(/^Basic/)
      expect(
        (
          await post(
            app,
            '/oauth/token',
            { grant_type: 'password', username: ada.email, password: ada.password },
            { client: shop },
          )
        ).body.error,
      ).to.equal('unsupported_grant_type')
    })
  })

  describe('opaque on request', () => {
    it('work everywhere a JWT does', async () => {
      const client = await makeClient(app, {
        access_token_format: 'opaque',
        first_party: true,
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
        scope: 'openid email clients:read',
      })
      const tokens = (await signInto(app, client, ada, { scope: 'openid email' })).body
      expect(tokens.access_token).to.match(/^at_[\w-]{40,}$/)
      expect(await introspect(app, client, tokens.access_token)).to.include({ active: true, sub: ada.id })
      expect(await (await userinfo(tokens.access_token)).json()).to.include({ sub: ada.id, email: ada.email })
      expect((await app.call('GET', '/v1/auth/me', { token: tokens.access_token })).body.id).to.equal(ada.id)
      await post(app, '/oauth/revoke', { token: tokens.access_token }, { client })
      expect((await introspect(app, client, tokens.access_token)).active).to.equal(false)
      expectProblem(await app.call('GET', '/v1/auth/me', { token: tokens.access_token }), 401)
      expect((await userinfo(tokens.access_token)).status).to.equal(401)
      const machine = (
        await post(app, '/oauth/token', { grant_type: 'client_credentials', scope: 'clients:read' }, { client })
      ).body.access_token
      expect(machine).to.match(/^at_/)
      expect(await introspect(app, client, machine)).to.include({ active: true, scope: 'clients:read' })
      expect((await app.call('GET', '/clients', { token: machine })).status).to.equal(200)
    })

    it('end with their session', async () => {
      const di = await app.person()
      const client = await makeClient(app, { access_token_format: 'opaque' })
      const tokens = (await signInto(app, client, di)).body
      await app.call('POST', '/v1/auth/revoke-all-sessions', { token: di.accessToken })
      expect((await introspect(app, client, tokens.access_token)).active).to.equal(false)
      const refresh = await post(
        app,
        '/oauth/token',
        { grant_type: 'refresh_token', refresh_token: tokens.refresh_token },
        { client },
      )
      expect(refresh.body.error).to.equal('invalid_grant')
    })
  })

  it('end at once for a person who is disabled', async () => {
    const ed = await app.person()
    const tokens = (await signInto(app, shop, ed)).body
    await app.db('users').where({ id: ed.id }).update({ status: 'disabled' })
    expect((await introspect(app, shop, tokens.access_token)).active).to.equal(false)
    expect((await userinfo(tokens.access_token)).status).to.equal(401)
    for (const refresh_token of [tokens.refresh_token]) {
      const refreshed = await post(
        app,
        '/oauth/token',
        { grant_type: 'refresh_token', refresh_token },
        { client: shop },
      )
      expect(refreshed.body.error).to.equal('invalid_grant')
    }
    await pause(1050)
    expectProblem(await app.call('GET', '/v1/auth/me', { token: ed.accessToken }), 401)
    expectProblem(await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: ed.refreshToken } }), 401)
    expectProblem(
      await app.call('POST', '/v1/auth/login', { body: { email: ed.email, password: ed.password } }),
      403,
      'ACCOUNT_DISABLED',
    )
  })

  it('say nothing of tokens to those who may not ask', async () => {
    const open = await makeClient(app, { token_endpoint_auth_method: 'none' })
    expect((await introspect(app, open, ada.accessToken)).active ?? false).to.equal(false)
    expect((await post(app, '/oauth/introspect', { token: ada.accessToken })).status).to.be.oneOf([400, 401])
    for (const token of ['', 'x', 'eyJ.eyJ.x', `${ada.accessToken}x`, 'rt_nope', 'at_nope']) {
      const answer = await post(app, '/oauth/introspect', { token }, { client: watcher })
      expect(answer.body.active ?? false).to.equal(false)
      expect((await post(app, '/oauth/revoke', { token }, { client: watcher })).status).to.be.oneOf([200, 400])
    }
  })

  it('bound by DPoP are of use only with the key', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const jwk: JWK = await exportJWK(publicKey)
    const proof = (method: string, path: string, token?: string) =>
      new SignJWT({
        jti: crypto.randomUUID(),
        htm: method,
        htu: app.url + path,
        ...(token && { ath: createHash('sha256').update(token).digest('base64url') }),
      })
        .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk })
        .setIssuedAt()
        .sign(privateKey)
    const { code, verifier } = await codeFor(app, shop, ada)
    const dpop = await proof('POST', '/oauth/token')
    const form = { grant_type: 'authorization_code', code, redirect_uri: REDIRECT, code_verifier: verifier }
    const tokens = await post(app, '/oauth/token', form, { client: shop, headers: { dpop } })
    expect(tokens.status, JSON.stringify(tokens.body)).to.equal(200)
    expect(tokens.body.token_type).to.equal('DPoP')
    expect(claimsOf(tokens.body.access_token).cnf.jkt).to.equal(await calculateJwkThumbprint(jwk))
    const token = tokens.body.access_token
    expect((await introspect(app, shop, token)).cnf.jkt).to.equal(await calculateJwkThumbprint(jwk))
    expect((await userinfo(token)).status).to.equal(401)
    const info = await fetch(`${app.url}/oauth/userinfo`, {
      headers: { authorization: `DPoP ${token}`, dpop: await proof('GET', '/oauth/userinfo', token) },
    })
    expect(info.status).to.equal(200)
    const once = { authorization: `DPoP ${token}`, dpop: await proof('GET', '/oauth/userinfo', token) }
    const ask = () => fetch(`${app.url}/oauth/userinfo`, { headers: once })
    const fifty = await Promise.all(Array.from({ length: 50 }, ask))
    expect(fifty.filter(({ status }) => status === 200)).to.have.length(1)
    expect(fifty.filter(({ status }) => status === 401)).to.have.length(49)
    const refresh = (headers: Record<string, string>) =>
      post(
        app,
        '/oauth/token',
        { grant_type: 'refresh_token', refresh_token: tokens.body.refresh_token },
        { client: shop, headers },
      )
    expect((await refresh({ dpop })).body.error_description).to.be.a('string')
    expect((await refresh({ dpop })).status).to.equal(400)
    const refreshed = await refresh({ dpop: await proof('POST', '/oauth/token') })
    expect(refreshed.body.token_type).to.equal('DPoP')
    expectProblem(await app.call('GET', '/v1/auth/me', { token }), 401)
  })

  it('are told apart: a client cannot authenticate in two ways at once', async () => {
    const answer = await post(
      app,
      '/oauth/introspect',
      { token: ada.accessToken, client_id: watcher.clientId, client_secret: watcher.clientSecret! },
      { headers: basic(watcher) },
    )
    expect(answer.body.error).to.equal('invalid_request')
  })
})
