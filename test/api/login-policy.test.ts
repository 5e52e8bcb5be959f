/** What signing in asks for, tenant by tenant and client by client, also of sessions that were opened before it was asked. */
import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { appCode, firstStep, forgetSteps, setting, verified, withApp } from '../support/mfa.ts'
import { eventually, makeClient, type OAuthClient, post, signInto, verifierOf } from '../support/oauth.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

const MFA = 'urn:gatehouse:acr:mfa'

describe('sign-in policy', () => {
  let app: TestApp
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' }, { host: 'localhost' })
  })
  after(() => app.close())
  afterEach(async () => {
    for (const [key, value] of [
      ['mfa_policy', 'optional'],
      ['mfa_factors', ['webauthn', 'totp', 'sms', 'email']],
    ] as const)
      await setting(app, key, value)
  })

  const asked = (client: OAuthClient, more: Record<string, string> = {}) =>
    `${app.url}/oauth/authorize?${new URLSearchParams({
      client_id: client.clientId,
      response_type: 'code',
      redirect_uri: REDIRECT,
      scope: 'openid',
      code_challenge: verifierOf().challenge,
      code_challenge_method: 'S256',
      ...more,
    })}`
  const freely = async () => app.db('rate_limits').delete()
  async function signIn(browser: Browser, client: OAuthClient, who: Person) {
    await freely()
    const at = await browser.open(asked(client))
    return browser.submit(at, { email: who.email, password: who.password })
  }
  const strict = (login_policy: object) => makeClient(app, { first_party: true, login_policy })
  const heading = (page = '') => /<h1[^>]*>([^<]*)/.exec(page)?.[1]

  it('a browser signed in with one factor is asked for the second by a client that demands it, and by no other', async () => {
    const [lax, bank] = [await makeClient(app, { first_party: true }), await strict({ mfa: 'required' })]
    const ada = await app.person()
    const browser = new Browser(app.url)
    expect((await signIn(browser, lax, ada)).left?.searchParams.get('code')).to.be.a('string')
    const silent = await browser.open(asked(bank, { prompt: 'none' }))
    expect(silent.left!.searchParams.get('error')).to.equal('login_required')
    const at = await browser.open(asked(bank))
    expect(at.left, 'no code').to.equal(undefined)
    const enrol = await browser.submit(at, { email: ada.email, password: ada.password })
    expect(enrol.url).to.match(/\/mfa$/)
    const secret = /class="key">([^<]*)/.exec(enrol.page!)![1]!.replaceAll(' ', '')
    const codes = await browser.submit(enrol, { code: appCode(secret) })
    expect((await browser.submit(codes, {})).left?.searchParams.get('code')).to.be.a('string')
    expect((await browser.open(asked(bank))).left?.searchParams.get('code'), 'once is enough').to.be.a('string')
    expect((await browser.open(asked(lax))).left?.searchParams.get('code')).to.be.a('string')
  })

  it('a client cannot ask for less than its tenant', async () => {
    const lax = await strict({ mfa: 'off' })
    const bob = await app.person()
    await setting(app, 'mfa_policy', 'required')
    const browser = new Browser(app.url)
    const at = await signIn(browser, lax, bob)
    expect(at.url).to.match(/\/mfa$/)
  })

  it('a device that is trusted stays so where a client demands the second factor', async () => {
    const bank = await strict({ mfa: 'required' })
    const cleo = await app.person()
    const { secret } = await withApp(app, cleo)
    const browser = new Browser(app.url)
    const at = await signIn(browser, bank, cleo)
    const inside = await browser.submit(at, { method: 'totp', code: appCode(secret), trust_device: '1' })
    expect(inside.left?.searchParams.get('code')).to.be.a('string')
    await app.db('sessions').where({ user_id: cleo.id }).update({ ended_at: new Date() })
    expect((await signIn(browser, bank, cleo)).left?.searchParams.get('code'), 'password alone').to.be.a('string')
    expect((await browser.open(asked(bank))).left?.searchParams.get('code'), 'and again').to.be.a('string')
    await app.db('devices').where({ user_id: cleo.id }).update({ trusted_until: null })
    expect((await browser.open(asked(bank))).left, 'trust is over').to.equal(undefined)
  })

  it('only factors that count are offered, and a session that proved another one proves one that counts', async () => {
    const dan = await app.person()
    await verified(app, dan)
    const { secret } = await withApp(app, dan)
    const email = { tenant_id: DEFAULT_TENANT, id: crypto.randomUUID(), user_id: dan.id, type: 'email', secret: '' }
    await app.db('credentials').insert(email)
    const byMail = await strict({ mfa: 'required', factors: ['email'] })
    const lax = await makeClient(app, { first_party: true })
    const browser = new Browser(app.url)
    const at = await signIn(browser, lax, dan)
    expect((await browser.submit(at, { method: 'totp', code: appCode(secret) })).left).to.not.equal(undefined)
    const again = await browser.open(asked(byMail))
    expect(again.left, 'an app does not count there').to.equal(undefined)
    await freely()
    const second = await browser.submit(again, { email: dan.email, password: dan.password })
    expect(second.url).to.match(/\/mfa$/)
    const bare = { page: second.page!.replace(/action="[^"]*"/g, ''), url: second.url }
    const wrong = await browser.submit(bare, { method: 'totp', code: appCode(secret, 1) })
    expect(wrong.left, 'the app counts for nothing').to.equal(undefined)
    await setting(app, 'mfa_factors', ['totp'])
    await freely()
    expect((await firstStep(app, dan)).body.methods).to.deep.equal(['totp', 'backup_codes'])
    await setting(app, 'mfa_factors', ['webauthn', 'email'])
    expect((await firstStep(app, dan)).body.methods).to.deep.equal(['email', 'backup_codes'])
  })

  it('a client that takes passkeys only shows nothing else, and refuses a password posted all the same', async () => {
    const client = await strict({ methods: ['passkey'] })
    const eve = await app.person()
    const browser = new Browser(app.url)
    const at = await browser.open(asked(client))
    for (const gone of ['name="password"', '/magic-link"', '/register"', 'forgot-password'])
      expect(at.page).to.not.include(gone)
    const csrf = { page: at.page!.replace(/action="[^"]*"/g, ''), url: at.url }
    await freely()
    const refused = await browser.submit(csrf, { email: eve.email, password: eve.password })
    expect(refused.status).to.equal(403)
    expect(refused.page).to.include('does not let you sign in this way')
    expect(await app.db('sessions').where({ user_id: eve.id, kind: 'browser' })).to.deep.equal([])
    const lax = await makeClient(app, { first_party: true })
    expect((await signIn(browser, lax, eve)).left).to.not.equal(undefined)
    expect(heading((await browser.open(asked(client))).page), 'a session by password').to.equal('Sign in')
  })

  it('a client that wants a verified address lets nobody in without, whom others let in', async () => {
    const client = await strict({ require_verified_email: true })
    const lax = await makeClient(app, { first_party: true })
    const fay = await app.person()
    const browser = new Browser(app.url)
    expect((await signIn(browser, lax, fay)).left).to.not.equal(undefined)
    expect((await browser.open(asked(client))).left, 'by session').to.equal(undefined)
    expect((await signIn(browser, client, fay)).page).to.include('Check your')
    await verified(app, fay)
    expect((await browser.open(asked(client))).left?.searchParams.get('code')).to.be.a('string')
  })

  describe('sessions of one factor, when two are demanded from now on', () => {
    const CHALLENGE = /error="insufficient_user_authentication".*acr_values="urn:gatehouse:acr:mfa"/

    it('get the challenge at our API and at the refresh, until they prove one', async () => {
      const gus = await app.person()
      const { accessToken: token, refreshToken } = gus
      await setting(app, 'mfa_policy', 'required')
      const refused = await app.call('GET', '/v1/auth/me', { token })
      expect(refused.status).to.equal(401)
      expect(refused.body.code).to.equal('INSUFFICIENT_AUTHENTICATION')
      expect(refused.headers.get('www-authenticate')).to.match(CHALLENGE)
      const again = await app.call('POST', '/v1/auth/refresh', {
        body: { refresh_token: refreshToken },
        headers: from(),
      })
      expect(again.status).to.equal(401)
      expect(again.headers.get('www-authenticate')).to.match(CHALLENGE)
      await withApp(app, gus)
      expect((await app.call('GET', '/v1/auth/me', { token })).status).to.equal(200)
      const kept = await app.call('POST', '/v1/auth/refresh', {
        body: { refresh_token: refreshToken },
        headers: from(),
      })
      expect(kept.status, 'the refused refresh has not used it up').to.equal(200)
      const mine = await app.call('GET', '/v1/auth/me', { token: kept.body.access_token })
      expect(mine.status).to.equal(200)
    })

    it('may always sign out', async () => {
      const { accessToken: token, id } = await app.person()
      await setting(app, 'mfa_policy', 'required')
      expect((await app.call('POST', '/v1/auth/logout', { token, body: {} })).status).to.equal(200)
      expect(await app.db('sessions').where({ user_id: id, ended_at: null })).to.deep.equal([])
    })

    it('are refused at the token endpoint, asked again at authorization, and at the account area', async () => {
      const client = await makeClient(app, { first_party: true })
      const hal = await app.person()
      const { body } = await signInto(app, client, hal, { scope: 'openid offline_access', prompt: 'consent' })
      const browser = new Browser(app.url)
      await signIn(browser, client, hal)
      expect((await browser.open('/account')).page).to.include('/account/two-step')
      const admin = await app.admin()
      const path = `/clients/${client.id}`
      await app.call('PUT', path, { token: admin, body: { login_policy: { mfa: 'required' } } })
      await setting(app, 'mfa_policy', 'optional')
      await eventually(async () => expect((await browser.open(asked(client))).left).to.equal(undefined))
      const { refresh_token } = body
      const refused = await post(app, '/oauth/token', { grant_type: 'refresh_token', refresh_token }, { client })
      expect(refused.status).to.equal(400)
      expect(refused.body.error).to.equal('invalid_grant')
      expect(refused.body.error_description).to.match(/^insufficient_user_authentication/)
      expect((await browser.open('/account')).page, 'only that client asks').to.include('/account/two-step')
      await setting(app, 'mfa_policy', 'required')
      expect(heading((await browser.open('/account')).page)).to.equal('Sign in')
      await setting(app, 'mfa_policy', 'optional')
      await app.call('PUT', path, { token: admin, body: { login_policy: null } })
      await eventually(async () => {
        const kept = await post(app, '/oauth/token', { grant_type: 'refresh_token', refresh_token }, { client })
        expect(kept.status, JSON.stringify(kept.body)).to.equal(200)
      })
    })

    it('acr_values still raises a session of one factor', async () => {
      const client = await makeClient(app, { first_party: true })
      const ida = await app.person()
      const { secret } = await withApp(app, ida)
      await forgetSteps(app, ida.id)
      const browser = new Browser(app.url)
      const at = await signIn(browser, client, ida)
      await browser.submit(at, { method: 'totp', code: appCode(secret) })
      expect((await browser.open(asked(client, { acr_values: MFA }))).left?.searchParams.get('code')).to.be.a('string')
    })
  })
})
