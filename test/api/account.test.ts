import { expect } from 'chai'
import { from, pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

describe('a person and their account over the API', () => {
  let app: TestApp
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
  })
  after(() => app.close())

  it('registers Ada as the document shows, and mails her a link', async () => {
    const made = await app.call('POST', '/v1/auth/register', {
      body: { email: 'Ada@Example.com', password: 'SecurePassword123!' },
      headers: from(),
    })
    expect(made.status).to.equal(201)
    expect(made.body.user.id).to.match(UUID)
    expect(made.body.user).to.include({ email: 'Ada@Example.com', is_email_verified: false, given_name: null })
    expect(new Date(made.body.user.created_at).toISOString()).to.equal(made.body.user.created_at)
    expect(JSON.stringify(made.body)).to.not.match(/password|argon2|secret/i)
    const mail = await app.smtp.waitFor('ada@example.com')
    const token = new URL(mail.link('verify-email')).searchParams.get('token')
    const verified = await app.call('POST', '/v1/auth/verify-email', { body: { token }, headers: from() })
    expect(verified.status).to.equal(200)
    expectProblem(
      await app.call('POST', '/v1/auth/verify-email', { body: { token }, headers: from() }),
      400,
      'INVALID_TOKEN',
    )
    const login = await app.call('POST', '/v1/auth/login', {
      body: { email: 'ADA@example.COM', password: 'SecurePassword123!' },
      headers: from(),
    })
    expect(login.body.user.is_email_verified).to.equal(true)
  })

  it('refuses a second account with another spelling of the address', async () => {
    await app.person('bea@example.com')
    for (const email of ['bea@example.com', 'BEA@EXAMPLE.COM', 'Bea@Example.com']) {
      const again = await app.call('POST', '/v1/auth/register', {
        body: { email, password: 'AnotherPassword1!' },
        headers: from(),
      })
      expectProblem(again, 409, 'CONFLICT')
    }
    expect(await app.db('users').where({ email_key: 'bea@example.com' })).to.have.length(1)
    const stolen = await app.call('POST', '/v1/auth/login', {
      body: { email: 'bea@example.com', password: 'AnotherPassword1!' },
      headers: from(),
    })
    expectProblem(stolen, 401, 'INVALID_CREDENTIALS')
  })

  it('says which rules a password breaks, and makes no account', async () => {
    for (const password of ['short', 'aaaaaaaaaaaa', `${'x1'.repeat(129)}`]) {
      const refused = await app.call('POST', '/v1/auth/register', {
        body: { email: 'weak@example.com', password },
        headers: from(),
      })
      expectProblem(refused, 400, 'WEAK_PASSWORD')
      expect(refused.body.errors[0].field).to.equal('password')
    }
    expect(await app.db('users').where({ email_key: 'weak@example.com' })).to.have.length(0)
  })

  it('signs in as the document shows', async () => {
    const cy = await app.person('cy@example.com')
    const login = await app.call('POST', '/v1/auth/login', {
      body: { email: cy.email, password: cy.password },
      headers: from(),
    })
    expect(login.status).to.equal(200)
    expect(login.headers.get('cache-control')).to.equal('no-store')
    expect(Object.keys(login.body)).to.have.members(['user', 'tokens'])
    const { tokens } = login.body
    expect(tokens.access_token).to.match(/^eyJ/)
    expect(tokens.refresh_token).to.match(/^rt_/)
    expect(tokens).to.include({ token_type: 'Bearer', expires_in: 900 })
  })

  it('shows who is asking at every spelling of "me"', async () => {
    const di = await app.person()
    for (const path of ['/v1/auth/me', '/auth/user-info', '/users/me']) {
      const me = await app.call('GET', path, { token: di.accessToken })
      expect(me.status).to.equal(200)
      expect(me.body).to.include({ id: di.id, email: di.email, is_email_verified: false, status: 'active' })
      const head = await app.call('HEAD', path, { token: di.accessToken })
      expect(head.status).to.equal(200)
      expect(head.body).to.equal('')
    }
  })

  it('changes a profile: absent stays, null clears, unknown is refused', async () => {
    const ed = await app.person()
    const put = (body: object) => app.call('PUT', '/users/me', { token: ed.accessToken, body })
    const first = await put({ given_name: 'Ed', family_name: 'Moss', phone_number: '+4915112345678', locale: 'de' })
    expect(first.body).to.include({
      given_name: 'Ed',
      name: 'Ed Moss',
      phone_number: '+4915112345678',
      phone_number_verified: false,
    })
    const second = await put({ family_name: null })
    expect(second.body).to.include({ given_name: 'Ed', family_name: null, name: 'Ed' })
    for (const body of [
      { email: 'x@example.com' },
      { is_email_verified: true },
      { status: 'disabled' },
      { id: ed.id },
    ]) {
      expectProblem(await put(body), 400, 'VALIDATION_ERROR')
    }
    expectProblem(await put({ phone_number: '0151' }), 400, 'VALIDATION_ERROR')
    await pause(1050)
    const me = await app.call('GET', '/users/me', { token: ed.accessToken })
    expect(me.body).to.include({ email: ed.email, given_name: 'Ed', is_email_verified: false })
  })

  it('rotates a refresh token at each spelling, and ends the session of one used twice', async () => {
    const flo = await app.person()
    let refreshToken = flo.refreshToken
    for (const path of ['/v1/auth/refresh', '/auth/refresh-token', '/auth/token/refresh']) {
      const fresh = await app.call('POST', path, { body: { refresh_token: refreshToken } })
      expect(fresh.status, path).to.equal(200)
      expect(fresh.body).to.include({ token_type: 'Bearer', expires_in: 900 })
      expect(fresh.body.refresh_token).to.match(/^rt_/).and.not.equal(refreshToken)
      refreshToken = fresh.body.refresh_token
    }
    expectProblem(
      await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: flo.refreshToken } }),
      401,
      'UNAUTHORIZED',
    )
    expectProblem(
      await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: refreshToken } }),
      401,
      'UNAUTHORIZED',
    )
    expectProblem(
      await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: 'rt_nonsense' } }),
      401,
      'UNAUTHORIZED',
    )
    await pause(1050)
    expectProblem(await app.call('GET', '/v1/auth/me', { token: flo.accessToken }), 401)
  })

  it('signs out: the access and the refresh token end, other sessions do not', async () => {
    const gil = await app.person()
    const other = (
      await app.call('POST', '/v1/auth/login', { body: { email: gil.email, password: gil.password }, headers: from() })
    ).body.tokens
    expect((await app.call('POST', '/v1/auth/logout', { token: gil.accessToken, body: {} })).status).to.equal(200)
    await pause(1050)
    expectProblem(await app.call('GET', '/v1/auth/me', { token: gil.accessToken }), 401, 'UNAUTHORIZED')
    expectProblem(await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: gil.refreshToken } }), 401)
    expect((await app.call('GET', '/v1/auth/me', { token: other.access_token })).status).to.equal(200)
  })

  it('lists sessions, ends one, ends all but this, ends all', async () => {
    const hal = await app.person()
    const login = () =>
      app.call('POST', '/v1/auth/login', { body: { email: hal.email, password: hal.password }, headers: from() })
    const [b, c] = [(await login()).body.tokens, (await login()).body.tokens]
    const list = await app.call('GET', '/v1/sessions?limit=2', { token: hal.accessToken })
    expect(list.body).to.include({ limit: 2, offset: 0, count: 2, total: 3 })
    expect(Object.keys(list.body)).to.include('sessions').and.not.include('items')
    const all = (await app.call('GET', '/sessions', { token: hal.accessToken })).body.sessions
    expect(all.filter((s: any) => s.current)).to.have.length(1)
    expect(all[0]).to.include({ kind: 'api' })
    const victim = all.find((s: any) => !s.current)
    expect((await app.call('DELETE', `/sessions/${victim.id}`, { token: hal.accessToken })).status).to.equal(200)
    expectProblem(await app.call('DELETE', `/sessions/${victim.id}`, { token: hal.accessToken }), 404, 'NOT_FOUND')
    const iris = await app.person()
    const current = all.find((s: any) => s.current)
    expectProblem(await app.call('DELETE', `/sessions/${current.id}`, { token: iris.accessToken }), 404, 'NOT_FOUND')
    expect((await app.call('GET', '/v1/auth/me', { token: hal.accessToken })).status).to.equal(200)
    await app.call('POST', '/sessions/logout-all', { token: hal.accessToken, body: { except_current: true } })
    for (const { refresh_token } of [b, c]) {
      expectProblem(await app.call('POST', '/v1/auth/refresh', { body: { refresh_token } }), 401)
    }
    expect((await app.call('GET', '/v1/sessions', { token: hal.accessToken })).body.total).to.equal(1)
    await app.call('POST', '/v1/auth/revoke-all-sessions', { token: hal.accessToken })
    expectProblem(await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: hal.refreshToken } }), 401)
  })

  it('changes a password: the old one proven, other sessions ended, the owner told', async () => {
    const jo: Person = await app.person()
    const other = (
      await app.call('POST', '/v1/auth/login', { body: { email: jo.email, password: jo.password }, headers: from() })
    ).body.tokens
    const change = (body: object) =>
      app.call('POST', '/v1/auth/change-password', { token: jo.accessToken, body, headers: from() })
    expectProblem(
      await change({ current_password: 'Wrong-one-1234', new_password: 'NewSecurePassword123!' }),
      401,
      'INVALID_CREDENTIALS',
    )
    expectProblem(await change({ current_password: jo.password, new_password: 'short' }), 400, 'WEAK_PASSWORD')
    expect((await app.call('GET', '/v1/auth/me', { token: other.access_token })).status).to.equal(200)
    expect((await change({ current_password: jo.password, new_password: 'NewSecurePassword123!' })).status).to.equal(
      200,
    )
    await app.smtp.waitFor(jo.email, /password/i)
    const login = (password: string) =>
      app.call('POST', '/v1/auth/login', { body: { email: jo.email, password }, headers: from() })
    expectProblem(await login(jo.password), 401, 'INVALID_CREDENTIALS')
    expect((await login('NewSecurePassword123!')).status).to.equal(200)
    expectProblem(await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: other.refresh_token } }), 401)
    expect((await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: jo.refreshToken } })).status).to.equal(
      200,
    )
  })

  it('recovers a forgotten password by mail, once, and ends all sessions', async () => {
    const kit = await app.person()
    const sent = await app.call('POST', '/v1/auth/forgot-password', { body: { email: kit.email }, headers: from() })
    expect(sent.status).to.equal(200)
    const mail = await app.smtp.waitFor(kit.email, /reset-password\?token=/)
    const link = mail.link('reset-password')
    expect(link.startsWith(app.url)).to.equal(true)
    // A mail scanner opens the link twice; nothing is spent.
    for (let i = 0; i < 2; i += 1)
      expect((await app.call('GET', new URL(link).pathname + new URL(link).search)).status).to.equal(200)
    const token = new URL(link).searchParams.get('token')
    const reset = (new_password: string) =>
      app.call('POST', '/v1/auth/reset-password', { body: { token, new_password }, headers: from() })
    expectProblem(await reset('short'), 400, 'WEAK_PASSWORD')
    expect((await reset('Recovered-Password-1')).status).to.equal(200)
    expectProblem(await reset('Recovered-Password-2'), 400, 'INVALID_TOKEN')
    expectProblem(await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: kit.refreshToken } }), 401)
    const login = (password: string) =>
      app.call('POST', '/v1/auth/login', { body: { email: kit.email, password }, headers: from() })
    expectProblem(await login(kit.password), 401)
    const back = await login('Recovered-Password-1')
    expect(back.body.user.is_email_verified).to.equal(true)
  })

  it('lets who forgot a password in after a reset, although wrong guesses had locked this address out', async () => {
    const lea = await app.person()
    const headers = from()
    const login = (password: string) =>
      app.call('POST', '/v1/auth/login', { body: { email: lea.email, password }, headers })
    for (let i = 0; i < 5; i += 1) expectProblem(await login(`guess-number-${i}`), 401)
    expectProblem(await login(lea.password), 429, 'RATE_LIMITED')
    await app.call('POST', '/v1/auth/forgot-password', { body: { email: lea.email }, headers })
    const mail = await app.smtp.waitFor(lea.email, /reset-password\?token=/)
    const token = new URL(mail.link('reset-password')).searchParams.get('token')
    expect(
      (
        await app.call('POST', '/v1/auth/reset-password', {
          body: { token, new_password: 'Recovered-Password-1' },
          headers,
        })
      ).status,
    ).to.equal(200)
    expect((await login('Recovered-Password-1')).status).to.equal(200)
  })

  it('sends the verification mail again at every spelling, and not to the verified', async () => {
    const mo = await app.person()
    await app.smtp.waitFor(mo.email)
    const received = () => app.smtp.mails.filter((m) => m.to === mo.email).length
    expect(
      (await app.call('POST', '/v1/auth/send-verification', { token: mo.accessToken, headers: from() })).status,
    ).to.equal(200)
    expect(
      (await app.call('POST', '/auth/email/send-verification', { token: mo.accessToken, headers: from() })).status,
    ).to.equal(200)
    expect(
      (await app.call('POST', '/auth/resend-verification', { body: { email: mo.email }, headers: from() })).status,
    ).to.equal(200)
    for (let i = 0; i < 100 && received() < 4; i += 1) await pause(50)
    expect(received()).to.equal(4)
    const links = app.smtp.mails
      .filter((m) => m.to === mo.email)
      .map((m) => new URL(m.link('verify-email')).searchParams.get('token'))
    // Jobs run side by side, so any of the four may hold the newest link; exactly one is alive.
    const outcomes = await Promise.all(
      links.map((token) => app.call('POST', '/auth/email/verify', { body: { token }, headers: from() })),
    )
    expect(outcomes.filter((o) => o.status === 200)).to.have.length(1)
    await app.call('POST', '/auth/resend-verification', { body: { email: mo.email }, headers: from() })
    await pause(300)
    expect(received()).to.equal(4)
  })

  it('tells the public settings and no others', async () => {
    const settings = await app.call('GET', '/v1/auth/settings')
    expect(settings.body).to.include({ registration_enabled: true, password_min_length: 8 })
    expect(settings.body).to.not.have.any.keys('enumeration_protection', 'access_token_lifetime', 'allowed_origins')
  })

  it('obeys the tenant: registration closed, verified address demanded', async () => {
    const set = (key: string, value: unknown) =>
      app
        .db('settings')
        .insert({ tenant_id: '00000000-0000-7000-8000-000000000001', key, value: JSON.stringify(value) })
        .onConflict(['tenant_id', 'key'])
        .merge()
    const nat = await app.person()
    await set('registration_enabled', false)
    await set('require_verified_email', true)
    await pause(300)
    const register = await app.call('POST', '/v1/auth/register', {
      body: { email: 'late@example.com', password: 'SecurePassword123!' },
      headers: from(),
    })
    expectProblem(register, 403, 'REGISTRATION_DISABLED')
    expect(await app.db('users').where({ email_key: 'late@example.com' })).to.have.length(0)
    const login = await app.call('POST', '/v1/auth/login', {
      body: { email: nat.email, password: nat.password },
      headers: from(),
    })
    expectProblem(login, 403, 'EMAIL_VERIFICATION_REQUIRED')
    const wrong = await app.call('POST', '/v1/auth/login', {
      body: { email: nat.email, password: 'wrong-password' },
      headers: from(),
    })
    expectProblem(wrong, 401, 'INVALID_CREDENTIALS')
    await app.db('settings').delete()
    await pause(300)
  })
})
