/** The face and the words of an app do not end where its sign-in leaves the authorization request: forgotten passwords, mails and their links. */
import { expect } from 'chai'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { makeClient, type OAuthClient, verifierOf } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { withTenant } from '../support/roles.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

const LOGO = 'https://shop.example.com/logo.png'
const messages = {
  'forgot.title': 'Shop: forgotten?',
  'forgotSent.title': 'Shop: sent',
  'reset.title': 'Shop: choose',
  'resetDone.title': 'Shop: chosen',
  'verify.title': 'Shop: confirm',
  'verifyDone.title': 'Shop: confirmed',
  'magicOpen.title': 'Shop: come in',
  'mail.reset.subject': 'Shop mail: reset',
  'mail.changed.subject': 'Shop mail: changed',
  'mail.verify.subject': 'Shop mail: confirm',
  'mail.magic.subject': 'Shop mail: sign in',
}

describe('the looks of an app', () => {
  let app: TestApp
  let shop: OAuthClient
  let plain: OAuthClient
  let ada: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    await withTenant(app, 'acme')
    shop = await makeClient(app, { branding: { logo_uri: LOGO, texts: { en: { messages } } } })
    plain = await makeClient(app)
    ada = await app.person()
  })
  after(() => app.close())
  beforeEach(() => app.db('rate_limits').delete())

  const asked = (client: OAuthClient) =>
    `${app.url}/oauth/authorize?${new URLSearchParams({
      client_id: client.clientId,
      response_type: 'code',
      redirect_uri: REDIRECT,
      scope: 'openid',
      code_challenge: verifierOf().challenge,
      code_challenge_method: 'S256',
    })}`
  const link = (page: string, part: string) =>
    new RegExp(`href="([^"]*${part}[^"]*)"`).exec(page)![1]!.replaceAll('&amp;', '&')
  const mailed = (raw: string, part: string) =>
    new RegExp(`${app.url}/${part}\\?[^\\s"<]*`).exec(raw.replaceAll('=\r\n', '').replaceAll('=3D', '='))![0]
  const expectShop = (page: string | undefined, title: string) =>
    expect(page).to.include(title).and.include(`src="${LOGO}"`)
  const expectTenant = (page: string | undefined) => expect(page).to.not.include('Shop').and.not.include(LOGO)

  it('hold for a forgotten password, from the sign-in to the mail that says it is done', async () => {
    const browser = new Browser(app.url)
    const at = await browser.open(asked(shop))
    const forgot = await browser.open(new URL(link(at.page!, 'forgot-password'), app.url).href)
    expectShop(forgot.page, messages['forgot.title'])
    expectShop((await browser.submit(forgot, { email: 'nonsense' })).page, messages['forgot.title'])
    expectShop((await browser.submit(forgot, { email: ada.email })).page, messages['forgotSent.title'])
    const mail = await app.smtp.waitFor(ada.email, /Shop mail: reset/)
    expect(mail.raw.replaceAll('=\r\n', '')).to.include(LOGO)

    const elsewhere = new Browser(app.url)
    const reset = await elsewhere.open(mailed(mail.raw, 'reset-password'))
    expectShop(reset.page, messages['reset.title'])
    expectShop((await elsewhere.submit(reset, { new_password: 'short' })).page, messages['reset.title'])
    const done = await elsewhere.submit(reset, { new_password: 'Another-Password-456!' })
    expectShop(done.page, messages['resetDone.title'])
    const told = await app.smtp.waitFor(ada.email, /Shop mail: changed/)
    expectShop((await elsewhere.open(mailed(told.raw, 'forgot-password'))).page, messages['forgot.title'])
  })

  it('hold for the confirmation of an address', async () => {
    const browser = new Browser(app.url)
    const at = await browser.open(asked(shop))
    const register = await browser.open(new URL(link(at.page!, '/register'), app.url).href)
    const email = 'new@example.com'
    await browser.submit(register, { email, password: 'SecurePassword123!', given_name: 'N', family_name: 'N' })
    const mail = await app.smtp.waitFor(email, /Shop mail: confirm/)
    const elsewhere = new Browser(app.url)
    const verify = await elsewhere.open(mailed(mail.raw, 'verify-email'))
    expectShop(verify.page, messages['verify.title'])
    expectShop((await elsewhere.submit(verify, {})).page, messages['verifyDone.title'])
  })

  it('hold for a mailed link that is opened elsewhere', async () => {
    const browser = new Browser(app.url)
    const at = await browser.open(asked(shop))
    const ask = await browser.open(new URL(link(at.page!, '/magic-link'), app.url).href)
    await browser.submit(ask, { email: ada.email })
    const mail = await app.smtp.waitFor(ada.email, /Shop mail: sign in/)
    expectShop((await new Browser(app.url).open(mailed(mail.raw, 'magic-link'))).page, messages['magicOpen.title'])
  })

  it('are of apps of the tenant alone, whatever an address says', async () => {
    const browser = new Browser(app.url)
    const page = async (path: string) => (await browser.open(`${app.url}${path}`)).page
    const named = `client_id=${shop.clientId}`
    expectShop(await page(`/forgot-password?${named}`), messages['forgot.title'])
    expectTenant(await page(`/t/acme/forgot-password?${named}`))
    for (const query of [
      '',
      '?client_id=nobody',
      '?client_id=%00',
      `?client_id=${'x'.repeat(300)}`,
      `?${named}&${named}`,
    ])
      expectTenant(await page(`/forgot-password${query}`))
    const at = await browser.open(asked(shop))
    const waiting = link(at.page!, 'forgot-password').split('?')[1]!
    expectTenant(await page(`/t/acme/forgot-password?${waiting}`))
    const other = await browser.open(asked(plain))
    const others = link(other.page!, 'forgot-password').split('?')[1]!
    expectTenant(await page(`/forgot-password?${others}&${named}`))
  })

  it('are not of mails that no sign-in at the app caused', async () => {
    const bob = await app.person('bob@example.com')
    await app.call('POST', '/v1/auth/forgot-password', { body: { email: bob.email }, headers: from() })
    const mail = await app.smtp.waitFor(bob.email, /reset-password\?token/)
    expectTenant(mail.raw)
    expectTenant((await new Browser(app.url).open(mailed(mail.raw, 'reset-password'))).page)
  })

  it('are given by words for pages and mails, not for text messages', async () => {
    const put = async (words: object) =>
      app.call('PUT', `/clients/${plain.id}`, {
        token: await app.admin(),
        body: { branding: { texts: { en: { messages: words } } } },
      })
    expect((await put({ 'mail.reset.subject': 'For {name}' })).status).to.equal(200)
    for (const bad of [{ 'sms.code': '{code}' }, { 'mail.reset.subject': '{password}' }, { 'mail.nothing': 'x' }])
      expectProblem(await put(bad), 400, 'VALIDATION_ERROR')
  })
})
