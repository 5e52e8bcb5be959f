import { request } from 'node:http'
import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import * as tenants from '../../server/domain/tenants.ts'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { claimsOf, eventually, makeClient, type OAuthClient, post, signInto } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { REDIRECT } from '../support/rp.ts'

const PASSWORD = 'SecurePassword123!'

describe('tenants are apart', () => {
  let app: TestApp
  let admin: string
  let ada: Person
  let shop: OAuthClient
  const acme = '/t/acme'
  let acmeId: string
  let bob: Person
  let acmeAdmin: string
  let acmeShop: OAuthClient

  /** Registers and signs in at a tenant. */
  async function person(base: string, email: string): Promise<Person> {
    const registered = await app.call('POST', `${base}/v1/auth/register`, {
      body: { email, password: PASSWORD },
      headers: from(),
    })
    expect(registered.status, JSON.stringify(registered.body)).to.equal(201)
    const login = await app.call('POST', `${base}/v1/auth/login`, {
      body: { email, password: PASSWORD },
      headers: from(),
    })
    const { user, tokens } = login.body
    return {
      id: user.id,
      email,
      password: PASSWORD,
      accessToken: tokens.access_token,
      refreshToken: tokens.refresh_token,
    }
  }

  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    acmeId = await app.db.transaction((trx) =>
      tenants.create(trx, app.deps.out.sealing, { slug: 'acme', name: 'Acme' }),
    )
    admin = await app.admin()
    ada = await person('', 'ada@example.com')
    bob = await person(acme, 'bob@example.com')
    shop = await makeClient(app)
    const boss = await person(acme, 'boss@example.com')
    await app.db('user_roles').insert({ tenant_id: acmeId, user_id: boss.id, role_id: ROLE.superAdmin })
    const login = await app.call('POST', `${acme}/v1/auth/login`, {
      body: { email: boss.email, password: PASSWORD },
      headers: from(),
    })
    acmeAdmin = login.body.tokens.access_token
    const made = await app.call('POST', `${acme}/clients`, {
      token: acmeAdmin,
      body: { client_name: 'Acme shop', redirect_uris: [REDIRECT] },
    })
    expect(made.status).to.equal(201)
    acmeShop = { id: made.body.id, clientId: made.body.client_id, clientSecret: made.body.client_secret }
  })
  after(() => app.close())

  it('have their own issuer, keys and people', async () => {
    const discovery = (await app.call('GET', `${acme}/.well-known/openid-configuration`)).body
    expect(discovery.issuer).to.equal(`${app.url}/t/acme`)
    expect(discovery.token_endpoint).to.equal(`${app.url}/t/acme/oauth/token`)
    const metadata = await app.call('GET', '/.well-known/oauth-authorization-server/t/acme')
    expect(metadata.body.issuer).to.equal(`${app.url}/t/acme`)
    const kids = async (base: string) => (await app.call('GET', `${base}/oauth/jwks`)).body.keys.map((k: any) => k.kid)
    const [ours, theirs] = [await kids(''), await kids(acme)]
    expect(theirs).to.have.length(2)
    for (const kid of theirs) expect(ours).to.not.include(kid)
    expect(claimsOf(bob.accessToken)).to.include({ iss: `${app.url}/t/acme`, aud: `${app.url}/t/acme`, tenant: 'acme' })
    const twin = await person(acme, 'ada@example.com')
    expect(twin.id).to.not.equal(ada.id)
    expect(
      (await app.call('POST', '/v1/auth/login', { body: { email: bob.email, password: PASSWORD }, headers: from() }))
        .status,
    ).to.equal(401)
  })

  it('have one address each: the default tenant none below /t, unknown ones none at all', async () => {
    const { slug } = await app.db('tenants').whereNot({ id: acmeId }).first('slug')
    for (const path of [
      `/t/${slug}/v1/auth/settings`,
      `/.well-known/openid-configuration/t/${slug}`,
      '/t/none/v1/auth/settings',
      '/t/ACME/v1/auth/settings',
      '/t/',
      '/t/acme%00/',
    ]) {
      expect((await app.call('GET', path)).status, path).to.equal(404)
    }
  })

  it('take no access token of each other', async () => {
    for (const [token, base] of [
      [bob.accessToken, ''],
      [acmeAdmin, ''],
      [ada.accessToken, acme],
      [admin, acme],
    ] as const) {
      expectProblem(await app.call('GET', `${base}/v1/auth/me`, { token }), 401, 'UNAUTHORIZED')
      expectProblem(await app.call('GET', `${base}/clients`, { token }), 401, 'UNAUTHORIZED')
      const info = await fetch(`${app.url}${base}/oauth/userinfo`, { headers: { authorization: `Bearer ${token}` } })
      expect(info.status).to.equal(401)
      const seen = await post(app, `${base}/oauth/introspect`, { token }, { client: base ? acmeShop : shop })
      expect(seen.body.active).to.equal(false)
    }
  })

  it('take no refresh token, client or one-time link of each other', async () => {
    const refresh = (base: string, refresh_token: string) =>
      app.call('POST', `${base}/v1/auth/refresh`, { body: { refresh_token }, headers: from() })
    expectProblem(await refresh('', bob.refreshToken), 401)
    expectProblem(await refresh(acme, ada.refreshToken), 401)
    const atToken = await post(app, '/oauth/token', {
      grant_type: 'refresh_token',
      refresh_token: bob.refreshToken,
      client_id: 'gatehouse',
    })
    expect(atToken.body.error).to.equal('invalid_grant')
    for (const [client, base] of [
      [acmeShop, ''],
      [shop, acme],
    ] as const) {
      const answer = await post(app, `${base}/oauth/token`, { grant_type: 'client_credentials' }, { client })
      expect(answer.body.error).to.equal('invalid_client')
      expectProblem(
        await app.call('GET', `${base}/clients/${client.id}`, { token: base ? acmeAdmin : admin }),
        404,
        'NOT_FOUND',
      )
      expectProblem(
        await app.call('DELETE', `${base}/clients/${client.clientId}`, { token: base ? acmeAdmin : admin }),
        404,
        'NOT_FOUND',
      )
      expectProblem(
        await app.call('POST', `${base}/clients/${client.id}/secret/regenerate`, {
          token: base ? acmeAdmin : admin,
          body: {},
        }),
        404,
      )
    }
    const list = (await app.call('GET', '/clients?limit=100', { token: admin })).body.clients.map(
      (c: any) => c.client_id,
    )
    expect(list).to.include(shop.clientId).and.not.include(acmeShop.clientId)
    await app.call('POST', `${acme}/v1/auth/forgot-password`, { body: { email: bob.email }, headers: from() })
    const mail = await app.smtp.waitFor(bob.email, /reset-password\?token=/)
    const link = new URL(mail.link('reset-password'))
    expect(link.pathname).to.equal('/t/acme/reset-password')
    const body = { token: link.searchParams.get('token'), new_password: 'Another-Password-1' }
    expectProblem(await app.call('POST', '/v1/auth/reset-password', { body, headers: from() }), 400, 'INVALID_TOKEN')
    expect(
      (
        await app.call('POST', `${acme}/v1/auth/login`, {
          body: { email: bob.email, password: PASSWORD },
          headers: from(),
        })
      ).status,
    ).to.equal(200)
    // Nothing of theirs was spent by trying.
    expect((await refresh(acme, bob.refreshToken)).status).to.equal(200)
  })

  it('know no session or resource of each other', async () => {
    const [session] = (await app.call('GET', `${acme}/v1/sessions`, { token: acmeAdmin })).body.sessions
    expectProblem(await app.call('DELETE', `/sessions/${session.id}`, { token: admin }), 404, 'NOT_FOUND')
    const resource = (
      await app.call('POST', `${acme}/v1/resources`, {
        token: acmeAdmin,
        body: { identifier: 'https://api.acme.example', name: 'Acme API' },
      })
    ).body
    for (const method of ['GET', 'DELETE']) {
      expectProblem(await app.call(method, `/v1/resources/${resource.id}`, { token: admin }), 404, 'NOT_FOUND')
    }
    const service = await makeClient(app, { grant_types: ['client_credentials'], redirect_uris: [] })
    const answer = await post(
      app,
      '/oauth/token',
      { grant_type: 'client_credentials', resource: 'https://api.acme.example' },
      { client: service },
    )
    expect(answer.body.error).to.equal('invalid_target')
    expect((await app.call('GET', `${acme}/v1/resources/${resource.id}`, { token: acmeAdmin })).status).to.equal(200)
  })

  it('run the code flow each with its own cookies', async () => {
    const tokens = await signInto(app, shop, ada)
    expect(claimsOf(tokens.body.id_token).iss).to.equal(app.url)
    expect(claimsOf(tokens.body.access_token).tenant).to.not.equal('acme')
    const other = await post(
      app,
      `${acme}/oauth/token`,
      { grant_type: 'refresh_token', refresh_token: tokens.body.refresh_token },
      { client: acmeShop },
    )
    expect(other.body.error).to.equal('invalid_grant')
    expect(
      (
        await post(
          app,
          '/oauth/token',
          { grant_type: 'refresh_token', refresh_token: tokens.body.refresh_token },
          { client: shop },
        )
      ).status,
    ).to.equal(200)
  })

  it('count guesses apart', async () => {
    const headers = from()
    const guess = (base: string) =>
      app.call('POST', `${base}/v1/auth/login`, {
        body: { email: 'ada@example.com', password: 'wrong-password-1' },
        headers,
      })
    for (let i = 0; i < 5; i += 1) expect((await guess(acme)).status).to.equal(401)
    expect((await guess(acme)).status).to.equal(429)
    expect((await guess('')).status).to.equal(401)
  })

  it('never believe a forged host: not in discovery, not in mails, not in redirects', async () => {
    const forged = {
      host: 'evil.example.com',
      'x-forwarded-host': 'evil.example.com',
      'x-forwarded-proto': 'gopher',
      forwarded: 'host=evil.example.com;proto=https',
      'x-forwarded-port': '666',
      'x-original-url': '/admin',
      'x-rewrite-url': '/admin',
    }
    const paths = [
      '/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server',
      '/t/acme/.well-known/openid-configuration',
      '/openapi.json',
      '/',
      '/forgot-password',
      '/v1/auth/me',
      `/oauth/authorize?client_id=${shop.clientId}&response_type=code&redirect_uri=${REDIRECT}&scope=openid`,
    ]
    for (const path of paths) {
      const answer = await rawGet(path, forged)
      expect(answer, path).to.not.include('evil.example.com')
      expect(answer, path).to.not.include('gopher:')
    }
    const dora = await person('', 'dora@example.com')
    await rawGet('/v1/auth/forgot-password', forged, JSON.stringify({ email: dora.email }))
    const mail = await app.smtp.waitFor(dora.email, /reset-password\?token=/)
    expect(mail.raw).to.not.include('evil.example.com')
    expect(mail.link('reset-password').startsWith(`${app.url}/`)).to.equal(true)
  })

  /** Status line, headers and body as text, with headers that fetch would not let us forge. */
  function rawGet(path: string, headers: Record<string, string>, body?: string): Promise<string> {
    const { hostname, port } = new URL(app.url)
    return new Promise((resolve, reject) => {
      const more = body ? { 'content-type': 'application/json', 'content-length': String(body.length) } : {}
      const req = request(
        { hostname, port, path, method: body ? 'POST' : 'GET', headers: { ...headers, ...more } },
        (res) => {
          let text = `${res.statusCode} ${JSON.stringify(res.headers)}\n`
          res.on('data', (chunk) => {
            text += chunk
          })
          res.on('end', () => resolve(text))
        },
      )
      req.on('error', reject)
      req.end(body)
    })
  }

  it('refuse everything while suspended, and go on afterwards', async () => {
    await app.db('tenants').where({ id: acmeId }).update({ status: 'suspended' })
    await eventually(async () =>
      expectProblem(await app.call('GET', `${acme}/v1/auth/settings`), 403, 'TENANT_SUSPENDED'),
    )
    for (const path of ['/v1/auth/me', '/oauth/jwks', '/.well-known/openid-configuration', '/']) {
      expect((await app.call('GET', acme + path, { token: acmeAdmin })).status, path).to.equal(403)
    }
    const login = await app.call('POST', `${acme}/v1/auth/login`, {
      body: { email: bob.email, password: PASSWORD },
      headers: from(),
    })
    expect(login.status).to.equal(403)
    const token = await post(app, `${acme}/oauth/token`, { grant_type: 'client_credentials' }, { client: acmeShop })
    expect(token.status).to.equal(403)
    expect((await app.call('GET', '/v1/auth/me', { token: ada.accessToken })).status).to.equal(200)
    await app.db('tenants').where({ id: acmeId }).update({ status: 'active' })
    await eventually(async () =>
      expect((await app.call('GET', `${acme}/v1/auth/me`, { token: acmeAdmin })).status).to.equal(200),
    )
    await app.db('tenants').where({ id: acmeId }).update({ status: 'deleted' })
    await eventually(async () =>
      expect((await app.call('GET', `${acme}/v1/auth/me`, { token: acmeAdmin })).status).to.equal(404),
    )
  })
})
