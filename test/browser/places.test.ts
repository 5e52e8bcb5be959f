/** Around the sign-in, in a real Chromium: demo, mailbox, API reference, set-up link, a second tenant, limits, attackers. */
import { expect } from 'chai'
import * as client from 'openid-client'
import type { Browser } from 'playwright-core'
import { readConfig } from '../../server/config.ts'
import { newId } from '../../server/domain/ids.ts'
import * as tenants from '../../server/domain/tenants.ts'
import { prepareDatabase } from '../../server/start.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { makeDatabase } from '../support/postgres.ts'
import type { RelyingParty } from '../support/rp.ts'
import { chromiumFor } from './chromium.ts'
import {
  dark,
  heading,
  look,
  phone,
  redeem,
  registered,
  request,
  signIn,
  signInAndAllow,
  type ThirdParty,
  thirdParty,
  visitor,
} from './stage.ts'

const PASSWORD = 'Sturdy-Harbour-42'

describe('around the hosted pages in Chromium', function () {
  this.timeout(40_000)
  let browser: Browser
  let third: ThirdParty
  before(async function () {
    browser = await chromiumFor(this)
    third = await thirdParty()
  })
  after(async () => {
    await browser?.close()
    await third?.close()
  })

  describe('of a newcomer without SMTP', () => {
    let app: TestApp
    before(async () => {
      app = await startApp({ SMTP_URL: '' })
    })
    after(() => app?.close())

    it('the demo runs the whole flow: tokens, userinfo, refresh, sign-out', async () => {
      const who = await visitor(browser)
      const { page } = who
      await page.goto(app.url)
      await look(who, 'home')
      await page.click('text=Try the demo')
      await look(who, 'demo')
      await page.click('#login')
      await page.click('text=Create an account')
      await page.fill('#given_name', 'Nina')
      await page.fill('#email', 'nina@example.com')
      await page.fill('#password', PASSWORD)
      await page.click('button[value=register]')
      await page.click('button[value=allow]')
      await page.getByText('Signed in as Nina').waitFor()
      expect(await page.locator('#id_token').innerText()).to.include(`"iss": "${app.url}"`)
      expect(await page.locator('#access_token').innerText()).to.include('"typ": "at+jwt"')
      expect(await page.locator('#answer').innerText()).to.include('"email": "nina@example.com"')
      await look(who, 'demo-signed-in')
      await page.click('#userinfo')
      await page.locator('#steps li', { hasText: 'userinfo' }).nth(1).waitFor()
      const before = await page.locator('#refresh_token pre').last().textContent()
      await page.click('#refresh')
      await page.locator('#steps li', { hasText: 'Refreshed' }).waitFor()
      await page.waitForFunction(
        (old) => (globalThis as any).document.querySelector('#refresh_token pre').textContent !== old,
        before,
      )
      await page.goto(app.url)
      expect(await page.locator('main').innerText()).to.include('nina@example.com')
      await look(who, 'home-signed-in')
      await page.goto(`${app.url}/demo`)
      await page.click('#logout')
      await page.click('button[value=yes]')
      await page.getByText('You have signed out').waitFor()
      expect(page.url()).to.equal(`${app.url}/demo`)
      expect(who.complaints).to.deep.equal([])
      await who.close()
    })

    it('the mailbox keeps the mails, and their links work from there', async () => {
      const who = await visitor(browser, { ...phone, ...dark })
      const { page } = who
      const piet = await app.person('piet@example.com')
      const mailed = () => app.db('mailbox').where({ recipient: piet.email }).first()
      while (!(await mailed())) await new Promise((resolve) => setTimeout(resolve, 50))
      await page.goto(`${app.url}/dev/mailbox`)
      await look(who, 'mailbox')
      await page.click(`li:has-text("${piet.email}") a`)
      await look(who, 'mailbox-mail')
      await page.frameLocator('.mail-frame').locator('a').first().click()
      await page.click('button[value=confirm]')
      await page.getByText('Address confirmed').first().waitFor()
      expect((await app.db('users').where({ id: piet.id }).first()).email_verified_at).to.be.instanceOf(Date)
      await page.goto(`${app.url}/dev/mailbox/none`)
      expect(await heading(who)).to.equal('This page does not exist')
      await who.close()
    })

    it('the API reference lists the operations of every document', async () => {
      const who = await visitor(browser)
      const { page } = who
      await page.goto(`${app.url}/docs`)
      await page.locator('.opblock-tag').first().waitFor({ timeout: 15_000 })
      await look(who, 'docs')
      const urls = [
        '/openapi/plain.json',
        '/openapi/v1.json',
        '/openapi/sso.json',
        '/openapi/admin.json',
        '/openapi.json',
      ]
      for (const url of urls) {
        await page.selectOption('#document', url)
        const { info, paths } = (await app.call('GET', url)).body
        await page.locator('.info .title', { hasText: info.title }).waitFor({ timeout: 15_000 })
        const operations: any[] = Object.values(paths).flatMap((path: any) => Object.values(path))
        const tags = new Set(operations.flatMap(({ tags }) => tags ?? []))
        await page.locator('.opblock-tag').first().waitFor({ timeout: 15_000 })
        expect(await page.locator('.opblock-tag').count(), url).to.equal(tags.size)
      }
      await page.locator('.opblock-tag').first().click()
      await page.locator('.opblock-summary-path').first().waitFor()
      expect(who.complaints).to.deep.equal([])
      await who.close()
    }).timeout(60_000)
  })

  it('the set-up link makes the first administrator once', async () => {
    const database = await makeDatabase()
    const env = { ADMIN_EMAIL: '', ADMIN_PASSWORD: '' }
    const app = await startApp(env, { databaseUrl: database.url })
    const config = readConfig({ SECRET_KEY: 'a'.repeat(64), PUBLIC_URL: app.url, LOG_LEVEL: 'silent' })
    const { setUpToken } = await prepareDatabase(config, database.url)
    const who = await visitor(browser, phone)
    const { page } = who
    const link = `${app.url}/set-up?token=${setUpToken}`
    for (let scans = 0; scans < 2; scans += 1) expect((await fetch(link)).status).to.equal(200)
    await page.goto(link)
    await look(who, 'set-up')
    await page.fill('#email', 'root@example.com')
    await page.fill('#password', 'aaaaaaaaaa')
    await page.click('button[value=setup]')
    await page.locator('#password-error').waitFor()
    expect(await app.db('users')).to.have.length(0)
    await page.fill('#password', PASSWORD)
    await page.click('button[value=setup]')
    await page.waitForURL(`${app.url}/`)
    const login = await app.call('POST', '/v1/auth/login', { body: { email: 'root@example.com', password: PASSWORD } })
    expect(login.status).to.equal(200)
    const clients = await app.call('GET', '/clients', { token: login.body.tokens.access_token })
    expect(clients.status, 'may administer').to.equal(200)
    await page.goto(link)
    expect(await heading(who)).to.equal('This link does not work any more')
    expect((await prepareDatabase(config, database.url)).setUpToken).to.equal(undefined)
    await who.close()
    await app.close()
    await database.drop()
  })

  describe('of a tenant at /t/acme', () => {
    let app: TestApp
    let acme: RelyingParty
    before(async () => {
      app = await startApp()
      const { sealing } = app.deps.out
      await app.db.transaction(async (trx) => {
        const id = await tenants.create(trx, sealing, { slug: 'acme', name: 'Acme Works' })
        await trx('tenants')
          .where({ id })
          .update({
            branding: JSON.stringify({
              primary_color: '#7a1fa2',
              policy_uri: 'https://acme.example/privacy',
              tos_uri: 'https://acme.example/terms',
            }),
          })
        const metadata = {
          client_name: 'Acme Notes',
          redirect_uris: [third.callback],
          post_logout_redirect_uris: [third.bye],
          token_endpoint_auth_method: 'none',
          scope: 'openid profile email',
        }
        const row = { tenant_id: id, id: newId(), client_id: 'acme-notes', metadata: JSON.stringify(metadata) }
        await trx('clients').insert(row)
      })
      const config = await client.discovery(new URL(`${app.url}/t/acme`), 'acme-notes', undefined, undefined, {
        execute: [client.allowInsecureRequests],
      })
      acme = { config, clientId: 'acme-notes', clientSecret: undefined }
    })
    after(() => app?.close())

    it('the whole flow stays under its address, and people of the default tenant are strangers there', async () => {
      const who = await visitor(browser)
      const { page } = who
      const stays = async () => {
        expect(page.url()).to.include(`${app.url}/t/acme/`)
        const targets = await page
          .locator('a[href], form[action]')
          .evaluateAll((all: any[]) => all.map((one) => one.getAttribute('href') ?? one.getAttribute('action')))
        const strays = targets.filter((to) => !/^(\/t\/acme\/|[?#]|https:\/\/acme\.example)/.test(to))
        expect(strays.filter((to) => !to.startsWith(`${app.url}/t/acme/`) && to !== third.url)).to.deep.equal([])
      }
      const asked = await request(acme, third)
      await page.goto(asked.href)
      await look(who, 'acme-login')
      await stays()
      expect(await page.locator('.brand').innerText()).to.equal('Acme Works')
      const ada = await app.person('ada@example.com')
      await signIn(who, ada)
      expect(await page.locator('#form-error').innerText()).to.include('do not match')
      await page.click('text=Create an account')
      await look(who, 'acme-register')
      await stays()
      expect(await page.locator('form').innerText()).to.include('terms of use')
      await page.fill('#email', ada.email)
      await page.fill('#password', PASSWORD)
      await page.click('button[value=register]')
      await page.locator('button[value=allow]').waitFor()
      await look(who, 'acme-consent')
      await stays()
      await page.click('button[value=allow]')
      await page.getByText('Back in the app').waitFor()
      const tokens = await redeem(acme, third, asked)
      expect(tokens.claims()).to.include({ iss: `${app.url}/t/acme` })
      expect(tokens.claims()!.sub).to.not.equal(ada.id)
      const cookies = await page.context().cookies()
      const ours = cookies.filter(({ name }) => name.startsWith('gh_') && !/^gh_(csrf|locale)/.test(name))
      expect(ours.map(({ path }) => path).filter((path) => !path.startsWith('/t/acme'))).to.deep.equal([])
      expect(cookies.some(({ name }) => name === 'gh_session_acme')).to.equal(true)

      const link = (await app.smtp.waitFor(ada.email, /t\/acme\/verify-email/)).link('verify-email')
      expect(link).to.include(`${app.url}/t/acme/verify-email?token=`)
      expect((await fetch(link.replace('/t/acme', ''))).status, 'no other tenant knows the link').to.equal(400)
      await page.goto(link)
      await stays()
      await page.click('button[value=confirm]')
      await page.getByText('Address confirmed').first().waitFor()
      await stays()

      const leave = client.buildEndSessionUrl(acme.config, {
        id_token_hint: tokens.id_token!,
        post_logout_redirect_uri: third.bye,
      })
      await page.goto(leave.href)
      await stays()
      await page.click('button[value=yes]')
      await page.getByText('Back in the app').waitFor()
      await page.goto((await request(acme, third)).href)
      await page.click('text=Forgot your password?')
      await stays()
      await page.fill('#email', ada.email)
      await page.click('button[value=send]')
      await stays()
      const reset = (await app.smtp.waitFor(ada.email, /reset-password/)).link('reset-password')
      expect(reset).to.include('/t/acme/reset-password')
      await page.goto(reset)
      await stays()
      await page.fill('#new_password', 'Another-Harbour-43')
      await page.click('button[value=reset]')
      await page.getByText('Password changed').first().waitFor()
      const login = await app.call('POST', '/v1/auth/login', { body: { email: ada.email, password: ada.password } })
      expect(login.status, 'her account in the default tenant is as it was').to.equal(200)
      await page.goto(`${app.url}/t/acme/`)
      await look(who, 'acme-home')
      expect(who.complaints).to.deep.equal([])
      await who.close()
    })

    it('where addresses must be verified, registering ends with a mail that can be sent again', async () => {
      const [{ id }] = await app.db('tenants').where({ slug: 'acme' })
      await app.db('settings').insert({ tenant_id: id, key: 'require_verified_email', value: 'true' })
      await app.db('tenants').where({ id }).increment('version')
      app.deps.out.directory.drop(id)
      const who = await visitor(browser, phone)
      const { page } = who
      const email = 'vera@example.com'
      const asked = await request(acme, third)
      await page.goto(asked.href)
      await page.click('text=Create an account')
      await page.fill('#email', email)
      await page.fill('#password', PASSWORD)
      await page.click('button[value=register]')
      await page.getByText('Check your inbox').first().waitFor()
      await look(who, 'verify-email-sent')
      const first = (await app.smtp.waitFor(email, /verify-email/)).link('verify-email')
      await page.click('button[value=resend]')
      await page.getByText('We have sent it again').waitFor()
      await look(who, 'verify-email-sent-again')
      await page.click('text=Continue')
      await signIn(who, { email, password: PASSWORD })
      await page.getByText('Check your inbox').first().waitFor()
      expect(who.answer().status()).to.equal(403)
      while (app.smtp.mails.filter((mail) => mail.to === email).length < 3)
        await new Promise((resolve) => setTimeout(resolve, 50))
      const newest = app.smtp.mails.findLast((mail) => mail.to === email)!.link('verify-email')
      await page.goto(first)
      expect(await heading(who), 'only the newest link works').to.equal('This link does not work any more')
      await page.goto(newest)
      await page.click('button[value=confirm]')
      await page.getByText('Address confirmed').first().waitFor()
      await page.goto(asked.href)
      await signInAndAllow(who, { email, password: PASSWORD })
      expect((await redeem(acme, third, asked)).claims()!.email_verified ?? true).to.equal(true)
      await who.close()
    })
  })

  describe('of attackers', () => {
    let app: TestApp
    let rp: RelyingParty
    before(async () => {
      app = await startApp()
      rp = await registered(app, third)
    })
    after(() => app?.close())

    it('no page lets itself be framed', async () => {
      const who = await visitor(browser)
      const { href } = await request(rp, third)
      const { page } = who
      await page.goto(third.show(`<h1>Win</h1><iframe src="${href.replaceAll('&', '&amp;')}"></iframe>`))
      await page.waitForTimeout(300)
      const framed = page.frames()[1]!
      expect(await framed.locator('#password').count()).to.equal(0)
      expect(who.complaints.join(' ')).to.match(/frame-ancestors|X-Frame-Options/)
      await who.close()
    })

    it('a form without our token, or from another site, is refused and changes nothing', async () => {
      const who = await visitor(browser, { ...phone, ...dark })
      const { page } = who
      const mallory = await app.person('mallory@example.com')
      const { href } = await request(rp, third)
      await page.goto(href)
      const at = page.url()
      const token = await page.locator('input[name=_csrf]').first().inputValue()
      await page.locator('input[name=_csrf]').evaluate((input: any) => input.remove())
      await signIn(who, mallory)
      await page.getByText('could not check where this came from').first().waitFor()
      expect(who.answer().status()).to.equal(403)
      await look(who, 'error-csrf')

      // The attacker even knows a token: the browser's word on where the form comes from decides.
      const fields = { _csrf: token, email: mallory.email, password: mallory.password, action: 'login' }
      const form = (action: string) =>
        `<h1>Win</h1><form method="post" action="${action}">${Object.entries(fields)
          .map(([name, value]) => `<input name="${name}" value="${value}">`)
          .join('')}<button>Win</button></form>`
      for (const target of [at, `${at}/register`]) {
        await page.goto(third.show(form(target)))
        await page.click('button')
        await page.locator('h1', { hasText: /could not check|expired/ }).waitFor()
        expect(who.answer().status()).to.be.oneOf([401, 403])
      }
      for (const path of ['/forgot-password', '/resend-verification', '/verify-email', '/reset-password', '/set-up']) {
        await page.goto(third.show(form(app.url + path)))
        await page.click('button')
        await page.getByText('could not check where this came from').first().waitFor()
        expect(who.answer().status(), path).to.equal(403)
      }
      const stored = await app.db('oidc_models').where({ model: 'Interaction' })
      expect(stored.filter(({ payload }) => payload.result)).to.have.length(0)
      expect(await app.db('events').where({ type: 'password.reset_requested' })).to.have.length(0)
      const session = (await page.context().cookies()).some(({ name }) => name === 'gh_session')
      if (session) {
        const browsers = await app.db('sessions').where({ kind: 'browser' }).whereNotNull('user_id')
        expect(browsers).to.have.length(0)
      }
      await who.close()
    })

    it('an unknown app, a foreign redirect address and a missing page are explained', async () => {
      const who = await visitor(browser, { ...dark })
      const { page } = who
      const { href } = await request(rp, third)
      const titles: Record<string, string> = {}
      const wrong = (change: (url: URL) => void) => {
        const url = new URL(href)
        change(url)
        return url.href
      }
      for (const [name, url] of Object.entries({
        client: wrong((u) => u.searchParams.set('client_id', 'nobody')),
        redirect: wrong((u) => u.searchParams.set('redirect_uri', 'https://evil.example/')),
        missing: `${app.url}/nothing-here`,
      })) {
        await page.goto(url)
        titles[name] = await heading(who)
        expect(page.url().startsWith(app.url), 'never sent away').to.equal(true)
        await look(who, `error-${name}`)
      }
      expect(titles).to.deep.equal({
        client: 'We do not know this app',
        redirect: 'This app is not set up correctly',
        missing: 'This page does not exist',
      })
      await who.close()
    })

    it('guessing is slowed down for one account, then for the address', async () => {
      await app.db('rate_limits').delete()
      const victim = await app.person('victim@example.com')
      const who = await visitor(browser)
      const { page } = who
      await page.goto((await request(rp, third)).href)
      for (let tries = 0; tries < 6; tries += 1) await signIn(who, { ...victim, password: `Wrong-Guess-${tries}` })
      expect(await page.locator('#form-error').innerText()).to.match(/wait (30 seconds|1 minute)/)
      expect(who.answer().status()).to.equal(429)
      await look(who, 'login-slow')
      for (let tries = 0; tries < 6; tries += 1) {
        if (await page.locator('#password').isHidden()) break
        await signIn(who, { email: `other${tries}@example.com`, password: 'Wrong-Guess-1' })
      }
      expect(await heading(who)).to.equal('Too many requests')
      expect(who.answer().status()).to.equal(429)
      expect(Number(who.answer().headers()['retry-after'])).to.be.within(1, 900)
      await look(who, 'too-many')
      await who.close()
    })
  })
})
