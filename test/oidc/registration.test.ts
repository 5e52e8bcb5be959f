import { expect } from 'chai'
import * as oidc from 'openid-client'
import { ROLE } from '../../server/domain/ids.ts'
import { type Answer, type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually, makeClient, post, signInto } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'
import { REDIRECT } from '../support/rp.ts'

const BODY = { client_name: 'Self-made', redirect_uris: [REDIRECT] }

describe('apps that register themselves', () => {
  let app: TestApp
  let admin: string
  let ada: Person
  before(async () => {
    app = await startApp()
    admin = await app.admin()
    ada = await app.person()
  })
  after(() => app.close())
  beforeEach(() => app.db('rate_limits').delete())

  const set = async (key: string, value: unknown) => {
    const path = `/v1/admin/settings/${key}`
    expect((await app.call('PATCH', path, { token: admin, body: { value } })).status).to.equal(200)
    await eventually(async () => {
      const tenant = await app.deps.out.directory.byId('00000000-0000-7000-8000-000000000001')
      expect((tenant!.settings as any)[key]).to.deep.equal(value)
    })
  }
  const initial = async (fields: object = {}): Promise<string> => {
    const body = { name: 'test', ...fields }
    const made = await app.call('POST', '/v1/admin/initial-access-tokens', { token: admin, body })
    expect(made.status).to.equal(201)
    return made.body.token
  }
  const register = (fields: object = {}, token?: string) =>
    app.call('POST', '/oauth/register', { body: { ...BODY, ...fields }, ...(token && { token }) })
  const count = async () => Number((await app.db('clients').where({ origin: 'registration' }).count({ n: '*' }))[0]!.n)
  const discovery = async () => (await app.call('GET', '/.well-known/openid-configuration')).body

  function expectRefusal(answer: Answer, status: number, error: string): void {
    expect(answer.status, JSON.stringify(answer.body)).to.equal(status)
    expect(answer.body).to.have.all.keys('error', 'error_description')
    expect(answer.body.error).to.equal(error)
  }

  it('cannot, unless the tenant lets them', async () => {
    expect(await discovery()).to.not.have.property('registration_endpoint')
    expectRefusal(await register(), 404, 'invalid_request')
    expectRefusal(await register({}, await initial()), 404, 'invalid_request')
    expect(await count()).to.equal(0)
  })

  it('with an initial access token, as often and as long as it says, of fifty at once as well', async () => {
    await set('dynamic_registration', 'token')
    await eventually(async () =>
      expect((await discovery()).registration_endpoint).to.equal(`${app.url}/oauth/register`),
    )
    const nobody = await register()
    expectRefusal(nobody, 401, 'invalid_token')
    expect(nobody.headers.get('www-authenticate')).to.match(/^Bearer/)
    expectRefusal(await register({}, 'iat_guessed'), 401, 'invalid_token')
    expectRefusal(await register({}, 'nonsense'), 401, 'invalid_token')
    const token = await initial({ max_uses: 3 })
    expectRefusal(await register({ redirect_uris: ['http://evil.example.com/'] }, token), 400, 'invalid_redirect_uri')
    await app.db('rate_limits').delete()
    const answers: Answer[] = []
    for (let i = 0; i < 5; i++) {
      await app.db('rate_limits').delete()
      answers.push(...(await Promise.all(Array.from({ length: 10 }, () => register({}, token)))))
    }
    expect(answers.filter(({ status }) => status === 201)).to.have.length(3)
    for (const answer of answers.filter(({ status }) => status !== 201)) expectRefusal(answer, 401, 'invalid_token')
    expect(await count()).to.equal(3)
    const listed = (await app.call('GET', '/v1/admin/initial-access-tokens', { token: admin })).body
    expect(listed.tokens.find((t: any) => t.max_uses === 3).uses).to.equal(3)
    expect(JSON.stringify(listed)).to.not.include(token)

    await app.db('rate_limits').delete()
    const old = await initial()
    await app
      .db('initial_access_tokens')
      .where({ uses: 0 })
      .update({ expires_at: app.db.raw(`now() - interval '1 s'`) })
    expectRefusal(await register({}, old), 401, 'invalid_token')
    const revoked = await initial()
    const [{ id }] = (await app.call('GET', '/v1/admin/initial-access-tokens', { token: admin })).body.tokens
    const path = `/v1/admin/initial-access-tokens/${id}`
    const acme = await withTenant(app, 'acme')
    expectProblem(await app.call('DELETE', `/t/acme${path}`, { token: acme.boss.accessToken }), 404, 'NOT_FOUND')
    expect((await app.call('DELETE', path, { token: admin })).status).to.equal(200)
    expectRefusal(await register({}, revoked), 401, 'invalid_token')
    expect(await count()).to.equal(3)
    // It opens nothing else.
    const fresh = await initial()
    expectProblem(await app.call('GET', '/clients', { token: fresh }), 401, 'UNAUTHORIZED')
  })

  it('are third parties that sign people in, with a stock library', async () => {
    await set('dynamic_registration', 'open')
    const options = { execute: [oidc.allowInsecureRequests] }
    const config = await oidc.dynamicClientRegistration(new URL(app.url), BODY, undefined, options)
    const made = config.clientMetadata()
    expect(made).to.include({ client_name: 'Self-made', client_secret_expires_at: 0 })
    const row = await app.db('clients').where({ client_id: made.client_id }).first()
    expect(row).to.include({ first_party: false, require_pkce: true, origin: 'registration' })
    expect(row.registration_token_hash.toString()).to.not.include(String(made.registration_access_token))
    const client = { id: row.id, clientId: made.client_id, clientSecret: made.client_secret as string }
    const tokens = await signInto(app, client, ada, { scope: 'openid email' })
    expect(tokens.status, JSON.stringify(tokens.body)).to.equal(200)
    expectProblem(await app.call('GET', '/v1/auth/me', { token: tokens.body.access_token }), 403, 'ACCESS_DENIED')
    const events = await app.db('events').where({ client_id: made.client_id, type: 'client.created' })
    expect(events[0].data).to.include({ origin: 'registration' })
  })

  it('get no right of our own API, and hear what they got', async () => {
    const { body } = await register({
      scope: 'openid users:write email roles unheard',
      unknown: 'ignored',
      first_party: true,
    })
    expect(body.scope).to.equal('openid email')
    expect(body).to.not.have.any.keys('unknown', 'first_party')
    expectRefusal(await register({ scope: 'users:write' }), 400, 'invalid_client_metadata')
    await app.call('POST', '/v1/resources', {
      token: admin,
      body: { identifier: 'https://mcp.example.com', name: 'Tools', scopes: [{ name: 'tools:use' }] },
    })
    await set('dynamic_registration_scopes', ['openid', 'tools:use', 'users:read', 'gone:scope'])
    await eventually(async () => expect((await register()).body.scope).to.equal('openid tools:use'))
    await set('dynamic_registration_scopes', ['openid', 'profile', 'email', 'phone', 'address', 'offline_access'])
  })

  it('are led to addresses of their own only', async () => {
    const good: object[] = [
      { redirect_uris: ['http://localhost:3000/cb', 'http://127.0.0.1/cb', 'http://[::1]:80/cb'] },
      { redirect_uris: ['com.example.app:/cb'], application_type: 'native', token_endpoint_auth_method: 'none' },
    ]
    for (const fields of good) expect((await register(fields)).status, JSON.stringify(fields)).to.equal(201)
    const bad: [object, string][] = [
      [{ redirect_uris: ['http://app.example.com/cb'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['https://app.example.com/cb#x'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['https://a:b@app.example.com/cb'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['com.example.app:/cb'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['myapp:/cb'], application_type: 'native' }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['javascript:alert(1)'], application_type: 'native' }, 'invalid_redirect_uri'],
      [{ redirect_uris: [] }, 'invalid_redirect_uri'],
      [{ redirect_uris: 'https://app.example.com' }, 'invalid_redirect_uri'],
      [{ post_logout_redirect_uris: ['http://app.example.com/'] }, 'invalid_client_metadata'],
      [{ grant_types: ['client_credentials'], redirect_uris: [] }, 'invalid_client_metadata'],
      [{ grant_types: ['password'] }, 'invalid_client_metadata'],
      [{ logo_uri: 'http://app.example.com/logo.png' }, 'invalid_client_metadata'],
      [{ client_name: 'x'.repeat(201) }, 'invalid_client_metadata'],
      [{ client_name: 'a\u0000b' }, 'invalid_client_metadata'],
      [{ jwks: { keys: Array(900).fill({ kty: 'oct', k: 'x' }) } }, 'invalid_client_metadata'],
    ]
    const before = await count()
    for (const [fields, error] of bad) {
      await app.db('rate_limits').delete()
      expectRefusal(await register(fields), 400, error)
    }
    expect(await count()).to.equal(before)
  })

  it('manage themselves by the token they got, and nobody else does', async () => {
    const { body: mine } = await register({ client_uri: 'https://app.example.com/', contacts: ['a@example.com'] })
    const { body: other } = await register()
    const at = `/oauth/register/${mine.client_id}`
    expect(mine.registration_client_uri).to.equal(app.url + at)
    const token = mine.registration_access_token
    for (const wrong of [undefined, other.registration_access_token, 'rat_guess', admin]) {
      const as = wrong ? { token: wrong } : {}
      expectRefusal(await app.call('GET', at, as), 401, 'invalid_token')
      expectRefusal(await app.call('DELETE', at, as), 401, 'invalid_token')
    }
    const seen = await app.call('GET', at, { token })
    expect(seen.status).to.equal(200)
    expect(seen.body).to.include({ client_id: mine.client_id, registration_access_token: token })
    expect(seen.body).to.not.have.property('client_secret')

    const put = (fields: object) =>
      app.call('PUT', at, { token, body: { ...BODY, client_id: mine.client_id, ...fields } })
    expectRefusal(await put({ client_id: other.client_id }), 400, 'invalid_client_metadata')
    expectRefusal(await put({ client_secret: 'of-my-own-choice' }), 400, 'invalid_client_metadata')
    expectRefusal(await put({ redirect_uris: ['http://x.example.com/'] }), 400, 'invalid_redirect_uri')
    const changed = await put({
      client_secret: mine.client_secret,
      client_name: 'Renamed',
      token_endpoint_auth_method: 'none',
    })
    expect(changed.status, JSON.stringify(changed.body)).to.equal(200)
    expect(changed.body).to.include({ client_name: 'Renamed', token_endpoint_auth_method: 'none' })
    expect(changed.body).to.not.have.any.keys('client_uri', 'contacts')
    const back = await put({})
    expect(back.body.token_endpoint_auth_method).to.equal('client_secret_basic')

    expect((await app.call('DELETE', at, { token })).status).to.equal(204)
    expectRefusal(await app.call('GET', at, { token }), 401, 'invalid_token')
    expect(await app.db('clients').where({ client_id: mine.client_id })).to.have.length(0)
    expect(await app.db('clients').where({ client_id: other.client_id })).to.have.length(1)
  })

  it('get a secret when they start to need one, which works', async () => {
    const { body: made } = await register({ token_endpoint_auth_method: 'none' })
    expect(made).to.not.have.any.keys('client_secret', 'client_secret_expires_at')
    const changed = await app.call('PUT', `/oauth/register/${made.client_id}`, {
      token: made.registration_access_token,
      body: { ...BODY, client_id: made.client_id },
    })
    const client = { id: '', clientId: made.client_id, clientSecret: changed.body.client_secret }
    await eventually(async () => {
      const asked = {
        grant_type: 'authorization_code',
        code: 'x',
        redirect_uri: REDIRECT,
        code_verifier: 'x'.repeat(43),
      }
      const { body } = await post(app, '/oauth/token', asked, { client })
      expect(body.error).to.equal('invalid_grant')
    })
  })

  it('cannot change themselves any more once an administrator trusts them with rights', async () => {
    const { body: made } = await register()
    const at = `/oauth/register/${made.client_id}`
    const trust = { token: admin, body: { scope: 'openid users:read' } }
    expect((await app.call('PUT', `/clients/${made.client_id}`, trust)).status).to.equal(200)
    const token = made.registration_access_token
    const put = await app.call('PUT', at, { token, body: { ...BODY, client_id: made.client_id } })
    expectRefusal(put, 403, 'access_denied')
    expectRefusal(await app.call('DELETE', at, { token }), 403, 'access_denied')
    expect((await app.call('GET', `/clients/${made.client_id}`, { token: admin })).body.scope).to.equal(
      'openid users:read',
    )
  })

  it('are as many as the tenant wants, and as fast as one address may be', async () => {
    await set('dynamic_registration_quota', (await count()) + 2)
    await eventually(async () => expect((await register({ redirect_uris: [] })).status).to.equal(400))
    const answers = await Promise.all(Array.from({ length: 10 }, () => register()))
    expect(answers.filter(({ status }) => status === 201)).to.have.length(2)
    for (const answer of answers.filter(({ status }) => status !== 201)) expectRefusal(answer, 403, 'access_denied')
    await app.db('rate_limits').delete()
    const fast = await Promise.all(Array.from({ length: 25 }, () => register()))
    const limited = fast.filter(({ status }) => status === 429)
    expect(limited).to.have.length(5)
    expectRefusal(limited[0]!, 429, 'temporarily_unavailable')
    expect(limited[0]!.headers.get('retry-after')).to.match(/^\d+$/)
  })

  it('may do so from a browser anywhere, without cookies', async () => {
    const headers = { origin: 'https://tool.example.com', 'access-control-request-method': 'POST' }
    const asked = await app.call('OPTIONS', '/oauth/register', { headers })
    expect(asked.status).to.equal(204)
    expect(asked.headers.get('access-control-allow-origin')).to.equal('https://tool.example.com')
    expect(asked.headers.get('access-control-allow-credentials')).to.equal(null)
    const elsewhere = await app.call('OPTIONS', '/clients', { headers })
    expect(elsewhere.headers.get('access-control-allow-origin')).to.equal(null)
  })

  it('do not show administrators’ tokens to who may not register clients', async () => {
    const reader = await someone(app)
    const client = await makeClient(app, {
      grant_types: ['client_credentials'],
      redirect_uris: [],
      scope: 'clients:read',
    })
    const asked = { grant_type: 'client_credentials', scope: 'clients:read' }
    const token = (await post(app, '/oauth/token', asked, { client })).body.access_token
    const list = (as: string) => app.call('GET', '/v1/admin/initial-access-tokens', { token: as })
    expectProblem(await list(reader.accessToken), 403, 'ACCESS_DENIED')
    expect((await list(token)).status).to.equal(200)
    const make = { token, body: { name: 'x' } }
    expectProblem(await app.call('POST', '/v1/admin/initial-access-tokens', make), 403, 'ACCESS_DENIED')
    expect((await list((await someone(app, ROLE.admin)).accessToken)).status).to.equal(200)
  })
})
