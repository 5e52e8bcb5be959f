import { expect } from 'chai'
import { type Answer, type Person, startApp, type TestApp } from '../support/app.ts'
import { claimsOf, makeClient, type OAuthClient, verifierOf } from '../support/oauth.ts'
import { expectSsoFailure } from '../support/problems.ts'
import { withTenant } from '../support/roles.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

const OTHER = 'https://rp.example.com/other'

describe('login and callback of an app without a back end', () => {
  let app: TestApp
  let spa: OAuthClient
  let ada: Person
  /** Where the app is served: beside us, at one origin. */
  let HOME: string
  before(async () => {
    app = await startApp()
    HOME = `${app.url}/garden?tab=1`
    ada = await app.person('ada@example.com')
    spa = await makeClient(app, {
      client_name: 'Garden',
      token_endpoint_auth_method: 'none',
      scope: 'openid profile email account',
    })
  })
  after(() => app.close())
  beforeEach(() => app.db('rate_limits').delete())

  const loginPath = (clientId: string, fields: Record<string, string> = {}) => {
    const query = { redirect_uri: REDIRECT, code_challenge: verifierOf().challenge, code_challenge_method: 'S256' }
    return `/api/auth/login/${clientId}?${new URLSearchParams({ ...query, state: 'st-1', ...fields })}`
  }
  const callbackPath = (clientId: string, fields: Record<string, string>) =>
    `/api/auth/callback/${clientId}?${new URLSearchParams(fields)}`
  const callback = (clientId: string, fields: Record<string, string>, headers: Record<string, string> = {}) =>
    app.call('GET', callbackPath(clientId, fields), { headers })

  /** Login, password, consent; answers what the app's own page is given. */
  async function arrive(client: OAuthClient, fields: Record<string, string> = {}, browser = new Browser(app.url)) {
    const { verifier, challenge } = verifierOf()
    const first = await browser.request(loginPath(client.clientId, { code_challenge: challenge, ...fields }))
    expect(first.status).to.equal(303)
    let at = await browser.follow(first)
    if (at.page?.includes('name="password"'))
      at = await browser.submit(at, { email: ada.email, password: ada.password })
    if (at.page?.includes('value="allow"')) at = await browser.submit(at, { action: 'allow' })
    if (!at.left) throw new Error(`the flow ended at ${at.url} (${at.status}): ${at.page?.slice(0, 1000)}`)
    const { code = '', state = '' } = Object.fromEntries(at.left.searchParams)
    return { at: at.left, code, state, code_verifier: verifier, browser }
  }
  const tokensOf = async (clientId: string) =>
    Number((await app.db('oidc_models').where({ client_id: clientId, model: 'RefreshToken' }).count())[0]!.count)
  const expectNothing = (answer: Answer) => {
    expect(JSON.stringify(answer.body)).to.not.match(/access_token|refresh_token|eyJ/)
    expect(answer.headers.getSetCookie()).to.deep.equal([])
  }

  it('signs Ada in to the garden, whose tokens then read her profile and are refreshed', async () => {
    const { at, code, state, code_verifier } = await arrive(spa, { scope: 'openid email account' })
    expect(at.href.startsWith(REDIRECT)).to.equal(true)
    expect(state).to.equal('st-1')
    const answer = await callback(spa.clientId, { code, state, code_verifier, iss: app.url })
    expect(answer.status, JSON.stringify(answer.body)).to.equal(200)
    expect(answer.headers.get('cache-control')).to.equal('no-store')
    expect(answer.headers.getSetCookie()).to.deep.equal([])
    expect(answer.body.success).to.equal(true)
    const { data } = answer.body
    expect(data).to.have.all.keys('access_token', 'refresh_token', 'token_type', 'expires_in', 'id_token', 'state')
    expect(data).to.include({ token_type: 'Bearer', expires_in: 900, state: 'st-1' })
    expect(claimsOf(data.id_token)).to.include({ sub: ada.id, aud: spa.clientId })
    expect(claimsOf(data.access_token).scope).to.equal('openid email account')
    const profile = await app.call('GET', '/api/account/profile', { token: data.access_token })
    expect(profile.body.data).to.include({ id: ada.id, email: ada.email })
    const fresh = await app.call('POST', '/api/auth/refresh', { body: { refresh_token: data.refresh_token } })
    expect(fresh.status).to.equal(200)
    expect(fresh.body.data.refresh_token).to.not.equal(data.refresh_token)
  })

  it('goes to the authorization endpoint with the PKCE and state of the app, and a modest scope', async () => {
    const { challenge } = verifierOf()
    const more = { resource: 'https://x.example', organization: 'acme' }
    const path = loginPath(spa.clientId, { code_challenge: challenge, state: 'a&b=c d', ...more })
    const response = await fetch(app.url + path, { redirect: 'manual' })
    expect(response.status).to.equal(303)
    const to = new URL(response.headers.get('location')!)
    expect(to.origin + to.pathname).to.equal(`${app.url}/oauth/authorize`)
    expect(Object.fromEntries(to.searchParams)).to.deep.equal({
      client_id: spa.clientId,
      response_type: 'code',
      redirect_uri: REDIRECT,
      scope: 'openid profile email',
      code_challenge: challenge,
      code_challenge_method: 'S256',
      state: 'a&b=c d',
      ...more,
    })
  })

  it('leads nobody to an address or as a client that is not registered', async () => {
    const evil = 'https://evil.example.com/'
    for (const uri of [
      evil,
      `${REDIRECT}/../x`,
      `${REDIRECT}?x=1`,
      `${REDIRECT}@evil.example.com`,
      '//evil.example.com',
    ]) {
      const answer = await app.call('GET', loginPath(spa.clientId, { redirect_uri: uri }))
      expectSsoFailure(answer, 400, 'VALIDATION_ERROR')
      expect(answer.body.error.message).to.equal('redirect_uri is not registered for this client')
      expect(answer.headers.get('location')).to.equal(null)
    }
    const unknown = await app.call('GET', loginPath('nobody', { redirect_uri: evil }))
    expectSsoFailure(unknown, 404, 'NOT_FOUND')
    expect(unknown.headers.get('location')).to.equal(null)
    expectSsoFailure(await callback('nobody', { code: 'x', code_verifier: verifierOf().verifier }), 404, 'NOT_FOUND')
  })

  it('asks for everything it needs, and for S256 only', async () => {
    for (const missing of ['redirect_uri', 'code_challenge', 'code_challenge_method', 'state']) {
      const url = new URL(loginPath(spa.clientId), app.url)
      url.searchParams.delete(missing)
      const answer = await app.call('GET', url.pathname + url.search)
      expectSsoFailure(answer, 400, 'VALIDATION_ERROR')
      expect(answer.body.error.message).to.include(missing)
    }
    const plain = { code_challenge_method: 'plain' }
    expectSsoFailure(await app.call('GET', loginPath(spa.clientId, plain)), 400, 'VALIDATION_ERROR')
    const twice = await app.call('GET', `${loginPath(spa.clientId)}&redirect_uri=https://evil.example.com/`)
    expectSsoFailure(twice, 400, 'VALIDATION_ERROR')
  })

  it('gives a stranger with the code nothing without the verifier, and Ada her tokens after that', async () => {
    const { code, code_verifier } = await arrive(spa)
    const before = await tokensOf(spa.clientId)
    const wrong: Record<string, string>[] = [
      { code, code_verifier: verifierOf().verifier },
      { code },
      { code: 'x'.repeat(43), code_verifier },
      { code, code_verifier, redirect_uri: 'https://evil.example.com/' },
    ]
    const codes = ['INVALID_CODE', 'VALIDATION_ERROR', 'INVALID_CODE', 'VALIDATION_ERROR']
    for (const [i, fields] of wrong.entries()) {
      const answer = await callback(spa.clientId, fields)
      expectSsoFailure(answer, 400, codes[i])
      expectNothing(answer)
    }
    const other = await makeClient(app, { token_endpoint_auth_method: 'none' })
    expectSsoFailure(await callback(other.clientId, { code, code_verifier }), 400, 'INVALID_CODE')
    expect(await tokensOf(spa.clientId)).to.equal(before)
    expect((await callback(spa.clientId, { code, code_verifier })).status).to.equal(200)
  })

  it('takes a code once; a second use ends what came of the first', async () => {
    const { code, code_verifier } = await arrive(spa, { scope: 'openid account' })
    const first = await callback(spa.clientId, { code, code_verifier })
    const token = first.body.data.access_token
    const again = await callback(spa.clientId, { code, code_verifier })
    expectSsoFailure(again, 400, 'INVALID_CODE')
    expectNothing(again)
    expect((await app.call('GET', '/api/account/profile', { token })).status).to.equal(401)
  })

  it('says which address it needs where there are several', async () => {
    const two = await makeClient(app, { token_endpoint_auth_method: 'none', redirect_uris: [REDIRECT, OTHER] })
    const { code, code_verifier } = await arrive(two, { redirect_uri: OTHER })
    const unsaid = await callback(two.clientId, { code, code_verifier })
    expectSsoFailure(unsaid, 400, 'VALIDATION_ERROR')
    expect(unsaid.body.error.message).to.include('redirect_uri is required')
    expectSsoFailure(await callback(two.clientId, { code, code_verifier, redirect_uri: REDIRECT }), 400, 'INVALID_CODE')
    expect((await callback(two.clientId, { code, code_verifier, redirect_uri: OTHER })).status).to.equal(200)
  })

  it('passes on that Ada said no', async () => {
    const fields = { error: 'access_denied', error_description: 'End-User aborted', state: 'st-1' }
    const answer = await callback(spa.clientId, fields)
    expectSsoFailure(answer, 403, 'ACCESS_DENIED')
    expect(answer.body.error.details).to.deep.equal(fields)
    expectSsoFailure(await callback(spa.clientId, { error: 'invalid_scope' }), 400, 'VALIDATION_ERROR')
    expectSsoFailure(await callback(spa.clientId, { state: 'st-1' }), 400, 'VALIDATION_ERROR')
  })

  it('takes no secret: a client that has one is sent to the token endpoint, its code untouched', async () => {
    const shop = await makeClient(app)
    const { code, code_verifier } = await arrive(shop)
    const basic = Buffer.from(`${shop.clientId}:${shop.clientSecret}`).toString('base64')
    for (const answer of [
      await callback(shop.clientId, { code, code_verifier }),
      await callback(shop.clientId, { code, code_verifier, client_secret: shop.clientSecret! }),
      await callback(shop.clientId, { code, code_verifier }, { authorization: `Basic ${basic}` }),
    ]) {
      expectSsoFailure(answer, 403, 'ACCESS_DENIED')
      expect(answer.body.error.message).to.include('token endpoint')
      expectNothing(answer)
    }
    const [row] = await app.db('oidc_models').where({ client_id: shop.clientId, model: 'AuthorizationCode' })
    expect(row.consumed_at).to.equal(null)
    expect(await tokensOf(shop.clientId)).to.equal(0)
  })

  it('sets cookies and goes on, for a client set up so and in the browser that signed in', async () => {
    const web = await makeClient(app, {
      token_endpoint_auth_method: 'none',
      callback_mode: 'cookies',
      callback_redirect_uri: HOME,
      scope: 'openid account',
    })
    const { code, state, code_verifier, browser } = await arrive(web, { scope: 'openid account' })
    const path = callbackPath(web.clientId, { code, state, code_verifier })
    // A link with somebody else's code would sign its visitor in as them.
    const victim = await fetch(app.url + path, { redirect: 'manual' })
    expect(victim.status).to.equal(400)
    expect(victim.headers.getSetCookie()).to.deep.equal([])
    expect(await tokensOf(web.clientId)).to.equal(0)

    const done = await browser.request(path)
    expect(done.status).to.equal(303)
    expect(done.headers.get('location')).to.equal(`${HOME}&state=st-1`)
    expect(done.headers.get('cache-control')).to.equal('no-store')
    const [access = '', refresh = '', ...more] = done.headers.getSetCookie()
    expect(more).to.deep.equal([])
    expect(access).to.match(/^access_token=eyJ[^;]+; Path=\/; Max-Age=900; HttpOnly; SameSite=Lax$/)
    expect(refresh).to.match(/^refresh_token=rt_[^;]+; Path=\/api\/auth; Max-Age=\d+; HttpOnly; SameSite=Lax$/)
    expect(await done.text()).to.not.match(/eyJ|rt_/)
    const token = access.slice('access_token='.length, access.indexOf(';'))
    expect((await app.call('GET', '/api/account/profile', { token })).body.data.id).to.equal(ada.id)
  })

  describe('the cookies', () => {
    const value = (line: string) => line.slice(line.indexOf('=') + 1, line.indexOf(';'))
    /** What the app's page sends: its cookies, the header, and what browsers add. */
    async function page() {
      const web = await makeClient(app, {
        token_endpoint_auth_method: 'none',
        callback_mode: 'cookies',
        callback_redirect_uri: HOME,
        scope: 'openid account',
      })
      const { code, state, code_verifier, browser } = await arrive(web, { scope: 'openid account' })
      const done = await browser.request(callbackPath(web.clientId, { code, state, code_verifier }))
      const [access, refresh] = done.headers.getSetCookie().map(value)
      const headers = {
        cookie: `access_token=${access}; refresh_token=${refresh}`,
        'x-token-cookies': '1',
        origin: app.url,
        'sec-fetch-site': 'same-origin',
      }
      return { web, headers, access: access!, refresh: refresh! }
    }
    const profile = (headers: Record<string, string>) => app.call('GET', '/api/account/profile', { headers })

    it('stand for Ada on pages of this origin, and for nobody where another site might have sent them', async () => {
      const { web, headers } = await page()
      const seen = await profile(headers)
      expect(seen.status, JSON.stringify(seen.body)).to.equal(200)
      expect(seen.body.data.id).to.equal(ada.id)
      const { 'x-token-cookies': _, ...plain } = headers
      const { origin: __, 'sec-fetch-site': ___, ...bare } = headers
      expect((await profile(bare)).status, 'an older browser').to.equal(200)
      const change = { body: { given_name: 'Eve' } }
      for (const forged of [
        plain,
        { ...headers, origin: 'https://evil.example' },
        { ...headers, origin: 'null' },
        { ...headers, 'sec-fetch-site': 'cross-site' },
        { ...headers, 'sec-fetch-site': 'same-site' },
      ]) {
        expectSsoFailure(await profile(forged), 401, 'UNAUTHORIZED')
        const changed = await app.call('PUT', '/api/account/profile', { headers: forged, ...change })
        expectSsoFailure(changed, 401, 'UNAUTHORIZED')
      }
      expect((await app.db('users').where({ id: ada.id }).first()).given_name).to.not.equal('Eve')
      const preflight = await app.call('OPTIONS', '/api/account/profile', {
        headers: {
          origin: 'https://evil.example',
          'access-control-request-method': 'GET',
          'access-control-request-headers': 'x-token-cookies',
        },
      })
      expect(preflight.headers.get('access-control-allow-origin')).to.equal(null)
      // The page of another app at this origin must not use them either, once its own is set up otherwise.
      const token = await app.admin()
      const body = { callback_mode: 'json', callback_redirect_uri: null }
      expect((await app.call('PUT', `/clients/${web.clientId}`, { token, body })).status).to.equal(200)
      expectSsoFailure(await profile(headers), 401, 'UNAUTHORIZED')
    })

    it('are renewed without a token in the answer, once, and taken away when Ada signs out', async () => {
      const { headers, refresh } = await page()
      const renew = (sent: Record<string, string>) => app.call('POST', '/api/auth/refresh', { headers: sent, body: {} })
      const { 'x-token-cookies': _, ...plain } = headers
      expectSsoFailure(await renew(plain), 400, 'VALIDATION_ERROR')
      const renewed = await renew(headers)
      expect(renewed.status, JSON.stringify(renewed.body)).to.equal(200)
      expect(JSON.stringify(renewed.body)).to.not.match(/eyJ|rt_/)
      const [access, next] = renewed.headers.getSetCookie().map(value)
      expect(next).to.match(/^rt_/).and.not.equal(refresh)
      const fresh = { ...headers, cookie: `access_token=${access}; refresh_token=${next}` }
      expect((await profile(fresh)).status).to.equal(200)

      const out = await app.call('POST', '/api/auth/logout', { headers: fresh, body: {} })
      expect(out.status).to.equal(200)
      const gone = out.headers.getSetCookie()
      expect(gone.map((line) => line.replace(/; HttpOnly.*/, ''))).to.deep.equal([
        'access_token=; Path=/; Max-Age=0',
        'refresh_token=; Path=/api/auth; Max-Age=0',
      ])
      // A browser that kept them all the same has nothing.
      expectSsoFailure(await profile(fresh), 401, 'UNAUTHORIZED')
      const dead = await app.call('POST', '/api/auth/refresh', {
        headers: { ...fresh, cookie: `refresh_token=${next}` },
        body: {},
      })
      expectSsoFailure(dead, 401, 'UNAUTHORIZED')
    })

    it('end with the session, wherever it is ended', async () => {
      const { headers } = await page()
      const { body } = await app.call('GET', '/api/account/sessions', { headers })
      const current = body.data.find((one: { current: boolean }) => one.current)
      const elsewhere = await app.call('POST', '/v1/auth/login', { body: { email: ada.email, password: ada.password } })
      const token = elsewhere.body.tokens.access_token
      expect((await app.call('DELETE', `/api/account/sessions/${current.id}`, { token })).status).to.equal(200)
      expectSsoFailure(await profile(headers), 401, 'UNAUTHORIZED')
    })
  })

  it('keeps to the tenant of its path: its clients, its pages, its cookies', async () => {
    const { boss } = await withTenant(app, 'acme')
    const body = {
      client_name: 'Acme web',
      redirect_uris: [REDIRECT],
      token_endpoint_auth_method: 'none',
      callback_mode: 'cookies',
      callback_redirect_uri: HOME,
    }
    const made = await app.call('POST', '/t/acme/clients', { token: boss.accessToken, body })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    const id = made.body.client_id
    const { verifier, challenge } = verifierOf()
    const path = loginPath(id, { code_challenge: challenge, scope: 'openid' })
    expectSsoFailure(await app.call('GET', path), 404, 'NOT_FOUND')
    expectSsoFailure(await app.call('GET', `/t/acme${loginPath(spa.clientId)}`), 404, 'NOT_FOUND')

    const browser = new Browser(app.url)
    const first = await browser.request(`/t/acme${path}`)
    expect(first.headers.get('location')).to.match(new RegExp(`^${app.url}/t/acme/oauth/authorize\\?`))
    let at = await browser.submit(await browser.follow(first), { email: boss.email, password: boss.password })
    if (at.page?.includes('value="allow"')) at = await browser.submit(at, { action: 'allow' })
    const fields = { code: at.left!.searchParams.get('code')!, code_verifier: verifier }
    const done = await browser.request(`/t/acme${callbackPath(id, fields)}`)
    expect(done.status, await done.text()).to.equal(303)
    expect(done.headers.get('location')).to.equal(HOME)
    const [access, refresh] = done.headers.getSetCookie()
    expect(access).to.match(/^access_token=eyJ[^;]+; Path=\/t\/acme; /)
    expect(refresh).to.match(/^refresh_token=rt_[^;]+; Path=\/t\/acme\/api\/auth; /)
  })

  it('lets administrators set up the callback, and nothing that could not work', async () => {
    const token = await app.admin()
    const change = (body: Record<string, unknown>, client = spa) =>
      app.call('PUT', `/clients/${client.clientId}`, { token, body })
    expect((await change({ callback_mode: 'cookies' })).status).to.equal(400)
    expect((await change({ callback_mode: 'cookies', callback_redirect_uri: 'javascript:alert(1)' })).status).to.equal(
      400,
    )
    expect((await change({ callback_mode: 'both' })).status).to.equal(400)
    const elsewhere = { callback_mode: 'cookies', callback_redirect_uri: 'https://rp.example.com/home' }
    expect((await change(elsewhere)).body.detail).to.include('must be at')
    const shop = await makeClient(app)
    expect((await change({ callback_mode: 'cookies', callback_redirect_uri: HOME }, shop)).status).to.equal(400)
    const seen = await app.call('GET', `/clients/${spa.clientId}`, { token })
    expect(seen.body).to.not.have.property('callback_mode')
    const changed = await change({ callback_mode: 'cookies', callback_redirect_uri: HOME })
    expect(changed.body).to.include({ callback_mode: 'cookies', callback_redirect_uri: HOME })
    const back = await change({ callback_mode: 'json', callback_redirect_uri: null })
    expect(back.body.callback_mode).to.equal('json')
    expect(back.body).to.not.have.property('callback_redirect_uri')
  })
})
