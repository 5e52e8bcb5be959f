/** Every way of signing in against everything that may stand in its way: none skips the second factor, none lets the refused in. */
import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from, pause } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { Authenticator } from '../support/authenticator.ts'
import { appCode, loginPolicy, setting, withApp } from '../support/mfa.ts'
import { makeClient, verifierOf } from '../support/oauth.ts'
import { Browser, REDIRECT } from '../support/rp.ts'
import { startOidc } from '../support/second-provider.ts'
import { startGateway } from '../support/sms-gateway.ts'
import { linkElsewhere, touchlessPasskey, type Visitor, type Way, type World, ways } from '../support/ways.ts'

interface Condition {
  name: string
  set(app: TestApp, id: string): Promise<unknown>
  unset(app: TestApp, id: string): Promise<unknown>
}
const user = (app: TestApp, id: string, fields: object) => app.db('users').where({ id }).update(fields)
const verifiedNow = { email_verified_at: new Date() }

const owing: Condition[] = [
  {
    name: 'has an authenticator app',
    set: (app, id) =>
      app
        .db('credentials')
        .insert({ tenant_id: DEFAULT_TENANT, id: crypto.randomUUID(), user_id: id, type: 'totp', secret: 'x' }),
    unset: (app, id) => app.db('credentials').where({ user_id: id, type: 'totp' }).delete(),
  },
  {
    name: 'is at a tenant that demands a second factor',
    set: (app) => setting(app, 'mfa_policy', 'required'),
    unset: (app) => setting(app, 'mfa_policy', 'optional'),
  },
  {
    name: 'is at a client that demands a second factor',
    set: (app) => loginPolicy(app, { mfa: 'required' }),
    unset: (app) => loginPolicy(app, {}),
  },
  {
    name: 'has to accept the terms',
    set: (app) => setting(app, 'terms_version', '2'),
    unset: (app) => setting(app, 'terms_version', ''),
  },
  {
    name: 'has to choose a new password',
    set: (app, id) => user(app, id, { required_actions: ['set_password'] }),
    unset: (app, id) => user(app, id, { required_actions: [] }),
  },
  {
    name: 'was asked to set up a second factor',
    set: (app, id) => user(app, id, { required_actions: ['enrol_mfa'] }),
    unset: (app, id) => user(app, id, { required_actions: [] }),
  },
]
const refusing: Condition[] = [
  {
    name: 'is disabled',
    set: (app, id) => user(app, id, { status: 'disabled' }),
    unset: (app, id) => user(app, id, { status: 'active' }),
  },
  {
    name: 'is locked',
    set: (app, id) => user(app, id, { locked_until: new Date(Date.now() + 3_600_000) }),
    unset: (app, id) => user(app, id, { locked_until: null }),
  },
]
const unverified: Condition = {
  name: 'has not verified the address where that is demanded',
  async set(app, id) {
    await user(app, id, { email_verified_at: null })
    await setting(app, 'require_verified_email', true)
  },
  async unset(app, id) {
    await setting(app, 'require_verified_email', false)
    await user(app, id, verifiedNow)
  },
}

describe('no way of signing in skips anything', function () {
  this.timeout(60_000)
  let world: World
  let app: TestApp
  before(async () => {
    const gateway = await startGateway()
    app = await startApp({
      TRUST_PROXY: '1',
      OUTBOUND_ALLOW: '127.0.0.1/32',
      SMS_URL: `http://127.0.0.1:${gateway.port}/send`,
    })
    const elsewhere = await startOidc([`${app.url}/v1/oauth/elsewhere/callback`])
    const { url: issuer, clientId: client_id, clientSecret: client_secret } = elsewhere
    const made = await app.call('POST', '/v1/admin/identity-providers', {
      token: await app.admin(),
      body: { slug: 'elsewhere', name: 'Elsewhere', issuer, client_id, client_secret },
    })
    expect(made.status).to.equal(201)
    world = { app, gateway, elsewhere, client: await makeClient(app, { first_party: true }) }
    await pause(300)
  })
  after(async () => {
    await app?.close()
    await world?.elsewhere.close()
    await world?.gateway.close()
  })

  let last = 20_000_000
  async function visitor(withKey: boolean): Promise<Visitor> {
    const person = await app.person()
    last += 1
    const phone = `+49151${last}`
    await user(app, person.id, { ...verifiedNow, phone_number: phone, phone_verified_at: new Date() })
    await linkElsewhere(app, person.id, `subject-${last}`)
    const key = new Authenticator(app.url)
    if (withKey) {
      const register = (step: string, body: object) =>
        app.call('POST', `/v1/auth/mfa/webauthn/register/${step}`, { token: person.accessToken, body, headers: from() })
      const { options } = (await register('begin', {})).body
      expect((await register('finish', { credential: key.create(options) })).status).to.equal(201)
    }
    return { ...person, phone, key, subject: `subject-${last}` }
  }
  const sessionIds = (id: string) => app.db('sessions').where({ user_id: id }).pluck('id')

  /** What comes of it when the condition begins between the two halves. */
  async function attempt(way: Way, who: Visitor, condition?: Condition) {
    await app.db('rate_limits').delete()
    await app.db('login_counters').delete()
    app.smtp.mails.length = 0
    const finish = await way.begin(world, who)
    const before = await sessionIds(who.id)
    await condition?.set(app, who.id)
    try {
      const arrival = await finish()
      const opened = (await sessionIds(who.id)).filter((id) => !before.includes(id))
      return { ...arrival, opened: opened.length }
    } finally {
      await condition?.unset(app, who.id)
    }
  }

  for (const way of ways) {
    describe(way.name, () => {
      let who: Visitor
      before(async () => {
        who = await visitor(way.strong === true)
      })

      it('lets in who may come', async () => {
        const { inside, text } = await attempt(way, who)
        expect(inside, text).to.equal(true)
      })

      for (const condition of way.strong || way.continues ? [] : owing) {
        it(`asks for more of who ${condition.name}`, async () => {
          const { inside, owes, opened, text } = await attempt(way, who, condition)
          expect({ inside, owes, opened }, text).to.deep.equal({ inside: false, owes: true, opened: 0 })
        })
      }
      // Who is signed in already signs in again, where a policy asks for more than the session proved.
      for (const condition of way.continues && !way.endsWhen ? owing.slice(1, 3) : []) {
        it(`does not continue for who ${condition.name}`, async () => {
          const { inside, opened, text } = await attempt(way, who, condition)
          expect({ inside, opened }, text).to.deep.equal({ inside: false, opened: 0 })
        })
      }
      const refusals = way.provesMail ? refusing : [...refusing, unverified]
      for (const condition of refusals.filter(({ name }) => way.endsWhen?.includes(name) ?? true)) {
        it(`refuses who ${condition.name}`, async () => {
          const { status, inside, owes, opened, text } = await attempt(way, who, condition)
          expect({ inside, owes: owes && status < 400, opened }, text).to.deep.equal({
            inside: false,
            owes: false,
            opened: 0,
          })
          if (!way.continues) expect(status, text).to.be.at.least(400)
        })
      }
      if (way.provesMail) {
        it('verifies the address on the way, where that is demanded', async () => {
          const { inside, text } = await attempt(way, who, unverified)
          expect(inside, text).to.equal(true)
        })
      }
    })
  }

  const post = (path: string, body: object) => app.call('POST', path, { body, headers: from() })
  const sessionsOf = async (email: string) =>
    app.db('sessions').whereIn('user_id', app.db('users').where({ email_key: email }).select('id'))

  for (const condition of owing.slice(1, 4)) {
    it(`an invitation signs nobody in who ${condition.name}`, async () => {
      const password = 'Quiet-Harbour-Lamp-42'
      const token = await app.admin()
      const invited = async () => {
        last += 1
        const email = `invited${last}@example.com`
        const made = await app.call('POST', '/v1/invitations', { token, body: { email }, headers: from() })
        expect(made.status, JSON.stringify(made.body)).to.equal(201)
        const mail = await app.smtp.waitFor(email, /invitation\?token=/)
        return { email, link: mail.link('invitation') }
      }
      const [first, second] = [await invited(), await invited()]
      await condition.set(app, crypto.randomUUID())
      try {
        const secret = new URL(first.link).searchParams.get('token')
        const { body } = await post('/v1/invitations/public/accept', { token: secret, password })
        expect(body, JSON.stringify(body)).to.not.have.property('tokens')
        expect(body.mfa_token, JSON.stringify(body)).to.be.a('string')
        const browser = new Browser(app.url)
        await browser.submit(await browser.open(second.link), { password })
        expect((await browser.open('/account')).page).to.not.include('/account/two-step')
        for (const { email } of [first, second]) expect(await sessionsOf(email), email).to.deep.equal([])
      } finally {
        await condition.unset(app, crypto.randomUUID())
      }
    })

    it(`registration on the page signs nobody in who ${condition.name}`, async () => {
      await app.db('rate_limits').delete()
      await condition.set(app, crypto.randomUUID())
      try {
        const browser = new Browser(app.url)
        const query = new URLSearchParams({
          client_id: world.client.clientId,
          response_type: 'code',
          redirect_uri: REDIRECT,
          scope: 'openid',
          code_challenge: verifierOf().challenge,
          code_challenge_method: 'S256',
        })
        const login = await browser.open(`${app.url}/oauth/authorize?${query}`)
        last += 1
        const email = `newcomer${last}@example.com`
        const form = await browser.open(`${login.url}/register`)
        const at = await browser.submit(form, { email, password: 'Quiet-Harbour-Lamp-42' })
        expect(at.left, at.url).to.equal(undefined)
        expect(await sessionsOf(email)).to.deep.equal([])
      } finally {
        await condition.unset(app, crypto.randomUUID())
      }
    })
  }

  it('a first factor that is set up within the sign-in ends it for nobody who is refused, or owes more', async () => {
    for (const condition of [...owing.slice(3, 5), ...refusing, unverified]) {
      const who = await visitor(false)
      await setting(app, 'mfa_policy', 'required')
      try {
        const { mfa_token } = (await post('/v1/auth/login', { email: who.email, password: who.password })).body
        const { secret } = (await post('/v1/auth/login/mfa/enrol', { mfa_token })).body
        const before = (await sessionIds(who.id)).length
        await condition.set(app, who.id)
        const done = await post('/v1/auth/login/mfa/enrol/verify', { mfa_token, code: appCode(secret) })
        await condition.unset(app, who.id)
        const text = `${condition.name}: ${JSON.stringify(done.body)}`
        if (owing.includes(condition)) expect(done.body.login.actions_required, text).to.be.an('array')
        else expect(done.status, text).to.be.within(400, 499)
        expect(JSON.stringify(done.body), text).to.not.include('access_token')
        expect(await sessionIds(who.id), text).to.have.length(before)
      } finally {
        await setting(app, 'mfa_policy', 'optional')
      }
    }
  })

  it('a passkey that did not verify its user is nobody’s way in, whatever else is demanded', async () => {
    const who = await visitor(true)
    for (const condition of [undefined, ...owing]) {
      const { status, inside, opened, text } = await attempt(touchlessPasskey, who, condition)
      expect({ status, inside, opened }, text).to.deep.equal({ status: 401, inside: false, opened: 0 })
    }
  })

  it('refresh tokens of sessions without the second factor end when it is turned on', async () => {
    const who = await visitor(false)
    const login = { email: who.email, password: who.password }
    const other = await app.call('POST', '/v1/auth/login', { body: login, headers: from() })
    await withApp(app, who)
    const { refresh_token } = other.body.tokens
    const old = await app.call('POST', '/v1/auth/refresh', { body: { refresh_token }, headers: from() })
    expect(old.status, JSON.stringify(old.body)).to.equal(401)
    const own = await app.call('POST', '/v1/auth/refresh', {
      body: { refresh_token: who.refreshToken },
      headers: from(),
    })
    expect(own.status).to.equal(200)
  })

  it('what names a waiting sign-in is no access token, and does not refresh', async () => {
    const who = await visitor(false)
    await withApp(app, who)
    const { body } = await app.call('POST', '/v1/auth/login', {
      body: { email: who.email, password: who.password },
      headers: from(),
    })
    const token = body.mfa_token
    expect((await app.call('GET', '/v1/auth/me', { token })).status).to.equal(401)
    const refreshed = await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: token }, headers: from() })
    expect(refreshed.status).to.equal(401)
  })
})
