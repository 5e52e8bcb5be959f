/** Fifty at the same moment with one link, one code, or one set-up: what is not in parallel.test.ts or beside its own story. */
import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import * as secrets from '../../server/domain/secrets.ts'
import { from } from '../support/address.ts'
import { type Answer, startApp, type TestApp } from '../support/app.ts'
import { appCode, firstStep, setting, verified } from '../support/mfa.ts'
import { Browser } from '../support/rp.ts'
import { type SmsGateway, startGateway } from '../support/sms-gateway.ts'

const FIFTY = 50

describe('fifty at the same moment with one', () => {
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
  const post = (path: string, body: object, token?: string) =>
    app.call('POST', path, { body, headers: from(), ...(token && { token }) })
  const all = (send: (i: number) => Promise<Answer>) => Promise.all(Array.from({ length: FIFTY }, (_, i) => send(i)))
  const tokenOf = (link: string) => new URL(link).searchParams.get('token')!
  const live = async (id: string) => (await app.db('sessions').where({ user_id: id, ended_at: null })).length
  const events = async (type: string, user_id: string) => (await app.db('events').where({ type, user_id })).length

  /** One wins; of the others a machine too busy to look at everybody may send some away. */
  function oneOf(answers: Answer[], refused: number[]): Answer {
    const won = answers.filter(({ status }) => status < 300)
    const text = JSON.stringify(answers.map(({ status, body }) => [status, body.code]))
    expect(won, text).to.have.length(1)
    for (const { status } of answers.filter((a) => a.status >= 300)) expect(status, text).to.be.oneOf([...refused, 503])
    return won[0]!
  }

  it('mail to sign in with, by its link and by its code: one session', async () => {
    const ada = await app.person()
    await verified(app, ada)
    await post('/v1/auth/magic-link/send', { email: ada.email })
    const { raw, link } = await app.smtp.waitFor(ada.email, /magic-link\?token=/)
    const code = /\b\d{6}\b/.exec(raw.slice(raw.indexOf('code')))![0]
    const token = tokenOf(link('magic-link'))
    const before = await live(ada.id)
    const answers = await all((i) => post('/v1/auth/magic-link/verify', i % 2 ? { token } : { email: ada.email, code }))
    oneOf(answers, [400])
    expect(await live(ada.id)).to.equal(before + 1)
  })

  it('texted code: one session', async () => {
    const bea = await app.person()
    const phone_number = '+4915190000001'
    await app.db('users').where({ id: bea.id }).update({ phone_number, phone_verified_at: new Date() })
    await post('/auth/otp/send', { phone_number })
    const { code } = await gateway.waitFor(phone_number)
    const before = await live(bea.id)
    oneOf(await all(() => post('/auth/otp/verify', { phone_number, code })), [400])
    expect(await live(bea.id)).to.equal(before + 1)
  })

  it('link to a new address, and the link back: one change each', async () => {
    const cy = await app.person('cy@example.com')
    await verified(app, cy)
    expect((await post('/v1/account/email', { email: 'cy-new@example.com' }, cy.accessToken)).status).to.be.below(300)
    const confirm = tokenOf((await app.smtp.waitFor('cy-new@example.com', /email\/confirm/)).link('email/confirm'))
    const undo = tokenOf((await app.smtp.waitFor('cy@example.com', /email\/undo/)).link('email/undo'))
    oneOf(await all(() => post('/v1/account/email/confirm', { token: confirm })), [400])
    expect((await app.db('users').where({ id: cy.id }).first()).email).to.equal('cy-new@example.com')
    oneOf(await all(() => post('/v1/account/email/undo', { token: undo })), [400])
    expect((await app.db('users').where({ id: cy.id }).first()).email).to.equal('cy@example.com')
    expect([await events('email.changed', cy.id), await events('email.change_undone', cy.id)]).to.deep.equal([1, 1])
  })

  for (const method of ['totp', 'email', 'sms'] as const)
    it(`first factor that is set up within a sign-in (${method}): one factor, one session`, async () => {
      const dan = await app.person()
      await setting(app, 'mfa_policy', 'required')
      try {
        const { mfa_token } = (await firstStep(app, dan)).body
        const phone_number = '+4915190000002'
        app.smtp.mails.length = 0
        const begun = await post('/v1/auth/login/mfa/enrol', {
          mfa_token,
          method,
          ...(method === 'sms' && { phone_number }),
        })
        expect(begun.status, JSON.stringify(begun.body)).to.equal(200)
        const codes = {
          totp: async () => appCode(begun.body.secret),
          sms: async () => (await gateway.waitFor(phone_number)).code,
          email: async () => {
            const { raw } = await app.smtp.waitFor(dan.email, /code/i)
            return /\b\d{6}\b/.exec(raw.slice(raw.indexOf('\r\n\r\n')))![0]
          },
        }
        const code = await codes[method]()
        // Five tries: the others find nothing that waits.
        const done = oneOf(
          await all(() => post('/v1/auth/login/mfa/enrol/verify', { mfa_token, code })),
          [400, 401, 404, 409],
        )
        expect(done.body.backup_codes).to.have.length(10)
        expect(await live(dan.id)).to.equal(1)
        expect(await events('mfa.enabled', dan.id)).to.equal(1)
      } finally {
        await setting(app, 'mfa_policy', 'optional')
      }
    })

  it('sign-in that asks for a new password: one password', async () => {
    const eve = await app.person()
    await app
      .db('users')
      .where({ id: eve.id })
      .update({ required_actions: ['set_password'] })
    const { mfa_token } = (await firstStep(app, eve)).body
    const before = await live(eve.id)
    const passwords = Array.from({ length: FIFTY }, (_, i) => `Another-Harbour-${i}-77`)
    const answers = await all((i) => post('/v1/auth/login/actions', { mfa_token, new_password: passwords[i] }))
    const won = answers.indexOf(oneOf(answers, [400, 401, 429]))
    expect(await events('password.changed', eve.id)).to.equal(1)
    expect((await firstStep(app, { ...eve, password: passwords[won]! })).status).to.equal(200)
    expect(await live(eve.id)).to.be.at.most(before + 2)
  })

  it('set-up link: one first administrator', async () => {
    const token = await secrets.create(app.db, { tenantId: DEFAULT_TENANT, purpose: 'set_up', lifetime: 600 })
    const admins = async () =>
      (await app.db('user_roles').join('roles', { 'roles.id': 'role_id' }).where({ name: 'super_admin' })).length
    const before = await admins()
    await app.db('rate_limits').delete()
    const browser = new Browser(app.url)
    const page = await browser.open(`/set-up?token=${token}`)
    // As many as the page takes from one address.
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        browser.submit(page, { email: `first${i}@example.com`, password: `Harbour-Lantern-${i}-77` }),
      ),
    )
    expect(answers.filter(({ url }) => new URL(url).pathname === '/')).to.have.length(1)
    expect(await admins()).to.equal(before + 1)
  })
})
