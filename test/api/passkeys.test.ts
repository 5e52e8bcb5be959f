/** Passkeys over REST, with an authenticator in software: registering, second factor, passwordless, and what is refused. */
import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { Authenticator, type Behaviour } from '../support/authenticator.ts'
import { withApp } from '../support/mfa.ts'

const REGISTER = '/v1/auth/mfa/webauthn/register'
const KEYS = '/v1/auth/mfa/webauthn/credentials'
const LOGIN = '/v1/auth/login/mfa/webauthn'

describe('passkeys over REST', () => {
  let app: TestApp
  before(async () => {
    app = await startApp()
  })
  after(() => app.close())
  beforeEach(async () => {
    await app.db('rate_limits').delete()
  })

  const device = (behaviour: Behaviour = {}) => new Authenticator(app.url, behaviour)
  const post = (path: string, body: unknown = {}, token?: string) =>
    app.call('POST', path, { body, ...(token && { token }) })

  async function register(person: Person, key: Authenticator, name = 'Phone', once: Behaviour = {}) {
    const begun = await post(`${REGISTER}/begin`, {}, person.accessToken)
    expect(begun.status, JSON.stringify(begun.body)).to.equal(200)
    const credential = key.create(begun.body.options, once)
    return { credential, ...(await post(`${REGISTER}/finish`, { credential, name }, person.accessToken)) }
  }
  async function withPasskey(behaviour: Behaviour = {}) {
    const person = await app.person()
    const key = device(behaviour)
    const made = await register(person, key)
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    return { person, key, made }
  }
  const begin = async (body: object = {}) => (await post(`${LOGIN}/begin`, body)).body.options
  const password = async ({ email, password }: Person) => (await post('/v1/auth/login', { email, password })).body
  const sessions = async (id: string) => (await app.db('sessions').where({ user_id: id })).length
  const events = (type: string, user_id: string) => app.db('events').where({ type, user_id })

  it('Ada registers a passkey, names it, and is told by mail', async () => {
    const { person: ada, key, made } = await withPasskey({ backupEligible: true, backedUp: true })
    expect(made.body.credential).to.include({ name: 'Phone', backup_eligible: true, backed_up: true })
    const listed = await app.call('GET', KEYS, { token: ada.accessToken })
    expect(listed.body.credentials).to.have.length(1)
    expect(listed.body.credentials[0]).to.include({ name: 'Phone', credential_id: key.keys[0]!.id })
    expect(JSON.stringify(listed.body)).to.not.include('public_key')
    const { id } = listed.body.credentials[0]
    const renamed = await app.call('PATCH', `${KEYS}/${id}`, { token: ada.accessToken, body: { name: 'Old phone' } })
    expect(renamed.body.name).to.equal('Old phone')
    await app.smtp.waitFor(ada.email, /passkey was added/i)
    const handle = Buffer.from(key.keys[0]!.userHandle, 'base64url').toString('hex')
    expect(handle, 'the handle is her id and nothing else').to.equal(ada.id.replaceAll('-', ''))
  })

  it('counts the session as signed in with two factors once it has registered a passkey', async () => {
    const { person: ada } = await withPasskey()
    const [session] = await app.db('sessions').where({ user_id: ada.id })
    expect(session.payload.amr).to.include.members(['pwd', 'hwk', 'mfa'])
    expect(session.payload.acr).to.equal('urn:gatehouse:acr:mfa')
    expect((await post(`${REGISTER}/begin`, {}, ada.accessToken)).status).to.equal(200)
  })

  it('takes more than the password to add a passkey or a key to an account with an authenticator app', async () => {
    const bea = await app.person()
    const kept = (await register(bea, device())).body.credential
    await withApp(app, bea)
    // As a device signs in that is remembered.
    await app
      .db('sessions')
      .where({ user_id: bea.id })
      .update({ payload: app.db.raw(`payload || '{"amr":["pwd"],"acr":"urn:gatehouse:acr:single"}'`) })
    const refused = [
      await post(`${REGISTER}/begin`, {}, bea.accessToken),
      await post(`${REGISTER}/finish`, { credential: {} }, bea.accessToken),
      await app.call('DELETE', `${KEYS}/${kept.id}`, { token: bea.accessToken }),
      await post('/v1/api-keys', { name: 'Export' }, bea.accessToken),
    ]
    for (const answer of refused) {
      expect(answer.status, JSON.stringify(answer.body)).to.equal(401)
      expect(answer.headers.get('www-authenticate')).to.include('acr_values="urn:gatehouse:acr:mfa"')
    }
    expect(await app.db('credentials').where({ user_id: bea.id, type: 'webauthn' })).to.have.length(1)
    expect(await app.db('api_keys').where({ user_id: bea.id })).to.have.length(0)
  })

  it('will not register the same authenticator twice, nor one key for two people', async () => {
    const { person: ada, key, made } = await withPasskey()
    expect(() => key.create({ ...optionsWith(made.credential.id) })).to.throw('InvalidStateError')
    const again = await post(`${REGISTER}/begin`, {}, ada.accessToken)
    expect(again.body.options.excludeCredentials.map((c: any) => c.id)).to.deep.equal([key.keys[0]!.id])
    const eve = await app.person()
    const begun = await post(`${REGISTER}/begin`, {}, eve.accessToken)
    const copy = device()
    const credential = copy.create(begun.body.options)
    const bytes = Buffer.from(credential.response.attestationObject, 'base64url')
    const own = Buffer.from(copy.keys[0]!.id, 'base64url')
    Buffer.from(key.keys[0]!.id, 'base64url').copy(bytes, bytes.indexOf(own))
    credential.response.attestationObject = bytes.toString('base64url')
    credential.id = credential.rawId = key.keys[0]!.id
    const stolen = await post(`${REGISTER}/finish`, { credential }, eve.accessToken)
    expect(stolen.status).to.equal(409)
    expect((await app.call('GET', KEYS, { token: eve.accessToken })).body.count).to.equal(0)
  })

  it('asks for the passkey after the password; the answer opens one session with two factors', async () => {
    const { person: ada, key } = await withPasskey()
    const before = await sessions(ada.id)
    const owed = await password(ada)
    expect(owed).to.include({ mfa_required: true, preferred_method: 'webauthn' })
    expect(await sessions(ada.id), 'a password alone opens nothing').to.equal(before)
    const options = await begin({ mfa_token: owed.mfa_token })
    expect(options.allowCredentials.map((c: any) => c.id)).to.deep.equal([key.keys[0]!.id])
    const credential = key.get(options, { userVerified: false, userHandle: undefined })
    const done = await post(`${LOGIN}/finish`, { mfa_token: owed.mfa_token, credential })
    expect(done.status, JSON.stringify(done.body)).to.equal(200)
    expect(done.body.user.id).to.equal(ada.id)
    expect((await app.call('GET', '/v1/auth/me', { token: done.body.tokens.access_token })).status).to.equal(200)
    const [latest] = await app.db('sessions').where({ user_id: ada.id }).orderBy('created_at', 'desc')
    expect(latest.payload.amr).to.include.members(['pwd', 'hwk', 'mfa'])
    const replayed = await post(`${LOGIN}/finish`, { mfa_token: owed.mfa_token, credential })
    expect(replayed.status).to.equal(400)
    expect(await sessions(ada.id)).to.equal(before + 1)
  })

  it('takes user_id in place of mfa_token as the documents do, but only while a sign-in waits', async () => {
    const { person: ada, key } = await withPasskey()
    const idle = await post(`${LOGIN}/begin`, { user_id: ada.id })
    expect(idle.status).to.equal(401)
    await password(ada)
    const credential = key.get(await begin({ user_id: ada.id }))
    const done = await post(`${LOGIN}/finish`, { user_id: ada.id, credential })
    expect(done.body.user?.id).to.equal(ada.id)
  })

  it('signs Ada in without a password or a name, and owes nothing more', async () => {
    const { person: ada, key } = await withPasskey()
    const options = await begin()
    expect(options.allowCredentials).to.equal(undefined)
    expect(options.userVerification).to.equal('required')
    const done = await post(`${LOGIN}/finish`, { credential: key.get(options) })
    expect(done.body.user?.id, JSON.stringify(done.body)).to.equal(ada.id)
    const [latest] = await app.db('sessions').where({ user_id: ada.id }).orderBy('created_at', 'desc')
    expect(latest.payload.amr).to.have.members(['hwk', 'user', 'mfa'])
  })

  const refusals: [string, Behaviour, number][] = [
    ['no user verification', { userVerified: false }, 401],
    ['a phishing site', { origin: 'https://gatehouse.example.net' }, 401],
    ['another host', { rpId: 'example.net' }, 401],
    ['a frame of another site', { crossOrigin: true }, 401],
    ['no user handle', { userHandle: undefined }, 401],
    ["somebody else's user handle", { userHandle: Buffer.alloc(16, 7).toString('base64url') }, 401],
    ['a key that became copyable', { backupEligible: true }, 401],
  ]
  for (const [what, behaviour, status] of refusals) {
    it(`refuses a passwordless sign-in with ${what}`, async () => {
      const { person: ada, key } = await withPasskey()
      const before = await sessions(ada.id)
      const options = await begin()
      const refused = await post(`${LOGIN}/finish`, { credential: key.get(options, behaviour) })
      expect(refused.status).to.equal(status)
      expect(refused.body.code).to.equal('INVALID_CREDENTIALS')
      expect(await sessions(ada.id)).to.equal(before)
      // The challenge is used up even so.
      const late = await post(`${LOGIN}/finish`, { credential: key.get(options) })
      expect(late.body.code).to.equal('INVALID_TOKEN')
    })
  }

  it('refuses and writes down a counter that does not grow: there are two of this key', async () => {
    const { person: ada, key } = await withPasskey()
    await post(`${LOGIN}/finish`, { credential: key.get(await begin(), { counter: 9 }) })
    const before = await sessions(ada.id)
    for (const counter of [9, 3, 0]) {
      const refused = await post(`${LOGIN}/finish`, { credential: key.get(await begin(), { counter }) })
      expect(refused.status).to.equal(401)
    }
    expect(await sessions(ada.id)).to.equal(before)
    expect(await events('passkey.counter_regression', ada.id)).to.have.length(3)
    const good = await post(`${LOGIN}/finish`, { credential: key.get(await begin(), { counter: 10 }) })
    expect(good.status).to.equal(200)
  })

  it('never lets the passkey of one person finish the sign-in of another', async () => {
    const { person: ada } = await withPasskey()
    const { person: eve, key } = await withPasskey()
    const owed = await password(ada)
    const options = await begin({ mfa_token: owed.mfa_token })
    const credential = key.get({ ...options, allowCredentials: undefined })
    const refused = await post(`${LOGIN}/finish`, { mfa_token: owed.mfa_token, credential })
    expect(refused.body.code).to.equal('INVALID_CODE')
    // A challenge of Ada's attempt is no good for Eve's own either.
    const hers = await password(eve)
    const wrong = key.get({ ...(await begin({ mfa_token: owed.mfa_token })), allowCredentials: undefined })
    expect((await post(`${LOGIN}/finish`, { mfa_token: hers.mfa_token, credential: wrong })).body.code).to.equal(
      'INVALID_TOKEN',
    )
    expect(await events('login.mfa_failed', ada.id)).to.have.length(1)
  })

  it('keeps challenges apart: register, second factor and passwordless', async () => {
    const { person: ada, key } = await withPasskey()
    const { body: registering } = await post(`${REGISTER}/begin`, {}, ada.accessToken)
    const crossed = key.get({ challenge: registering.options.challenge, rpId: '127.0.0.1' })
    expect((await post(`${LOGIN}/finish`, { credential: crossed })).body.code).to.equal('INVALID_TOKEN')
    const other = await app.person()
    const begun = await post(`${REGISTER}/begin`, {}, ada.accessToken)
    const credential = device().create(begun.body.options)
    const foreign = await post(`${REGISTER}/finish`, { credential }, other.accessToken)
    expect(foreign.body.code, "Ada's challenge in another's session").to.equal('INVALID_TOKEN')
    expect((await app.call('GET', KEYS, { token: other.accessToken })).body.count).to.equal(0)
  })

  it('opens one session for fifty parallel uses of one answer', async () => {
    const { person: ada, key } = await withPasskey()
    const before = await sessions(ada.id)
    const credential = key.get(await begin())
    const answers = await Promise.all(Array.from({ length: 50 }, () => post(`${LOGIN}/finish`, { credential })))
    expect(answers.filter((a) => a.status === 200)).to.have.length(1)
    expect(await sessions(ada.id)).to.equal(before + 1)
  })

  it('knows no passkey of another tenant', async () => {
    const { key } = await withPasskey()
    const [tenant] = await app
      .db('tenants')
      .insert({ id: '0197a000-0000-7000-8000-0000000000b1', slug: 'tenant-b', name: 'B' })
      .returning('*')
    const begun = await post(`/t/${tenant.slug}${LOGIN}/begin`)
    if (begun.status === 200) {
      const refused = await post(`/t/${tenant.slug}${LOGIN}/finish`, { credential: key.get(begun.body.options) })
      expect(refused.body.code).to.equal('INVALID_CREDENTIALS')
    }
    const ours = await begin()
    const crossed = await post(`/t/${tenant.slug}${LOGIN}/finish`, { credential: key.get(ours) })
    expect(crossed.status).to.be.oneOf([400, 401])
  })

  it('asks for a recent sign-in before keys are added or removed', async () => {
    const { person: ada, key } = await withPasskey()
    await app
      .db('sessions')
      .where({ user_id: ada.id })
      .update({
        payload: app.db.raw(`payload || jsonb_build_object('loginTs', (payload ->> 'loginTs')::bigint - 1000)`),
      })
    const stale = await post(`${REGISTER}/begin`, {}, ada.accessToken)
    expect(stale.status).to.equal(401)
    expect(stale.headers.get('www-authenticate')).to.include('insufficient_user_authentication')
    const id = key.keys[0]!.id
    expect((await app.call('DELETE', KEYS, { token: ada.accessToken, body: { id } })).status).to.equal(401)
    const fresh = (await post(`${LOGIN}/finish`, { credential: key.get(await begin()) })).body.tokens.access_token
    expect((await app.call('DELETE', KEYS, { token: fresh, body: { id } })).status).to.equal(200)
    expect((await post(`${LOGIN}/finish`, { credential: key.get(await begin()) })).status).to.equal(401)
    expect(await password(ada), 'a password is enough again').to.have.property('tokens')
    await app.smtp.waitFor(ada.email, /passkey was removed/i)
  })

  it('ends other sessions with a key that comes or goes, where that is wished', async () => {
    const { person: ada, made } = await withPasskey()
    const live = async () => (await app.db('sessions').where({ user_id: ada.id, ended_at: null })).length
    const elsewhere = async () => {
      const { mfa_token } = await password(ada)
      expect(mfa_token).to.be.a('string')
      await app.db('sessions').insert({
        tenant_id: DEFAULT_TENANT,
        id: `elsewhere-${Math.random()}`,
        user_id: ada.id,
        kind: 'api',
        payload: '{}',
        expires_at: new Date(Date.now() + 3_600_000),
      })
    }
    await elsewhere()
    const another = await post(`${REGISTER}/begin`, {}, ada.accessToken)
    const credential = device().create(another.body.options)
    const kept = await post(`${REGISTER}/finish`, { credential }, ada.accessToken)
    expect(kept.status).to.equal(201)
    expect(await live(), 'not unless it is wished').to.equal(2)
    const path = `${KEYS}/${made.body.credential.id}?end_other_sessions=true`
    expect((await app.call('DELETE', path, { token: ada.accessToken })).status).to.equal(200)
    expect(await live()).to.equal(1)
    expect((await app.call('GET', '/v1/auth/me', { token: ada.accessToken })).status, 'her own stays').to.equal(200)
    await app.smtp.waitFor(ada.email, /passkey was removed/i)
  })

  it('lets nobody touch the keys of others, and answers garbage with what is wrong', async () => {
    const { person: ada, made } = await withPasskey()
    const eve = await app.person()
    const { id } = made.body.credential
    const asEve = { token: eve.accessToken, body: { name: 'mine' } }
    expect((await app.call('PATCH', `${KEYS}/${id}`, asEve)).status).to.equal(404)
    expect((await app.call('DELETE', `${KEYS}/${id}`, { token: eve.accessToken })).status).to.equal(404)
    expect((await app.call('GET', KEYS, { token: ada.accessToken })).body.credentials[0].name).to.equal('Phone')
    for (const credential of [{}, { id: 'x', response: {} }, { id: 1, response: { clientDataJSON: 'e30' } }]) {
      const refused = await post(`${LOGIN}/finish`, { credential })
      expect(refused.body.code).to.equal('INVALID_TOKEN')
    }
    const begun = await post(`${REGISTER}/begin`, {}, ada.accessToken)
    const credential = device().create(begun.body.options)
    credential.response.attestationObject = credential.response.attestationObject.slice(0, 40)
    const broken = await post(`${REGISTER}/finish`, { credential }, ada.accessToken)
    expect(broken.body.code).to.equal('VALIDATION_ERROR')
  })
})

const optionsWith = (id: string) => ({
  rp: { id: '127.0.0.1' },
  user: { id: '' },
  challenge: '',
  excludeCredentials: [{ id }],
})
