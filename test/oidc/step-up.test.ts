import { expect } from 'chai'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { appCode, forgetSteps, setting, withApp, wrongCode } from '../support/mfa.ts'
import { authorizationRequest, Browser, type RelyingParty, redeem, relyingParty } from '../support/rp.ts'

const MFA = 'urn:gatehouse:acr:mfa'
const SINGLE = 'urn:gatehouse:acr:single'

describe('a second factor within an authorization request', () => {
  let app: TestApp
  let rp: RelyingParty
  let ada: Person
  let bob: Person
  let secret: string
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    rp = await relyingParty(app)
    ada = await app.person('ada@example.com')
    bob = await app.person('bob@example.com')
    secret = (await withApp(app, ada)).secret
  })
  after(() => app.close())
  beforeEach(async () => {
    await forgetSteps(app, ada.id)
    await app.db('login_counters').delete()
  })

  const begin = (extra: Record<string, string> = {}) => authorizationRequest(rp, { scope: 'openid profile', ...extra })
  type At = Awaited<ReturnType<Browser['open']>>
  const signIn = (browser: Browser, at: At, { email, password }: Person) => browser.submit(at, { email, password })
  const allow = (browser: Browser, at: At) =>
    at.page?.includes('value="allow"') ? browser.submit(at, { action: 'allow' }) : at
  const tokensOf = async (asked: Awaited<ReturnType<typeof begin>>, at: At) => {
    expect(at.left, at.page?.slice(0, 1500)).to.not.equal(undefined)
    return redeem(rp, { ...asked, callback: at.left! })
  }
  /** A browser in which the person is signed in, with the tokens of that. */
  const signedIn = async (person: Person, extra: Record<string, string> = {}) => {
    const browser = new Browser(app.url)
    const asked = await begin(extra)
    let at = await signIn(browser, await browser.open(asked.href), person)
    if (at.page?.includes('name="code"')) at = await browser.submit(at, { code: appCode(secret) })
    return { browser, tokens: await tokensOf(asked, await allow(browser, at)) }
  }

  it('is asked of Ada, and the ID token says how she signed in', async () => {
    const browser = new Browser(app.url)
    const asked = await begin()
    const at = await signIn(browser, await browser.open(asked.href), ada)
    expect(at.url).to.match(/\/mfa$/)
    expect(at.page).to.include('authenticator app').and.not.include('value="allow"')
    // Nobody is signed in yet: another request asks for the password again.
    const other = await browser.open((await begin()).href)
    expect(other.page).to.include('name="password"')
    const wrong = await browser.submit(at, { code: wrongCode(secret) })
    expect(wrong.status).to.equal(400)
    expect(wrong.page).to.include('This code is not right')
    const tokens = await tokensOf(asked, await allow(browser, await browser.submit(wrong, { code: appCode(secret) })))
    expect(tokens.claims()).to.deep.include({ sub: ada.id, acr: MFA, amr: ['pwd', 'otp', 'mfa'] })
  })

  it('five wrong codes lead back to the password; the right one is then worth nothing', async () => {
    const browser = new Browser(app.url)
    let at = await signIn(browser, await browser.open((await begin()).href), ada)
    const page = at
    for (let i = 0; i < 5; i += 1) at = await browser.submit(page, { code: wrongCode(secret) })
    expect(at.page).to.include('too many wrong codes').and.include('name="password"')
    expect(at.status).to.equal(401)
    const late = await browser.submit(page, { code: appCode(secret) })
    expect(late.left).to.equal(undefined)
    expect(late.page).to.include('name="password"')
  })

  it('the page of a sign-in belongs to its browser, and to a first factor', async () => {
    const browser = new Browser(app.url)
    const waiting = await signIn(browser, await browser.open((await begin()).href), ada)
    const thief = await new Browser(app.url).open(waiting.url)
    expect(thief.status).to.equal(401)
    expect(thief.page).to.not.include('name="code"')
    const fresh = new Browser(app.url)
    const login = await fresh.open((await begin()).href)
    expect((await fresh.open(`${login.url}/mfa`)).page).to.include('name="password"')
  })

  it('an app that wants one gets it: a session of one factor is asked again (RFC 9470)', async () => {
    const { browser, tokens } = await signedIn(bob, { acr_values: SINGLE })
    expect(tokens.claims()).to.deep.include({ acr: SINGLE, amr: ['pwd'] })
    const silent = await browser.open((await begin({ acr_values: MFA, prompt: 'none' })).href)
    expect(silent.left?.searchParams.get('error')).to.equal('login_required')

    const asked = await begin({ acr_values: MFA })
    const again = await browser.open(asked.href)
    expect(again.page).to.include('name="password"')
    const enrol = await signIn(browser, again, bob)
    expect(enrol.page).to.include('data:image/svg+xml').and.include('name="code"')
    const key = /class="key">([A-Z2-7 ]+)</.exec(enrol.page!)![1]!.replaceAll(' ', '')
    const codes = await browser.submit(enrol, { code: appCode(key) })
    expect([...codes.page!.matchAll(/<code>([a-z0-9]{5}-[a-z0-9]{5})<\/code>/g)]).to.have.length(10)
    const raised = await tokensOf(asked, await allow(browser, await browser.submit(codes, { action: 'continue' })))
    expect(raised.claims()).to.deep.include({ sub: bob.id, acr: MFA, amr: ['pwd', 'otp', 'mfa'] })
    // From now on that session answers at once.
    const third = await browser.open((await begin({ acr_values: MFA, prompt: 'none' })).href)
    expect(third.left?.searchParams.get('code')).to.be.a('string')
  })

  it('is not asked for again on a device that Ada trusts, unless an app demands it', async () => {
    const browser = new Browser(app.url)
    let at = await signIn(browser, await browser.open((await begin()).href), ada)
    at = await browser.submit(at, { code: appCode(secret), trust_device: '1' })
    expect((await allow(browser, at)).left?.searchParams.get('code')).to.be.a('string')
    const devices = await app.db('devices').where({ user_id: ada.id }).whereNotNull('trusted_until')
    expect(devices).to.have.length(1)
    expect(await app.db('events').where({ type: 'device.trusted', user_id: ada.id })).to.have.length(1)

    await app.db('sessions').where({ user_id: ada.id }).update({ ended_at: new Date(), cookie_hash: null })
    const asked = await begin()
    const again = await signIn(browser, await browser.open(asked.href), ada)
    const tokens = await tokensOf(asked, await allow(browser, again))
    expect(tokens.claims()).to.deep.include({ acr: SINGLE, amr: ['pwd'] })
    const demanded = await signIn(browser, await browser.open((await begin({ acr_values: MFA })).href), ada)
    expect(demanded.page).to.include('name="code"')

    const elsewhere = new Browser(app.url)
    expect((await signIn(elsewhere, await elsewhere.open((await begin()).href), ada)).page).to.include('name="code"')
    // Another person at that device is asked as ever.
    const zoe = await app.person()
    const hers = await withApp(app, zoe)
    expect(hers.secret).to.be.a('string')
    await app.db('sessions').where({ user_id: ada.id }).update({ ended_at: new Date(), cookie_hash: null })
    expect((await signIn(browser, await browser.open((await begin()).href), zoe)).page).to.include('name="code"')
  })

  it('either will do where the app names both', async () => {
    const cleo = await app.person()
    const { browser } = await signedIn(cleo)
    const { left } = await browser.open((await begin({ acr_values: `${MFA} ${SINGLE}`, prompt: 'none' })).href)
    expect(left?.searchParams.get('code')).to.be.a('string')
  })

  describe('where the tenant demands one', () => {
    before(() => setting(app, 'mfa_policy', 'required'))
    after(() => setting(app, 'mfa_policy', 'optional'))

    it('who registers sets one up first, shown codes once, and cannot go around it', async () => {
      const browser = new Browser(app.url)
      const asked = await begin()
      const login = await browser.open(asked.href)
      const form = await browser.open(`${login.url}/register`)
      const enrol = await browser.submit(form, { email: 'emil@example.com', password: 'Sturdy-Harbour-42' })
      expect(enrol.url).to.match(/\/mfa$/)
      const user = await app.db('users').where({ email_key: 'emil@example.com' }).first()
      const key = /class="key">([A-Z2-7 ]+)</.exec(enrol.page!)![1]!.replaceAll(' ', '')
      // The same picture when looked at again; nothing is on yet.
      expect((await browser.open(enrol.url)).page).to.include(enrol.page!.match(/class="key">([A-Z2-7 ]+)</)![0])
      const skip = await browser.request(`${enrol.url}/continue`, { form: { _csrf: csrf(enrol.page!) } })
      expect(skip.status).to.equal(401)
      const wrong = await browser.submit(enrol, { code: wrongCode(key) })
      expect(wrong.page).to.include('This code is not right')
      expect(
        await app.db('credentials').where({ user_id: user.id, type: 'totp' }).whereNotNull('verified_at'),
      ).to.have.length(0)
      expect(await app.db('sessions').where({ user_id: user.id })).to.have.length(0)

      const codes = await browser.submit(wrong, { code: appCode(key) })
      expect(codes.page).to.include('Keep your backup codes')
      expect(await app.db('sessions').where({ user_id: user.id })).to.have.length(0)
      const looked = await browser.open(enrol.url)
      expect(looked.page)
        .to.include('were shown already')
        .and.not.match(/<code>[a-z0-9]{5}-/)
      const tokens = await tokensOf(asked, await allow(browser, await browser.submit(looked, { action: 'continue' })))
      expect(tokens.claims()).to.deep.include({ sub: user.id, acr: MFA })
      await app.smtp.waitFor('emil@example.com', /authenticator app was added/)
    })

    it('a set-up begun in another sign-in is never the one that is proven', async () => {
      const fay = await app.person().catch(() => undefined)
      expect(fay, 'the API asks for a second factor too').to.equal(undefined)
      const person = { email: 'gus@example.com', password: 'Sturdy-Harbour-42' } as Person
      const registered = await app.call('POST', '/v1/auth/register', {
        body: { email: person.email, password: person.password },
      })
      expect(registered.status).to.equal(201)
      const keyIn = (at: At) => /class="key">([A-Z2-7 ]+)</.exec(at.page!)![1]!.replaceAll(' ', '')
      const eve = new Browser(app.url)
      const hers = await signIn(eve, await eve.open((await begin()).href), person)
      const gus = new Browser(app.url)
      const his = await signIn(gus, await gus.open((await begin()).href), person)
      expect(keyIn(his)).to.not.equal(keyIn(hers))
      const crossed = await gus.submit(his, { code: appCode(keyIn(hers)) })
      expect(crossed.page).to.include('This code is not right').and.include(keyIn(his).slice(0, 4))
      expect((await gus.submit(his, { code: appCode(keyIn(his)) })).page).to.include('Keep your backup codes')
      const late = await eve.submit(hers, { code: appCode(keyIn(hers)) })
      expect(late.page)
        .to.not.include('Keep your backup codes')
        .and.not.match(/class="key"/)
      expect((await eve.open(hers.url)).page).to.not.match(/class="key"/)
    })
  })
})

const csrf = (page: string) => /name="_csrf" value="([^"]+)"/.exec(page)![1]!
