/** The account area's pages without JavaScript: a phone number is proven, becomes a second factor, and devices are trusted. */
import { expect } from 'chai'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { appCode, forgetSteps, withApp } from '../support/mfa.ts'
import { Browser } from '../support/rp.ts'
import { type SmsGateway, startGateway } from '../support/sms-gateway.ts'

describe('pages of the account area', function () {
  this.timeout(20_000)
  let app: TestApp
  let gateway: SmsGateway
  before(async () => {
    gateway = await startGateway()
    app = await startApp({
      TRUST_PROXY: '1',
      OUTBOUND_ALLOW: '127.0.0.1/32',
      SMS_URL: `http://127.0.0.1:${gateway.port}/send`,
    })
  })
  after(async () => {
    await app?.close()
    await gateway?.close()
  })
  beforeEach(async () => {
    await app.db('rate_limits').delete()
  })

  const enter = async (person: Person, browser = new Browser(app.url)) => {
    const at = await browser.open('/account')
    return { browser, at: await browser.submit(at, { email: person.email, password: person.password }) }
  }
  const userRow = (id: string) => app.db('users').where({ id }).first()
  const wrong = (code: string) => (code === '000000' ? '000001' : '000000')
  /** As if every sign-in were an hour ago. */
  const grow = (id: string) =>
    app.db.raw(
      `update sessions set payload = payload || jsonb_build_object('loginTs', (payload ->> 'loginTs')::bigint - 3600) where user_id = ?`,
      [id],
    )

  it('Eve keeps a time zone that has another name in the list', async () => {
    const eve = await app.person()
    await app.db('users').where({ id: eve.id }).update({ zoneinfo: 'US/Eastern' })
    const { browser } = await enter(eve)
    const shown = await browser.open('/account/profile')
    expect(shown.page).to.include('<option value="US/Eastern" selected>')
    const saved = await browser.submit(shown, { nickname: 'Eve', zoneinfo: 'US/Eastern' }, '/account/profile"')
    expect(saved.status).to.equal(200)
    expect(await userRow(eve.id)).to.include({ nickname: 'Eve', zoneinfo: 'US/Eastern' })
  })

  it('Ada proves her number with the code she is texted, and then texts are her second step', async () => {
    const ada = await app.person()
    const phone = '+4915140000001'
    await app.db('users').where({ id: ada.id }).update({ phone_number: phone })
    const { browser } = await enter(ada)
    expect((await browser.open('/account/two-step')).page).to.not.include('/two-step/sms"')
    const asked = await browser.submit(await browser.open('/account/profile'), {}, '/profile/phone"')
    expect(asked.page).to.include(phone).and.include('name="code"')
    const first = await gateway.waitFor(phone)
    const refused = await browser.submit(asked, { code: wrong(first.code) }, '/phone/verify"')
    expect(refused.status).to.equal(400)
    expect(refused.page).to.include('code-error')
    expect((await userRow(ada.id)).phone_verified_at).to.equal(null)
    const done = await browser.submit(refused, { code: first.code }, '/phone/verify"')
    expect(done.url).to.include('/account/profile?done=phone')
    expect(done.page).to.include('is confirmed').and.not.include('/profile/phone"')
    expect((await userRow(ada.id)).phone_verified_at).to.not.equal(null)

    const before = (await gateway.texts()).length
    const sms = await browser.submit(await browser.open('/account/two-step'), {}, '/two-step/sms"')
    expect(sms.page).to.include(phone)
    while ((await gateway.texts()).length === before) await new Promise((resolve) => setTimeout(resolve, 30))
    const { code } = await gateway.waitFor(phone)
    const again = await browser.submit(sms, { code: wrong(code) }, '/sms/enable"')
    expect(again.status).to.equal(400)
    expect(
      await app.db('credentials').where({ user_id: ada.id, type: 'sms' }).whereNotNull('verified_at'),
    ).to.have.length(0)
    const on = await browser.submit(again, { code }, '/sms/enable"')
    expect(on.page!.match(/<li>/g)!.length).to.be.at.least(10)
    const login = await app.call('POST', '/v1/auth/login', { body: { email: ada.email, password: ada.password } })
    expect(login.body).to.include({ mfa_required: true, preferred_method: 'sms' })
    await app.smtp.waitFor(ada.email, /text message were switched on/)
  })

  it('a number that changes after the code was sent is not proven by it', async () => {
    const bea = await app.person()
    await app.db('users').where({ id: bea.id }).update({ phone_number: '+4915140000002' })
    const { browser } = await enter(bea)
    const asked = await browser.submit(await browser.open('/account/profile'), {}, '/profile/phone"')
    const { code } = await gateway.waitFor('+4915140000002')
    await app.db('users').where({ id: bea.id }).update({ phone_number: '+4915140000003' })
    expect((await browser.submit(asked, { code }, '/phone/verify"')).status).to.equal(400)
    expect((await userRow(bea.id)).phone_verified_at).to.equal(null)
    await grow(bea.id)
    const later = await browser.submit(asked, { code }, '/phone/verify"')
    expect(later.page, 'asks to sign in again').to.include('name="password"')
  })

  it('Cy trusts this device with a second factor only, and takes the trust back', async () => {
    const cy = await app.person()
    const { browser } = await enter(cy)
    expect((await browser.open('/account/devices')).page, 'nothing to skip yet').to.not.include('/devices/trust"')
    const { secret } = await withApp(app, cy)
    const trusted = () => app.db('devices').where({ user_id: cy.id }).whereNotNull('trusted_until')
    let at = (await enter(cy, browser)).at
    expect(at.url).to.match(/\/mfa$/)
    at = await browser.submit(at, { code: appCode(secret) })
    expect(at.url).to.include('/account')
    const devices = await browser.open('/account/devices')
    // A session of the password alone is led to the second factor.
    const [session] = await app.db('sessions').where({ user_id: cy.id, kind: 'browser', ended_at: null })
    const amr = (list: string[]) =>
      app
        .db('sessions')
        .where({ id: session.id })
        .update({ payload: app.db.raw('payload || ?::jsonb', [JSON.stringify({ amr: list })]) })
    await amr(['pwd'])
    const refused = await browser.submit(devices, {}, '/devices/trust"')
    expect(refused.page).to.include('name="password"')
    expect(await trusted()).to.have.length(0)
    await amr(['pwd', 'otp', 'mfa'])
    const done = await browser.submit(devices, {}, '/devices/trust"')
    expect(done.url).to.include('done=device-trust')
    expect(await trusted()).to.have.length(1)
    await forgetSteps(app, cy.id)

    await app.db('sessions').where({ id: session.id }).update({ ended_at: app.db.fn.now(), cookie_hash: null })
    const skipped = await enter(cy, browser)
    expect(skipped.at.url).to.match(/\/account$/)
    const back = await browser.submit(await browser.open('/account/devices'), {}, 'value="distrust"')
    expect(back.url).to.include('done=device-distrust')
    expect(await trusted()).to.have.length(0)
  })
})
