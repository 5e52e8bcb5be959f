import { expect } from 'chai'
import { decodeJwt } from 'jose'
import { mint as mintCode } from '../../server/domain/factors/codes.ts'
import * as sms from '../../server/domain/factors/sms.ts'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import * as tenants from '../../server/domain/tenants.ts'
import { from, pause } from '../support/address.ts'
import { type Answer, type Person, startApp, type TestApp } from '../support/app.ts'
import { appCode, firstStep, forgetSteps, setting, verified, withApp, wrongCode } from '../support/mfa.ts'

describe('second factors over REST', () => {
  let app: TestApp
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
  })
  after(() => app.close())

  const post = (path: string, body: object, token?: string, headers: Record<string, string> = from()) =>
    app.call('POST', path, { body, headers, ...(token && { token }) })
  const status = async (token: string) => (await app.call('GET', '/v1/auth/mfa/status', { token })).body
  const events = (type: string, userId: string) => app.db('events').where({ type, user_id: userId })
  const sessionsOf = (userId: string) => app.db('sessions').where({ user_id: userId, ended_at: null })
  const me = (token: string) => app.call('GET', '/v1/auth/me', { token })
  const policy = (mfa: string) => setting(app, 'mfa_policy', mfa)
  const refused = (answer: Answer, code: string, http: number) => {
    expect(answer.body.code, JSON.stringify(answer.body)).to.equal(code)
    expect(answer.status).to.equal(http)
    expect(answer.body).to.not.have.property('tokens')
  }

  describe('an authenticator app', () => {
    it('Ada sets one up, proves it, and from then on needs it', async () => {
      const ada = await app.person()
      const other = (await firstStep(app, ada)).body.tokens.access_token
      expect(await status(ada.accessToken)).to.include({
        enabled: false,
        backup_codes_remaining: 0,
        preferred_method: null,
      })

      const { body: made } = await post('/v1/auth/mfa/setup', {}, ada.accessToken)
      expect(made.secret).to.match(/^[A-Z2-7]{32}$/)
      expect(made.url)
        .to.match(/^otpauth:\/\/totp\/.+\?secret=/)
        .and.include(made.secret)
      expect(made.qr_svg).to.match(/^<svg /)
      expect((await status(ada.accessToken)).enabled).to.equal(false)
      expect((await firstStep(app, ada)).body).to.have.property('tokens')

      refused(await post('/v1/auth/mfa/enable', { code: wrongCode(made.secret) }, ada.accessToken), 'INVALID_CODE', 400)
      expect((await status(ada.accessToken)).enabled).to.equal(false)
      const { body: enabled } = await post('/v1/auth/mfa/enable', { code: appCode(made.secret) }, ada.accessToken)
      expect(enabled).to.include({ enabled: true, method: 'totp' })
      expect(new Set(enabled.backup_codes).size).to.equal(10)

      expect((await me(ada.accessToken)).status).to.equal(200)
      await pause(1000)
      expect((await me(other)).status).to.equal(401)
      const mail = await app.smtp.waitFor(ada.email, /authenticator app was added/)
      expect(mail.raw).to.not.include(made.secret)
      expect(await events('mfa.enabled', ada.id)).to.have.length(1)

      const first = await firstStep(app, ada)
      expect(first.status).to.equal(200)
      expect(first.body).to.include({
        mfa_required: true,
        user_id: ada.id,
        preferred_method: 'totp',
        enrolment_required: false,
      })
      expect(first.body.methods).to.deep.equal(['totp', 'backup_codes'])
      expect(first.body).to.not.have.property('tokens')
      // The code that enabled it is used up.
      const { mfa_token } = first.body
      refused(await post('/v1/auth/login/mfa', { mfa_token, code: appCode(made.secret, -1) }), 'INVALID_CODE', 400)
      const done = await post('/v1/auth/login/mfa', { mfa_token, code: appCode(made.secret, 1) })
      expect(done.status).to.equal(200)
      expect(done.body.user.id).to.equal(ada.id)
      const { sid } = decodeJwt(done.body.tokens.access_token)
      const { payload } = await app
        .db('sessions')
        .where({ id: sid as string })
        .first()
      expect(payload.amr).to.deep.equal(['pwd', 'otp', 'mfa'])
      expect(payload.acr).to.equal('urn:gatehouse:acr:mfa')
    })

    it('keeps secrets sealed and backup codes hashed', async () => {
      const person = await app.person()
      const { secret, backupCodes } = await withApp(app, person)
      const rows = JSON.stringify(await app.db('credentials').where({ user_id: person.id }))
      expect(rows).to.not.include(secret)
      expect(rows).to.not.include(Buffer.from(secret).toString('base64'))
      for (const code of backupCodes) expect(rows).to.not.include(code).and.not.include(code.replace('-', ''))
    })

    it('the old app works until the new one is proven', async () => {
      const person = await app.person()
      const { secret: old } = await withApp(app, person)
      const { body: fresh } = await post('/v1/auth/mfa/setup', {}, person.accessToken)
      const login = async (code: string) => {
        const { body } = await firstStep(app, person)
        return post('/v1/auth/login/mfa', { mfa_token: body.mfa_token, code })
      }
      expect((await login(appCode(fresh.secret))).status).to.equal(400)
      expect((await login(appCode(old))).status).to.equal(200)
      const enabled = await post(
        '/v1/auth/mfa/enable',
        { code: appCode(fresh.secret), keep_sessions: true },
        person.accessToken,
      )
      expect(enabled.status).to.equal(200)
      expect(enabled.body).to.not.have.property('backup_codes')
      await forgetSteps(app, person.id)
      expect((await login(appCode(old))).status).to.equal(400)
      expect((await login(appCode(fresh.secret))).status).to.equal(200)
    })

    it('a code works once, also an older one, whichever sign-in it is for', async () => {
      const person = await app.person()
      const { secret } = await withApp(app, person)
      const attempt = async () => (await firstStep(app, person)).body.mfa_token
      const [one, two, three] = [await attempt(), await attempt(), await attempt()]
      const [older, now, next, far] = [-1, 0, 1, 3].map((steps) => appCode(secret, steps))
      const use = (mfa_token: string, code: string | undefined) => post('/v1/auth/login/mfa', { mfa_token, code })
      expect((await use(one, now)).status).to.equal(200)
      for (const code of [now, older, far]) refused(await use(two, code), 'INVALID_CODE', 400)
      expect((await use(three, next)).status).to.equal(200)
      refused(await use(three, next), 'UNAUTHORIZED', 401)
    })

    it('of fifty at once with one code, each with a sign-in of its own, one gets in', async () => {
      const person = await app.person()
      const { secret } = await withApp(app, person)
      const tokens: string[] = []
      for (let i = 0; i < 10; i += 1) tokens.push((await firstStep(app, person)).body.mfa_token)
      const code = appCode(secret)
      const use = (i: number) => post('/v1/auth/login/mfa', { mfa_token: tokens[i % 10], code })
      const before = (await sessionsOf(person.id)).length
      const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => use(i)))
      expect(answers.filter((a) => a.status === 200)).to.have.length(1)
      expect(answers.filter((a) => a.status >= 500)).to.deep.equal([])
      expect((await sessionsOf(person.id)).length).to.equal(before + 1)
    })
  })

  describe('the waiting sign-in', () => {
    let bob: Person
    let secret: string
    before(async () => {
      bob = await app.person()
      secret = (await withApp(app, bob)).secret
    })
    beforeEach(async () => {
      await forgetSteps(app, bob.id)
      await app.db('login_attempts').where({ user_id: bob.id }).delete()
      await app.db('login_counters').delete()
    })

    it('dies of five wrong codes; the right one comes too late', async () => {
      const { mfa_token } = (await firstStep(app, bob)).body
      for (let i = 0; i < 5; i += 1) {
        refused(await post('/v1/auth/login/mfa', { mfa_token, code: wrongCode(secret) }), 'INVALID_CODE', 400)
      }
      refused(await post('/v1/auth/login/mfa', { mfa_token, code: appCode(secret) }), 'UNAUTHORIZED', 401)
      expect(await events('login.mfa_failed', bob.id)).to.have.length(5)
    })

    it('counts fifty parallel guesses one by one', async () => {
      const { mfa_token } = (await firstStep(app, bob)).body
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => post('/v1/auth/login/mfa', { mfa_token, code: wrongCode(secret) })),
      )
      expect(answers.filter((a) => a.body.code === 'INVALID_CODE')).to.have.length(5)
      expect(answers.filter((a) => a.status >= 500 || a.status === 200)).to.deep.equal([])
      refused(await post('/v1/auth/login/mfa', { mfa_token, code: appCode(secret) }), 'UNAUTHORIZED', 401)
    })

    it('is over after five minutes', async () => {
      const { mfa_token } = (await firstStep(app, bob)).body
      await app
        .db('login_attempts')
        .where({ user_id: bob.id })
        .update({ expires_at: new Date(Date.now() - 1000) })
      refused(await post('/v1/auth/login/mfa', { mfa_token, code: appCode(secret) }), 'UNAUTHORIZED', 401)
    })

    it('is found by user_id alone from the same caller', async () => {
      const here = from()
      await firstStep(app, bob, here)
      const done = await post('/v1/auth/login/mfa', { user_id: bob.id, code: appCode(secret) }, undefined, here)
      expect(done.status).to.equal(200)
    })

    it('is not found by user_id without a first step, from elsewhere, by another program, or when two wait', async () => {
      const here = from()
      const byId = (headers: Record<string, string>) =>
        post('/v1/auth/login/mfa', { user_id: bob.id, code: appCode(secret) }, undefined, headers)
      refused(await byId(here), 'UNAUTHORIZED', 401)
      await firstStep(app, bob, here)
      refused(await byId(from()), 'UNAUTHORIZED', 401)
      refused(await byId({ ...here, 'user-agent': 'somebody else' }), 'UNAUTHORIZED', 401)
      await firstStep(app, bob, here)
      refused(await byId(here), 'UNAUTHORIZED', 401)
      refused(await post('/v1/auth/login/mfa', { code: appCode(secret) }, undefined, here), 'UNAUTHORIZED', 401)
      const tries = await app.db('login_attempts').where({ user_id: bob.id }).pluck('tries')
      expect(tries).to.deep.equal([0, 0])
    })

    it('is of one person: mfa_token of one and user_id of another are nothing', async () => {
      const eve = await app.person()
      const { mfa_token } = (await firstStep(app, bob)).body
      refused(
        await post('/v1/auth/login/mfa', { mfa_token, user_id: eve.id, code: appCode(secret) }),
        'UNAUTHORIZED',
        401,
      )
    })

    it('is nothing in another tenant', async () => {
      await app.db.transaction((trx) => tenants.create(trx, app.deps.out.sealing, { slug: 'acme', name: 'Acme' }))
      const { mfa_token } = (await firstStep(app, bob)).body
      const there = await post('/t/acme/v1/auth/login/mfa', { mfa_token, code: appCode(secret) })
      expect(there.status).to.equal(401)
      expect(there.body).to.not.have.property('tokens')
      const [{ tries }] = await app.db('login_attempts').where({ user_id: bob.id })
      expect(tries).to.equal(0)
      expect((await post('/v1/auth/login/mfa', { mfa_token, code: appCode(secret) })).status).to.equal(200)
    })

    it('takes user_id alone only where the tenant lets it', async () => {
      await setting(app, 'mfa_by_user_id', false)
      try {
        const here = from()
        const { mfa_token } = (await firstStep(app, bob, here)).body
        const byId = await post('/v1/auth/login/mfa', { user_id: bob.id, code: appCode(secret) }, undefined, here)
        refused(byId, 'UNAUTHORIZED', 401)
        expect((await post('/v1/auth/login/mfa', { mfa_token, code: appCode(secret) })).status).to.equal(200)
      } finally {
        await setting(app, 'mfa_by_user_id', true)
      }
    })

    it('ends when the account is disabled meanwhile', async () => {
      const { mfa_token } = (await firstStep(app, bob)).body
      await app.db('users').where({ id: bob.id }).update({ status: 'disabled' })
      refused(await post('/v1/auth/login/mfa', { mfa_token, code: appCode(secret) }), 'ACCOUNT_DISABLED', 403)
      await app.db('users').where({ id: bob.id }).update({ status: 'active' })
    })
  })

  describe('backup codes', () => {
    it('each signs Cleo in once; the count goes down and she is told', async () => {
      const cleo = await app.person()
      const { backupCodes } = await withApp(app, cleo)
      const use = async (code: string) => {
        const { body } = await firstStep(app, cleo)
        return post('/v1/auth/login/mfa/backup', { mfa_token: body.mfa_token, code })
      }
      const count = async () =>
        (await app.call('GET', '/v1/auth/mfa/backup-codes/count', { token: cleo.accessToken })).body.count
      expect(await count()).to.equal(10)
      expect((await use(backupCodes[0]!)).status).to.equal(200)
      expect((await use(backupCodes[0]!)).status).to.equal(400)
      expect((await use(` ${backupCodes[1]!.replace('-', '').toUpperCase()}`)).status).to.equal(200)
      expect((await use('aaaaa-aaaaa')).status).to.equal(400)
      expect(await count()).to.equal(8)
      await app.smtp.waitFor(cleo.email, /backup code was used/)

      const { body } = await post('/v1/auth/mfa/backup-codes', {}, cleo.accessToken)
      expect(body.backup_codes).to.have.length(10)
      expect((await use(backupCodes[2]!)).status).to.equal(400)
      expect((await use(body.backup_codes[0])).status).to.equal(200)
      const live = async () => (await app.db('sessions').where({ user_id: cleo.id, ended_at: null })).length
      expect(await live()).to.be.greaterThan(1)
      const alone = { end_other_sessions: true }
      expect((await post('/v1/auth/mfa/backup-codes', alone, cleo.accessToken)).status).to.equal(200)
      expect(await live(), 'others end where that is wished').to.equal(1)
      await app.db('login_attempts').delete()
    })

    it('of fifty uses of one at once, one gets in', async () => {
      const person = await app.person()
      const { backupCodes } = await withApp(app, person)
      const tokens: string[] = []
      for (let i = 0; i < 10; i += 1) tokens.push((await firstStep(app, person)).body.mfa_token)
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          post('/v1/auth/login/mfa/backup', { mfa_token: tokens[i % 10], code: backupCodes[4] }),
        ),
      )
      expect(answers.filter((a) => a.status === 200)).to.have.length(1)
      expect(answers.filter((a) => a.status >= 500)).to.deep.equal([])
    })

    it('are not offered once all are used, and mean nothing without a factor', async () => {
      const person = await app.person()
      refused(await post('/v1/auth/mfa/backup-codes', {}, person.accessToken), 'CONFLICT', 409)
      const { backupCodes } = await withApp(app, person)
      for (const code of backupCodes) {
        await app.db('login_counters').delete()
        const { body } = await firstStep(app, person)
        expect((await post('/v1/auth/login/mfa/backup', { mfa_token: body.mfa_token, code })).status).to.equal(200)
      }
      expect((await firstStep(app, person)).body.methods).to.deep.equal(['totp'])
    })
  })

  describe('codes by mail', () => {
    const codeIn = (text: string) => /Enter this code:\s+(\d{6})\b/.exec(text)![1]!

    it('Dora turns them on once her address is verified, and signs in with the newest', async () => {
      const dora = await app.person()
      refused(await post('/v1/auth/mfa/email/enable', {}, dora.accessToken), 'EMAIL_VERIFICATION_REQUIRED', 403)
      await verified(app, dora)
      await pause(1000)
      const enabled = await post('/v1/auth/mfa/email/enable', {}, dora.accessToken)
      expect(enabled.body).to.include({ enabled: true, method: 'email' })
      expect(enabled.body.backup_codes).to.have.length(10)

      const { body: first } = await firstStep(app, dora)
      expect(first.methods).to.deep.equal(['email', 'backup_codes'])
      const { mfa_token } = first
      const seen: string[] = []
      for (let i = 0; i < 3; i += 1) {
        const sent = await post('/v1/auth/login/mfa/email/send', { mfa_token })
        expect(sent.status).to.equal(200)
        expect(JSON.stringify(sent.body)).to.not.match(/\d{6}/)
        seen.push(codeIn((await nextMail(dora.email, /Enter this code/, i)).raw))
      }
      const more = await post('/v1/auth/login/mfa/email/send', { mfa_token })
      refused(more, 'RATE_LIMITED', 429)
      if (seen[0] !== seen[2]) {
        refused(await post('/v1/auth/login/mfa/email', { mfa_token, code: seen[0] }), 'INVALID_CODE', 400)
      }
      const stored = JSON.stringify(await app.db('login_attempts').where({ user_id: dora.id }))
      expect(stored).to.not.include(seen[2])
      const done = await post('/v1/auth/login/mfa/email', { mfa_token, code: seen[2] })
      expect(done.status).to.equal(200)
      refused(await post('/v1/auth/login/mfa/email', { mfa_token, code: seen[2] }), 'UNAUTHORIZED', 401)
    })

    const nextMail = async (to: string, pattern: RegExp, index: number) => {
      for (let i = 0; i < 100; i += 1) {
        const found = app.smtp.mails.filter((m) => m.to === to && pattern.test(m.raw))
        if (found[index]) return found[index]!
        await pause(50)
      }
      throw new Error(`no mail ${index} to ${to}`)
    }

    it('a code is old after ten minutes, and of its own sign-in only', async () => {
      const person = await app.person()
      await verified(app, person)
      await post('/v1/auth/mfa/email/enable', {}, person.accessToken)
      const one = (await firstStep(app, person)).body.mfa_token
      const two = (await firstStep(app, person)).body.mfa_token
      await post('/v1/auth/login/mfa/email/send', { mfa_token: one })
      const code = codeIn((await nextMail(person.email, /Enter this code/, 0)).raw)
      refused(await post('/v1/auth/login/mfa/email', { mfa_token: two, code }), 'INVALID_CODE', 400)
      const past = new Date(Date.now() - 1000)
      await app.db('login_attempts').where({ user_id: person.id }).update({ code_expires_at: past })
      refused(await post('/v1/auth/login/mfa/email', { mfa_token: one, code }), 'INVALID_CODE', 400)
      await app
        .db('login_attempts')
        .where({ user_id: person.id })
        .update({ code_expires_at: new Date(Date.now() + 60_000) })
      expect((await post('/v1/auth/login/mfa', { mfa_token: one, code })).status).to.equal(200)
    })

    it('cannot be asked for by who does not use them, or without a sign-in', async () => {
      const person = await app.person()
      await verified(app, person)
      await withApp(app, person)
      const { mfa_token } = (await firstStep(app, person)).body
      refused(await post('/v1/auth/login/mfa/email/send', { mfa_token }), 'VALIDATION_ERROR', 400)
      refused(await post('/v1/auth/login/mfa/email/send', { user_id: crypto.randomUUID() }), 'UNAUTHORIZED', 401)
      refused(await post('/v1/auth/login/mfa/email', { mfa_token, code: '123456' }), 'INVALID_CODE', 400)
    })

    it('of fifty uses at once, one gets in', async () => {
      const person = await app.person()
      await verified(app, person)
      await post('/v1/auth/mfa/email/enable', {}, person.accessToken)
      const { mfa_token } = (await firstStep(app, person)).body
      await post('/v1/auth/login/mfa/email/send', { mfa_token })
      const code = codeIn((await nextMail(person.email, /Enter this code/, 0)).raw)
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => post('/v1/auth/login/mfa/email', { mfa_token, code })),
      )
      expect(answers.filter((a) => a.status === 200)).to.have.length(1)
      expect(answers.filter((a) => a.status >= 500)).to.deep.equal([])
    })
  })

  describe('codes by SMS', () => {
    /** The text is on its way: from now on only we make codes. */
    const texted = async () => {
      for (let i = 0; i < 20; i += 1) {
        const { rows } = await app.db.raw(`select 1 from graphile_worker.jobs where task_identifier = 'sms'`)
        if (rows.length === 0) return
        await pause(50)
      }
    }

    it('Emil proves his phone again to turn them on, and signs in with them', async () => {
      const emil = await app.person()
      const token = emil.accessToken
      refused(await post('/auth/2fa/enable', { method: 'sms' }, token), 'VALIDATION_ERROR', 400)
      await app
        .db('users')
        .where({ id: emil.id })
        .update({ phone_number: '+491701234567', phone_verified_at: new Date() })
      await pause(1000)
      const sent = await post('/auth/2fa/enable', { method: 'sms' }, token)
      expect(sent.status, JSON.stringify(sent.body)).to.equal(200)
      await texted()
      const { id } = await app.db('credentials').where({ user_id: emil.id, type: 'sms' }).first()
      const code = (await sms.mint(app.db, DEFAULT_TENANT, id))!
      const wrong = code === '000000' ? '000001' : '000000'
      refused(await post('/auth/2fa/verify', { method: 'sms', code: wrong }, token), 'INVALID_CODE', 400)
      expect((await status(token)).enabled).to.equal(false)
      const on = await post('/auth/2fa/verify', { method: 'sms', code }, token)
      expect(on.body).to.include({ enabled: true, method: 'sms' })
      expect(on.body.backup_codes).to.have.length(10)

      const { mfa_token } = (await firstStep(app, emil)).body
      expect((await post('/v1/auth/login/mfa/sms/send', { mfa_token })).status).to.equal(200)
      await texted()
      const waiting = await app.db('login_attempts').where({ user_id: emil.id }).first()
      const login = (await mintCode(app.db, DEFAULT_TENANT, { attemptId: waiting.id, number: 1 }))!
      expect(await mintCode(app.db, DEFAULT_TENANT, { attemptId: waiting.id, number: 2 })).to.equal(undefined)
      const done = await post('/auth/2fa/verify', { mfa_token, code: login })
      expect(done.status).to.equal(200)
      const { sid } = decodeJwt(done.body.tokens.access_token)
      const { payload } = await app
        .db('sessions')
        .where({ id: sid as string })
        .first()
      expect(payload.amr).to.deep.equal(['pwd', 'sms', 'mfa'])
      expect(await events('mfa.code_sent', emil.id)).to.have.length(1)
    })

    it('gives up after five wrong codes at set-up', async () => {
      const person = await app.person()
      await app
        .db('users')
        .where({ id: person.id })
        .update({ phone_number: '+491701234568', phone_verified_at: new Date() })
      await pause(1000)
      await post('/auth/mfa/setup', { method: 'sms' }, person.accessToken)
      await texted()
      const { id } = await app.db('credentials').where({ user_id: person.id, type: 'sms' }).first()
      const code = (await sms.mint(app.db, DEFAULT_TENANT, id))!
      const wrong = code === '000000' ? '000001' : '000000'
      for (let i = 0; i < 5; i += 1) {
        refused(await post('/auth/mfa/verify', { method: 'sms', code: wrong }, person.accessToken), 'INVALID_CODE', 400)
      }
      refused(await post('/auth/mfa/verify', { method: 'sms', code }, person.accessToken), 'NOT_FOUND', 404)
      expect((await status(person.accessToken)).enabled).to.equal(false)
    })
  })

  describe('changing factors', () => {
    const age = (person: Person) =>
      app
        .db('sessions')
        .where({ user_id: person.id })
        .update({
          payload: app.db.raw(`payload || jsonb_build_object('loginTs', extract(epoch from now())::bigint - 1000)`),
        })

    it('asks for a recent sign-in (RFC 9470), or a code', async () => {
      const fay = await app.person()
      await age(fay)
      const late = await post('/v1/auth/mfa/setup', {}, fay.accessToken)
      refused(late, 'INSUFFICIENT_AUTHENTICATION', 401)
      expect(late.headers.get('www-authenticate')).to.match(
        /^Bearer error="insufficient_user_authentication", .*max_age=900/,
      )
      const { body } = await firstStep(app, fay)
      fay.accessToken = body.tokens.access_token
      const { secret, backupCodes } = await withApp(app, fay)
      await age(fay)
      for (const path of ['/v1/auth/mfa/setup', '/v1/auth/mfa/backup-codes', '/v1/auth/mfa/disable']) {
        refused(await post(path, {}, fay.accessToken), 'INSUFFICIENT_AUTHENTICATION', 401)
      }
      refused(await post('/v1/auth/mfa/disable', { code: wrongCode(secret) }, fay.accessToken), 'INVALID_CODE', 400)
      expect((await status(fay.accessToken)).enabled).to.equal(true)
      expect((await post('/v1/auth/mfa/backup-codes', { code: backupCodes[3] }, fay.accessToken)).status).to.equal(200)
      const off = await post('/v1/auth/mfa/disable', { code: appCode(secret) }, fay.accessToken)
      expect(off.body).to.deep.equal({ disabled: ['totp'], methods: [] })
      expect(await status(fay.accessToken)).to.include({ enabled: false, backup_codes_remaining: 0 })
      expect((await firstStep(app, fay)).body).to.have.property('tokens')
      await app.smtp.waitFor(fay.email, /authenticator app was removed/)
    })

    it('a session without the second factor may not turn it off', async () => {
      const person = await app.person()
      const other = (await firstStep(app, person)).body.tokens.access_token
      const { body: made } = await post('/v1/auth/mfa/setup', {}, person.accessToken)
      await post('/v1/auth/mfa/enable', { code: appCode(made.secret), keep_sessions: true }, person.accessToken)
      expect((await me(other)).status).to.equal(200)
      const tried = await post('/v1/auth/mfa/disable', {}, other)
      refused(tried, 'INSUFFICIENT_AUTHENTICATION', 401)
      expect(tried.headers.get('www-authenticate')).to.include('acr_values="urn:gatehouse:acr:mfa"')
      refused(await post('/v1/auth/mfa/setup', {}, other), 'INSUFFICIENT_AUTHENTICATION', 401)
      expect((await post('/v1/auth/mfa/disable', {}, person.accessToken)).status).to.equal(200)
    })

    it('the last one stays while the tenant demands one', async () => {
      const person = await app.person()
      await verified(app, person)
      await withApp(app, person)
      await pause(1000)
      await policy('required')
      try {
        refused(await post('/v1/auth/mfa/disable', {}, person.accessToken), 'CONFLICT', 409)
        expect((await status(person.accessToken)).methods).to.deep.equal(['totp'])
        expect((await post('/v1/auth/mfa/email/enable', {}, person.accessToken)).status).to.equal(200)
        const both = await Promise.all([
          post('/v1/auth/mfa/disable', {}, person.accessToken),
          post('/v1/auth/mfa/email/disable', {}, person.accessToken),
        ])
        expect(both.map((a) => a.status).sort()).to.deep.equal([200, 409])
        expect((await status(person.accessToken)).methods).to.have.length(1)
      } finally {
        await policy('optional')
      }
    })

    it('the preferred one is offered first, if it is on', async () => {
      const person = await app.person()
      await verified(app, person)
      await withApp(app, person)
      await pause(1000)
      refused(await post('/v1/auth/mfa/preferred', { method: 'email' }, person.accessToken), 'VALIDATION_ERROR', 400)
      await post('/v1/auth/mfa/email/enable', {}, person.accessToken)
      const set = await post('/v1/auth/mfa/preferred', { method: 'email' }, person.accessToken)
      expect(set.body).to.include({ preferred_method: 'email' })
      expect((await firstStep(app, person)).body.preferred_method).to.equal('email')
      await post('/v1/auth/mfa/email/disable', {}, person.accessToken)
      expect((await firstStep(app, person)).body.preferred_method).to.equal('totp')
    })

    it('fifty parallel proofs of one set-up enable it once', async () => {
      const person = await app.person()
      const { body: made } = await post('/v1/auth/mfa/setup', {}, person.accessToken)
      const code = appCode(made.secret)
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => post('/v1/auth/mfa/enable', { code }, person.accessToken)),
      )
      expect(answers.filter((a) => a.status === 200)).to.have.length(1)
      expect(answers.filter((a) => a.status >= 500)).to.deep.equal([])
      const rows = await app.db('credentials').where({ user_id: person.id, type: 'totp' })
      expect(rows).to.have.length(1)
      expect(await events('mfa.enabled', person.id)).to.have.length(1)
    })

    it('speaks the other documents: core, phased and sso paths', async () => {
      const person = await app.person()
      await verified(app, person)
      const { body: core } = await post('/auth/mfa/setup', {}, person.accessToken)
      expect(core).to.include.keys('secret', 'url')
      const on = await post('/auth/mfa/verify', { code: appCode(core.secret) }, person.accessToken)
      expect(on.body).to.include({ enabled: true, method: 'totp' })
      await forgetSteps(app, person.id)
      await pause(1000)
      const { body: setup } = await post('/api/account/2fa/setup', {}, person.accessToken)
      expect(setup.success).to.equal(true)
      expect(setup.data).to.include.keys('secret', 'url', 'qrSvg')
      const sso = await post('/api/account/2fa/verify', { code: appCode(setup.data.secret) }, person.accessToken)
      expect(sso.body.data).to.deep.equal({ enabled: true, method: 'totp' })
      const security = await app.call('PUT', '/api/account/security', {
        token: person.accessToken,
        body: { emailMfa: true, preferredMethod: 'email' },
      })
      expect(security.body.data).to.include({ enabled: true, preferredMethod: 'email' })
      const gone = await app.call('DELETE', '/api/account/2fa', { token: person.accessToken })
      expect(gone.body.data).to.deep.equal({ disabled: ['totp', 'email'], methods: [] })
      refused(await post('/auth/2fa/verify', { code: '123456' }), 'UNAUTHORIZED', 401)
    })
  })

  describe('cannot be skipped', () => {
    it('by a new password, nor by registering where it is demanded', async () => {
      const gus = await app.person()
      const { secret } = await withApp(app, gus)
      await post('/v1/auth/forgot-password', { email: gus.email })
      const mail = await app.smtp.waitFor(gus.email, /reset-password\?token=/)
      const token = new URL(mail.link('reset-password')).searchParams.get('token')
      gus.password = 'Another-Password-77!'
      await post('/v1/auth/reset-password', { token, new_password: gus.password })
      const first = await firstStep(app, gus)
      expect(first.body).to.include({ mfa_required: true })
      expect(first.body).to.not.have.property('tokens')
      expect(
        (await post('/v1/auth/login/mfa', { mfa_token: first.body.mfa_token, code: appCode(secret) })).status,
      ).to.equal(200)
    })

    it('by a mailed link or its code; the mailbox that opened it is then no second factor', async () => {
      const jo = await app.person()
      await verified(app, jo)
      const { secret } = await withApp(app, jo)
      await pause(1000)
      await post('/v1/auth/mfa/email/enable', {}, jo.accessToken)
      await post('/v1/auth/magic-link/send', { email: jo.email })
      const mail = await app.smtp.waitFor(jo.email, /magic-link\?token=/)
      const before = (await sessionsOf(jo.id)).length

      const token = new URL(mail.link('magic-link')).searchParams.get('token')
      const first = await post('/v1/auth/magic-link/verify', { token })
      expect(first.body, JSON.stringify(first.body)).to.include({ mfa_required: true, user_id: jo.id })
      expect(first.body.methods).to.deep.equal(['totp', 'backup_codes'])
      const { mfa_token } = first.body
      refused(await post('/v1/auth/login/mfa/email/send', { mfa_token }), 'VALIDATION_ERROR', 400)
      expect(await sessionsOf(jo.id)).to.have.length(before)
      expect((await post('/v1/auth/login/mfa', { mfa_token, code: appCode(secret) })).status).to.equal(200)
    })

    it('where it is demanded and there is none, sign-in waits for enrolment', async () => {
      const hana = await app.person()
      await policy('required')
      try {
        const first = await firstStep(app, hana)
        expect(first.body).to.include({ mfa_required: true, enrolment_required: true })
        expect(first.body).to.not.have.property('tokens')
        for (const path of ['/v1/auth/login/mfa', '/v1/auth/login/mfa/backup', '/v1/auth/login/mfa/email']) {
          refused(await post(path, { mfa_token: first.body.mfa_token, code: '123456' }), 'INVALID_CODE', 400)
        }
      } finally {
        await policy('optional')
      }
    })

    it('by a refresh token from before: those sessions ended', async () => {
      const ivy = await app.person()
      const { body } = await firstStep(app, ivy)
      await withApp(app, ivy)
      refused(await post('/v1/auth/refresh', { refresh_token: body.tokens.refresh_token }), 'UNAUTHORIZED', 401)
      expect((await post('/v1/auth/refresh', { refresh_token: ivy.refreshToken })).status).to.equal(200)
    })
  })
})
