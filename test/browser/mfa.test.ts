/** Second factors in a real Chromium, with and without JavaScript. */
import { expect } from 'chai'
import { type Person, startApp } from '../support/app.ts'
import { appCode, forgetSteps, setting, verified, withApp, wrongCode } from '../support/mfa.ts'
import {
  arrive,
  dark,
  heading,
  look,
  openStage,
  phone,
  redeem,
  request,
  type Stage,
  signIn,
  type Visitor,
  visitor,
} from './stage.ts'

const MFA = 'urn:gatehouse:acr:mfa'

describe('second factors in Chromium', function () {
  this.timeout(40_000)
  let stage: Stage
  let { browser, app, third, rp } = {} as Stage
  before(async function () {
    stage = await openStage(this, () => startApp({ TRUST_PROXY: '1' }))
    ;({ browser, app, third, rp } = stage)
  })
  after(() => stage?.close())

  const open = async ({ page }: Visitor, extra: Record<string, string> = {}) => {
    const asked = await request(rp, third, extra)
    await page.goto(asked.href)
    return asked
  }
  const enter = async ({ page }: Visitor, code: string) => {
    await page.fill('#code', code)
    await page.click('button[value=verify]')
  }

  for (const scripts of [true, false]) {
    describe(scripts ? 'with JavaScript' : 'without JavaScript', () => {
      const options = { javaScriptEnabled: scripts, ...(scripts ? {} : { ...phone, ...dark }) }
      const mode = scripts ? '' : '-plain'

      it('Ada confirms with her app, Ada again by mail, and once more by a backup code', async () => {
        const ada: Person = await app.person(`ada${mode}@example.com`)
        await verified(app, ada)
        const { secret, backupCodes } = await withApp(app, ada)
        await new Promise((resolve) => setTimeout(resolve, 1000))
        const on = await app.call('POST', '/v1/auth/mfa/email/enable', { token: ada.accessToken, body: {} })
        expect(on.status).to.equal(200)

        const byApp = await visitor(browser, options)
        const asked = await open(byApp)
        await signIn(byApp, ada)
        expect(await heading(byApp)).to.equal('Confirm that it is you')
        await look(byApp, `mfa${mode}`)
        await enter(byApp, wrongCode(secret))
        await byApp.page.getByText('This code is not right').waitFor()
        await look(byApp, `mfa-wrong${mode}`)
        await enter(byApp, appCode(secret))
        await arrive(byApp)
        const claims = (await redeem(rp, third, asked)).claims()!
        expect(claims).to.deep.include({ sub: ada.id, acr: MFA, amr: ['pwd', 'otp', 'mfa'] })
        await byApp.close()

        const byMail = await visitor(browser, options)
        await open(byMail)
        await signIn(byMail, ada)
        await byMail.page.click('text=Code by email')
        expect(await byMail.page.locator('main').innerText())
          .to.include('a…@example.com')
          .and.not.include(ada.email)
        await look(byMail, `mfa-email${mode}`)
        await byMail.page.click('button[value=send]')
        await byMail.page.locator('#code').waitFor()
        await look(byMail, `mfa-email-sent${mode}`)
        const { raw } = await app.smtp.waitFor(ada.email, /Enter this code/)
        await enter(byMail, /Enter this code:\s+(\d{6})/.exec(raw)![1]!)
        await arrive(byMail)
        await byMail.close()

        const byCode = await visitor(browser, options)
        await open(byCode)
        await signIn(byCode, ada)
        await byCode.page.click('text=Backup code')
        await byCode.page.getByLabel('Backup code').waitFor()
        await look(byCode, `mfa-backup${mode}`)
        await enter(byCode, backupCodes[0]!)
        await arrive(byCode)
        await byCode.close()
      })

      it('Bob guesses five times and is back at the password', async () => {
        const bob = await app.person(`bob${mode}@example.com`)
        const { secret } = await withApp(app, bob)
        const who = await visitor(browser, options)
        await open(who)
        await signIn(who, bob)
        for (let i = 0; i < 5; i += 1) await enter(who, wrongCode(secret))
        await who.page.getByText('too many wrong codes').waitFor()
        expect(await heading(who)).to.equal('Sign in')
        expect(who.answer().status()).to.equal(401)
        await look(who, `mfa-too-many${mode}`)
        await forgetSteps(app, bob.id)
        await signIn(who, bob)
        await enter(who, appCode(secret))
        await arrive(who)
        await who.close()
      })

      it('Cleo must set up an app, keeps her codes, and goes on', async () => {
        const cleo = await app.person(`cleo${mode}@example.com`)
        await setting(app, 'mfa_policy', 'required')
        try {
          const who = await visitor(browser, options)
          const { page } = who
          const asked = await open(who)
          await signIn(who, cleo)
          expect(await heading(who)).to.equal('Set up a second step')
          await look(who, `mfa-enrol${mode}`)
          const secret = (await page.locator('.key').innerText()).replaceAll(' ', '')
          expect(await page.locator('a[href^="otpauth:"]').getAttribute('href')).to.include(secret)
          await page.fill('#code', appCode(secret))
          await page.click('button[value=enrol]')
          expect(await heading(who)).to.equal('Keep your backup codes')
          expect(await page.locator('.codes li').count()).to.equal(10)
          await look(who, `mfa-codes${mode}`)
          await page.click('button[value=continue]')
          await arrive(who)
          expect((await redeem(rp, third, asked)).claims()).to.deep.include({ sub: cleo.id, acr: MFA })
          await who.close()
        } finally {
          await setting(app, 'mfa_policy', 'optional')
        }
      })
    })
  }
})
