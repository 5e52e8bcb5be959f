import { expect } from 'chai'
import { from } from '../support/address.ts'
import { type Answer, startApp, type TestApp } from '../support/app.ts'

const FIFTY = 50
const count = (answers: Answer[], status: number) => answers.filter((a) => a.status === status).length

/** All but the winner; a machine too busy to look at everybody may send some away. */
function expectLosers(answers: Answer[], status: number): void {
  expect(answers.filter((a) => a.status >= 300)).to.have.length(FIFTY - 1)
  for (const answer of answers.filter((a) => a.status >= 300)) expect(answer.status).to.be.oneOf([status, 503])
  expect(count(answers, status)).to.be.greaterThan(0)
}

describe('fifty at the same moment', () => {
  let app: TestApp
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
  })
  after(() => app.close())
  const all = (send: (i: number) => Promise<Answer>) => Promise.all(Array.from({ length: FIFTY }, (_, i) => send(i)))

  it('with one reset token: one password is set', async () => {
    const ada = await app.person()
    await app.call('POST', '/v1/auth/forgot-password', { body: { email: ada.email }, headers: from() })
    const mail = await app.smtp.waitFor(ada.email, /reset-password\?token=/)
    const token = new URL(mail.link('reset-password')).searchParams.get('token')
    const answers = await all((i) =>
      app.call('POST', '/v1/auth/reset-password', {
        body: { token, new_password: `New-Password-${i}!` },
        headers: from(),
      }),
    )
    expect(count(answers, 200)).to.equal(1)
    expectLosers(answers, 400)
    const winner = answers.findIndex((a) => a.status === 200)
    const login = (password: string) =>
      app.call('POST', '/v1/auth/login', { body: { email: ada.email, password }, headers: from() })
    expect((await login(`New-Password-${winner}!`)).status).to.equal(200)
    expect((await login(`New-Password-${(winner + 1) % FIFTY}!`)).status).to.equal(401)
    expect(await app.db('events').where({ type: 'password.changed', user_id: ada.id })).to.have.length(1)
  })

  it('with one verification token: one verifies', async () => {
    const bob = await app.person()
    const mail = await app.smtp.waitFor(bob.email)
    const token = new URL(mail.link('verify-email')).searchParams.get('token')
    const answers = await all(() => app.call('POST', '/v1/auth/verify-email', { body: { token }, headers: from() }))
    expect(count(answers, 200)).to.equal(1)
    expectLosers(answers, 400)
    expect(await app.db('events').where({ type: 'email.verified', user_id: bob.id })).to.have.length(1)
  })

  it('registering one address: one account, one mail', async () => {
    const body = { email: 'twin@example.com', password: 'SecurePassword123!' }
    const answers = await all(() => app.call('POST', '/v1/auth/register', { body, headers: from() }))
    expect(count(answers, 201)).to.equal(1)
    expectLosers(answers, 409)
    expect(await app.db('users').where({ email_key: 'twin@example.com' })).to.have.length(1)
    await app.smtp.waitFor('twin@example.com')
    expect(app.smtp.mails.filter((m) => m.to === 'twin@example.com')).to.have.length(1)
  })

  it('rotating one refresh token of the direct login: one goes on, and the session ends', async () => {
    const cy = await app.person()
    const answers = await all(() =>
      app.call('POST', '/v1/auth/refresh', { body: { refresh_token: cy.refreshToken }, headers: from() }),
    )
    expect(count(answers, 200)).to.equal(1)
    expectLosers(answers, 401)
    const { refresh_token } = answers.find((a) => a.status === 200)!.body
    expect((await app.call('POST', '/v1/auth/refresh', { body: { refresh_token }, headers: from() })).status).to.equal(
      401,
    )
  })

  it('making one client: one is made', async () => {
    const token = await app.admin()
    const answers = await all(() =>
      app.call('POST', '/clients', {
        token,
        body: { client_id: 'one-of-fifty', redirect_uris: ['https://x.example.com/cb'] },
      }),
    )
    expect(count(answers, 201)).to.equal(1)
    expectLosers(answers, 409)
  })
})
