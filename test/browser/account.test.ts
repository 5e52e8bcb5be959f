/** People in a real Chromium in their own account area, with and without JavaScript. */
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import type { Browser } from 'playwright-core'
import { mayChangeEvents } from '../../server/domain/audit/retention.ts'
import * as tenants from '../../server/domain/tenants.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { appCode } from '../support/mfa.ts'
import { authorize, Browser as PlainBrowser, relyingParty } from '../support/rp.ts'
import { startOidc } from '../support/second-provider.ts'
import { chromiumFor } from './chromium.ts'
import { dark, heading, look, phone, signIn, type Visitor, visitor } from './stage.ts'

const NEW_PASSWORD = 'Quiet-Lighthouse-77'

describe('the account area in Chromium', function () {
  this.timeout(60_000)
  let browser: Browser
  let app: TestApp

  before(async function () {
    browser = await chromiumFor(this)
    app = await startApp({ OUTBOUND_ALLOW: '127.0.0.1/32' }, { host: 'localhost' })
  })
  after(async () => {
    await browser?.close()
    await app?.close()
  })
  beforeEach(async () => {
    await app.db('rate_limits').delete()
  })

  const text = ({ page }: Visitor) => page.locator('main').innerText()
  const notice = ({ page }: Visitor) => page.locator('.notice').first().innerText()
  const row = (id: string) => app.db('users').where({ id }).first()
  /** Opens a page of the area; whoever is not signed in signs in on the way. */
  const enter = async (who: Visitor, path: string, person: Person, base = '') => {
    await who.page.goto(`${app.url}${base}/account${path}`)
    if (await who.page.locator('#password').isVisible()) await signIn(who, person)
    await who.page.waitForURL((url) => url.pathname === `${base}/account${path}`)
  }
  /** As if every sign-in of the person were an hour ago. */
  const grow = (id: string) =>
    app.db.raw(
      `update sessions set payload = payload || jsonb_build_object('loginTs', (payload ->> 'loginTs')::bigint - 3600) where user_id = ?`,
      [id],
    )

  for (const scripts of [true, false]) {
    describe(scripts ? 'with JavaScript' : 'without JavaScript, on a dark phone', () => {
      const options = { javaScriptEnabled: scripts, ...(scripts ? {} : { ...phone, ...dark }) }
      const mode = scripts ? '' : '-plain'

      it('Nora is asked to sign in, comes back, sees every page, and changes her profile', async () => {
        const person = await app.person(`nora${mode}@example.com`)
        const nora = await visitor(browser, options)
        const { page } = nora
        await enter(nora, '', person)
        expect(await heading(nora)).to.equal('Your account')
        await look(nora, `account${mode}`)
        expect(await text(nora)).to.include('is not confirmed yet')
        for (const section of [
          'two-step',
          'passkeys',
          'sessions',
          'devices',
          'apps',
          'api-keys',
          'history',
          'data',
          'password',
          'email',
        ]) {
          await page.goto(`${app.url}/account/${section}`)
          await look(nora, `account-${section}${mode}`)
        }
        await page.goto(`${app.url}/account/profile`)
        await page.fill('#given_name', 'Nora')
        await page.fill('#phone_number', '0151 123')
        await page.selectOption('#zoneinfo', 'Europe/Berlin')
        await page.selectOption('#locale', 'de')
        await page.click('button:has-text("Save")')
        expect(await page.locator('#phone_number-error').innerText()).to.include('country code')
        expect((await row(person.id)).given_name).to.equal(null)
        await look(nora, `account-profile-wrong${mode}`)
        await page.fill('#phone_number', '+49 151 1234-5678')
        await page.click('button:has-text("Save")')
        expect(await notice(nora)).to.include('profile is saved')
        await look(nora, `account-profile${mode}`)
        expect(await row(person.id)).to.include({
          given_name: 'Nora',
          phone_number: '+4915112345678',
          zoneinfo: 'Europe/Berlin',
          locale: 'de',
        })
        await nora.close()
      })

      it('Ole proves a new address by mail, and his password is changed with the old one', async () => {
        const person = await app.person(`ole${mode}@example.com`)
        await app.db('users').where({ id: person.id }).update({ email_verified_at: app.db.fn.now() })
        const ole = await visitor(browser, options)
        const { page } = ole
        await enter(ole, '/email', person)
        await page.fill('#email', `ole.new${mode}@example.com`)
        await page.click('button:has-text("Send link")')
        expect(await heading(ole)).to.equal('Check your inbox')
        await look(ole, `account-email-sent${mode}`)
        const mail = await app.smtp.waitFor(`ole.new${mode}@example.com`)
        const told = await app.smtp.waitFor(`ole${mode}@example.com`, /about to change/)
        await page.goto(told.link('account/email/undo'))
        await look(ole, `account-email-undo${mode}`)
        await page.goto(mail.link('account/email/confirm'))
        await page.goto(mail.link('account/email/confirm'))
        await look(ole, `account-email-confirm${mode}`)
        expect((await row(person.id)).email).to.equal(person.email)
        await page.click('button:has-text("Use this address")')
        expect(await heading(ole)).to.equal('Address changed')
        await look(ole, `account-email-done${mode}`)
        expect((await row(person.id)).email).to.equal(`ole.new${mode}@example.com`)

        await page.goto(`${app.url}/account/password`)
        await page.fill('#current_password', 'Not-My-Password-1')
        await page.fill('#new_password', NEW_PASSWORD)
        await page.click('button:has-text("Change password")')
        expect(await page.locator('#current_password-error').innerText()).to.include('not your current password')
        await page.fill('#current_password', person.password)
        await page.fill('#new_password', NEW_PASSWORD)
        await page.click('button:has-text("Change password")')
        expect(await notice(ole)).to.include('password is changed')
        await page.goto(`${app.url}/account`)
        expect(await heading(ole)).to.equal('Your account')
        const elsewhere = await app.call('GET', '/v1/auth/me', { token: person.accessToken })
        expect(elsewhere.status).to.equal(401)

        await page.goto(told.link('account/email/undo'))
        await page.click('button:has-text("Keep my address")')
        expect(await heading(ole)).to.equal('Your address stays')
        expect((await row(person.id)).email).to.equal(person.email)
        await page.goto(`${app.url}/account`)
        await page.locator('#password').waitFor()
        await ole.close()
      })

      it('Pia signs out another session, takes an app’s access back, and reads her history', async () => {
        const person = await app.person(`pia${mode}@example.com`)
        const rp = await relyingParty(app, { client_name: 'Harbour Notes' })
        await authorize(app, rp, new PlainBrowser(app.url), person)
        const pia = await visitor(browser, options)
        const { page } = pia
        await enter(pia, '/sessions', person)
        expect(await page.locator('.entries > li').count()).to.equal(3)
        expect(await page.locator('.entries > li').first().innerText()).to.include('This device')
        await look(pia, `account-sessions-some${mode}`)
        await page.locator('.entries button:has-text("Sign out")').first().click()
        expect(await page.locator('.entries > li').count()).to.equal(2)
        await page.click('button:has-text("Sign out all others")')
        expect(await notice(pia)).to.include('All others are signed out')
        expect(await page.locator('.entries > li').count()).to.equal(1)
        expect((await app.call('GET', '/v1/auth/me', { token: person.accessToken })).status).to.equal(401)

        await page.goto(`${app.url}/account/apps`)
        expect(await text(pia))
          .to.include('Harbour Notes')
          .and.include('See your email address')
        await look(pia, `account-apps-some${mode}`)
        await page.click('button:has-text("Take access back")')
        expect(await text(pia)).to.include('not allowed any app')
        expect(await app.db('consents').where({ user_id: person.id })).to.have.length(0)

        await page.goto(`${app.url}/account/devices`)
        await look(pia, `account-devices-some${mode}`)
        await app.db.raw(
          `insert into events (tenant_id, id, type, user_id, actor_id, ip) select tenant_id, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
             'login.failed', id, id, '203.0.113.9' from users, generate_series(1, 30) n where id = ?`,
          [person.id],
        )
        await page.goto(`${app.url}/account/history`)
        expect(await text(pia)).to.include('Signed in')
        await look(pia, `account-history-some${mode}`)
        await page.click('a[rel=next]')
        expect(await page.locator('.entries > li').count()).to.be.within(1, 24)
        await page.click('.tabs a:has-text("Security")')
        expect(await text(pia)).to.include('App’s access taken back')
        await app.db.transaction(async (trx) => {
          await mayChangeEvents(trx)
          await trx('events').where({ user_id: person.id, ip: '203.0.113.9' }).delete()
        })
        await pia.close()
      })

      it('Quinn turns two-step sign-in on with an app and must have signed in just now to turn it off', async () => {
        const person = await app.person(`quinn${mode}@example.com`)
        const quinn = await visitor(browser, options)
        const { page } = quinn
        await enter(quinn, '/two-step', person)
        await page.locator('.entries li', { hasText: 'Authenticator app' }).locator('button').click()
        expect(await heading(quinn)).to.equal('Set up an authenticator app')
        await look(quinn, `account-totp${mode}`)
        const secret = (await page.locator('.key').innerText()).replace(/\s/g, '')
        await page.fill('#code', '000000')
        await page.click('button:has-text("Switch on")')
        expect(await page.locator('#code-error').isVisible()).to.equal(true)
        expect((await page.locator('.key').innerText()).replace(/\s/g, '')).to.equal(secret)
        await page.fill('#code', appCode(secret))
        await page.click('button:has-text("Switch on")')
        expect(await page.locator('.codes li').count()).to.equal(10)
        await look(quinn, `account-codes${mode}`)
        const [code] = await page.locator('.codes li').allInnerTexts()
        await page.click('a:has-text("kept it safe")')
        expect(await text(quinn)).to.include('10 codes are left')
        await look(quinn, `account-two-step-on${mode}`)

        await grow(person.id)
        const off = () => page.locator('button.danger:has-text("Switch off")').click()
        await off()
        await page.locator('#password').waitFor()
        expect(await app.db('credentials').where({ user_id: person.id, type: 'totp' })).to.have.length(1)
        await signIn(quinn, person)
        await page.goto(`${page.url().split('?')[0]}?method=backup_codes`)
        await page.locator('main input[name=code]').first().fill(code!.trim())
        await page.locator('main form button[type=submit]').first().click()
        await page.waitForURL(/\/account\/two-step/)
        await off()
        expect(await notice(quinn)).to.include('authenticator app is off')
        expect(await app.db('credentials').where({ user_id: person.id, type: 'totp' })).to.have.length(0)
        await quinn.close()
      })

      it('Rob makes, replaces and revokes an API key, each shown once', async () => {
        const person = await app.person(`rob${mode}@example.com`)
        const rob = await visitor(browser, options)
        const { page } = rob
        await enter(rob, '/api-keys', person)
        await page.fill('#name', 'Backup script')
        await page.click('button:has-text("Make key")')
        expect(await heading(rob)).to.equal('Your new key')
        await look(rob, `account-api-key${mode}`)
        const key = await page.locator('pre').innerText()
        const me = () => app.call('GET', '/v1/auth/me', { token: key.trim() })
        expect((await me()).body.id).to.equal(person.id)
        await page.click('a:has-text("kept it safe")')
        expect(await text(rob))
          .to.include('Backup script')
          .and.not.include(key.trim())
        await page.click('button:has-text("Replace")')
        expect(await page.locator('pre').innerText()).to.not.equal(key)
        await page.click('a:has-text("kept it safe")')
        await look(rob, `account-api-keys-some${mode}`)
        await page.locator('.entries li').last().locator('button.danger').click()
        expect(await notice(rob)).to.include('revoked')
        await rob.close()
      })

      it('Sue takes her data along and deletes her account', async () => {
        const person = await app.person(`sue${mode}@example.com`)
        const sue = await visitor(browser, options)
        const { page } = sue
        await enter(sue, '/data', person)
        const [download] = await Promise.all([page.waitForEvent('download'), page.click('button:has-text("Download")')])
        const data = JSON.parse(readFileSync((await download.path())!, 'utf8'))
        expect(data.account.email).to.equal(person.email)
        expect(download.suggestedFilename()).to.match(/^account-\d{4}-\d\d-\d\d\.json$/)
        await grow(person.id)
        await page.click('a:has-text("Delete account")')
        await page.locator('#password').waitFor()
        await signIn(sue, person)
        await page.fill('#confirmation', 'somebody@example.com')
        await page.click('button:has-text("Delete my account")')
        expect(await page.locator('#confirmation-error').isVisible()).to.equal(true)
        await look(sue, `account-delete${mode}`)
        expect((await row(person.id)).status).to.equal('active')
        await page.fill('#confirmation', person.email)
        await page.click('button:has-text("Delete my account")')
        expect(await heading(sue)).to.equal('Your account is deleted')
        await look(sue, `account-deleted${mode}`)
        expect((await row(person.id)).status).to.equal('deleted')
        await page.goto(`${app.url}/account`)
        await page.locator('#password').waitFor()
        await sue.close()
      })
    })
  }

  it('Tom adds, renames and removes a passkey', async () => {
    const person = await app.person('tom@example.com')
    const tom = await visitor(browser)
    const { page } = tom
    const cdp = await page.context().newCDPSession(page)
    await cdp.send('WebAuthn.enable')
    await cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    })
    await enter(tom, '/passkeys', person)
    await page.click('button:has-text("Add a passkey")')
    await look(tom, 'account-passkey-add')
    await page.fill('#name', 'Laptop')
    await page.click('button:has-text("Continue")')
    await page.waitForURL(/done=passkey-added/)
    await page.getByRole('button', { name: 'Sign out all others' }).waitFor()
    expect(await text(tom)).to.include('Laptop')
    await page.click('summary')
    await page.fill('.inline input[name=name]', 'Old laptop')
    await page.click('.inline button')
    expect(await text(tom)).to.include('Old laptop')
    await look(tom, 'account-passkeys-some')
    await page.click('button:has-text("Add a passkey")')
    await page.click('button:has-text("Continue")')
    await page.locator('[data-passkey-problem]').waitFor()
    expect(await page.locator('[data-passkey-problem]').innerText()).to.include('already')
    await page.goto(`${app.url}/account/passkeys`)
    await page.click('.entries button.danger')
    expect(await text(tom)).to.include('no passkey yet')
    await tom.close()
  })

  it('Vic connects an account elsewhere and signs in with it; it cannot be his last way in', async () => {
    const second = await startOidc([`${app.url}/v1/oauth/elsewhere/callback`])
    const made = await app.call('POST', '/v1/admin/identity-providers', {
      token: await app.admin(),
      body: {
        slug: 'elsewhere',
        name: 'Elsewhere',
        issuer: second.url,
        client_id: second.clientId,
        client_secret: second.clientSecret,
      },
    })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    await new Promise((resolve) => setTimeout(resolve, 300))
    try {
      const person = await app.person('vic@example.com')
      const vic = await visitor(browser)
      const { page } = vic
      await enter(vic, '/linked', person)
      expect(await text(vic)).to.include('Not connected')
      await look(vic, 'account-linked')
      await page.click('button:has-text("Connect")')
      await page.locator('.notice.bad').waitFor()
      expect(await app.db('identities').where({ user_id: person.id })).to.have.length(0)
      second.who = { sub: 'v-1', email: 'vic@elsewhere.example', email_verified: true, name: 'Vic' }
      await page.click('button:has-text("Connect")')
      await page.waitForURL(/done=linked/)
      expect(await text(vic)).to.include('vic@elsewhere.example')
      await look(vic, 'account-linked-one')
      expect(await app.db('identities').where({ user_id: person.id })).to.have.length(1)

      const other = await visitor(browser)
      await other.page.goto(`${app.url}/account/profile`)
      await other.page.click('text=Continue with Elsewhere')
      await other.page.waitForURL(/\/account\/profile/)
      await app.db('credentials').where({ user_id: person.id }).delete()
      await other.page.goto(`${app.url}/account/linked`)
      await other.page.click('button:has-text("Disconnect")')
      expect(await notice(other)).to.include('last way of signing in')
      await other.page.goto(`${app.url}/account/password`)
      await look(other, 'account-password-first')
      await other.page.fill('#new_password', NEW_PASSWORD)
      await other.page.click('button:has-text("Set password")')
      expect(await notice(other)).to.include('password is changed')
      await other.page.goto(`${app.url}/account/linked`)
      await other.page.click('button:has-text("Disconnect")')
      expect(await notice(other)).to.include('no longer connected')
      expect(await app.db('identities').where({ user_id: person.id })).to.have.length(0)
      await vic.close()
      await other.close()
    } finally {
      await second.close()
    }
  })

  it('is each tenant’s own: Wim of Acme signs in below /t/acme, and is nobody elsewhere', async () => {
    await app.db.transaction((trx) => tenants.create(trx, app.deps.out.sealing, { slug: 'acme', name: 'Acme' }))
    const registered = await app.call('POST', '/t/acme/v1/auth/register', {
      body: { email: 'wim@example.com', password: NEW_PASSWORD },
    })
    const person = { ...registered.body.user, password: NEW_PASSWORD } as Person
    const wim = await visitor(browser)
    await enter(wim, '', person, '/t/acme')
    expect(await text(wim)).to.include('at Acme')
    for (const link of await wim.page.locator('.side a').evaluateAll((all) => all.map((a: any) => a.pathname)))
      expect(link).to.match(/^\/t\/acme\//)
    await wim.page.goto(`${app.url}/t/acme/account/profile`)
    await wim.page.fill('#given_name', 'Wim')
    await wim.page.click('button:has-text("Save")')
    await wim.page.waitForURL(`${app.url}/t/acme/account/profile?done=profile`)
    await wim.page.goto(`${app.url}/account`)
    await wim.page.locator('#password').waitFor()
    await wim.close()
  })

  it('speaks German, and shows nobody’s account to strangers or forged forms', async () => {
    const person = await app.person('uta@example.com')
    const uta = await visitor(browser, { locale: 'de-DE' })
    await enter(uta, '', person)
    expect(await heading(uta)).to.equal('Ihr Konto')
    for (const section of ['profile', 'two-step', 'api-keys', 'data']) {
      await uta.page.goto(`${app.url}/account/${section}`)
      expect(await uta.page.content()).to.not.match(/account\.\w+\.\w+/)
      await look(uta, `account-${section}-german`)
    }
    await uta.close()
    const stranger = new PlainBrowser(app.url)
    for (const path of ['', '/profile', '/sessions', '/api-keys', '/delete']) {
      const answer = await stranger.request(`/account${path}`)
      expect(answer.status).to.equal(303)
      expect(answer.headers.get('location')).to.include('/oauth/authorize?client_id=gatehouse')
      expect(await answer.text()).to.not.include('uta@')
    }
    const forged = await stranger.request('/account/callback?code=x&state=L2V2aWw.9999999999.x')
    expect(forged.status).to.equal(401)
    expect(forged.headers.get('location')).to.equal(null)

    const own = new PlainBrowser(app.url)
    const at = await own.submit(await own.open('/account/data'), { email: person.email, password: person.password })
    expect(at.url).to.include('/account/data')
    const unsigned = await own.request('/account/data/export', { form: {} })
    expect(unsigned.status).to.equal(403)
  })
})
