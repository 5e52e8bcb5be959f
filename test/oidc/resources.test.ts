import { expect } from 'chai'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import {
  claimsOf,
  codeFor,
  eventually,
  headerOf,
  introspect,
  makeClient,
  type OAuthClient,
  post,
  signInto,
  verifierOf,
} from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

const ORDERS = 'https://orders.example.com'
const STOCK = 'https://stock.example.com'

describe('API resources (RFC 8707)', () => {
  let app: TestApp
  let admin: string
  let ada: Person
  let shop: OAuthClient
  before(async () => {
    app = await startApp()
    admin = await app.admin()
    ada = await app.person('ada@example.com')
  })
  after(() => app.close())

  it('are made, read, changed and deleted by an administrator', async () => {
    const body = {
      identifier: ORDERS,
      name: 'Orders API',
      scopes: [{ name: 'orders:read', description: 'See orders' }, { name: 'orders:write' }],
      token_lifetime: 300,
    }
    const made = await app.call('POST', '/v1/resources', { token: admin, body })
    expect(made.status).to.equal(201)
    expect(made.body).to.include({ identifier: ORDERS, token_format: 'jwt', token_lifetime: 300, signing_alg: 'ES256' })
    expectProblem(await app.call('POST', '/v1/resources', { token: admin, body }), 409, 'CONFLICT')
    const stock = { identifier: STOCK, name: 'Stock', scopes: [{ name: 'stock:read' }], token_format: 'opaque' }
    const second = (await app.call('POST', '/v1/resources', { token: admin, body: stock })).body
    const list = await app.call('GET', '/v1/resources', { token: admin })
    expect(list.body.resources.map((r: any) => r.identifier)).to.have.members([ORDERS, STOCK])
    const path = `/v1/resources/${second.id}`
    expect((await app.call('PATCH', path, { token: admin, body: { name: 'Stock API' } })).body).to.include({
      name: 'Stock API',
      token_format: 'opaque',
    })
    expect((await app.call('GET', path, { token: admin })).body.name).to.equal('Stock API')
    expectProblem(await app.call('PATCH', path, { token: admin, body: { identifier: ORDERS } }), 409, 'CONFLICT')
    expectProblem(
      await app.call('GET', '/v1/resources/00000000-0000-4000-8000-000000000000', { token: admin }),
      404,
      'NOT_FOUND',
    )
    const extra = (
      await app.call('POST', '/v1/resources', { token: admin, body: { identifier: 'urn:x:y', name: 'X' } })
    ).body
    expect((await app.call('DELETE', `/v1/resources/${extra.id}`, { token: admin })).status).to.equal(200)
    expectProblem(await app.call('DELETE', `/v1/resources/${extra.id}`, { token: admin }), 404, 'NOT_FOUND')
  })

  it('cannot take our own address or permissions, nor be nonsense', async () => {
    for (const [body, status] of [
      [{ identifier: app.url, name: 'Gatehouse' }, 409],
      [{ identifier: 'https://x.example.com', name: 'X', scopes: [{ name: 'users:read' }] }, 409],
      [{ identifier: 'https://x.example.com', name: 'X', scopes: [{ name: 'openid' }] }, 409],
      [{ identifier: 'https://x.example.com', name: 'X', scopes: [{ name: 'account' }] }, 409],
      [{ identifier: 'https://x.example.com#part', name: 'X' }, 400],
      [{ identifier: 'not a uri', name: 'X' }, 400],
      [{ identifier: 'https://x.example.com', name: 'X', scopes: [{ name: 'with space' }] }, 400],
      [{ identifier: 'https://x.example.com', name: 'X', token_lifetime: 1 }, 400],
      [{ identifier: 'https://x.example.com', name: 'X', signing_alg: 'none' }, 400],
    ] as const) {
      const answer = await app.call('POST', '/v1/resources', { token: admin, body })
      expect(answer.status, JSON.stringify(body)).to.equal(status)
    }
  })

  it('restrict a token to one audience, its scopes, its lifetime', async () => {
    shop = await makeClient(app, { scope: 'openid email offline_access orders:read orders:write stock:read' })
    const tokens = await signInto(app, shop, ada, { scope: 'openid orders:read orders:write', resource: ORDERS })
    expect(tokens.status, JSON.stringify(tokens.body)).to.equal(200)
    const token = tokens.body.access_token
    expect(tokens.body.expires_in).to.equal(300)
    const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(`${app.url}/oauth/jwks`)), {
      issuer: app.url,
      audience: ORDERS,
      typ: 'at+jwt',
    })
    expect(String(payload.scope).split(' ')).to.have.members(['orders:read', 'orders:write'])
    expect(payload.exp! - payload.iat!).to.equal(300)
    expect(await introspect(app, shop, token)).to.include({ active: true, aud: ORDERS })
    expectProblem(await app.call('GET', '/v1/auth/me', { token }), 401, 'UNAUTHORIZED')
    const info = await fetch(`${app.url}/oauth/userinfo`, { headers: { authorization: `Bearer ${token}` } })
    expect(info.status).to.be.oneOf([401, 403])
    const fresh = await post(
      app,
      '/oauth/token',
      { grant_type: 'refresh_token', refresh_token: tokens.body.refresh_token },
      { client: shop },
    )
    expect(claimsOf(fresh.body.access_token).aud).to.equal(ORDERS)
  })

  it('are asked for one by one at the token endpoint, of those that were granted', async () => {
    const { code, verifier, params } = await codeFor(app, shop, ada, { scope: 'openid orders:read', resource: ORDERS })
    expect(params.get('error')).to.equal(null)
    const form = { grant_type: 'authorization_code', code, redirect_uri: REDIRECT, code_verifier: verifier }
    const other = await post(app, '/oauth/token', { ...form, resource: STOCK }, { client: shop })
    expect(other.body.error).to.equal('invalid_target')
  })

  it('have opaque tokens where they say so', async () => {
    const tokens = (await signInto(app, shop, ada, { scope: 'openid stock:read', resource: STOCK })).body
    expect(tokens.access_token).to.match(/^at_/)
    expect(tokens.expires_in).to.equal(900)
    expect(await introspect(app, shop, tokens.access_token)).to.include({
      active: true,
      aud: STOCK,
      scope: 'stock:read',
    })
    expectProblem(await app.call('GET', '/v1/auth/me', { token: tokens.access_token }), 401)
  })

  it('have tokens signed as they say, and by client_credentials too', async () => {
    const { id } = (await app.call('GET', '/v1/resources', { token: admin })).body.resources.find(
      (r: any) => r.identifier === ORDERS,
    )
    await app.call('PUT', `/v1/resources/${id}`, { token: admin, body: { signing_alg: 'RS256', token_lifetime: 120 } })
    const service = await makeClient(app, {
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'orders:read',
    })
    await eventually(async () => {
      const answer = await post(
        app,
        '/oauth/token',
        { grant_type: 'client_credentials', scope: 'orders:read', resource: ORDERS },
        { client: service },
      )
      expect(answer.body.expires_in).to.equal(120)
      expect(headerOf(answer.body.access_token).alg).to.equal('RS256')
      const { payload } = await jwtVerify(
        answer.body.access_token,
        createRemoteJWKSet(new URL(`${app.url}/oauth/jwks`)),
        { audience: ORDERS },
      )
      expect(payload).to.include({ scope: 'orders:read', sub: service.clientId })
    })
  })

  it('that do not exist are invalid_target, at every endpoint', async () => {
    const unknown = 'https://unknown.example.com'
    const { params } = await codeFor(app, shop, ada, { resource: unknown })
    expect(params.get('error')).to.equal('invalid_target')
    const service = await makeClient(app, { grant_types: ['client_credentials'], redirect_uris: [] })
    const answer = await post(
      app,
      '/oauth/token',
      { grant_type: 'client_credentials', resource: unknown },
      { client: service },
    )
    expect(answer.status).to.equal(400)
    expect(answer.body.error).to.equal('invalid_target')
  })

  it('are not open to a client that was not given their scopes', async () => {
    const poor = await makeClient(app, { scope: 'openid' })
    const { params } = await codeFor(app, poor, ada, { scope: 'openid orders:read', resource: ORDERS })
    expect(params.get('error')).to.equal('invalid_target')
    const service = await makeClient(app, {
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'users:read',
    })
    const ask = (client: OAuthClient, scope: string) =>
      post(app, '/oauth/token', { grant_type: 'client_credentials', scope, resource: ORDERS }, { client })
    expect((await ask(service, 'orders:read')).body.error).to.equal('invalid_target')
    const reader = await makeClient(app, {
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'orders:read',
    })
    const narrowed = (await ask(reader, 'orders:read orders:write')).body
    expect(narrowed.scope).to.equal('orders:read')
    expect(claimsOf(narrowed.access_token).scope).to.equal('orders:read')
    // A client with scopes of a resource only has nothing at our own API.
    expect(
      (await post(app, '/oauth/token', { grant_type: 'client_credentials', scope: 'users:read' }, { client: reader }))
        .body.error,
    ).to.equal('invalid_scope')
  })

  it('say their scopes in words where a person is asked for consent', async () => {
    const { challenge } = verifierOf()
    const query = new URLSearchParams({
      client_id: (await makeClient(app, { scope: 'openid orders:read', client_name: 'Asker' })).clientId,
      response_type: 'code',
      redirect_uri: REDIRECT,
      scope: 'openid orders:read',
      resource: ORDERS,
      code_challenge: challenge,
      code_challenge_method: 'S256',
    })
    const browser = new Browser(app.url)
    await app.db('rate_limits').delete()
    const login = await browser.open(`${app.url}/oauth/authorize?${query}`)
    const consent = await browser.submit(login, { email: ada.email, password: ada.password })
    expect(consent.page).to.include('Orders API').and.include('See orders')
  })

  it('are known before a client can be given their scopes', async () => {
    const answer = await app.call('POST', '/clients', {
      token: admin,
      body: { redirect_uris: [REDIRECT], scope: 'openid orders:delete' },
    })
    expectProblem(answer, 400, 'VALIDATION_ERROR')
    expect(answer.body.detail).to.include('orders:delete')
  })
})
