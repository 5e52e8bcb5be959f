import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from, pause } from '../support/address.ts'
import { type Answer, startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { type SmsGateway, startGateway } from '../support/sms-gateway.ts'

const PASSWORD = 'SecurePassword123!'

describe('accounts with a telephone number alone', () => {
  let app: TestApp
  let gateway: SmsGateway
  let last = 20_000_000
  const number = () => {
    last += 1
    return `+49151${last}`
  }
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

  const post = (path: string, body: object, token?: string): Promise<Answer> =>
    app.call('POST', path, { body, headers: from(), ...(token && { token }) })
  const register = (body: object) => post('/auth/register', body)
  const verify = (phone_number: string, code: string) =>
    post('/auth/otp/verify', { channel: 'sms', phone_number, code })
  const login = (phone_number: string, password = PASSWORD) => post('/v1/auth/login', { phone_number, password })
  const textsTo = async (phone: string) => (await gateway.texts()).filter(({ to }) => to === phone)
  /** The code of the next text to the number after so many. */
  const codeAfter = async (phone: string, count: number): Promise<string> => {
    for (let i = 0; i < 100; i += 1) {
      const texts = await textsTo(phone)
      if (texts.length > count) return /\b\d{6}\b/.exec(texts[count]!.text)![0]
      await pause(50)
    }
    throw new Error(`no further text to ${phone}`)
  }
  const askCode = async (phone: string): Promise<string> => {
    const before = (await textsTo(phone)).length
    expect((await post('/auth/otp/send', { channel: 'sms', phone_number: phone })).status).to.equal(200)
    return codeAfter(phone, before)
  }
  /** Somebody who has registered and proven the number. */
  const owner = async (body: object = {}) => {
    const phone = number()
    expect((await register({ phone_number: phone, ...body })).status).to.equal(201)
    const answer = await verify(phone, await codeAfter(phone, 0))
    expect(answer.status).to.equal(200)
    return { phone, id: answer.body.user.id as string, token: answer.body.tokens.access_token as string }
  }
  const setting = async (key: string, value: unknown) => {
    const token = await app.admin()
    const answer = await app.call('PATCH', `/v1/admin/settings/${key}`, { token, body: { value } })
    expect(answer.status, JSON.stringify(answer.body)).to.equal(200)
    // Other connections hear of it by a notification.
    await pause(300)
  }

  it('Ada registers with number and password, proves the number, and signs in by password and by code', async () => {
    const phone = number()
    const made = await register({ phone_number: phone, password: PASSWORD, given_name: 'Ada' })
    expect(made.status).to.equal(201)
    expect(made.body.message).to.match(/code/)
    expect(made.body.user).to.include({ email: null, phone_number: phone, phone_number_verified: false })
    const code = await codeAfter(phone, 0)
    expect((await textsTo(phone))[0]!.text).to.include('to confirm this number')
    const early = await login(phone)
    expectProblem(early, 403, 'EMAIL_VERIFICATION_REQUIRED')
    expect(early.body.detail).to.include('telephone number')
    const proven = await verify(phone, code)
    expect(proven.status).to.equal(200)
    expect(proven.body.user).to.include({ id: made.body.user.id, phone_number_verified: true, email: null })
    expectProblem(await verify(phone, code), 400, 'INVALID_CODE')
    const byPassword = await login(phone)
    expect(byPassword.body.user.id).to.equal(made.body.user.id)
    const me = await app.call('GET', '/oauth/userinfo', { token: byPassword.body.tokens.access_token })
    expect(me.body).to.include({ preferred_username: phone, phone_number: phone, phone_number_verified: true })
    expect(me.body).to.not.have.any.keys('email', 'email_verified')
    const byCode = await verify(phone, await askCode(phone))
    expect(byCode.body.user.id).to.equal(made.body.user.id)
    expect((await login(phone)).status, 'and the password stays').to.equal(200)
    const { rows } = await app.db.raw('select payload::text from graphile_worker._private_jobs')
    expect(JSON.stringify(rows)).to.not.include(code)
  })

  it('needs no password, but an address does, and one of the two must be there', async () => {
    const { phone } = await owner()
    expectProblem(await login(phone), 401, 'INVALID_CREDENTIALS')
    expectProblem(await register({ email: 'bea@example.com' }), 400, 'VALIDATION_ERROR')
    expectProblem(await register({ password: PASSWORD }), 400, 'VALIDATION_ERROR')
    expectProblem(await register({ phone_number: '0151 1234567' }), 400, 'VALIDATION_ERROR')
    expectProblem(await register({ phone_number: number(), password: 'short' }), 400, 'WEAK_PASSWORD')
    expect(await app.db('users').where({ email: 'bea@example.com' })).to.deep.equal([])
  })

  it('is switched off by a setting, without a text', async () => {
    await setting('phone_registration_enabled', false)
    try {
      const phone = number()
      expectProblem(await register({ phone_number: phone }), 403, 'REGISTRATION_DISABLED')
      expect(await app.db('users').where({ phone_number: phone })).to.deep.equal([])
      expect((await register({ email: 'max@example.com', password: PASSWORD })).status).to.equal(201)
      expect(await textsTo(phone)).to.deep.equal([])
    } finally {
      await setting('phone_registration_enabled', true)
    }
  })

  it('takes either an address or a number to sign in, and counts guesses at both alike', async () => {
    const { phone } = await owner({ password: PASSWORD })
    const both = { email: 'bea@example.com', phone_number: phone, password: PASSWORD }
    expectProblem(await post('/v1/auth/login', both), 400, 'VALIDATION_ERROR')
    expectProblem(await post('/v1/auth/login', { password: PASSWORD }), 400, 'VALIDATION_ERROR')
    const headers = from()
    const guess = (phone_number: string) =>
      app.call('POST', '/v1/auth/login', { headers, body: { phone_number, password: 'Wrong-Password-1!' } })
    const unknown = number()
    for (const target of [phone, unknown]) {
      await app.db('rate_limits').delete()
      const answers = []
      for (let i = 0; i < 6; i += 1) answers.push(await guess(target))
      expect(answers.map(({ status }) => status)).to.deep.equal([401, 401, 401, 401, 401, 429])
      expect(answers[0]!.body.detail).to.equal('Wrong telephone number or password')
    }
  })

  it('refuses a number that somebody signs in with or has proven', async () => {
    const { phone } = await owner()
    expectProblem(await register({ phone_number: phone }), 409, 'CONFLICT')
    const cy = await app.person()
    const theirs = number()
    await app.db('users').where({ id: cy.id }).update({ phone_number: theirs })
    const squatted = await register({ phone_number: theirs })
    expect(squatted.status, 'whoever merely wrote it down does not hold it').to.equal(201)
    await codeAfter(theirs, 0)
    await app.db('users').where({ id: cy.id }).update({ phone_verified_at: app.db.fn.now() })
    expectProblem(await register({ phone_number: theirs }), 409, 'CONFLICT')
    const signedIn = await verify(theirs, await askCode(theirs))
    expect(signedIn.body.user.id, 'who has proven it comes before who registered it').to.equal(cy.id)
    expect(await textsTo(phone)).to.have.length(1)
  })

  it('gives a squatted number to its owner: the password set before is gone', async () => {
    const phone = number()
    const squatted = await register({ phone_number: phone, password: PASSWORD })
    await codeAfter(phone, 0)
    const answer = await verify(phone, await askCode(phone))
    expect(answer.body.user.id).to.equal(squatted.body.user.id)
    expectProblem(await login(phone), 401, 'INVALID_CREDENTIALS')
    const events = await app.db('events').where({ user_id: squatted.body.user.id }).pluck('type')
    expect(events).to.include.members(['phone.verified', 'user.reclaimed'])
  })

  it('ends the sessions and devices of a squatter, too', async () => {
    const { phone, id, token } = await owner({ password: PASSWORD })
    const admin = await app.admin()
    const moved = number()
    const change = await app.call('PUT', `/v1/users/${id}`, { token: admin, body: { phone_number: moved } })
    expect(change.body).to.include({ phone_number: moved, phone_number_verified: false, email: null })
    expectProblem(await login(phone), 401, 'INVALID_CREDENTIALS')
    expectProblem(await login(moved), 403, 'EMAIL_VERIFICATION_REQUIRED')
    const arrived = await verify(moved, await askCode(moved))
    expect(arrived.body.user.id).to.equal(id)
    expectProblem(await login(moved), 401, 'INVALID_CREDENTIALS')
    await pause(1100)
    expect((await app.call('GET', '/users/me', { token })).status).to.equal(401)
    const other = await owner()
    const clash = await app.call('PUT', `/v1/users/${id}`, { token: admin, body: { phone_number: other.phone } })
    expectProblem(clash, 409, 'CONFLICT')
  })

  it('asks for a second factor that is there, and ends nothing then', async () => {
    const { id } = await owner({ password: PASSWORD })
    await app
      .db('credentials')
      .insert({ tenant_id: DEFAULT_TENANT, id: crypto.randomUUID(), user_id: id, type: 'totp', secret: 'x' })
    const moved = number()
    await app.call('PUT', `/v1/users/${id}`, { token: await app.admin(), body: { phone_number: moved } })
    const arrived = await verify(moved, await askCode(moved))
    expect(arrived.body).to.include({ mfa_required: true, user_id: id }).and.to.not.have.property('tokens')
    expect((await login(moved)).body).to.include({ mfa_required: true, user_id: id })
  })

  it('keeps the number while it is all there is', async () => {
    const { phone, token } = await owner()
    const change = (phone_number: string | null) =>
      app.call('PUT', '/users/me', { token, headers: from(), body: { phone_number } })
    expectProblem(await change(number()), 400, 'VALIDATION_ERROR')
    expectProblem(await change(null), 400, 'VALIDATION_ERROR')
    expect((await change(phone)).body).to.include({ phone_number: phone, phone_number_verified: true })
  })

  it('takes an address later: proven by its link, it is what the person signs in with', async () => {
    const { phone, id, token } = await owner({ password: PASSWORD })
    const email = 'dora@example.com'
    expect((await post('/v1/account/email', { email }, token)).status).to.equal(200)
    const { raw } = await app.smtp.waitFor(email, /email\/confirm\?token=/)
    const mailed = /confirm\?token=([\w-]+)/.exec(raw.replace(/=\r?\n/g, '').replace(/=3D/g, '='))![1]!
    expect((await post('/v1/account/email/confirm', { token: mailed })).status).to.equal(200)
    const signedIn = await post('/v1/auth/login', { email, password: PASSWORD })
    expect(signedIn.body.user).to.include({ id, email, is_email_verified: true })
    expectProblem(await login(phone), 401, 'INVALID_CREDENTIALS')
    expect((await verify(phone, await askCode(phone))).body.user.id, 'a code still does').to.equal(id)
    expectProblem(await register({ phone_number: phone }), 409, 'CONFLICT')
  })

  it('counts the number where an address must be verified', async () => {
    const { phone, id } = await owner({ password: PASSWORD })
    await app
      .db('users')
      .where({ id })
      .update({ required_actions: ['verify_email'] })
    expect((await login(phone)).status).to.equal(200)
    await setting('require_verified_email', true)
    try {
      expect((await login(phone)).status).to.equal(200)
    } finally {
      await setting('require_verified_email', false)
    }
  })

  it('deletes the account by the number as confirmation, and sends no mail about it', async () => {
    const { phone, id, token } = await owner({ password: PASSWORD })
    const remove = (confirmation: string) =>
      app.call('DELETE', '/v1/account', { token, headers: from(), body: { confirmation, password: PASSWORD } })
    const wrong = await remove('ada@example.com')
    expectProblem(wrong, 400, 'VALIDATION_ERROR')
    expect(wrong.body.detail).to.include('telephone number')
    expect((await remove(phone)).status).to.equal(200)
    expect(await app.db('users').where({ id }).pluck('status')).to.deep.equal(['deleted'])
    expect((await register({ phone_number: phone })).status, 'and the number is free').to.equal(201)
  })

  it('says who has no address where administrators ask for a mail', async () => {
    const { id, phone } = await owner()
    const token = await app.admin()
    const person = `/api/admin/default/users/${id}`
    for (const [method, path] of [
      ['POST', 'password/reset'],
      ['POST', 'verify-email'],
      ['POST', 'totp/email'],
    ] as const)
      expect((await app.call(method, `${person}/${path}`, { token, body: {} })).status, path).to.equal(409)
    const found = await app.call('GET', `/v1/users?q=${encodeURIComponent(phone)}`, { token })
    expect(found.body.users.map((user: any) => user.id)).to.deep.equal([id])
    expect(found.body.users[0].email).to.equal(null)
    const given = await app.call('PUT', `/v1/users/${id}`, { token, body: { email: 'eve@example.com' } })
    expect(given.body).to.include({ email: 'eve@example.com', phone_number: phone })
    const [row] = await app.db('users').where({ id })
    expect(row.email_key).to.equal('eve@example.com')
  })

  it('leaves in an export, and comes by an import, with the number alone', async () => {
    const { phone } = await owner()
    const token = await app.admin()
    const exported = await app.call('GET', '/v1/admin/users/export?format=json', { token })
    const line = exported.body.users.find((row: any) => row.phone_number === phone)
    expect(line).to.include({ email: null, phone_number_verified: true })
    const fresh = number()
    const body = {
      users: [
        { phone_number: fresh, phone_number_verified: true, given_name: 'Fay', password: PASSWORD },
        { phone_number: phone, given_name: 'Gil' },
        { given_name: 'Nobody' },
      ],
    }
    const imported = await app.call('POST', '/v1/admin/users/import', { token, body })
    expect(imported.body.results.map((row: any) => row.outcome)).to.deep.equal(['created', 'failed', 'failed'])
    expect(imported.body.results[1].errors[0].field).to.equal('phone_number')
    expect((await login(fresh)).body.user.given_name).to.equal('Fay')
  })

  describe('where the tenant hides who has an account', () => {
    before(() => setting('enumeration_protection', true))
    after(() => setting('enumeration_protection', false))

    it('answers alike, and texts the owner a code that signs in', async () => {
      const phone = number()
      const fresh = await register({ phone_number: phone, password: PASSWORD })
      await codeAfter(phone, 0)
      const known = await register({ phone_number: phone, password: 'Another-Password-123!' })
      expect(known.status).to.equal(fresh.status)
      expect(known.body).to.deep.equal(fresh.body)
      expect(known.body).to.not.have.property('user')
      const answer = await verify(phone, await codeAfter(phone, 1))
      expect(answer.body.user.phone_number).to.equal(phone)
      for (const password of [PASSWORD, 'Another-Password-123!'])
        expectProblem(await login(phone, password), 401, 'INVALID_CREDENTIALS')
      expect(await app.db('users').where({ phone_number: phone })).to.have.length(1)
    })

    it('texts one number three times an hour at most, known or not', async () => {
      const phone = number()
      const statuses = []
      for (let i = 0; i < 4; i += 1) statuses.push((await register({ phone_number: phone })).status)
      expect(statuses).to.deep.equal([201, 201, 201, 429])
    })
  })
})
