import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from, pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { Browser } from '../support/rp.ts'

const SAMPLES = 20
const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

describe('whether an account exists is not told', () => {
  let app: TestApp
  let zoe: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    zoe = await app.person('zoe@example.com')
  })
  after(() => app.close())

  interface Seen {
    status: number
    /** Without what differs from one request to the next. */
    body: unknown
    headers: Headers
  }
  const callApi = async (path: string, body: object): Promise<Seen> => {
    const answer = await app.call('POST', path, { body, headers: from() })
    const { request_id, ...rest } = answer.body
    return { ...answer, body: rest }
  }

  /** Calls in turn for a known and an unknown account; compares status, body and the median of the time. */
  async function indistinguishable(
    path: string,
    known: (i: number) => object,
    unknown: (i: number) => object,
    { send = callApi, fresh = false } = {},
  ) {
    const times: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] }
    const seen = new Set<string>()
    const once = async (kind: 'known' | 'unknown', i: number, round = 0) => {
      const n = i < 0 ? i : round * SAMPLES + i
      const body = kind === 'known' ? known(n) : unknown(n)
      // What one mailbox or number is sent is counted; that is not what is compared here.
      if (fresh) await app.db('rate_limits').delete()
      const started = performance.now()
      const answer = await send(path, body)
      times[kind].push(performance.now() - started)
      const headers = [...answer.headers.keys()].sort().join()
      seen.add(JSON.stringify([answer.status, answer.body, headers]))
      // The mail of a known account is rendered and sent by a job; it must not slow down the next sample.
      await pause(30)
    }
    for (let i = 0; i < 3; i += 1) for (const kind of ['known', 'unknown'] as const) await once(kind, -1 - i)
    // A real difference shows in every round; one that a busy machine made does not.
    let difference = Infinity
    for (let round = 0; round < 3 && difference >= 5; round += 1) {
      times.known.length = 0
      times.unknown.length = 0
      for (let i = 0; i < SAMPLES; i += 1) {
        const order = i % 2 ? (['known', 'unknown'] as const) : (['unknown', 'known'] as const)
        for (const kind of order) await once(kind, i, round)
      }
      difference = Math.abs(median(times.known) - median(times.unknown))
    }
    expect([...seen], path).to.have.length(1)
    expect([...seen][0], 'and it is no refusal of something else').to.match(/^\[(200|201|401),|INVALID_CODE/)
    expect(difference, `${path}: ${median(times.known)} and ${median(times.unknown)} ms`).to.be.below(5)
  }

  it('by signing in', async () => {
    // A person for each sample, since failures of one account slow it down.
    const people: string[] = []
    for (let i = 0; i < SAMPLES + 3; i += 1) people.push((await app.person()).email)
    await indistinguishable(
      '/v1/auth/login',
      (i) => ({ email: people.at(i < 0 ? i : i % SAMPLES), password: 'wrong-password-1' }),
      (i) => ({ email: `nobody${i}@example.com`, password: 'wrong-password-1' }),
    )
  }).timeout(60_000)

  it('by asking for a reset', () =>
    indistinguishable(
      '/v1/auth/forgot-password',
      () => ({ email: zoe.email }),
      (i) => ({ email: `nobody${i}@example.com` }),
    ))

  it('by asking for verification, for unverified and verified accounts', async () => {
    const unknown = (i: number) => ({ email: `nobody${i}@example.com` })
    await indistinguishable('/auth/resend-verification', () => ({ email: zoe.email }), unknown)
    await app.db('users').where({ id: zoe.id }).update({ email_verified_at: app.db.fn.now() })
    await indistinguishable('/auth/resend-verification', () => ({ email: zoe.email }), unknown)
  })

  it('by asking for a link or a code to sign in with, by mail or SMS', async () => {
    const unknown = (i: number) => ({ email: `nobody${i}@example.com`, allow_registration: false })
    const known = () => ({ email: zoe.email, allow_registration: false })
    await indistinguishable('/v1/auth/magic-link/send', known, unknown, { fresh: true })
    await indistinguishable('/auth/otp/send', known, unknown, { fresh: true })
    const phone = '+4915120000001'
    await app.db('users').where({ id: zoe.id }).update({ phone_number: phone, phone_verified_at: app.db.fn.now() })
    await indistinguishable(
      '/auth/otp/send',
      () => ({ phone_number: phone }),
      (i) => ({ phone_number: `+49151${30_000_000 + i}` }),
      { fresh: true },
    )
  }).timeout(60_000)

  it('by the pages that ask for a reset or for verification', async () => {
    const browser = new Browser(app.url)
    const { page } = await browser.open('/forgot-password')
    const csrf = /name="_csrf" value="([^"]+)"/.exec(page!)![1]!
    const cookie = [...browser.cookies].map(([key, { value }]) => `${key.split(' ')[0]}=${value}`).join('; ')
    const send = async (path: string, body: object): Promise<Seen> => {
      const { email } = body as { email: string }
      const answer = await fetch(app.url + path, {
        method: 'POST',
        headers: { cookie, origin: app.url, ...from() },
        body: new URLSearchParams({ _csrf: csrf, email }),
      })
      const html = (await answer.text())
        .replaceAll(email, 'who@example.com')
        .replaceAll(encodeURIComponent(email), 'who@example.com')
        .replace(/nonce="[^"]*"|name="_csrf" value="[^"]*"/g, '')
      return { status: answer.status, headers: answer.headers, body: html }
    }
    const unknown = (i: number) => ({ email: `nobody${i}@example.com` })
    for (const path of ['/forgot-password', '/resend-verification'])
      for (const verified of [true, false]) {
        await app
          .db('users')
          .where({ id: zoe.id })
          .update({ email_verified_at: verified ? app.db.fn.now() : null })
        if (verified || path === '/resend-verification')
          await indistinguishable(path, () => ({ email: zoe.email }), unknown, { send })
      }
  }).timeout(60_000)

  /** Posts the same form of a waiting sign-in again and again. */
  async function formAt(path: (start: string) => string) {
    const browser = new Browser(app.url)
    const start = await browser.open('/account')
    const at = await browser.open(path(start.url))
    const csrf = /name="_csrf" value="([^"]+)"/.exec(at.page!)![1]!
    const cookie = [...browser.cookies].map(([key, { value }]) => `${key.split(' ')[0]}=${value}`).join('; ')
    return async (_path: string, fields: object): Promise<Seen> => {
      const answer = await fetch(at.url, {
        method: 'POST',
        redirect: 'manual',
        headers: { cookie, origin: app.url, ...from() },
        body: new URLSearchParams({ _csrf: csrf, ...fields }),
      })
      const { email } = fields as { email: string }
      const html = (await answer.text())
        .replaceAll(email, 'who@example.com')
        .replaceAll(encodeURIComponent(email), 'who@example.com')
        .replace(/nonce="[^"]*"|name="_csrf" value="[^"]*"/g, '')
      return { status: answer.status, headers: answer.headers, body: html }
    }
  }

  it('by signing in, or asking for a link, on pages', async () => {
    const people: string[] = []
    for (let i = 0; i < SAMPLES + 3; i += 1) people.push((await app.person()).email)
    const password = 'wrong-password-1'
    await indistinguishable(
      'the page that signs in',
      (i) => ({ email: people.at(i < 0 ? i : i % SAMPLES), password }),
      (i) => ({ email: `nobody${i}@example.com`, password }),
      { send: await formAt((start) => start) },
    )
    await indistinguishable(
      'the page that asks for a link',
      () => ({ email: zoe.email }),
      (i) => ({ email: `nobody${i}@example.com` }),
      { send: await formAt((start) => `${start}/magic-link`), fresh: true },
    )
  }).timeout(90_000)

  it('by a wrong code, nor by what names a sign-in that waits', async () => {
    const code = '000000'
    await indistinguishable(
      '/v1/auth/magic-link/verify',
      () => ({ email: zoe.email, code }),
      (i) => ({ email: `nobody${i}@example.com`, code }),
      { fresh: true },
    )
    await indistinguishable(
      '/v1/auth/login/mfa',
      () => ({ user_id: zoe.id, code }),
      () => ({ user_id: crypto.randomUUID(), code }),
      { fresh: true },
    )
    await indistinguishable(
      '/v1/auth/login/mfa/webauthn/begin',
      () => ({ user_id: zoe.id }),
      () => ({ user_id: crypto.randomUUID() }),
      { fresh: true },
    )
  }).timeout(90_000)

  it('by registering, where the tenant hides it; the owner is told by mail', async () => {
    await app.db('settings').insert({ tenant_id: DEFAULT_TENANT, key: 'enumeration_protection', value: 'true' })
    await pause(300)
    const password = 'SecurePassword123!'
    await indistinguishable(
      '/v1/auth/register',
      () => ({ email: zoe.email, password }),
      (i) => ({ email: `fresh${i}@example.com`, password }),
    )
    await indistinguishable(
      'the page that registers',
      () => ({ email: zoe.email, password }),
      (i) => ({ email: `page${i}@example.com`, password }),
      { send: await formAt((start) => `${start}/register`), fresh: true },
    )
    const phone = '+4915130000000'
    expect(
      (await app.call('POST', '/v1/auth/register', { body: { phone_number: phone }, headers: from() })).status,
    ).to.equal(201)
    await indistinguishable(
      '/v1/auth/register',
      () => ({ phone_number: phone, password }),
      (i) => ({ phone_number: `+49151${31_000_000 + i}`, password }),
      { fresh: true },
    )
    expect(await app.db('users').where({ phone_number: phone })).to.have.length(1)
    expect(await app.db('users').where({ email_key: zoe.email })).to.have.length(1)
    await app.smtp.waitFor(zoe.email, /account/i)
    const taken = await app.call('POST', '/v1/auth/login', {
      body: { email: zoe.email, password: zoe.password },
      headers: from(),
    })
    expect(taken.status).to.equal(200)
  }).timeout(90_000)

  it('counts guesses at accounts that do not exist, too', async () => {
    const headers = from()
    const guess = () =>
      app.call('POST', '/v1/auth/login', {
        body: { email: 'ghost@example.com', password: 'wrong-password-1' },
        headers,
      })
    for (let i = 0; i < 5; i += 1) expect((await guess()).status).to.equal(401)
    expect((await guess()).status).to.equal(429)
  })
})
