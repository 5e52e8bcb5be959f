import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from, pause } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { authorizationRequest, authorize, Browser, type RelyingParty, redeem, relyingParty } from '../support/rp.ts'

const LINK = /magic-link\?token=/

describe('signing in by mail', () => {
  let app: TestApp
  let rp: RelyingParty
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    rp = await relyingParty(app, { first_party: true })
  })
  after(() => app.close())

  const send = (email: string, more: object = {}, headers = from()) =>
    app.call('POST', '/v1/auth/magic-link/send', { body: { email, ...more }, headers })
  const verify = (body: object) => app.call('POST', '/v1/auth/magic-link/verify', { body, headers: from() })
  const mailTo = async (email: string) => {
    const { raw, link } = await app.smtp.waitFor(email, LINK)
    const url = link('magic-link')
    return {
      url,
      token: new URL(url).searchParams.get('token')!,
      code: /\b\d{6}\b/.exec(raw.slice(raw.indexOf('code')))![0],
    }
  }
  const mailsTo = (email: string) => app.smtp.mails.filter((m) => m.to.toLowerCase() === email).length
  const set = async (key: string, value: unknown) => {
    await app
      .db('settings')
      .insert({ tenant_id: DEFAULT_TENANT, key, value: JSON.stringify(value) })
      .onConflict(['tenant_id', 'key'])
      .merge()
    await pause(300)
  }
  const drained = async () => {
    for (let left = 1; left > 0; await pause(30)) {
      const { rows } = await app.db.raw('select count(*)::int as n from graphile_worker._private_jobs')
      left = rows[0].n
    }
  }

  it('lets Ada in with the link as the document shows, once', async () => {
    const ada = await app.person('ada@example.com')
    const asked = await send(ada.email)
    expect(asked.status).to.equal(200)
    expect(asked.headers.get('x-ratelimit-limit')).to.equal('3')
    const { token } = await mailTo(ada.email)
    const answers = await Promise.all(Array.from({ length: 50 }, () => verify({ token, allow_registration: false })))
    const won = answers.filter((a) => a.status === 200)
    expect(won).to.have.length(1)
    for (const lost of answers.filter((a) => a.status !== 200)) expectProblem(lost, 400, 'INVALID_TOKEN')
    expect(won[0]!.body.user).to.include({ id: ada.id, is_email_verified: true })
    const me = await app.call('GET', '/v1/auth/me', { token: won[0]!.body.tokens.access_token })
    expect(me.body.id).to.equal(ada.id)
    const sessions = await app.db('sessions').where({ user_id: ada.id }).whereNull('ended_at')
    expect(sessions.map((s) => s.payload.amr)).to.deep.equal([['email']])
  })

  it('takes the code of the same mail instead, and then the link is dead', async () => {
    const bea = await app.person()
    await send(bea.email)
    const { token, code } = await mailTo(bea.email)
    const byCode = await verify({ email: bea.email.toUpperCase(), code })
    expect(byCode.status).to.equal(200)
    expect(byCode.body.user.id).to.equal(bea.id)
    expectProblem(await verify({ token }), 400, 'INVALID_TOKEN')
    expectProblem(await verify({ email: bea.email, code }), 400, 'INVALID_CODE')
    expectProblem(await verify({ email: bea.email }), 400, 'VALIDATION_ERROR')
  })

  it('bears five wrong codes, however parallel; the link still works', async () => {
    const cy = await app.person()
    await send(cy.email)
    const { token, code } = await mailTo(cy.email)
    const wrong = code === '000000' ? '000001' : '000000'
    const guesses = await Promise.all(Array.from({ length: 50 }, () => verify({ email: cy.email, code: wrong })))
    for (const guess of guesses) expectProblem(guess, 400, 'INVALID_CODE')
    const [secret] = await app.db('secrets').where({ purpose: 'magic_link', user_id: cy.id })
    expect(secret.tries).to.equal(5)
    expectProblem(await verify({ email: cy.email, code }), 400, 'INVALID_CODE')
    expect((await verify({ token })).status).to.equal(200)
  })

  it('only the newest mail works, and none after ten minutes', async () => {
    const di = await app.person()
    await send(di.email)
    const first = await mailTo(di.email)
    await send(di.email)
    await drained()
    const second = await mailTo(di.email)
    expect(second.token).to.not.equal(first.token)
    expectProblem(await verify({ token: first.token }), 400, 'INVALID_TOKEN')
    await app
      .db('secrets')
      .where({ user_id: di.id })
      .update({ expires_at: app.db.raw(`expires_at - interval '601 seconds'`) })
    expectProblem(await verify({ token: second.token }), 400, 'INVALID_TOKEN')
    expectProblem(await verify({ email: di.email, code: second.code }), 400, 'INVALID_CODE')
    const stored = await app.db('secrets').where({ user_id: di.id })
    expect(JSON.stringify(stored)).to.not.include(second.token).and.not.include(second.code)
  })

  it('makes an account for a newcomer, unless tenant or caller forbid it', async () => {
    await send('eve@example.com')
    const { token } = await mailTo('eve@example.com')
    expectProblem(await verify({ token, allow_registration: false }), 403, 'REGISTRATION_DISABLED')
    expect(await app.db('users').where({ email_key: 'eve@example.com' })).to.have.length(0)
    const made = await verify({ token })
    expect(made.status).to.equal(200)
    expect(made.body.user).to.include({ email: 'eve@example.com', is_email_verified: true })

    await send('finn@example.com', { allow_registration: false })
    await drained()
    expect(mailsTo('finn@example.com')).to.equal(0)

    await send('gil@example.com')
    const gil = await mailTo('gil@example.com')
    await set('registration_enabled', false)
    expectProblem(await verify({ token: gil.token, allow_registration: true }), 403, 'REGISTRATION_DISABLED')
    const asked = await send('hal@example.com', { allow_registration: true })
    expect(asked.status).to.equal(200)
    await drained()
    expect(mailsTo('hal@example.com')).to.equal(0)
    await set('registration_enabled', true)
  })

  it('sends three mails an hour to one mailbox, and three for one caller', async () => {
    const ida = await app.person()
    const statuses = []
    for (let i = 0; i < 4; i += 1) statuses.push((await send(ida.email)).status)
    expect(statuses).to.deep.equal([200, 200, 200, 429])
    const headers = from()
    const others = []
    for (let i = 0; i < 4; i += 1) others.push(await send(`nobody${i}@example.com`, {}, headers))
    expect(others.map((o) => o.status)).to.deep.equal([200, 200, 200, 429])
    expect(Number(others[3]!.headers.get('retry-after'))).to.be.within(1, 3600)
  })

  it('does not let a password in that somebody else set before the address was proven', async () => {
    const thief = await app.person('jo@example.com', 'ThiefsPassword123!')
    await send('jo@example.com')
    const { token } = await mailTo('jo@example.com')
    const jo = await verify({ token })
    expect(jo.body.user.id).to.equal(thief.id)
    expect((await app.call('GET', '/v1/auth/me', { token: thief.accessToken })).status).to.equal(401)
    const login = await app.call('POST', '/v1/auth/login', {
      body: { email: thief.email, password: thief.password },
      headers: from(),
    })
    expectProblem(login, 401, 'INVALID_CREDENTIALS')
    expect((await app.call('GET', '/v1/auth/me', { token: jo.body.tokens.access_token })).status).to.equal(200)
  })

  it('keeps the password of an address that was proven before', async () => {
    const kim = await app.person()
    await app.db('users').where({ id: kim.id }).update({ email_verified_at: app.db.fn.now() })
    await send(kim.email)
    expect((await verify({ token: (await mailTo(kim.email)).token })).status).to.equal(200)
    const login = await app.call('POST', '/v1/auth/login', {
      body: { email: kim.email, password: kim.password },
      headers: from(),
    })
    expect(login.status).to.equal(200)
    expect((await app.call('GET', '/v1/auth/me', { token: kim.accessToken })).status).to.equal(200)
  })

  const addTotp = async (userId: string) =>
    app
      .db('credentials')
      .insert({ tenant_id: DEFAULT_TENANT, id: crypto.randomUUID(), user_id: userId, type: 'totp', secret: 'x' })

  it('never skips a second factor', async () => {
    for (const verified of [true, false]) {
      const lou = await app.person()
      if (verified) await app.db('users').where({ id: lou.id }).update({ email_verified_at: app.db.fn.now() })
      await addTotp(lou.id)
      await send(lou.email)
      const { token } = await mailTo(lou.email)
      const answer = await verify({ token })
      expect(answer.status).to.equal(200)
      expect(answer.body).to.include({ mfa_required: true, user_id: lou.id }).and.to.not.have.property('tokens')
      expect(await app.db('credentials').where({ user_id: lou.id })).to.have.length(2)
      const [row] = await app.db('users').where({ id: lou.id })
      expect(row.email_verified_at !== null).to.equal(verified)
    }
  })

  it('refuses the disabled, and everybody where links are switched off', async () => {
    const max = await app.person()
    await send(max.email)
    const { token } = await mailTo(max.email)
    await app.db('users').where({ id: max.id }).update({ status: 'disabled' })
    expectProblem(await verify({ token }), 403, 'ACCOUNT_DISABLED')
    await set('magic_link_enabled', false)
    expectProblem(await send(max.email), 403, 'ACCESS_DENIED')
    expectProblem(await verify({ token }), 403, 'ACCESS_DENIED')
    await set('magic_link_enabled', true)
  })

  /** The login page of an authorization request in a browser of its own. */
  async function arrive() {
    const browser = new Browser(app.url)
    const { href, ...flow } = await authorizationRequest(rp, { scope: 'openid email' })
    const at = await browser.open(href)
    const ask = await browser.open(/href="([^"]*\/magic-link)"/.exec(at.page!)![1]!)
    await app.db('rate_limits').delete()
    return { browser, ask, flow }
  }

  it('finishes the sign-in that waits in the same browser, after a click', async () => {
    const ned = await app.person()
    const { browser, ask, flow } = await arrive()
    const sent = await browser.submit(ask, { email: ned.email })
    expect(sent.page).to.include(ned.email)
    const { url } = await mailTo(ned.email)
    // A scanner opens every link.
    for (let i = 0; i < 3; i += 1) expect((await new Browser(app.url).open(url)).status).to.equal(200)
    const opened = await browser.open(url)
    expect(opened.page).to.include(ned.email)
    const { left } = await browser.submit(opened, {})
    const tokens = await redeem(rp, { ...flow, callback: left! })
    expect(tokens.claims()?.sub).to.equal(ned.id)
    const [session] = await app.db('sessions').where({ user_id: ned.id, kind: 'browser' })
    expect(session.payload.amr).to.deep.equal(['email'])
  })

  it('finishes it by the typed code, with the link of the mail never opened', async () => {
    const ole = await app.person()
    const { browser, ask, flow } = await arrive()
    const sent = await browser.submit(ask, { email: ole.email })
    const { code } = await mailTo(ole.email)
    const wrong = await browser.submit(sent, { code: code === '111111' ? '222222' : '111111' })
    expect(wrong.status).to.equal(400)
    const { left } = await browser.submit(wrong, { code: `${code.slice(0, 3)} ${code.slice(3)}` })
    expect((await redeem(rp, { ...flow, callback: left! })).claims()?.sub).to.equal(ole.id)
  })

  it('signs in in another browser only after the person clicks, and not in the first', async () => {
    const pia = await app.person()
    const { browser, ask } = await arrive()
    await browser.submit(ask, { email: pia.email })
    const { url } = await mailTo(pia.email)
    const phone = new Browser(app.url)
    const opened = await phone.open(url)
    expect(opened.page).to.include('another browser')
    expect(await app.db('sessions').where({ user_id: pia.id, kind: 'browser' })).to.have.length(0)
    const home = await phone.submit(opened, {})
    expect(home.page).to.include(pia.email.split('@')[0])
    const [session] = await app.db('sessions').where({ user_id: pia.id, kind: 'browser' })
    expect(session.payload.amr).to.deep.equal(['email'])
    const app2 = await authorize(app, rp, phone, { email: 'nobody@example.com', password: 'unused' })
    expect((await redeem(rp, app2)).claims()?.sub).to.equal(pia.id)
    expect((await browser.open(`${app.url}/`)).page).to.not.include(pia.email.split('@')[0])
  })

  it('does not skip a second factor in another browser either', async () => {
    const quin = await app.person()
    await addTotp(quin.id)
    await send(quin.email)
    const { url } = await mailTo(quin.email)
    const phone = new Browser(app.url)
    const asked = await phone.submit(await phone.open(url), {})
    expect(asked.status).to.equal(200)
    expect(asked.page, 'asks for the code here').to.include('one-time-code')
    expect(await app.db('sessions').where({ user_id: quin.id, kind: 'browser' })).to.have.length(0)
  })

  it('shows the same page for an unknown address', async () => {
    await set('registration_enabled', false)
    const { browser, ask } = await arrive()
    const sent = await browser.submit(ask, { email: 'ghost@example.com' })
    expect(sent.status).to.equal(200)
    expect(sent.page).to.include('ghost@example.com')
    await drained()
    expect(mailsTo('ghost@example.com')).to.equal(0)
    await set('registration_enabled', true)
  })
})
