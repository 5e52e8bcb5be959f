import { expect } from 'chai'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { claimsOf, codeFor, eventually, introspect, makeClient, post, signInto } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { REDIRECT } from '../support/rp.ts'

const grant = { grant_type: 'client_credentials' }

describe('administering clients', () => {
  let app: TestApp
  let admin: string
  let ada: Person
  before(async () => {
    app = await startApp()
    admin = await app.admin()
    ada = await app.person('ada@example.com')
  })
  after(() => app.close())

  it('shows a new secret once, and never again', async () => {
    const made = await app.call('POST', '/clients', {
      token: admin,
      body: { client_name: 'My App', redirect_uris: ['https://app.example.com/callback'] },
    })
    expect(made.status).to.equal(201)
    const { id, client_id, client_secret } = made.body
    expect(client_secret).to.match(/^[\w-]{40,}$/)
    expect(made.body).to.include({
      client_name: 'My App',
      require_pkce: true,
      first_party: false,
      access_token_format: 'jwt',
      client_secret_expires_at: 0,
    })
    const others = [
      await app.call('GET', '/clients', { token: admin }),
      await app.call('GET', `/clients/${id}`, { token: admin }),
      await app.call('GET', `/clients/${client_id}`, { token: admin }),
      await app.call('PUT', `/clients/${id}`, { token: admin, body: { client_name: 'Renamed' } }),
      await app.call('GET', `/clients/${id}/secret`, { token: admin }),
    ]
    for (const answer of others) {
      expect(answer.status).to.equal(200)
      expect(JSON.stringify(answer.body)).to.not.include(client_secret)
      expect(JSON.stringify(answer.body)).to.not.match(/"client_secret":/)
    }
    expect(others[0]!.body).to.include.keys('clients', 'limit', 'offset', 'count', 'total')
    expect(others[2]!.body.id).to.equal(id)
    expect(others[4]!.body.secrets).to.have.length(1)
    expect((await app.call('GET', `/clients/${id}`, { token: admin })).body.client_name).to.equal('Renamed')
    expect((await app.call('GET', '/clients?q=rename', { token: admin })).body.total).to.equal(1)
    expect((await app.call('GET', '/clients?q=%25', { token: admin })).body.total).to.equal(0)
  })

  it('takes a client_id and a secret along that were used elsewhere', async () => {
    const secret = 'old+secret/with=odd&characters%'
    const client = await makeClient(app, {
      client_id: 'legacy.app',
      client_secret: secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'users:read',
    })
    expect(client).to.include({ clientId: 'legacy.app', clientSecret: secret })
    expect((await post(app, '/oauth/token', grant, { client })).status).to.equal(200)
    expect((await post(app, '/oauth/token', grant, { client, secret: `${secret}x` })).body.error).to.equal(
      'invalid_client',
    )
    const again = await app.call('POST', '/clients', {
      token: admin,
      body: { client_id: 'legacy.app', redirect_uris: [REDIRECT] },
    })
    expectProblem(again, 409, 'CONFLICT')
    const builtIn = await app.call('POST', '/clients', {
      token: admin,
      body: { client_id: 'gatehouse', redirect_uris: [REDIRECT] },
    })
    expectProblem(builtIn, 409, 'CONFLICT')
  })

  it('keeps two secrets alive while one replaces the other', async () => {
    const client = await makeClient(app, { grant_types: ['client_credentials'], redirect_uris: [] })
    const works = async (secret: string) => (await post(app, '/oauth/token', grant, { client, secret })).status === 200
    const first = client.clientSecret!
    const regenerate = (body: object) =>
      app.call('POST', `/clients/${client.id}/secret/regenerate`, { token: admin, body })
    const second = (await regenerate({ overlap: 600 })).body
    expect(new Date(second.previous_expires_at).getTime()).to.be.within(Date.now() + 590_000, Date.now() + 610_000)
    await eventually(async () => expect(await works(second.client_secret)).to.equal(true))
    expect(await works(first)).to.equal(true)
    const third = (await regenerate({})).body
    await eventually(async () => expect(await works(third.client_secret)).to.equal(true))
    expect(await works(second.client_secret)).to.equal(true)
    expect(await works(first)).to.equal(false)
    expect((await app.call('GET', `/clients/${client.id}/secret`, { token: admin })).body.secrets).to.have.length(2)
    await app
      .db('client_secrets')
      .whereNotNull('expires_at')
      .update({ expires_at: app.db.raw(`now() - interval '1 second'`) })
    await eventually(async () => expect(await works(second.client_secret)).to.equal(false))
    const last = (await regenerate({ overlap: 0 })).body
    expect(last.previous_expires_at).to.equal(null)
    await eventually(async () => expect(await works(last.client_secret)).to.equal(true))
    expect(await works(third.client_secret)).to.equal(false)
  })

  it('refuses metadata the provider could not serve, field by field, and stores nothing', async () => {
    const before = Number((await app.db('clients').count({ n: '*' }))[0]!.n)
    const bad: [object, RegExp][] = [
      [{ redirect_uris: ['not a uri'] }, /redirect_uris/],
      [{ redirect_uris: ['https://x.example.com/cb#fragment'] }, /redirect_uris/],
      [{ redirect_uris: ['javascript:alert(1)'] }, /redirect_uris/],
      [{ redirect_uris: [] }, /redirect_uris/],
      [{ redirect_uris: [REDIRECT], grant_types: ['password'] }, /grant_types/],
      [{ redirect_uris: [REDIRECT], response_types: ['token'] }, /response_types/],
      [{ redirect_uris: [REDIRECT], token_endpoint_auth_method: 'tls' }, /token_endpoint_auth_method/],
      [{ redirect_uris: [REDIRECT], token_endpoint_auth_method: 'private_key_jwt' }, /jwks/],
      [{ redirect_uris: [REDIRECT], token_endpoint_auth_method: 'none', require_pkce: false }, /require_pkce/],
      [
        { redirect_uris: [REDIRECT], token_endpoint_auth_method: 'none', client_secret: 'x'.repeat(32) },
        /client_secret/,
      ],
      [{ redirect_uris: [REDIRECT], client_secret: 'short' }, /client_secret/],
      [{ redirect_uris: [REDIRECT], client_id: 'with space' }, /client_id/],
      [{ redirect_uris: [REDIRECT], scope: 'openid unheard-of' }, /scope/],
      [{ redirect_uris: [REDIRECT], logo_uri: 'javascript:alert(1)' }, /logo_uri/],
      [{ redirect_uris: [REDIRECT], jwks: { keys: [{ kty: 'EC', d: 'private' }] } }, /JSON Web Key/],
      [{ redirect_uris: [REDIRECT], system: true }, /system/],
      [{ redirect_uris: [REDIRECT], response_types: ['none'] }, /response_types/],
      [{ redirect_uris: [REDIRECT], allowed_origins: ['*'] }, /allowed_origins/],
      [{ redirect_uris: [REDIRECT], allowed_origins: ['https://x.example.com/path'] }, /allowed_origins/],
      [
        {
          redirect_uris: [REDIRECT],
          token_endpoint_auth_method: 'client_secret_jwt',
          client_secret: 'x'.repeat(31),
        },
        /client_secret/,
      ],
    ]
    for (const [body, field] of bad) {
      const answer = await app.call('POST', '/clients', { token: admin, body })
      expectProblem(answer, 400, 'VALIDATION_ERROR')
      expect(answer.body.detail, JSON.stringify(body)).to.match(field)
    }
    expect(Number((await app.db('clients').count({ n: '*' }))[0]!.n)).to.equal(before)
  })

  it('exempts only a confidential client from PKCE', async () => {
    const client = await makeClient(app, { require_pkce: false })
    const { code } = await codeFor(app, client, ada, { code_challenge: '', code_challenge_method: '' })
    expect(code).to.not.equal('')
    const tokens = await post(
      app,
      '/oauth/token',
      { grant_type: 'authorization_code', code, redirect_uri: REDIRECT },
      { client },
    )
    expect(tokens.status).to.equal(200)
    const made = await app.call('PUT', `/clients/${client.id}`, {
      token: admin,
      body: { token_endpoint_auth_method: 'none' },
    })
    expectProblem(made, 400, 'VALIDATION_ERROR')
    const strict = await makeClient(app)
    const { params } = await codeFor(app, strict, ada, { code_challenge: '', code_challenge_method: '' })
    expect(params.get('error')).to.equal('invalid_request')
    expect(params.get('code')).to.equal(null)
    const plain = await codeFor(app, strict, ada, { code_challenge_method: 'plain' })
    expect(plain.params.get('error')).to.equal('invalid_request')
  })

  it('ends all tokens of a deleted client', async () => {
    const client = await makeClient(app)
    const service = await makeClient(app, {
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'users:read clients:read',
    })
    const watcher = await makeClient(app, { scope: 'openid tokens:introspect' })
    const tokens = (await signInto(app, client, ada)).body
    const machine = (await post(app, '/oauth/token', { ...grant, scope: 'clients:read' }, { client: service })).body
    expect((await introspect(app, watcher, tokens.access_token)).active).to.equal(true)
    expect((await introspect(app, watcher, machine.access_token)).active).to.equal(true)
    expect((await app.call('GET', '/clients', { token: machine.access_token })).status).to.equal(200)
    for (const { id } of [client, service])
      expect((await app.call('DELETE', `/clients/${id}`, { token: admin })).status).to.equal(200)
    await eventually(async () => expect((await introspect(app, watcher, machine.access_token)).active).to.equal(false))
    expect((await introspect(app, watcher, tokens.access_token)).active).to.equal(false)
    const info = await fetch(`${app.url}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    })
    expect(info.status).to.equal(401)
    expectProblem(await app.call('GET', '/clients', { token: machine.access_token }), 401, 'UNAUTHORIZED')
    const refresh = await post(
      app,
      '/oauth/token',
      { grant_type: 'refresh_token', refresh_token: tokens.refresh_token },
      { client },
    )
    expect(refresh.body.error).to.equal('invalid_client')
    expectProblem(await app.call('GET', `/clients/${client.id}`, { token: admin }), 404, 'NOT_FOUND')
    expect(await app.db('oidc_models').where({ client_id: client.clientId })).to.have.length(0)
    expect(await app.db('client_secrets').where({ client: client.id })).to.have.length(0)
  })

  it('does not let the built-in client be changed', async () => {
    expectProblem(
      await app.call('PUT', '/clients/gatehouse', { token: admin, body: { client_name: 'x' } }),
      403,
      'ACCESS_DENIED',
    )
    expectProblem(await app.call('DELETE', '/clients/gatehouse', { token: admin }), 403, 'ACCESS_DENIED')
    expectProblem(
      await app.call('POST', '/clients/gatehouse/secret/regenerate', { token: admin, body: {} }),
      403,
      'ACCESS_DENIED',
    )
  })

  it('lets nobody give a client more than they hold themselves', async () => {
    const rita = await app.person('rita@example.com')
    await app.db('user_roles').insert({ tenant_id: DEFAULT_TENANT, user_id: rita.id, role_id: ROLE.admin })
    const fields = { grant_types: ['client_credentials'], redirect_uris: [] }
    const login = await app.call('POST', '/v1/auth/login', { body: { email: rita.email, password: rita.password } })
    const token = login.body.tokens.access_token
    const own = await app.call('POST', '/clients', { token, body: { ...fields, scope: 'users:read' } })
    expect(own.status).to.equal(201)
    expectProblem(
      await app.call('POST', '/clients', { token, body: { ...fields, scope: 'users:read tenants:write' } }),
      403,
      'ACCESS_DENIED',
    )
    expectProblem(
      await app.call('PUT', `/clients/${own.body.id}`, { token, body: { scope: 'tenants:write' } }),
      403,
      'ACCESS_DENIED',
    )
    const root = await makeClient(app, { ...fields, scope: 'tenants:write' })
    expectProblem(
      await app.call('POST', `/clients/${root.id}/secret/regenerate`, { token, body: { overlap: 0 } }),
      403,
      'ACCESS_DENIED',
    )
    expect((await post(app, '/oauth/token', grant, { client: root })).status).to.equal(200)
    expect(
      (await app.call('PUT', `/clients/${own.body.id}`, { token, body: { client_name: 'Renamed' } })).status,
    ).to.equal(200)
  })
})

describe('clients that sign their own assertions (private_key_jwt)', () => {
  let app: TestApp
  before(async () => {
    app = await startApp()
  })
  after(() => app.close())

  it('get tokens with a fresh assertion; of fifty uses of one assertion one wins', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }
    const client = await makeClient(app, {
      token_endpoint_auth_method: 'private_key_jwt',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'users:read',
      jwks: { keys: [jwk] },
    })
    expect(client.clientSecret).to.equal(undefined)
    const assertion = (claims: Record<string, unknown> = {}, key = privateKey) =>
      new SignJWT({ jti: crypto.randomUUID(), ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
        .setIssuer(client.clientId)
        .setSubject(client.clientId)
        .setAudience((claims.aud as string) ?? app.url)
        .setIssuedAt()
        .setExpirationTime((claims.exp as number) ?? '1m')
        .sign(key)
    const ask = (client_assertion: string) =>
      post(app, '/oauth/token', {
        grant_type: 'client_credentials',
        scope: 'users:read',
        client_id: client.clientId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion,
      })
    const good = await ask(await assertion())
    expect(good.status, JSON.stringify(good.body)).to.equal(200)
    expect(claimsOf(good.body.access_token)).to.include({ sub: client.clientId, scope: 'users:read' })
    const once = await assertion()
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(once)))
    expect(answers.filter((a) => a.status === 200)).to.have.length(1)
    for (const { body } of answers.filter((a) => a.status !== 200)) expect(body.error).to.equal('invalid_client')
    const stranger = await generateKeyPair('ES256')
    const refused = [
      await assertion({}, stranger.privateKey),
      await assertion({ exp: Math.floor(Date.now() / 1000) - 120 }),
      await assertion({ aud: 'https://elsewhere.example.com' }),
      await assertion({ jti: undefined }),
    ]
    for (const bad of refused) expect((await ask(bad)).body.error).to.equal('invalid_client')
  })
})
