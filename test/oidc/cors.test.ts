import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually, makeClient, type OAuthClient, post } from '../support/oauth.ts'

const APP = 'https://rp.example.com'
const LISTED = 'https://spa.example.com'
const EVIL = 'https://evil.example.com'

describe('browsers of other origins (CORS)', () => {
  let app: TestApp
  let ada: Person
  let spa: OAuthClient
  before(async () => {
    app = await startApp()
    ada = await app.person('ada@example.com')
    spa = await makeClient(app, { token_endpoint_auth_method: 'none', allowed_origins: [LISTED] })
  })
  after(() => app.close())

  const get = (path: string, origin: string, headers: Record<string, string> = {}) =>
    fetch(app.url + path, { headers: { origin, ...headers } })
  const preflight = (path: string, origin: string, method = 'POST', headers = 'authorization,content-type,dpop') =>
    fetch(app.url + path, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': headers },
    })
  const allowed = (response: { headers: Headers }) => response.headers.get('access-control-allow-origin')

  it('may read what is public from anywhere', async () => {
    for (const path of [
      '/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server',
      '/oauth/jwks',
      '/openapi.json',
    ]) {
      const response = await get(path, EVIL)
      expect(response.status, path).to.equal(200)
      expect(allowed(response), path).to.be.oneOf(['*', EVIL])
      expect(response.headers.get('access-control-allow-credentials'), path).to.equal(null)
    }
  })

  it('may redeem codes and refresh where the client says so, and nowhere else', async () => {
    const ask = (origin: string) =>
      post(
        app,
        '/oauth/token',
        { grant_type: 'refresh_token', refresh_token: 'rt_x', client_id: spa.clientId },
        { headers: { origin } },
      )
    for (const origin of [APP, LISTED]) {
      expect((await preflight('/oauth/token', origin)).status).to.be.oneOf([200, 204])
      const answer = await ask(origin)
      expect(allowed(answer)).to.equal(origin)
      expect(answer.body.error).to.equal('invalid_grant')
    }
    const evil = await ask(EVIL)
    expect(allowed(evil)).to.equal(null)
    expect(evil.status).to.equal(400)
    for (const path of ['/oauth/revoke', '/oauth/introspect']) {
      const answer = await post(app, path, { token: 'x', client_id: spa.clientId }, { headers: { origin: EVIL } })
      expect(allowed(answer), path).to.equal(null)
    }
  })

  it('may read userinfo with a token of a client that allows them', async () => {
    const authorization = `Bearer ${ada.accessToken}`
    expect(allowed(await get('/oauth/userinfo', EVIL, { authorization }))).to.equal(null)
    await app
      .db('settings')
      .insert({ tenant_id: DEFAULT_TENANT, key: 'allowed_origins', value: JSON.stringify([LISTED]) })
    await eventually(async () => {
      const response = await get('/oauth/userinfo', LISTED, { authorization })
      expect(response.status).to.equal(200)
      expect(allowed(response)).to.equal(LISTED)
    })
    expect((await preflight('/oauth/userinfo', LISTED, 'GET')).headers.get('access-control-allow-headers')).to.match(
      /authorization/i,
    )
    expect(allowed(await get('/oauth/userinfo', EVIL, { authorization }))).to.equal(null)
  })

  it('may call the API from the tenant’s allowed origins, and see its headers', async () => {
    const flight = await preflight('/v1/auth/login', LISTED)
    expect(flight.status).to.equal(204)
    expect(allowed(flight)).to.equal(LISTED)
    expect(flight.headers.get('access-control-allow-methods')).to.include('POST')
    expect(flight.headers.get('access-control-allow-headers'))
      .to.match(/authorization/i)
      .and.match(/content-type/i)
    const settings = await get('/v1/auth/settings', LISTED)
    expect(allowed(settings)).to.equal(LISTED)
    expect(settings.headers.get('vary')).to.match(/origin/i)
    expect(settings.headers.get('access-control-expose-headers')).to.match(/x-ratelimit-remaining/i)
    expect(settings.headers.get('access-control-allow-credentials')).to.equal(null)
    const refused = await get('/v1/auth/me', LISTED)
    expect(refused.status).to.equal(401)
    expect(allowed(refused)).to.equal(LISTED)
    for (const origin of [EVIL, 'null', `${LISTED}.evil.example.com`, 'https://SPA.example.com:444']) {
      expect(allowed(await get('/v1/auth/settings', origin)), origin).to.equal(null)
      expect(allowed(await preflight('/v1/auth/login', origin)), origin).to.equal(null)
    }
    const page = await get('/forgot-password', LISTED, { accept: 'text/html' })
    expect(allowed(page)).to.equal(null)
  })
})
