/** What a sign-in asks for besides proofs: terms, a new password, a verified address, a first second factor; over REST and on pages. */
import { expect } from 'chai'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { appCode, firstStep, forgetSteps, setting, verified, withApp } from '../support/mfa.ts'
import { makeClient, type OAuthClient, verifierOf } from '../support/oauth.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

describe('required actions', () => {
  let app: TestApp
  let client: OAuthClient
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    client = await makeClient(app, { first_party: true })
  })
  after(() => app.close())
  afterEach(async () => {
    await setting(app, 'terms_version', '')
    await setting(app, 'mfa_policy', 'optional')
  })

  const post = (path: string, body: object, token?: string) =>
    app.call('POST', path, { body, headers: from(), ...(token && { token }) })
  const act = (body: object) => post('/v1/auth/login/actions', body)
  const sessionsOf = (id: string) => app.db('sessions').where({ user_id: id, ended_at: null })
  const person = (id: string) => app.db('users').where({ id }).first()
  const require = async (who: Person, ...required_actions: string[]) => {
    const token = await app.admin()
    const set = await app.call('PUT', `/users/${who.id}`, { token, body: { required_actions } })
    expect(set.status, JSON.stringify(set.body)).to.equal(200)
    expect(set.body.required_actions).to.deep.equal(required_actions)
  }
  async function arrive(browser: Browser, who: Person) {
    await app.db('rate_limits').delete()
    const query = new URLSearchParams({
      client_id: client.clientId,
      response_type: 'code',
      redirect_uri: REDIRECT,
      scope: 'openid',
      code_challenge: verifierOf().challenge,
      code_challenge_method: 'S256',
    })
    const at = await browser.open(`${app.url}/oauth/authorize?${query}`)
    return who.email ? browser.submit(at, { email: who.email, password: who.password }) : at
  }

  describe('terms', () => {
    beforeEach(async () => {
      await setting(app, 'terms_url', 'https://gate.example/terms')
    })

    it('are accepted over REST before a session opens, once a version', async () => {
      const ada = await app.person()
      await setting(app, 'terms_version', '2026-01')
      const before = (await sessionsOf(ada.id)).length
      const { body } = await firstStep(app, ada)
      expect(body).to.deep.include({ actions_required: ['accept_terms'], user_id: ada.id })
      expect(body.terms).to.deep.include({ version: '2026-01', url: 'https://gate.example/terms' })
      const { mfa_token } = body
      for (const wrong of [{}, { accept_terms: '2025-01' }, { accept_terms: '' }])
        expect((await act({ mfa_token, ...wrong })).status).to.equal(400)
      expect(await sessionsOf(ada.id)).to.have.length(before)
      const all = await Promise.all(Array.from({ length: 20 }, () => act({ mfa_token, accept_terms: '2026-01' })))
      expect(all.filter(({ status }) => status === 200)).to.have.length(1)
      expect(all.filter(({ status }) => status >= 500)).to.deep.equal([])
      expect(await sessionsOf(ada.id)).to.have.length(before + 1)
      expect((await person(ada.id)).terms_version).to.equal('2026-01')
      const events = await app.db('events').where({ user_id: ada.id, type: 'terms.accepted' })
      expect(events.map(({ data }) => data.version)).to.deep.equal(['2026-01'])
      expect((await firstStep(app, ada)).body).to.include.keys('tokens')
      await setting(app, 'terms_version', '2026-02')
      expect((await firstStep(app, ada)).body.actions_required).to.deep.equal(['accept_terms'])
    })

    it('come after the second factor, and neither token does the work of the other', async () => {
      const bob = await app.person()
      const { secret } = await withApp(app, bob)
      await setting(app, 'terms_version', '3')
      const first = (await firstStep(app, bob)).body
      expect(first.mfa_required).to.equal(true)
      expect((await act({ mfa_token: first.mfa_token, accept_terms: '3' })).status).to.equal(401)
      const second = (await post('/v1/auth/login/mfa', { mfa_token: first.mfa_token, code: appCode(secret) })).body
      expect(second.actions_required).to.deep.equal(['accept_terms'])
      await forgetSteps(app, bob.id)
      const early = await post('/v1/auth/login/mfa', { mfa_token: second.mfa_token, code: appCode(secret) })
      expect(early.status).to.equal(401)
      const done = await act({ mfa_token: second.mfa_token, accept_terms: '3' })
      expect(done.body, JSON.stringify(done.body)).to.include.keys('tokens')
      const [session] = await app.db('sessions').where({ user_id: bob.id }).orderBy('created_at', 'desc')
      expect(session.payload.amr).to.deep.equal(['pwd', 'otp', 'mfa'])
    })

    it('are accepted while registering, over REST and on the page, and asked for when they were not', async () => {
      await setting(app, 'terms_version', '4')
      const email = 'cleo@example.com'
      const password = 'SecurePassword123!'
      await app.db('rate_limits').delete()
      expect((await post('/v1/auth/register', { email, password, accept_terms: '3' })).status).to.equal(400)
      expect((await post('/v1/auth/register', { email, password, accept_terms: '4' })).status).to.equal(201)
      expect((await post('/v1/auth/login', { email, password })).body).to.include.keys('tokens')
      const browser = new Browser(app.url)
      const at = await arrive(browser, { email: '' } as Person)
      const form = await browser.open(/href="([^"]*\/register)"/.exec(at.page!)![1]!)
      expect(form.page).to.match(/name="accept_terms" value="4" required/)
      const refused = await browser.submit(form, { email: 'dan@example.com', password })
      expect(refused.status).to.equal(400)
      expect(refused.page).to.include('Please accept the terms')
      expect(await app.db('users').where({ email: 'dan@example.com' })).to.deep.equal([])
      const inside = await browser.submit(refused, { email: 'dan@example.com', password, accept_terms: '4' })
      expect(inside.left?.searchParams.get('code')).to.be.a('string')
      expect((await app.db('users').where({ email: 'dan@example.com' }).first()).terms_version).to.equal('4')
    })

    it('are asked for on the page, where the sign-in then goes on', async () => {
      const eve = await app.person()
      await setting(app, 'terms_version', '5')
      const browser = new Browser(app.url)
      const asked = await arrive(browser, eve)
      expect(asked.url).to.match(/\/actions$/)
      const refused = await browser.submit(asked, {})
      expect(refused.status).to.equal(400)
      expect(await app.db('sessions').where({ user_id: eve.id, kind: 'browser' })).to.deep.equal([])
      const inside = await browser.submit(refused, { accept_terms: '5' })
      expect(inside.left?.searchParams.get('code')).to.be.a('string')
    })
  })

  it('a password that has to be replaced is, by a new one', async () => {
    const fay = await app.person()
    await require(fay, 'set_password')
    const { mfa_token, actions_required } = (await firstStep(app, fay)).body
    expect(actions_required).to.deep.equal(['set_password'])
    expect((await act({ mfa_token })).status).to.equal(400)
    for (const bad of [fay.password, 'short'])
      expect((await act({ mfa_token, new_password: bad })).body.code).to.equal('WEAK_PASSWORD')
    const set = await act({ mfa_token, new_password: 'Replaced-Password-88!' })
    expect(set.body, JSON.stringify(set.body)).to.include.keys('tokens')
    expect((await firstStep(app, fay)).status, 'the old one').to.equal(401)
    fay.password = 'Replaced-Password-88!'
    expect((await firstStep(app, fay)).body).to.include.keys('tokens')
    expect((await person(fay.id)).required_actions).to.deep.equal([])
  })

  it('an address that has to be verified is, and nobody is asked again', async () => {
    const gus = await app.person()
    await require(gus, 'verify_email')
    const refused = await firstStep(app, gus)
    expect(refused.body.code).to.equal('EMAIL_VERIFICATION_REQUIRED')
    await verified(app, gus)
    expect((await person(gus.id)).required_actions).to.deep.equal([])
    expect((await firstStep(app, gus)).body).to.include.keys('tokens')
  })

  it('people cannot lift what is asked of them, nor ask it of others', async () => {
    const hal = await app.person()
    await require(hal, 'enrol_mfa')
    const { accessToken: token } = hal
    const lifted = await app.call('PUT', `/users/${hal.id}`, { token, body: { required_actions: [] } })
    expect(lifted.status).to.equal(403)
    expect((await person(hal.id)).required_actions).to.deep.equal(['enrol_mfa'])
  })

  describe('a first second factor, set up within the sign-in', () => {
    const begin = (body: object) => post('/v1/auth/login/mfa/enrol', body)
    const prove = (body: object) => post('/v1/auth/login/mfa/enrol/verify', body)

    it('is an app: secret, code, backup codes and tokens; the token opens nothing else', async () => {
      const ida = await app.person()
      await setting(app, 'mfa_policy', 'required')
      const first = (await firstStep(app, ida)).body
      expect(first).to.include({ enrolment_required: true })
      expect(first.enrolment_methods).to.deep.equal(['totp', 'sms', 'email'])
      const { mfa_token } = first
      expect((await prove({ mfa_token, code: '123456' })).status).to.equal(404)
      const setup = (await begin({ mfa_token })).body
      expect(setup).to.include.keys('secret', 'url', 'qr_svg')
      const before = (await sessionsOf(ida.id)).length
      for (const [method, path] of [
        ['GET', '/v1/auth/me'],
        ['POST', '/v1/auth/mfa/setup'],
        ['GET', '/v1/sessions'],
      ] as const)
        expect(
          (await app.call(method, path, { token: mfa_token, ...(method === 'POST' && { body: {} }) })).status,
        ).to.equal(401)
      expect((await prove({ mfa_token, code: '000000' })).body.code).to.equal('INVALID_CODE')
      expect((await begin({ mfa_token, method: 'sms' })).status, 'no way to send').to.equal(400)
      expect(await sessionsOf(ida.id)).to.have.length(before)
      const code = appCode(setup.secret)
      const all = await Promise.all(Array.from({ length: 4 }, () => prove({ mfa_token, code })))
      const [done] = all.filter(({ status }) => status === 200)
      expect(all.filter(({ status }) => status === 200)).to.have.length(1)
      expect(done!.body.backup_codes).to.have.length(10)
      const { access_token: token } = done!.body.login.tokens
      expect((await app.call('GET', '/v1/auth/me', { token })).status).to.equal(200)
      expect((await firstStep(app, ida)).body.methods).to.deep.equal(['totp', 'backup_codes'])
    })

    it('is the verified mailbox, by a code', async () => {
      const jo = await app.person()
      await verified(app, jo)
      await setting(app, 'mfa_policy', 'required')
      const { mfa_token, enrolment_methods } = (await firstStep(app, jo)).body
      expect(enrolment_methods).to.deep.equal(['totp', 'sms', 'email'])
      app.smtp.mails.length = 0
      expect((await begin({ mfa_token, method: 'email' })).body).to.include({ method: 'email' })
      const { raw } = await app.smtp.waitFor(jo.email, /code/i)
      const code = /\b\d{6}\b/.exec(raw.slice(raw.indexOf('\r\n\r\n')))![0]
      const done = await prove({ mfa_token, code })
      expect(done.body.login, JSON.stringify(done.body)).to.include.keys('tokens')
      expect(
        (await app.db('sessions').where({ user_id: jo.id }).orderBy('created_at', 'desc').first()).payload.amr,
      ).to.deep.equal(['pwd', 'email', 'mfa'])
    })

    it('is not set up by who has one, nor by user_id alone', async () => {
      const kim = await app.person()
      await withApp(app, kim)
      const { mfa_token } = (await firstStep(app, kim)).body
      expect((await begin({ mfa_token })).status).to.equal(409)
      expect((await begin({ user_id: kim.id })).status).to.equal(400)
    })

    it('five wrong codes end the sign-in', async () => {
      const lea = await app.person()
      await setting(app, 'mfa_policy', 'required')
      const { mfa_token } = (await firstStep(app, lea)).body
      const { secret } = (await begin({ mfa_token })).body
      for (let i = 0; i < 5; i += 1) expect((await prove({ mfa_token, code: '000000' })).status).to.equal(400)
      expect((await prove({ mfa_token, code: appCode(secret) })).status).to.equal(401)
    })
  })

  it('a mailed link opened in another browser asks for the second factor there, and signs in there', async () => {
    const max = await app.person()
    await verified(app, max)
    const { secret } = await withApp(app, max)
    const first = new Browser(app.url)
    const at = await arrive(first, { email: '' } as Person)
    const ask = await first.open(/href="([^"]*\/magic-link)"/.exec(at.page!)![1]!)
    await first.submit(ask, { email: max.email })
    const mail = await app.smtp.waitFor(max.email, /magic-link\?token=/)
    const other = new Browser(app.url)
    const asked = await other.submit(await other.open(mail.link('magic-link')), {})
    expect(asked.url).to.match(/\/mfa$/)
    expect(asked.page).to.include('another browser')
    expect((await other.open('/account')).page, 'not yet').to.not.include('/account/two-step')
    const inside = await other.submit(asked, { method: 'totp', code: appCode(secret) })
    expect(inside.page, inside.url).to.include('/account/two-step')
    expect((await first.open('/account')).page, 'here only').to.not.include('/account/two-step')
  })
})
