import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { Browser } from '../support/rp.ts'
import { type SmsGateway, startGateway } from '../support/sms-gateway.ts'

let last = 10_000_000
const number = () => {
  last += 1
  return `+49151${last}`
}

describe('one-time codes', () => {
  let app: TestApp
  let gateway: SmsGateway
  before(async () => {
    gateway = await startGateway()
    app = await startApp({
      TRUST_PROXY: '1',
      OUTBOUND_ALLOW: '127.0.0.1/32',
      SMS_URL: `http://us%3Aer:pass%2Fword@127.0.0.1:${gateway.port}/send?route=1`,
    })
  })
  after(async () => {
    await app?.close()
    await gateway?.close()
  })
  const post = (path: string, body: object, token?: string) =>
    app.call('POST', path, { body, headers: from(), ...(token && { token }) })
  const send = (body: object, token?: string) => post('/auth/otp/send', body, token)
  const verify = (body: object, token?: string) => post('/auth/otp/verify', body, token)
  const withPhone = async (proven: boolean): Promise<Person & { phone: string }> => {
    const person = await app.person()
    const phone = number()
    await app
      .db('users')
      .where({ id: person.id })
      .update({ phone_number: phone, phone_verified_at: proven ? app.db.fn.now() : null })
    return { ...person, phone }
  }

  it('texts Ada a code through the gateway, which verifies her number', async () => {
    const ada = await withPhone(false)
    expect((await send({ channel: 'sms' }, ada.accessToken)).status).to.equal(200)
    const { code, text, authorization, path } = await gateway.waitFor(ada.phone)
    expect(path).to.equal('/send?route=1')
    expect(Buffer.from(authorization!.slice(6), 'base64').toString()).to.equal('us:er:pass/word')
    expect(text).to.match(new RegExp(`\n@${new URL(app.url).host} #${code}$`))
    const { rows } = await app.db.raw('select payload::text from graphile_worker._private_jobs')
    expect(JSON.stringify(rows)).to.not.include(code)
    const done = await verify({ channel: 'sms', code }, ada.accessToken)
    expect(done.body).to.deep.equal({ verified: true, channel: 'sms' })
    const me = await app.call('GET', '/users/me', { token: ada.accessToken })
    expect(me.body.phone_number_verified).to.equal(true)
    expectProblem(await verify({ channel: 'sms', code }, ada.accessToken), 400, 'INVALID_CODE')
  })

  describe('a number, which lets its owner in, asks for a recent sign-in', () => {
    const stale = (id: string) =>
      app.db.raw(
        `update sessions set payload = payload || jsonb_build_object('loginTs', (payload ->> 'loginTs')::bigint - 3600) where user_id = ?`,
        [id],
      )
    const textsTo = async (phone: string) => (await gateway.texts()).filter(({ to }) => to === phone)

    it('to verify it, over REST: a stolen session of yesterday gets no text', async () => {
      const vic = await withPhone(false)
      await stale(vic.id)
      const asked = await send({ channel: 'sms' }, vic.accessToken)
      expectProblem(asked, 401, 'INSUFFICIENT_AUTHENTICATION')
      expect(asked.headers.get('www-authenticate')).to.include('max_age=900')
      // A code that was meant to let her in does not verify it either.
      expectProblem(await verify({ channel: 'sms', code: '123456' }, vic.accessToken), 400, 'INVALID_CODE')
      expect(await app.db('secrets').where({ user_id: vic.id, purpose: 'otp_sms' })).to.deep.equal([])
      const again = await post('/v1/auth/login', { email: vic.email, password: vic.password })
      expect((await send({ channel: 'sms' }, again.body.tokens.access_token)).status).to.equal(200)
      const { code } = await gateway.waitFor(vic.phone)
      expect(await textsTo(vic.phone), 'the first was never sent').to.have.length(1)
      const done = await verify({ channel: 'sms', code }, again.body.tokens.access_token)
      expect(done.body).to.include({ verified: true })
    })

    it('to make it a second factor, or a code of one', async () => {
      const wes = await withPhone(true)
      await stale(wes.id)
      for (const [path, body] of [
        ['/v1/auth/mfa/setup', { method: 'sms' }],
        ['/auth/2fa/enable', { method: 'sms' }],
        ['/v1/auth/mfa/enable', { method: 'sms', code: '123456' }],
      ] as const)
        expectProblem(await post(path, body, wes.accessToken), 401, 'INSUFFICIENT_AUTHENTICATION')
      const guessed = await post('/v1/auth/mfa/setup', { method: 'sms', step_up_code: '123456' }, wes.accessToken)
      expectProblem(guessed, 400, 'INVALID_CODE')
      expect(await app.db('credentials').where({ user_id: wes.id, type: 'sms' })).to.deep.equal([])
      expect(await textsTo(wes.phone)).to.deep.equal([])
    })

    it('on pages: the way leads past the password, and texts nothing before', async () => {
      const xia = await withPhone(false)
      await app.db('rate_limits').delete()
      const browser = new Browser(app.url)
      await browser.submit(await browser.open('/account'), { email: xia.email, password: xia.password })
      const profile = await browser.open('/account/profile')
      await stale(xia.id)
      const asked = await browser.submit(profile, {}, '/profile/phone"')
      expect(asked.page).to.include('name="password"')
      expect(await textsTo(xia.phone)).to.deep.equal([])
      const back = await browser.submit(asked, { email: xia.email, password: xia.password })
      const code = await browser.submit(back, {}, '/profile/phone"')
      expect(code.page, code.url).to.include('name="code"')
      await gateway.waitFor(xia.phone)
    })
  })

  it('signs Bea in by a text to her verified number, once', async () => {
    const bea = await withPhone(true)
    expect((await send({ phone_number: bea.phone })).status).to.equal(200)
    const { code } = await gateway.waitFor(bea.phone)
    const answers = await Promise.all(Array.from({ length: 5 }, () => verify({ phone_number: bea.phone, code })))
    expect(answers.filter((a) => a.status === 200)).to.have.length(1)
    const won = answers.find((a) => a.status === 200)!
    expect(won.body.user.id).to.equal(bea.id)
    const sessions = await app.db('sessions').where({ user_id: bea.id }).orderBy('created_at', 'desc')
    expect(sessions[0].payload.amr).to.deep.equal(['sms'])
  })

  it('signs Noa in on the page, by the number she has proven, and nobody by another', async () => {
    const noa = await withPhone(true)
    const browser = new Browser(app.url)
    const start = async () => {
      await app.db('rate_limits').delete()
      const login = await browser.open('/account')
      return browser.open(/href="([^"]*\/texted)"/.exec(login.page!)![1]!)
    }
    const odd = await browser.submit(await start(), { phone_number: '0151 1234' })
    expect(odd.page).to.include('with the country code')
    const stranger = await browser.submit(odd, { phone_number: number() })
    const sent = await browser.submit(await start(), { phone_number: noa.phone.replace('+49', '+49 (') })
    expect(stranger.status).to.equal(sent.status)
    const { code } = await gateway.waitFor(noa.phone)
    expect((await browser.submit(stranger, { code })).page, 'of another number').to.include('code-error')
    const wrong = await browser.submit(sent, { code: code === '000000' ? '000001' : '000000' })
    expect(wrong.page).to.include('code-error')
    const inside = await browser.submit(wrong, { code })
    expect(inside.page, inside.url).to.include('/account/two-step')
    const [session] = await app.db('sessions').where({ user_id: noa.id, kind: 'browser' })
    expect(session.payload.amr).to.deep.equal(['sms'])
  })

  it('texts nobody whose number was not proven, or is shared, and says nothing of it', async () => {
    const cy = await withPhone(false)
    const [di, ed] = [await withPhone(true), await withPhone(true)]
    await app.db('users').where({ id: ed.id }).update({ phone_number: di.phone })
    const answers = [
      await send({ phone_number: cy.phone }),
      await send({ phone_number: di.phone }),
      await send({ phone_number: number() }),
    ]
    for (const answer of answers) expect(answer.body).to.deep.equal(answers[0]!.body)
    const fay = await withPhone(true)
    await send({ phone_number: fay.phone })
    await gateway.waitFor(fay.phone)
    const to = (await gateway.texts()).map((t) => t.to)
    expect(to).to.not.include(cy.phone).and.not.include(di.phone)
    expectProblem(await verify({ phone_number: cy.phone, code: '000000' }), 400, 'INVALID_CODE')
  })

  it('does not sign anybody in with a code that was meant to verify a number', async () => {
    const gil = await withPhone(false)
    await send({ channel: 'sms' }, gil.accessToken)
    const { code } = await gateway.waitFor(gil.phone)
    expectProblem(await verify({ phone_number: gil.phone, code }), 400, 'INVALID_CODE')
    expect(await app.db('sessions').where({ user_id: gil.id })).to.have.length(1)
  })

  it('bears five wrong codes', async () => {
    const hal = await withPhone(true)
    await send({ phone_number: hal.phone })
    const { code } = await gateway.waitFor(hal.phone)
    const wrong = code === '000000' ? '000001' : '000000'
    const guesses = await Promise.all(
      Array.from({ length: 20 }, () => verify({ phone_number: hal.phone, code: wrong })),
    )
    for (const guess of guesses) expectProblem(guess, 400, 'INVALID_CODE')
    expectProblem(await verify({ phone_number: hal.phone, code }), 400, 'INVALID_CODE')
  })

  it('sends three an hour to one number', async () => {
    const phone = number()
    const statuses = []
    for (let i = 0; i < 4; i += 1) statuses.push((await send({ phone_number: phone })).status)
    expect(statuses).to.deep.equal([200, 200, 200, 429])
  })

  it('still asks for a second factor', async () => {
    const ida = await withPhone(true)
    await app
      .db('credentials')
      .insert({ tenant_id: DEFAULT_TENANT, id: crypto.randomUUID(), user_id: ida.id, type: 'totp', secret: 'x' })
    await send({ phone_number: ida.phone })
    const { code } = await gateway.waitFor(ida.phone)
    const answer = await verify({ phone_number: ida.phone, code })
    expect(answer.body).to.include({ mfa_required: true, user_id: ida.id }).and.to.not.have.property('tokens')
  })

  it('mails a code where it is asked to: to sign in, or to verify the own address', async () => {
    const codeIn = async (email: string) => {
      const { raw } = await app.smtp.waitFor(email, /magic-link\?token=/)
      return /\b\d{6}\b/.exec(raw.slice(raw.indexOf('code')))![0]
    }
    const jo = await app.person()
    await send({ channel: 'email' }, jo.accessToken)
    const own = await verify({ code: await codeIn(jo.email) }, jo.accessToken)
    expect(own.body).to.deep.equal({ verified: true, channel: 'email' })
    const login = await post('/auth/login', { email: jo.email, password: jo.password })
    expect(login.body.user.is_email_verified, 'and the password stays').to.equal(true)
    const kim = await app.person()
    await send({ email: kim.email })
    const signedIn = await verify({ email: kim.email, code: await codeIn(kim.email) })
    expect(signedIn.body.user.id).to.equal(kim.id)
    expectProblem(await send({ email: kim.email }, jo.accessToken), 400, 'VALIDATION_ERROR')
    expectProblem(await send({}), 400, 'VALIDATION_ERROR')
  })

  it('tries again when the gateway is busy, with a new code', async () => {
    const lou = await withPhone(true)
    await gateway.refuse(1)
    await send({ phone_number: lou.phone })
    const { code } = await gateway.waitFor(lou.phone)
    expect((await verify({ phone_number: lou.phone, code })).status).to.equal(200)
  }).timeout(15_000)

  it("speaks Twilio's API, and keeps texts in the mailbox where there is no gateway", async () => {
    const base = encodeURIComponent(`http://127.0.0.1:${gateway.port}`)
    const twilio = await startApp({
      OUTBOUND_ALLOW: '127.0.0.1/32',
      SMS_URL: `twilio://AC12:to%3Aken@+15005550006?base=${base}`,
    })
    const bare = await startApp()
    try {
      for (const each of [twilio, bare]) {
        const max = await each.person()
        const phone = number()
        await each
          .db('users')
          .where({ id: max.id })
          .update({ phone_number: phone, phone_verified_at: each.db.fn.now() })
        await each.call('POST', '/auth/otp/send', { body: { phone_number: phone } })
        if (each === twilio) {
          const { path, authorization, fields } = await gateway.waitFor(phone)
          expect(path).to.equal('/2010-04-01/Accounts/AC12/Messages.json')
          expect(Buffer.from(authorization!.slice(6), 'base64').toString()).to.equal('AC12:to:ken')
          expect(fields).to.include({ To: phone, From: '+15005550006' })
          continue
        }
        let row: any
        for (let i = 0; i < 100 && !row; i += 1) {
          row = await each.db('mailbox').where({ recipient: phone }).first()
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
        const { page } = await new Browser(each.url).open(`${each.url}/dev/mailbox`)
        expect(page).to.include(phone)
        const code = /\b\d{6}\b/.exec(row.body)![0]
        const answer = await each.call('POST', '/auth/otp/verify', { body: { phone_number: phone, code } })
        expect(answer.body.user.id).to.equal(max.id)
      }
    } finally {
      await twilio.close()
      await bare.close()
    }
  }).timeout(20_000)
})
