/** People with a telephone number alone, in a real Chromium: registering, coming back, adding an address, leaving. */
import { expect } from 'chai'
import { startApp } from '../support/app.ts'
import { type SmsGateway, startGateway } from '../support/sms-gateway.ts'
import { arrive, dark, heading, look, openStage, phone, redeem, request, type Stage, visitor } from './stage.ts'

describe('accounts with a number alone in Chromium', function () {
  this.timeout(40_000)
  let gateway: SmsGateway
  let stage: Stage
  let { browser, app, third, rp } = {} as Stage
  before(async function () {
    gateway = await startGateway()
    stage = await openStage(this, () =>
      startApp({ OUTBOUND_ALLOW: '127.0.0.1/32', SMS_URL: `http://127.0.0.1:${gateway.port}/send` }),
    )
    ;({ browser, app, third, rp } = stage)
  })
  after(async () => {
    await stage?.close()
    await gateway?.close()
  })

  for (const scripts of [true, false]) {
    it(`Pia registers by a texted code, adds an address, and leaves, ${scripts ? 'with' : 'without'} JavaScript`, async () => {
      await app.db('rate_limits').delete()
      const mode = scripts ? '' : '-plain'
      const pia = await visitor(browser, { javaScriptEnabled: scripts, ...(scripts ? {} : { ...phone, ...dark }) })
      const { page } = pia
      const number = scripts ? '+4915125000001' : '+4915125000002'
      const asked = await request(rp, third, { scope: 'openid profile phone', prompt: 'consent' })
      await page.goto(asked.href)
      await page.click('text=Create an account')
      await page.click('text=Use a phone number instead')
      await look(pia, `register-phone${mode}`)
      await page.fill('#given_name', 'Pia')
      await page.fill('#phone_number', '0151 25000001')
      await page.click('button[value=register]')
      await page.getByText('Please enter a number with the country code').first().waitFor()
      await page.fill('#phone_number', number.replace('+49', '+49 '))
      await page.click('button[value=register]')
      await page.fill('#code', (await gateway.waitFor(number)).code)
      await look(pia, `register-phone-code${mode}`)
      await page.click('button[value=code]')
      await arrive(pia)
      const claims = (await redeem(rp, third, asked)).claims()!
      const user = await app.db('users').where({ phone_number: number }).first()
      expect(user).to.include({ id: claims.sub, email: null, email_key: number, given_name: 'Pia' })
      expect(user.phone_verified_at).to.be.instanceOf(Date)

      await page.goto(`${app.url}/account`)
      expect(await page.locator('.signed').innerText())
        .to.include('Pia')
        .and.include(number)
      expect(await page.locator('main').innerText()).to.not.include('not confirmed')
      await page.goto(`${app.url}/account/profile`)
      await page.fill('#phone_number', '')
      await page.click('form[action$="/profile"] button[type=submit]')
      await page.getByText('You sign in with this number').waitFor()
      await page.goto(`${app.url}/account/email`)
      expect(await page.locator('h2').allInnerTexts()).to.deep.equal(['Add an address'])
      await look(pia, `account-email-first${mode}`)
      const email = `pia${mode}@example.com`
      await page.fill('#email', email)
      await page.click('form[action$="/email"] button[type=submit]')
      await page.getByText('We have sent a message to').waitFor()
      await page.goto((await app.smtp.waitFor(email, /email\/confirm\?token=/)).link('email/confirm'))
      expect(await page.locator('main').innerText()).to.include(email)
      await page.click('button[type=submit]')
      await page.getByText('Address changed').first().waitFor()
      expect(await app.db('users').where({ id: user.id }).first()).to.include({ email, email_key: email })
      expect(pia.complaints).to.deep.equal([])
      await pia.close()
    })
  }

  it('says that a number is taken, and deletes the account by it', async () => {
    await app.db('rate_limits').delete()
    const number = '+4915125000003'
    await app.call('POST', '/auth/register', { body: { phone_number: number } })
    const quin = await visitor(browser)
    const { page } = quin
    await page.goto((await request(rp, third)).href)
    await page.click('text=Create an account')
    await page.click('text=Use a phone number instead')
    await page.fill('#phone_number', number)
    await page.click('button[value=register]')
    await page.getByText('There is already an account with this number').waitFor()
    await page.goto(`${app.url}/account`)
    await page.click('text=Text me a code')
    await page.fill('#phone_number', number)
    await page.click('button[value=send]')
    while ((await gateway.texts()).filter(({ to }) => to === number).length < 2)
      await new Promise((resolve) => setTimeout(resolve, 50))
    await page.fill('#code', (await gateway.waitFor(number)).code)
    await page.click('button[value=code]')
    await page.locator('.signed').waitFor()
    await page.goto(`${app.url}/account/delete`)
    await page.fill('#confirmation', '+49 151 25000009')
    await page.click('button.danger')
    await page.getByText('This is not the phone number of your account').waitFor()
    await look(quin, 'account-delete-phone')
    await page.fill('#confirmation', '+49 151 25000003')
    await page.click('button.danger')
    expect(await heading(quin)).to.equal('Your account is deleted')
    await quin.close()
  })
})
