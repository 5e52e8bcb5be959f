/** The page of a mailed invitation, without JavaScript: a newcomer, an account's owner, somebody else, and what is over. */
import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { setting, verified } from '../support/mfa.ts'
import { someone } from '../support/roles.ts'
import { Browser } from '../support/rp.ts'

const PASSWORD = 'A-Fine-Password-77'

describe('the page of an invitation', function () {
  this.timeout(20_000)
  let app: TestApp
  let anna: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
  })
  after(() => app.close())
  beforeEach(async () => {
    await app.db('rate_limits').delete()
  })

  async function invited(email: string): Promise<string> {
    const sent = await app.call('POST', '/v1/invitations', {
      token: anna.accessToken,
      body: { email, roles: ['admin'] },
    })
    expect(sent.status, JSON.stringify(sent.body)).to.equal(201)
    const { pathname, search } = new URL((await app.smtp.waitFor(email, /invitation\?token=/)).link('invitation'))
    return pathname + search
  }
  const account = (email: string) => app.db('users').where({ email_key: email, deleted_at: null }).first()
  const enter = async (person: Person, browser: Browser) =>
    browser.submit(await browser.open('/account'), { email: person.email, password: person.password })
  const isAdmin = async (id: string) =>
    (await app.db('user_roles').where({ user_id: id }).pluck('role_id')).includes(ROLE.admin)

  it('lets a newcomer choose a password and be signed in; opening it takes nothing', async () => {
    const link = await invited('nora@example.com')
    const browser = new Browser(app.url)
    await browser.open(link)
    const shown = await browser.open(link)
    expect(shown.page).to.include('nora@example.com').and.include('name="password"')
    expect(await account('nora@example.com')).to.equal(undefined)
    const weak = await browser.submit(shown, { password: 'password', given_name: 'Nora' }, '/invitation"')
    expect(weak.status).to.equal(400)
    expect(weak.page).to.include('password-error').and.include('value="Nora"')
    const done = await browser.submit(weak, { password: PASSWORD, given_name: 'Nora' }, '/invitation"')
    expect(done.status).to.equal(200)
    expect(done.page).to.include('You have accepted')
    expect((await browser.open('/account')).page).to.match(/nora@(<wbr>)?example\.com/)
    expect((await account('nora@example.com')).email_verified_at).to.not.equal(null)
    const over = await browser.open(link)
    expect(over.status).to.equal(400)
    expect(over.page).to.include('does not work any more')
  })

  it('leads the owner of an account through signing in, and back to the invitation', async () => {
    const owen = await someone(app, undefined, { email: 'owen@example.com' })
    await verified(app, owen)
    const link = await invited(owen.email)
    const browser = new Browser(app.url)
    const shown = await browser.open(link)
    expect(shown.page).to.include('Sign in and accept').and.not.include('name="password"')
    const href = /href="([^"]*\/oauth\/authorize[^"]*)"/.exec(shown.page!)![1]!.replaceAll('&amp;', '&')
    const login = await browser.open(href)
    expect(login.page).to.include('value="owen@example.com"')
    const back = await browser.submit(login, { email: owen.email, password: owen.password })
    expect(back.url).to.include('/invitation?token=')
    expect(await isAdmin(owen.id)).to.equal(false)
    const done = await browser.submit(back, {}, '/invitation"')
    expect(done.page).to.include('You have accepted')
    expect(await isAdmin(owen.id)).to.equal(true)
  })

  it('tells somebody else whose invitation it is, and gives them nothing', async () => {
    const [eve, iris] = [await someone(app), await someone(app, undefined, { email: 'iris@example.com' })]
    for (const person of [eve, iris]) await verified(app, person)
    const link = await invited(iris.email)
    const browser = new Browser(app.url)
    await enter(eve, browser)
    const shown = await browser.open(link)
    expect(shown.page).to.include(`You are signed in as ${eve.email}`).and.include('Sign in and accept')
    expect([await isAdmin(eve.id), await isAdmin(iris.id)]).to.deep.equal([false, false])
  })

  it('makes the account, but opens no session where a second step is owed', async () => {
    const link = await invited('mia@example.com')
    await setting(app, 'mfa_policy', 'required')
    const browser = new Browser(app.url)
    const done = await browser.submit(await browser.open(link), { password: PASSWORD }, '/invitation"')
    expect(done.page).to.include('set up the second step')
    const { id } = await account('mia@example.com')
    expect(await app.db('sessions').where({ user_id: id })).to.deep.equal([])
    await setting(app, 'mfa_policy', 'optional')
  })

  it('says what is over, and refuses posts from elsewhere', async () => {
    const link = await invited('pia@example.com')
    const token = new URLSearchParams(link.split('?')[1]).get('token')!
    const forged = await fetch(`${app.url}/invitation`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: 'https://evil.example' },
      body: new URLSearchParams({ token, password: PASSWORD }),
    })
    expect(forged.status).to.equal(403)
    await app
      .db('invitations')
      .where({ email: 'pia@example.com' })
      .update({ expires_at: new Date(Date.now() - 1000) })
    const over = await new Browser(app.url).open(link)
    expect(over.status).to.equal(400)
    expect(over.page).to.include('This invitation does not hold any more')
    for (const path of ['/invitation', '/invitation?token=x'])
      expect((await fetch(app.url + path)).status, path).to.equal(400)
    expect(await account('pia@example.com')).to.equal(undefined)
  })
})
