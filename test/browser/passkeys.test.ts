/** Passkeys in a real Chromium with a virtual authenticator: made, as second factor, passwordless, from the e-mail field. */
import { expect } from 'chai'
import type { CDPSession } from 'playwright-core'
import { type Person, startApp } from '../support/app.ts'
import { setting } from '../support/mfa.ts'
import { look, openStage, redeem, request, type Stage, signIn, type Visitor, visitor } from './stage.ts'

/** Runs in the page: WebAuthn's JSON to binary and back, as an app of ours would do it. */
const MAKE = `async (options) => {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options)
  return (await navigator.credentials.create({ publicKey })).toJSON()
}`

describe('passkeys in Chromium', function () {
  this.timeout(40_000)
  let stage: Stage
  let { browser, app, third, rp } = {} as Stage
  before(async function () {
    stage = await openStage(this, () => startApp({}, { host: 'localhost' }), { first_party: true })
    ;({ browser, app, third, rp } = stage)
  })
  after(() => stage?.close())
  beforeEach(async () => {
    await app.db('rate_limits').delete()
  })

  interface Owner {
    who: Visitor
    person: Person
    cdp: CDPSession
    authenticatorId: string
  }

  /** Someone with a fingerprint reader. `autofill: false` is a browser without it. */
  async function reader({ autofill = true } = {}) {
    const who = await visitor(browser)
    if (!autofill)
      await who.page.addInitScript('PublicKeyCredential.isConditionalMediationAvailable = async () => false')
    const cdp = await who.page.context().newCDPSession(who.page)
    await cdp.send('WebAuthn.enable')
    const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    })
    return { who, cdp, authenticatorId, person: await app.person() }
  }

  /** With a passkey in it. */
  async function owner(options = {}): Promise<Owner> {
    const { who, cdp, authenticatorId, person } = await reader(options)
    const path = '/v1/auth/mfa/webauthn/register'
    const begun = await app.call('POST', `${path}/begin`, { token: person.accessToken, body: {} })
    await who.page.goto(`${app.url}/`)
    const credential = await who.page.evaluate(`(${MAKE})(${JSON.stringify(begun.body.options)})`)
    const made = await app.call('POST', `${path}/finish`, { token: person.accessToken, body: { credential } })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    return { who, person, cdp, authenticatorId }
  }
  const open = async ({ who }: Owner, extra: Record<string, string> = {}) => {
    const asked = await request(rp, third, extra)
    await who.page.goto(asked.href)
    return asked
  }
  const arrived = ({ who }: Owner) => who.page.getByText('Back in the app').waitFor()
  const amrOf = async (person: Person) =>
    (await app.db('sessions').where({ user_id: person.id, kind: 'browser' }).orderBy('created_at', 'desc').first())
      ?.payload.amr

  it('signs Ada in by the button, without password or name', async () => {
    const ada = await owner({ autofill: false })
    const asked = await open(ada)
    const button = ada.who.page.getByRole('button', { name: 'Sign in with a passkey' })
    await button.waitFor()
    await look(ada.who, 'login-passkey')
    await button.click()
    await arrived(ada)
    const tokens = await redeem(rp, third, asked)
    expect(tokens.claims()?.sub).to.equal(ada.person.id)
    expect(await amrOf(ada.person)).to.have.members(['hwk', 'user', 'mfa'])
    await ada.who.close()
  })

  it('signs Ben in from the e-mail field: the browser offers, he picks', async () => {
    const ben = await owner()
    const asked = await open(ben)
    await arrived(ben)
    expect((await redeem(rp, third, asked)).claims()?.sub).to.equal(ben.person.id)
    expect(ben.who.complaints).to.deep.equal([])
    await ben.who.close()
  })

  it("asks for Cleo's passkey after her password", async () => {
    const cleo = await owner({ autofill: false })
    const asked = await open(cleo)
    await signIn(cleo.who, cleo.person)
    const button = cleo.who.page.getByRole('button', { name: 'Use a passkey' })
    await button.waitFor()
    expect(await amrOf(cleo.person), 'a password alone opens nothing').to.equal(undefined)
    await look(cleo.who, 'mfa-passkey')
    await button.click()
    await arrived(cleo)
    expect((await redeem(rp, third, asked)).claims()?.sub).to.equal(cleo.person.id)
    expect(await amrOf(cleo.person)).to.include.members(['pwd', 'hwk', 'mfa'])
    await cleo.who.close()
  })

  it('says so when the finger is the wrong one, and lets Dan use his password and try again', async () => {
    const dan = await owner({ autofill: false })
    const { cdp, authenticatorId, who } = dan
    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false })
    await open(dan)
    await who.page.getByRole('button', { name: 'Sign in with a passkey' }).click()
    await who.page.getByText('The passkey could not be used').waitFor()
    expect(await amrOf(dan.person)).to.equal(undefined)
    await signIn(who, dan.person)
    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true })
    await who.page.getByRole('button', { name: 'Use a passkey' }).click()
    await arrived(dan)
    await who.close()
  })

  it('refuses a passkey that was removed, on a page that goes on', async () => {
    const eve = await owner({ autofill: false })
    await app.db('credentials').where({ user_id: eve.person.id, type: 'webauthn' }).delete()
    await open(eve)
    await eve.who.page.getByRole('button', { name: 'Sign in with a passkey' }).click()
    await eve.who.page.getByRole('alert').filter({ hasText: 'The passkey could not be used' }).waitFor()
    expect(await amrOf(eve.person)).to.equal(undefined)
    await signIn(eve.who, eve.person)
    await arrived(eve)
    await eve.who.close()
  })

  it('lets Gil make one within the sign-in, where passkeys are demanded and he has none', async () => {
    const gil = await reader({ autofill: false })
    const { who, person } = gil
    await setting(app, 'mfa_policy', 'required')
    await setting(app, 'mfa_factors', ['webauthn'])
    try {
      await open(gil)
      await signIn(who, person)
      const button = who.page.getByRole('button', { name: 'Make a passkey' })
      await button.waitFor()
      expect(await who.page.getByText('needs JavaScript').count(), 'it can be done here').to.equal(0)
      await look(who, 'mfa-enrol-passkey')
      await button.click()
      await arrived(gil)
      expect(await amrOf(person)).to.include.members(['pwd', 'hwk', 'mfa'])
      await who.page.context().clearCookies()
      const asked = await open(gil)
      await signIn(who, person)
      await who.page.getByRole('button', { name: 'Use a passkey' }).click()
      await arrived(gil)
      expect((await redeem(rp, third, asked)).claims()?.sub).to.equal(person.id)
    } finally {
      await setting(app, 'mfa_factors', ['webauthn', 'totp', 'sms', 'email'])
      await setting(app, 'mfa_policy', 'optional')
    }
    await who.close()
  })

  it('shows no passkey button without JavaScript', async () => {
    const fay = await visitor(browser, { javaScriptEnabled: false })
    const asked = await request(rp, third)
    await fay.page.goto(asked.href)
    expect(await fay.page.getByRole('button', { name: 'Sign in with a passkey' }).isVisible()).to.equal(false)
    expect(await fay.page.locator('button[value=login]').isVisible()).to.equal(true)
    await fay.close()
  })
})
