import { expect } from 'chai'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'

describe('spellings of the surfaces', () => {
  let app: TestApp
  let ola: Person
  before(async () => {
    app = await startApp()
    ola = await app.person('ola@example.com')
  })
  after(() => app.close())

  it('answers sso-api paths in its envelope', async () => {
    const refreshed = await app.call('POST', '/api/auth/refresh', { body: { refresh_token: ola.refreshToken } })
    expect(refreshed.status).to.equal(200)
    expect(refreshed.body.success).to.equal(true)
    expect(refreshed.body.data).to.have.all.keys('access_token', 'refresh_token', 'expires_in', 'token_type')
    const sessions = await app.call('GET', '/api/account/sessions', { token: ola.accessToken })
    expect(sessions.body.data).to.be.an('array').with.length(1)
    expect(sessions.body.data[0]).to.include.keys('id', 'createdAt', 'expiresAt')
    expect(sessions.body.pagination).to.include({ limit: 50, offset: 0, count: 1, total: 1 })
  })

  it('answers sso-api failures in its envelope', async () => {
    expectSsoFailure(await app.call('GET', '/api/account/sessions'), 401, 'UNAUTHORIZED')
    expectSsoFailure(await app.call('POST', '/api/auth/refresh', { body: {} }), 400, 'VALIDATION_ERROR')
    expectSsoFailure(
      await app.call('DELETE', '/api/account/sessions/none', { token: ola.accessToken }),
      404,
      'NOT_FOUND',
    )
    const weak = await app.call('PUT', '/api/account/password', {
      token: ola.accessToken,
      body: { currentPassword: ola.password, newPassword: 'short' },
    })
    expectSsoFailure(weak, 400, 'WEAK_PASSWORD')
    expect(weak.body.error.details).to.be.an('array')
    expectSsoFailure(await app.call('GET', '/api/nothing-here'), 404, 'NOT_FOUND')
  })

  it('changes the password and ends sessions by sso-api', async () => {
    const pia = await app.person()
    const changed = await app.call('PUT', '/api/account/password', {
      token: pia.accessToken,
      body: { currentPassword: pia.password, newPassword: 'NewSecurePassword123!' },
    })
    expect(changed.body).to.have.nested.property('data.message')
    expect((await app.call('DELETE', '/api/account/sessions', { token: pia.accessToken })).body.success).to.equal(true)
    expectSsoFailure(
      await app.call('POST', '/api/auth/refresh', { body: { refresh_token: pia.refreshToken } }),
      401,
      'UNAUTHORIZED',
    )
  })

  it('says 401 with a challenge, 403 without one, 404 and 405 with their shapes', async () => {
    const nobody = await app.call('GET', '/v1/auth/me')
    expectProblem(nobody, 401, 'UNAUTHORIZED')
    expect(nobody.headers.get('www-authenticate')).to.match(/^Bearer/)
    const bad = await app.call('GET', '/v1/auth/me', { token: 'eyJhbGciOiJub25lIn0.e30.' })
    expectProblem(bad, 401)
    expect(bad.headers.get('www-authenticate')).to.match(/^Bearer .*error="invalid_token"/)
    expectProblem(await app.call('GET', '/clients', { token: ola.accessToken }), 403, 'ACCESS_DENIED')
    expectProblem(await app.call('GET', '/v1/nothing'), 404, 'NOT_FOUND')
    for (const [method, path] of [
      ['DELETE', '/v1/auth/me'],
      ['GET', '/v1/auth/login'],
      ['PATCH', '/clients'],
    ] as const) {
      const answer = await app.call(method, path, { token: ola.accessToken })
      expectProblem(answer, 405, 'METHOD_NOT_ALLOWED')
      expect(answer.headers.get('allow')).to.be.a('string').and.not.equal('')
    }
    expectSsoFailure(await app.call('GET', '/api/auth/refresh'), 405, 'METHOD_NOT_ALLOWED')
  })

  it('says so of the OAuth endpoints, too, and answers HEAD where it answers GET', async () => {
    for (const [method, path, allow] of [
      ['GET', '/oauth/token', 'POST'],
      ['PUT', '/oauth/authorize', 'GET, HEAD, POST'],
      ['POST', '/oauth/jwks', 'GET, HEAD'],
      ['DELETE', '/.well-known/openid-configuration', 'GET, HEAD'],
    ] as const) {
      const answer = await app.call(method, path)
      expectProblem(answer, 405, 'METHOD_NOT_ALLOWED')
      expect(answer.body.title).to.equal('Method Not Allowed')
      expect(answer.headers.get('allow')).to.equal(allow)
    }
    expectProblem(await app.call('GET', '/oauth/nothing'), 404, 'NOT_FOUND')
    expectProblem(await app.call('POST', '/oauth/authorize/%00'), 404, 'NOT_FOUND')
    for (const path of ['/oauth/jwks', '/.well-known/openid-configuration', '/openapi.json', '/v1/auth/settings']) {
      const [head, get] = [await app.call('HEAD', path), await app.call('GET', path)]
      expect(head.status, path).to.equal(200)
      expect(head.body).to.equal('')
      expect(head.headers.get('content-type')).to.equal(get.headers.get('content-type'))
    }
  })

  it('shows people a page where it shows programs a problem', async () => {
    const page = await app.call('GET', '/nothing-here', { headers: { accept: 'text/html' } })
    expect(page.status).to.equal(404)
    expect(page.headers.get('content-type')).to.match(/^text\/html/)
    expect(page.body).to.match(/<html/)
  })

  it('serves the OpenAPI documents and a request id on everything', async () => {
    for (const path of [
      '/openapi.json',
      '/openapi/plain.json',
      '/openapi/v1.json',
      '/openapi/sso.json',
      '/openapi/admin.json',
    ]) {
      const answer = await app.call('GET', path)
      expect(answer.status).to.equal(200)
      expect(answer.body.openapi).to.equal('3.1.0')
      expect(answer.headers.get('x-request-id')).to.match(/^[\w-]{8,}$/)
    }
  })
})
