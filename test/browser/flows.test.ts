/** People in a real Chromium: registering, signing in, consenting and recovering, with and without JavaScript. */
import { expect } from 'chai'
import * as client from 'openid-client'
import { startApp } from '../support/app.ts'
import {
  dark,
  heading,
  look,
  openStage,
  phone,
  redeem,
  request,
  type Stage,
  signIn,
  signInAndAllow,
  type Visitor,
  visitor,
} from './stage.ts'

const PASSWORD = 'Sturdy-Harbour-42'

describe('hosted pages in Chromium', function () {
  this.timeout(40_000)
  let stage: Stage
  let { browser, app, third, rp } = {} as Stage
  before(async function () {
    stage = await openStage(this, startApp)
    ;({ browser, app, third, rp } = stage)
  })
  after(() => stage?.close())
  beforeEach(async () => {
    await app.db('rate_limits').delete()
  })

  const userRow = (email: string) => app.db('users').where({ email_key: email }).first()
  const open = async (who: Visitor, extra: Record<string, string> = {}, as = rp) => {
    const asked = await request(as, third, extra)
    await who.page.goto(asked.href)
    return asked
  }

  for (const scripts of [true, false]) {
    describe(scripts ? 'with JavaScript' : 'without JavaScript', () => {
      const options = { javaScriptEnabled: scripts, ...(scripts ? {} : { ...phone, ...dark }) }
      const mode = scripts ? '' : '-plain'

      it('Nora registers, refuses, allows, and the app redeems her code; her address is confirmed by a click', async () => {
        const nora = await visitor(browser, options)
        const { page } = nora
        const email = `nora${mode}@example.com`
        const wanted = { scope: 'openid profile email offline_access', prompt: 'consent' }

        const refused = await open(nora, wanted)
        expect(await heading(nora)).to.equal('Sign in')
        await look(nora, `login${mode}`)
        await page.click('text=Create an account')
        await look(nora, `register${mode}`)
        await page.fill('#given_name', 'Nora')
        await page.fill('#family_name', 'Berg')
        await page.fill('#email', email)
        await page.fill('#password', PASSWORD)
        await page.click('button[value=register]')
        await page.locator('button[value=allow]').waitFor()
        await look(nora, `consent${mode}`)
        const asks = await page.locator('.scopes').allInnerTexts()
        expect(asks.join(' ')).to.include('See your email address').and.include('Stay connected')
        expect(await page.locator('main').innerText())
          .to.include('Nora Berg')
          .and.include(new URL(third.url).host)
        await page.click('button[value=cancel]')
        await page.getByText('Back in the app').waitFor()
        const no = third.arrivals.at(-1)!.url.searchParams
        expect(no.get('error')).to.equal('access_denied')
        expect(no.get('state')).to.equal(refused.state)
        expect(no.get('iss')).to.equal(app.url)
        expect(no.get('code')).to.equal(null)

        const asked = await open(nora, wanted)
        await page.click('button[value=allow]')
        await page.getByText('Back in the app').waitFor()
        const tokens = await redeem(rp, third, asked)
        const info = await client.fetchUserInfo(rp.config, tokens.access_token, tokens.claims()!.sub)
        expect(info).to.include({ email, email_verified: false, name: 'Nora Berg' })
        expect(tokens.refresh_token).to.be.a('string')

        const link = (await app.smtp.waitFor(email, /verify-email/)).link('verify-email')
        for (let scans = 0; scans < 2; scans += 1) expect((await fetch(link)).status).to.equal(200)
        expect((await userRow(email)).email_verified_at).to.equal(null)
        await page.goto(link)
        await look(nora, `verify-email${mode}`)
        await page.click('button[value=confirm]')
        await page.getByText('Address confirmed').waitFor()
        expect(await page.locator('a.button.primary').getAttribute('href'), 'back to the app').to.equal(third.url)
        await look(nora, `verify-email-done${mode}`)
        expect((await userRow(email)).email_verified_at).to.be.instanceOf(Date)
        await page.goto(link)
        expect(await heading(nora)).to.equal('This link does not work any more')
        expect(nora.answer().status()).to.equal(400)
        await look(nora, `error-link${mode}`)
        await nora.close()
      })

      it('Olga forgets her password; the new one works, the old one and all her sessions are gone', async () => {
        const olga = await app.person(`olga${mode}@example.com`)
        const before = await visitor(browser, options)
        await open(before)
        await signInAndAllow(before, olga)
        const who = await visitor(browser, options)
        const { page } = who
        await open(who)
        await page.click('text=Forgot your password?')
        await look(who, `forgot${mode}`)
        await page.fill('#email', 'not an address')
        await page.locator('form').evaluate((form: any) => {
          form.noValidate = true
        })
        await page.click('button[value=send]')
        await page.locator('#email-error').waitFor()
        await page.fill('#email', olga.email)
        await page.click('button[value=send]')
        await page.getByText('Check your inbox').first().waitFor()
        await look(who, `forgot-sent${mode}`)
        const link = (await app.smtp.waitFor(olga.email, /reset-password/)).link('reset-password')
        for (let scans = 0; scans < 2; scans += 1) expect((await fetch(link)).status).to.equal(200)
        await page.goto(link)
        await look(who, `reset${mode}`)
        await page.fill('#new_password', 'short')
        await page.click('button[value=reset]')
        await page.locator('#new_password-error').waitFor()
        expect(await page.locator('#new_password').getAttribute('aria-invalid')).to.equal('true')
        await page.fill('#new_password', PASSWORD)
        await page.click('button[value=reset]')
        await page.getByText('Password changed').first().waitFor()
        expect(await page.locator('a.button.primary').getAttribute('href'), 'back to the app').to.equal(third.url)
        await look(who, `reset-done${mode}`)

        await open(before)
        expect(await heading(before), 'the other browser is signed out').to.equal('Sign in')
        expect((await app.call('GET', '/v1/auth/me', { token: olga.accessToken })).status).to.equal(401)
        await signIn(before, olga)
        await before.page.locator('#form-error').waitFor()
        await signIn(before, { email: olga.email, password: PASSWORD })
        await before.page.getByText('Back in the app').waitFor()

        for (const dead of [link, `${app.url}/reset-password?token=never-made`, `${app.url}/reset-password`]) {
          await page.goto(dead)
          expect(await heading(who)).to.equal('This link does not work any more')
        }
        await who.close()
        await before.close()
      })

      it('Ada goes on as herself, then as Bob: the chooser', async () => {
        const ada = await app.person(`ada${mode}@example.com`)
        const bob = await app.person(`bob${mode}@example.com`)
        const who = await visitor(browser, options)
        const { page } = who
        await open(who)
        await signInAndAllow(who, ada)

        const asAda = await open(who, { prompt: 'select_account' })
        await look(who, `accounts${mode}`)
        expect(await page.locator('main').innerText()).to.include(ada.email)
        await page.click('button[value=continue]')
        await page.getByText('Back in the app').waitFor()
        const first = await redeem(rp, third, asAda)
        expect(first.claims()!.sub).to.equal(ada.id)

        const asBob = await open(who, { prompt: 'select_account' })
        await page.click('button[value=other]')
        await page.locator('#password').waitFor()
        expect(await page.locator('#email').inputValue()).to.equal('')
        await signIn(who, bob)
        if (!scripts) {
          await page.getByText('One moment').first().waitFor()
          await look(who, 'submit-plain')
          await page.click('text=Continue')
        }
        await page.locator('button[value=allow]').waitFor()
        expect(await page.locator('main').innerText()).to.include(bob.email)
        await page.click('button[value=allow]')
        await page.getByText('Back in the app').waitFor()
        expect((await redeem(rp, third, asBob)).claims()!.sub).to.equal(bob.id)
        expect((await client.tokenIntrospection(rp.config, first.access_token)).active, 'Ada is signed out').to.equal(
          false,
        )
        expect(who.complaints).to.deep.equal([])
        await who.close()
      })

      it('"Not you?" on the consent page leads to another account', async () => {
        const eve = await app.person(`eve${mode}@example.com`)
        const dan = await app.person(`dan${mode}@example.com`)
        const who = await visitor(browser, options)
        const asked = await open(who)
        await signIn(who, eve)
        await who.page.click('text=Not you?')
        await signIn(who, dan)
        if (!scripts) await who.page.click('text=Continue')
        await who.page.click('button[value=allow]')
        await who.page.getByText('Back in the app').waitFor()
        expect((await redeem(rp, third, asked)).claims()!.sub).to.equal(dan.id)
        expect(await app.db('consents').where({ user_id: eve.id })).to.have.length(0)
        await who.close()
      })

      it('the answer by form_post reaches the app', async () => {
        const finn = await app.person(`finn${mode}@example.com`)
        const who = await visitor(browser, options)
        const asked = await open(who, { response_mode: 'form_post' })
        await signIn(who, finn)
        await who.page.click('button[value=allow]')
        if (!scripts) {
          await who.page.getByText('One moment').first().waitFor()
          await look(who, 'submit-plain')
          await who.page.click('text=Continue')
        }
        await who.page.getByText('Back in the app').waitFor()
        expect(third.arrivals.at(-1)!.method).to.equal('POST')
        expect((await redeem(rp, third, asked)).claims()!.sub).to.equal(finn.id)
        expect(who.complaints).to.deep.equal([])
        await who.close()
      })

      it('Gus signs out: asked first, may stay, comes back to the app that asked', async () => {
        const gus = await app.person(`gus${mode}@example.com`)
        const who = await visitor(browser, options)
        const { page } = who
        const asked = await open(who)
        await signInAndAllow(who, gus)
        const tokens = await redeem(rp, third, asked)

        await page.goto(`${app.url}/oauth/logout`)
        await look(who, `logout${mode}`)
        expect(await page.locator('main').innerText()).to.include(gus.email)
        await page.click('text=Stay signed in')
        await page.getByText('You are signed in').first().waitFor()
        await look(who, `signed-in${mode}`)
        expect((await client.tokenIntrospection(rp.config, tokens.access_token)).active).to.equal(true)

        const leaving = (idToken: string, state: string) =>
          client.buildEndSessionUrl(rp.config, {
            id_token_hint: idToken,
            post_logout_redirect_uri: third.bye,
            state,
          }).href
        await page.goto(leaving(tokens.id_token!, 'bye-0'))
        await page.click('text=Stay signed in')
        await page.getByText('Back in the app').waitFor()
        expect(third.arrivals.at(-1)!.url.href).to.equal(`${third.bye}?state=bye-0`)
        expect((await client.tokenIntrospection(rp.config, tokens.access_token)).active, 'left the app').to.equal(false)
        const stayed = await open(who)
        await page.getByText('Back in the app').waitFor()
        const others = await redeem(rp, third, stayed)

        await page.goto(leaving(others.id_token!, 'bye-1'))
        expect(await page.locator('main').innerText()).to.include('Harbour Notes')
        await page.click('button[value=yes]')
        await page.getByText('Back in the app').waitFor()
        expect(third.arrivals.at(-1)!.url.href).to.equal(`${third.bye}?state=bye-1`)
        expect((await client.tokenIntrospection(rp.config, others.access_token)).active).to.equal(false)

        await open(who)
        await signInAndAllow(who, gus)
        await page.goto(`${app.url}/oauth/logout`)
        await page.click('button[value=yes]')
        await page.getByText('You are signed out').first().waitFor()
        await look(who, `logged-out${mode}`)
        expect(await page.locator('.actions a').getAttribute('href'), 'no app is known').to.equal('/account')
        await page.goto(`${app.url}/oauth/logout`)
        if (!scripts) await page.click('text=Continue')
        await page.getByText('You are signed out').first().waitFor()
        await open(who)
        expect(await heading(who)).to.equal('Sign in')
        await who.close()
      })
    })
  }

  it('a wrong password and an unknown address get the same words, tied to the field', async () => {
    const ida = await app.person('ida@example.com')
    const who = await visitor(browser, { ...phone })
    const { page } = who
    await open(who)
    const words: string[] = []
    for (const email of [ida.email, 'unknown@example.com']) {
      await signIn(who, { email, password: 'Wrong-Password-1' })
      const alert = page.locator('#form-error')
      await alert.waitFor()
      words.push(await alert.innerText())
      expect(await alert.getAttribute('role')).to.equal('alert')
      expect(await page.locator('#password').getAttribute('aria-describedby')).to.include('form-error')
      expect(await page.locator('input:focus').getAttribute('id')).to.equal('password')
      expect(await page.locator('#email').inputValue()).to.equal(email)
      expect(await page.title()).to.match(/^Error: /)
      await look(who, 'login-wrong')
    }
    expect(words[0]).to.equal(words[1])
    await signIn(who, ida)
    await page.locator('button[value=allow]').waitFor()
    await who.close()
  })

  it('a page that sends itself on can be read while it waits', async () => {
    const tom = await app.person('tom@example.com')
    const who = await visitor(browser, phone)
    await who.page.route('**/page.js', (route) => route.fulfill({ contentType: 'text/javascript', body: '' }))
    await open(who, { response_mode: 'form_post' })
    await signIn(who, tom)
    await who.page.click('button[value=allow]')
    await who.page.getByText('One moment').first().waitFor()
    await look(who, 'submit')
    await who.close()
  })

  it('two windows of one browser sign in side by side', async () => {
    const jon = await app.person('jon@example.com')
    const who = await visitor(browser)
    const one = await open(who)
    const second = await who.page.context().newPage()
    const two = await request(rp, third)
    await second.goto(two.href)
    await signInAndAllow(who, jon)
    expect((await redeem(rp, third, one)).claims()!.sub).to.equal(jon.id)
    await signInAndAllow({ ...who, page: second }, jon)
    expect((await redeem(rp, third, two)).claims()!.sub).to.equal(jon.id)
    await who.close()
  })

  it('an expired sign-in says so and leads back to the app', async () => {
    const who = await visitor(browser, dark)
    await open(who)
    await app.db('oidc_models').where({ model: 'Interaction' }).delete()
    await signIn(who, { email: 'someone@example.com', password: PASSWORD })
    await who.page.getByText('has expired').first().waitFor()
    await look(who, 'session-expired')
    await who.close()
  })

  it('prompt=login asks again, prompt=none never asks, max_age and hints are honoured', async () => {
    const kim = await app.person('kim@example.com')
    const lee = await app.person('lee@example.com')
    const who = await visitor(browser)
    const { page } = who
    const answer = () => third.arrivals.at(-1)!.url.searchParams

    await open(who, { prompt: 'none' })
    expect(answer().get('error')).to.equal('login_required')
    await open(who, { login_hint: lee.email })
    expect(await page.locator('#email').inputValue()).to.equal(lee.email)
    expect(await page.locator('input:focus').getAttribute('id')).to.equal('password')
    await page.click('text=Create an account')
    expect(await page.locator('#email').inputValue()).to.equal(lee.email)

    await open(who)
    await signIn(who, kim)
    await page.locator('button[value=allow]').waitFor()
    await open(who, { prompt: 'none' })
    expect(answer().get('error')).to.equal('consent_required')
    await open(who)
    await page.click('button[value=allow]')
    await page.getByText('Back in the app').waitFor()
    const quiet = await open(who, { prompt: 'none' })
    const first = await redeem(rp, third, quiet)

    const makeOlder = () =>
      app
        .db('sessions')
        .where({ user_id: kim.id })
        .update({
          payload: app.db.raw(`payload || jsonb_build_object('loginTs', (payload->>'loginTs')::int - 100)`),
        })
    const wishes: Record<string, string>[] = [{ prompt: 'login' }, { max_age: '50' }]
    for (const extra of wishes) {
      await makeOlder()
      const asked = await open(who, extra)
      expect(await page.locator('.notice').innerText()).to.include('sign in again')
      expect(await page.locator('#email').inputValue()).to.equal(kim.email)
      await look(who, 'login-again')
      await signIn(who, kim)
      await page.getByText('Back in the app').waitFor()
      const again = await redeem(rp, third, asked)
      expect(again.claims()!.sub).to.equal(kim.id)
      if ('max_age' in extra) expect(again.claims()!.auth_time).to.be.closeTo(Date.now() / 1000, 20)
    }
    await open(who, { max_age: '5000', prompt: 'none' })
    expect(answer().get('code')).to.be.a('string')

    await open(who, { id_token_hint: first.id_token!, prompt: 'none' })
    expect(answer().get('code')).to.be.a('string')
    const other = await visitor(browser)
    const asLee = await open(other)
    await signInAndAllow(other, lee)
    const leeToken = (await redeem(rp, third, asLee)).id_token!
    await open(who, { id_token_hint: leeToken, prompt: 'none' })
    expect(answer().get('error')).to.equal('login_required')
    await open(who, { id_token_hint: leeToken })
    expect(await page.locator('#email').inputValue(), 'whom the app expects').to.equal(lee.email)
    await other.close()
    await who.close()
  })

  it('speaks German when the app asks for it, on every page of the flow', async () => {
    const mia = await app.person('mia@example.com')
    const who = await visitor(browser, phone)
    const { page } = who
    await open(who, { ui_locales: 'fr de en' })
    expect(await heading(who)).to.equal('Anmelden')
    expect(await page.locator('html').getAttribute('lang')).to.equal('de')
    await look(who, 'login-de')
    await signIn(who, { ...mia, password: 'Falsch-12345' })
    await page.locator('#form-error').waitFor()
    expect(await page.locator('html').getAttribute('lang')).to.equal('de')
    await signIn(who, mia)
    await page.locator('button[value=allow]').waitFor()
    expect(await page.locator('button[value=allow]').innerText()).to.equal('Erlauben')
    await look(who, 'consent-de')
    await who.close()
  })
})
