/** A first second factor of every kind, set up within the sign-in that demands it: over REST and on pages. */
import { expect } from 'chai'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { Authenticator } from '../support/authenticator.ts'
import { firstStep, setting, verified } from '../support/mfa.ts'
import { makeClient, type OAuthClient, verifierOf } from '../support/oauth.ts'
import { Browser, REDIRECT } from '../support/rp.ts'
import { type SmsGateway, startGateway } from '../support/sms-gateway.ts'

describe('a first second factor within a sign-in', () => {
  let app: TestApp
  let gateway: SmsGateway
  let client: OAuthClient
  before(async () => {
    gateway = await startGateway()
    app = await startApp(
      { TRUST_PROXY: '1', OUTBOUND_ALLOW: '127.0.0.1/32', SMS_URL: `http://127.0.0.1:${gateway.port}/send` },
      { host: 'localhost' },
    )
    client = await makeClient(app, { first_party: true })
  })
  after(async () => {
    await app?.close()
    await gateway?.close()
  })
  afterEach(() => demand('optional', ['webauthn', 'totp', 'sms', 'email']))

  async function demand(policy: string, factors: string[]) {
    await setting(app, 'mfa_policy', policy)
    await setting(app, 'mfa_factors', factors)
  }
  let numbers = 70_000_000
  const number = () => `+49151${++numbers}`
  const post = (path: string, body: object) => app.call('POST', path, { body, headers: from() })
  const begin = (body: object) => post('/v1/auth/login/mfa/enrol', body)
  const prove = (body: object) => post('/v1/auth/login/mfa/enrol/verify', body)
  const factorsOf = (id: string) =>
    app.db('credentials').where({ user_id: id }).whereNot('type', 'password').whereNotNull('verified_at').pluck('type')
  const live = (id: string) => app.db('sessions').where({ user_id: id, ended_at: null })
  const mailed = async ({ email }: Person) => {
    const { raw } = await app.smtp.waitFor(email, /code/i)
    return /\b\d{6}\b/.exec(raw.slice(raw.indexOf('\r\n\r\n')))![0]
  }
  /** Signed up, and then asked for more than a password. */
  async function asked(...factors: string[]) {
    const who = await app.person()
    await demand('required', factors)
    app.smtp.mails.length = 0
    const { body } = await firstStep(app, who)
    return { who, mfa_token: body.mfa_token as string, body }
  }

  describe('over REST', () => {
    it('is a passkey: its answer completes the sign-in, and other sessions end', async () => {
      const { who, mfa_token, body } = await asked('webauthn')
      expect(body).to.deep.include({ enrolment_methods: ['webauthn'], preferred_method: 'webauthn' })
      const begun = await begin({ mfa_token })
      expect(begun.body, JSON.stringify(begun.body)).to.include.keys('options', 'expires_in')
      expect((await prove({ mfa_token, code: '123456' })).status, 'a code is none').to.equal(400)
      expect(await live(who.id), 'of the registration').to.have.length(1)
      const credential = new Authenticator(app.url).create(begun.body.options)
      const all = await Promise.all(Array.from({ length: 50 }, () => prove({ mfa_token, credential, name: 'Key' })))
      const won = all.filter(({ status }) => status === 200)
      expect(won, JSON.stringify(all.map(({ body: b }) => b.code))).to.have.length(1)
      expect(won[0]!.body).to.not.have.property('backup_codes')
      const { access_token: token } = won[0]!.body.login.tokens
      expect((await app.call('GET', '/v1/auth/me', { token })).status).to.equal(200)
      const [session, ...others] = await live(who.id)
      expect(others).to.deep.equal([])
      expect(session.payload.amr).to.deep.equal(['pwd', 'hwk', 'user', 'mfa'])
      expect(await factorsOf(who.id)).to.deep.equal(['webauthn'])
      expect((await firstStep(app, who)).body).to.deep.include({ methods: ['webauthn'], enrolment_required: false })
      await app.smtp.waitFor(who.email, /passkey was added/i)
    })

    it('is no passkey made for another sign-in, or for a session', async () => {
      const { who, mfa_token } = await asked('webauthn')
      const other = (await firstStep(app, who)).body.mfa_token
      const key = new Authenticator(app.url)
      const hers = (await begin({ mfa_token: other })).body.options
      await begin({ mfa_token })
      expect((await prove({ mfa_token, credential: key.create(hers) })).body.code).to.equal('INVALID_TOKEN')
      await demand('optional', ['webauthn'])
      const path = '/v1/auth/mfa/webauthn/register/begin'
      const { body } = await app.call('POST', path, { token: who.accessToken, body: {}, headers: from() })
      await begin({ mfa_token })
      expect((await prove({ mfa_token, credential: key.create(body.options) })).body.code).to.equal('INVALID_TOKEN')
      const { options } = (await begin({ mfa_token })).body
      const finish = await app.call('POST', '/v1/auth/mfa/webauthn/register/finish', {
        token: who.accessToken,
        body: { credential: key.create(options) },
        headers: from(),
      })
      expect(finish.body.code).to.equal('INVALID_TOKEN')
      const signIn = await post('/v1/auth/login/mfa/webauthn/finish', { credential: key.create(options) })
      expect(signIn.status).to.be.oneOf([400, 401])
      expect(await factorsOf(who.id)).to.deep.equal([])
    })

    it('is a phone that the code proves, too', async () => {
      const { who, mfa_token, body } = await asked('sms')
      expect(body.enrolment_methods).to.deep.equal(['sms'])
      const phone = number()
      expect((await begin({ mfa_token })).status, 'which number?').to.equal(400)
      expect((await begin({ mfa_token, phone_number: '0151 2345' })).status).to.equal(400)
      expect((await begin({ mfa_token, phone_number: phone })).status).to.equal(200)
      const { code } = await gateway.waitFor(phone)
      expect((await prove({ mfa_token, code: code === '000000' ? '000001' : '000000' })).body.code).to.equal(
        'INVALID_CODE',
      )
      const done = await prove({ mfa_token, code })
      expect(done.body.login, JSON.stringify(done.body)).to.include.keys('tokens')
      expect(done.body.backup_codes).to.have.length(10)
      const user = await app.db('users').where({ id: who.id }).first()
      expect(user.phone_number).to.equal(phone)
      expect(user.phone_verified_at).to.be.a('date')
    })

    it('is never another phone than the one that was proven', async () => {
      const who = await app.person()
      const phone = number()
      await app.db('users').where({ id: who.id }).update({ phone_number: phone, phone_verified_at: new Date() })
      await demand('required', ['sms'])
      const { mfa_token } = (await firstStep(app, who)).body
      const thief = number()
      expect((await begin({ mfa_token, phone_number: thief })).status).to.equal(400)
      expect((await begin({ mfa_token })).status).to.equal(200)
      await gateway.waitFor(phone)
      expect((await gateway.texts()).filter(({ to }) => to === thief)).to.deep.equal([])
    })

    it('one number is not sent more than three texts an hour, whoever asks', async () => {
      const people = [await app.person(), await app.person()]
      await demand('required', ['sms'])
      const tokens = await Promise.all(people.map(async (who) => (await firstStep(app, who)).body.mfa_token))
      const phone_number = number()
      const answers = []
      for (const mfa_token of [...tokens, ...tokens]) answers.push(await begin({ mfa_token, phone_number }))
      expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 200, 429])
    })

    it('is a mailbox, which the code verifies', async () => {
      const { who, mfa_token, body } = await asked('email')
      expect(body.enrolment_methods).to.deep.equal(['email'])
      expect((await begin({ mfa_token })).status).to.equal(200)
      const done = await prove({ mfa_token, code: await mailed(who) })
      expect(done.body.login, JSON.stringify(done.body)).to.include.keys('tokens')
      expect((await app.db('users').where({ id: who.id }).first()).email_verified_at).to.be.a('date')
    })

    it('where nothing that counts can be set up says so', async () => {
      const who = await app.person()
      await verified(app, who)
      await demand('required', ['email'])
      await post('/v1/auth/magic-link/send', { email: who.email })
      const mail = await app.smtp.waitFor(who.email, /magic-link\?token=/)
      const token = new URL(mail.link('magic-link')).searchParams.get('token')!
      const { body } = await post('/v1/auth/magic-link/verify', { token })
      expect(body).to.deep.include({ enrolment_required: true, enrolment_methods: [] })
      const { mfa_token } = body
      expect((await begin({ mfa_token, method: 'email' })).status, 'the mailbox is the first factor').to.equal(400)
    })
  })

  describe('on pages', () => {
    const address = () =>
      `${app.url}/oauth/authorize?${new URLSearchParams({
        client_id: client.clientId,
        response_type: 'code',
        redirect_uri: REDIRECT,
        scope: 'openid',
        code_challenge: verifierOf().challenge,
        code_challenge_method: 'S256',
      })}`
    async function arrived(...factors: string[]) {
      const who = await app.person()
      await demand('required', factors)
      app.smtp.mails.length = 0
      const browser = new Browser(app.url)
      const at = await browser.submit(await browser.open(address()), { email: who.email, password: who.password })
      expect(at.url, at.page).to.match(/\/mfa$/)
      return { who, browser, at }
    }
    const hasCode = ({ left, page }: { left?: URL; page?: string }) =>
      expect(left?.searchParams.get('code'), page).to.be.a('string')
    const heading = (page = '') => /<h1[^>]*>([^<]*)/.exec(page)?.[1]

    it('is the mailbox where only that counts', async () => {
      const { who, browser, at } = await arrived('email')
      expect(at.page).to.include('email you a code').and.not.include('name="code"')
      const sent = await browser.submit(at, {}, '/enrol/begin')
      expect(sent.page).to.include('name="code"')
      const code = await mailed(who)
      const wrong = await browser.submit(sent, { code: code === '000000' ? '000001' : '000000' })
      expect(wrong.page).to.include('not right')
      const codes = await browser.submit(wrong, { code })
      expect(heading(codes.page)).to.equal('Keep your backup codes')
      hasCode(await browser.submit(codes, {}))
    })

    it('is a phone, whose number is typed there', async () => {
      const { browser, at } = await arrived('sms')
      const wrong = await browser.submit(at, { phone_number: '0151 12345' }, '/enrol/begin')
      expect(wrong.page).to.include('with the country code').and.include('0151 12345')
      const phone = number()
      const sent = await browser.submit(
        wrong,
        { phone_number: `${phone.slice(0, 3)} ${phone.slice(3)}` },
        '/enrol/begin',
      )
      expect(sent.page, 'shortened')
        .to.include(`…${phone.slice(-2)}`)
        .and.not.include(phone)
      const { code } = await gateway.waitFor(phone)
      const codes = await browser.submit(sent, { code })
      expect(heading(codes.page)).to.equal('Keep your backup codes')
      hasCode(await browser.submit(codes, {}))
    })

    it('is a passkey, and then the sign-in is complete', async () => {
      const { who, browser, at } = await arrived('webauthn')
      expect(at.page).to.include('Make a passkey').and.include('needs JavaScript')
      const csrf = /name="_csrf" value="([^"]+)"/.exec(at.page!)![1]!
      const begun = await browser.request(`${at.url}/enrol/passkey/begin`, { form: { _csrf: csrf } })
      const { options } = (await begun.json()) as { options: object }
      const bad = await browser.submit(at, { credential: '{}' }, '/enrol/passkey')
      expect(bad.status).to.equal(400)
      expect(bad.page).to.include('This did not work')
      const credential = JSON.stringify(new Authenticator(app.url).create(options))
      hasCode(await browser.submit(bad, { credential }, '/enrol/passkey'))
      expect(await factorsOf(who.id)).to.deep.equal(['webauthn'])
      const [session] = await live(who.id)
      expect(session.payload.amr).to.include.members(['pwd', 'hwk', 'mfa'])
    })

    it('offers every way that counts, and leads on when one was set up elsewhere', async () => {
      const { who, browser, at } = await arrived('totp', 'webauthn', 'email')
      expect(at.page).to.include('class="key"')
      const links = [...at.page!.matchAll(/href="[^"]*\/mfa\?method=(\w+)"/g)].map(([, method]) => method)
      expect(links).to.deep.equal(['webauthn', 'email'])
      const mail = await browser.open(`${at.url}?method=email`)
      const sent = await browser.submit(mail, {}, '/enrol/begin')
      await mailed(who)
      app.smtp.mails.length = 0
      const { mfa_token } = (await firstStep(app, who)).body
      await begin({ mfa_token, method: 'email' })
      expect((await prove({ mfa_token, code: await mailed(who) })).status).to.equal(200)
      const led = await browser.submit(sent, { code: '000000' })
      expect(heading(led.page)).to.equal('Confirm that it is you')
    })

    it('says in one’s own words that none can be set up', async () => {
      const who = await app.person()
      await verified(app, who)
      await demand('required', ['email'])
      const browser = new Browser(app.url)
      const start = await browser.open(`${address()}&ui_locales=de`)
      const ask = await browser.open(/href="([^"]*\/magic-link)"/.exec(start.page!)![1]!)
      await browser.submit(ask, { email: who.email })
      const mail = await app.smtp.waitFor(who.email, /magic-link\?token=/)
      const at = await browser.submit(await browser.open(mail.link('magic-link')), {})
      expect(at.page).to.include('keiner der hier zulässigen Wege')
    })
  })
})
