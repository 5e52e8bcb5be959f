/** Devices, trust, fingerprints, places and history, as people and thieves meet them over REST and on pages. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { Authenticator } from '../support/authenticator.ts'
import { authorize, Browser, type RelyingParty, redeem, relyingParty } from '../support/rp.ts'

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
const SAFARI =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1'
const HOME = '141.20.1.1'
const ABROAD = '200.160.2.3'
const TOKEN = 'an-app-keeps-this-random-value-0001'

interface From {
  agent?: string
  ip?: string
  token?: string
}

describe('devices and history', () => {
  let app: TestApp
  let rp: RelyingParty
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    app.deps.out.geo = { place: (ip) => ({ country: { [HOME]: 'DE', [ABROAD]: 'BR' }[ip] ?? null, city: null }) }
    rp = await relyingParty(app)
  })
  after(() => app.close())
  beforeEach(async () => {
    await app.db('rate_limits').delete()
  })

  const headers = ({ agent = FIREFOX, ip = HOME, token }: From = {}) => ({
    'user-agent': agent,
    'x-forwarded-for': ip,
    ...(token && { 'x-device-token': token }),
  })
  const login = async ({ email, password }: Person, from: From = {}) =>
    app.call('POST', '/v1/auth/login', { body: { email, password }, headers: headers(from) })
  const enter = async (person: Person, from: From = {}): Promise<string> => {
    const { status, body } = await login(person, from)
    expect(status, JSON.stringify(body)).to.equal(200)
    expect(body.tokens, 'nothing owed').to.be.an('object')
    return body.tokens.access_token
  }
  /** Someone who has so far only used one program at one place. */
  const someone = async () => {
    const email = `d${Math.random().toString(36).slice(2)}@example.com`
    const password = 'SecurePassword123!'
    const made = await app.call('POST', '/v1/auth/register', { body: { email, password }, headers: headers() })
    return { id: made.body.user.id, email, password, accessToken: '', refreshToken: '' } as Person
  }
  const devices = async (token: string) => (await app.call('GET', '/v1/devices', { token })).body.devices
  const me = async (token: string) => (await app.call('GET', '/v1/auth/me', { token })).status
  const events = (type: string, user_id: string) => app.db('events').where({ type, user_id })
  const signInMails = (to: string) => app.smtp.mails.filter((m) => m.to === to && /new sign-in/i.test(m.raw)).length

  /** A passkey, and a session in which it was used. */
  async function withPasskey(person: Person, from: From) {
    const key = new Authenticator(app.url)
    const first = await enter(person, from)
    const begun = await app.call('POST', '/v1/auth/mfa/webauthn/register/begin', { token: first, body: {} })
    const credential = key.create(begun.body.options)
    const made = await app.call('POST', '/v1/auth/mfa/webauthn/register/finish', { token: first, body: { credential } })
    expect(made.status).to.equal(201)
    const both = async (where: From): Promise<string> => {
      const { body: owed } = await login(person, where)
      expect(owed.mfa_required, JSON.stringify(owed)).to.equal(true)
      const path = '/v1/auth/login/mfa/webauthn'
      const asked = await app.call('POST', `${path}/begin`, { body: { mfa_token: owed.mfa_token } })
      const answer = { mfa_token: owed.mfa_token, credential: key.get(asked.body.options) }
      const done = await app.call('POST', `${path}/finish`, { body: answer, headers: headers(where) })
      expect(done.status, JSON.stringify(done.body)).to.equal(200)
      return done.body.tokens.access_token
    }
    return { first, both }
  }

  it('lists what Ada signed in on, in words, and mails what is new; not the first one, and each once', async () => {
    const ada = await someone()
    const token = await enter(ada)
    await enter(ada)
    expect(await devices(token)).to.have.length(1)
    await enter(ada, { agent: SAFARI })
    const found = await devices(token)
    expect(found.map((d: any) => d.name)).to.have.members(['Firefox on Linux', 'Safari on iPhone'])
    expect(found.find((d: any) => d.current)).to.include({ name: 'Firefox on Linux', country: 'DE', sessions: 2 })
    const mail = await app.smtp.waitFor(ada.email, /new sign-in/i)
    expect(mail.raw).to.include('Safari on iPhone').and.include(HOME)
    await enter(ada, { agent: SAFARI })
    await enter(ada, { ip: '141.20.9.9' })
    expect(await events('device.added', ada.id)).to.have.length(2)
    await sleep(300)
    expect(signInMails(ada.email)).to.equal(1)
    expect((await app.call('GET', '/v1/sessions', { token })).body.sessions[0]).to.include({
      device: 'Firefox on Linux',
    })
  })

  it('mails a known app that is suddenly in another country', async () => {
    const ada = await someone()
    await enter(ada, { token: TOKEN })
    const token = await enter(ada, { token: TOKEN, ip: ABROAD })
    expect(await devices(token)).to.have.length(1)
    expect((await app.smtp.waitFor(ada.email, /new sign-in/i)).raw).to.include('(BR)')
    expect(await events('login.new_country', ada.id)).to.have.length(1)
    await enter(ada, { token: TOKEN, ip: ABROAD })
    expect(await events('login.new_country', ada.id)).to.have.length(1)
  })

  it('removes a device with its sessions, and nobody removes those of others', async () => {
    const ada = await someone()
    const token = await enter(ada)
    const lost = await enter(ada, { agent: SAFARI })
    const { id } = (await devices(token)).find((d: any) => d.name.startsWith('Safari'))
    const eve = await app.person()
    for (const method of ['GET', 'DELETE'])
      expect((await app.call(method, `/v1/devices/${id}`, { token: eve.accessToken })).status).to.equal(404)
    expect(await me(lost)).to.equal(200)
    expect((await app.call('DELETE', `/v1/devices/${id}`, { token })).status).to.equal(200)
    await sleep(1100)
    expect(await me(lost), 'signed out').to.equal(401)
    expect(await me(token)).to.equal(200)
    expect(await devices(token)).to.have.length(1)
    expect((await app.call('GET', '/api/account/devices', { token })).body.data).to.have.length(1)
  })

  it('skips the second factor on a trusted device only: not by user agent, not with another secret, not once revoked', async () => {
    const ada = await someone()
    const { both } = await withPasskey(ada, { token: TOKEN })
    const token = await both({ token: TOKEN })
    const trusted = await app.call('POST', '/v1/auth/mfa/trust-device', { token, body: { days: 7 } })
    expect(trusted.status, JSON.stringify(trusted.body)).to.equal(200)
    expect(trusted.body.device_token, 'it has one').to.equal(undefined)
    expect(Date.parse(trusted.body.device.trusted_until) - Date.now()).to.be.closeTo(7 * 86_400_000, 60_000)
    await enter(ada, { token: TOKEN })
    await enter(ada, { token: TOKEN, ip: ABROAD, agent: SAFARI })
    for (const other of [{}, { token: `${TOKEN}x` }, { agent: SAFARI }])
      expect((await login(ada, other)).body.mfa_required).to.equal(true)
    const revoked = await app.call('POST', '/v1/auth/mfa/revoke-trust', { token, body: {} })
    expect(revoked.status).to.equal(200)
    expect((await login(ada, { token: TOKEN })).body.mfa_required).to.equal(true)
  })

  it('gives an app without a secret one when its device is trusted', async () => {
    const ada = await someone()
    const { both } = await withPasskey(ada, {})
    const token = await both({})
    const { id } = (await devices(token)).find((d: any) => d.current)
    const trusted = await app.call('POST', `/v1/devices/${id}/trust`, { token, body: {} })
    expect(trusted.body.device_token, JSON.stringify(trusted.body)).to.match(/^[\w-]{43}$/)
    expect(trusted.body.device).to.include({ trusted: true, current: true })
    await enter(ada, { token: trusted.body.device_token })
    expect((await login(ada, {})).body.mfa_required, 'the same user agent alone').to.equal(true)
    const again = await app.call('DELETE', `/v1/devices/${trusted.body.device.id}/trust`, { token })
    expect(again.status).to.equal(200)
    expect((await login(ada, { token: trusted.body.device_token })).body.mfa_required).to.equal(true)
  })

  it('does not honour trust from before there was a second factor, nor gives it without one', async () => {
    const ada = await someone()
    const early = await enter(ada, { token: TOKEN })
    expect((await app.call('POST', '/v1/auth/mfa/trust-device', { token: early, body: {} })).status).to.equal(200)
    const { first } = await withPasskey(ada, { token: TOKEN })
    expect((await login(ada, { token: TOKEN })).body.mfa_required, 'a thief could have trusted it').to.equal(true)
    // Whoever adds a passkey has proven it; a session that has not is one of the password alone.
    await app
      .db('sessions')
      .where({ user_id: ada.id })
      .update({ payload: app.db.raw(`payload || '{"amr": ["pwd"]}'`) })
    const weak = await app.call('POST', '/v1/auth/mfa/trust-device', { token: first, body: {} })
    expect(weak.status).to.equal(401)
    expect(weak.headers.get('www-authenticate')).to.include('acr_values')
    const long = await app.call('POST', '/v1/auth/mfa/trust-device', { token: first, body: { days: 300 } })
    expect(long.status).to.equal(400)
  })

  it('refuses a blocked device, right password or not, until it is unblocked', async () => {
    const ada = await someone()
    const token = await enter(ada)
    const theirs = await enter(ada, { token: TOKEN, agent: SAFARI })
    const { id } = (await devices(token)).find((d: any) => d.name.startsWith('Safari'))
    expect((await app.call('POST', `/v1/devices/${id}/block`, { token })).body.blocked).to.equal(true)
    const before = (await app.db('sessions').where({ user_id: ada.id })).length
    const refused = await login(ada, { token: TOKEN, agent: SAFARI, ip: ABROAD })
    expect(refused.status).to.equal(403)
    expect((await app.db('sessions').where({ user_id: ada.id })).length).to.equal(before)
    await sleep(1100)
    expect(await me(theirs)).to.equal(401)
    expect((await app.call('DELETE', `/v1/devices/${id}/block`, { token })).status).to.equal(200)
    await enter(ada, { token: TOKEN })
  })

  it('saves a fingerprint once and compares it from then on', async () => {
    const token = await enter(await someone())
    const send = (fingerprint: string) => app.call('POST', '/auth/fingerprint', { token, body: { fingerprint } })
    expect((await send('canvas:1')).body).to.include({ saved: true, match: true })
    expect((await send('canvas:1')).body).to.include({ saved: false, match: true })
    expect((await send('canvas:2')).body).to.include({ saved: false, match: false })
    const log = await app.call('GET', '/api/account/security-events', { token })
    expect(log.body.data.map((e: any) => e.eventType)).to.include('device.fingerprint_mismatch')
  })

  it('knows the browser on pages again by its cookie, for whoever signs in there', async () => {
    const [ada, ben] = [await someone(), await someone()]
    const browser = new Browser(app.url)
    const tokens = await redeem(rp, await authorize(app, rp, browser, ada))
    expect(tokens.access_token).to.be.a('string')
    const cookie = [...browser.cookies.entries()].find(([name]) => name.startsWith('gh_device'))
    expect(cookie?.[1].value).to.match(/^[\w-]{43}$/)
    const [session] = await app.db('sessions').where({ user_id: ada.id, kind: 'browser' })
    const [device] = await app.db('devices').where({ user_id: ada.id })
    expect(session.device_id).to.equal(device.id)
    expect(device.bound).to.equal(true)
    expect(JSON.stringify(await app.db('devices'))).to.not.include(cookie![1].value)
    await redeem(rp, await authorize(app, rp, browser, ada, { prompt: 'login' }))
    expect(await app.db('devices').where({ user_id: ada.id })).to.have.length(1)
    const other = new Browser(app.url)
    other.cookies.set(cookie![0], cookie![1])
    await redeem(rp, await authorize(app, rp, other, ben))
    const [his] = await app.db('devices').where({ user_id: ben.id })
    expect(his.id, 'nobody learns that they share it').to.not.equal(device.id)
  })

  it('shows sign-ins with their outcome, page by page, and nobody those of others', async () => {
    const ada = await someone()
    const token = await enter(ada)
    await app.call('POST', '/v1/auth/login', {
      body: { email: ada.email, password: 'wrong' },
      headers: headers({ ip: ABROAD }),
    })
    await enter(ada, { agent: SAFARI })
    const first = await app.call('GET', '/v1/sessions/history?limit=2', { token })
    expect(first.body.history.map((e: any) => e.success)).to.deep.equal([true, false])
    expect(first.body.history[0]).to.include({ device: 'Safari on iPhone', country: 'DE' })
    expect(first.body.history[1]).to.include({ country: 'BR', reason: 'invalid_credentials' })
    const next = await app.call('GET', `/v1/sessions/history?limit=2&cursor=${first.body.next_cursor}`, { token })
    expect(next.body.history).to.have.length(1)
    expect(next.body.next_cursor).to.equal(undefined)
    expect((await app.call('GET', '/auth/logins', { token })).body.logins).to.have.length(3)
    expect((await app.call('GET', '/api/account/login-history', { token })).body.data).to.have.length(3)
    const audit = await app.call('GET', '/api/account/audit-logs', { token })
    expect(audit.body.data.map((e: any) => e.eventType)).to.include.members(['user.registered', 'login.success'])
    const stats = (await app.call('GET', '/api/account/sessions/stats', { token })).body.data
    expect(stats).to.include({
      activeSessions: 2,
      apiSessions: 2,
      browserSessions: 0,
      devices: 2,
      logins: 2,
      failedLogins: 1,
    })
    const eve = await app.person()
    const hers = await app.call('GET', '/api/account/audit-logs', { token: eve.accessToken })
    expect(JSON.stringify(hers.body)).to.not.include(ada.id)
  })

  it('shows refresh tokens under a lasting id, and revokes one with all that came of it', async () => {
    const ada = await someone()
    const { body } = await login(ada)
    const other = await enter(ada, { agent: SAFARI })
    const list = async () => (await app.call('GET', '/auth/tokens', { token: other })).body.tokens
    const before = await list()
    expect(before).to.have.length(2)
    expect(before.find((t: any) => t.current).device).to.equal('Safari on iPhone')
    const fresh = await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: body.tokens.refresh_token } })
    expect(fresh.status).to.equal(200)
    expect((await list()).map((t: any) => t.id)).to.have.members(before.map((t: any) => t.id))
    const { id } = before.find((t: any) => !t.current)
    const eve = await app.person()
    expect((await app.call('DELETE', `/auth/token/${id}`, { token: eve.accessToken })).status).to.equal(404)
    expect((await app.call('DELETE', `/auth/token/${id}`, { token: other })).status).to.equal(200)
    expect(await list()).to.have.length(1)
    const late = await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: fresh.body.refresh_token } })
    expect(late.status).to.equal(401)
    await sleep(1100)
    expect(await me(fresh.body.access_token)).to.equal(401)
    expect(await me(other)).to.equal(200)
  })
})
