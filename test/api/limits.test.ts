import { expect } from 'chai'
import { from } from '../support/address.ts'
import { type Answer, startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { Browser } from '../support/rp.ts'

const PASSWORD = 'SecurePassword123!'

/** The documented table. */
const table = [
  {
    path: '/v1/auth/register',
    limit: 5,
    seconds: 3600,
    body: (i: number) => ({ email: `limit${i}@example.com`, password: 'weak' }),
  },
  {
    path: '/v1/auth/login',
    limit: 10,
    seconds: 900,
    body: (i: number) => ({ email: `nobody${i}@example.com`, password: PASSWORD }),
  },
  {
    path: '/v1/auth/forgot-password',
    limit: 5,
    seconds: 3600,
    body: (i: number) => ({ email: `nobody${i}@example.com` }),
  },
  { path: '/v1/auth/refresh', limit: 100, seconds: 900, body: () => ({ refresh_token: 'rt_unknown' }) },
]

describe('rate limits', () => {
  let app: TestApp
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
  })
  after(() => app.close())
  const login = (email: string, password: string, headers: Record<string, string>, at = app): Promise<Answer> =>
    at.call('POST', '/v1/auth/login', { body: { email, password }, headers })
  const failedProofs = async () =>
    Number((await app.db('events').where({ type: 'login.failed' }).count({ n: '*' }))[0]!.n)

  for (const { path, limit, seconds, body } of table) {
    it(`${path}: ${limit} in ${seconds / 60} minutes for one address, with the documented headers`, async () => {
      const headers = from()
      const now = () => Math.floor(Date.now() / 1000)
      let reset = 0
      for (let i = 1; i <= limit; i += 1) {
        const answer = await app.call('POST', path, { body: body(i), headers })
        expect(answer.status).to.be.below(429)
        expect(answer.headers.get('x-ratelimit-limit')).to.equal(String(limit))
        expect(answer.headers.get('x-ratelimit-remaining')).to.equal(String(limit - i))
        expect(answer.headers.get('ratelimit-policy')).to.match(new RegExp(`^"[a-z_-]+";q=${limit};w=\\d+$`))
        expect(answer.headers.get('ratelimit')).to.match(new RegExp(`^"[a-z_-]+";r=${limit - i};t=\\d+$`))
        expect(answer.headers.get('retry-after')).to.equal(null)
        reset = Number(answer.headers.get('x-ratelimit-reset'))
        expect(Number.isInteger(reset)).to.equal(true)
        expect(reset).to.be.within(now() + seconds - 30, now() + seconds + 2)
      }
      const over = await app.call('POST', path, { body: body(0), headers })
      expectProblem(over, 429, 'RATE_LIMITED')
      expect(over.headers.get('x-ratelimit-remaining')).to.equal('0')
      expect(over.headers.get('x-ratelimit-limit')).to.equal(String(limit))
      expect(Number(over.headers.get('x-ratelimit-reset'))).to.be.within(reset - 1, reset + 1)
      const wait = over.headers.get('retry-after')!
      expect(wait).to.match(/^[1-9][0-9]*$/)
      expect(Number(wait)).to.be.within(seconds - 30, seconds)
      const elsewhere = await app.call('POST', path, { body: body(0), headers: from() })
      expect(elsewhere.status).to.be.below(429)
    })
  }

  it('count one budget over all spellings of an operation', async () => {
    const headers = from()
    for (let i = 0; i < 3; i += 1)
      await app.call('POST', '/v1/auth/forgot-password', { body: { email: 'x@example.com' }, headers })
    for (const path of ['/auth/forgot-password', '/auth/password/reset-request']) {
      expect((await app.call('POST', path, { body: { email: 'x@example.com' }, headers })).status).to.equal(200)
    }
    expectProblem(await app.call('POST', '/auth/forgot-password', { body: { email: 'x@example.com' }, headers }), 429)
    const page = await fetch(`${app.url}/forgot-password`, { headers: { ...headers, accept: 'text/html' } })
    expect(page.status).to.equal(200)
  })

  it('believe no forwarded address where no proxy is trusted', async () => {
    const open = await startApp()
    try {
      for (let i = 0; i < 5; i += 1) {
        await open.call('POST', '/v1/auth/forgot-password', { body: { email: 'x@example.com' }, headers: from() })
      }
      expectProblem(
        await open.call('POST', '/v1/auth/forgot-password', { body: { email: 'x@example.com' }, headers: from() }),
        429,
      )
    } finally {
      await open.close()
    }
  })

  it('take the address the trusted proxy saw, not what the caller put before it', async () => {
    const { 'x-forwarded-for': real } = from()
    for (let i = 0; i < 5; i += 1) {
      const headers = { 'x-forwarded-for': `203.0.113.${i}, ${real}` }
      await app.call('POST', '/v1/auth/forgot-password', { body: { email: 'x@example.com' }, headers })
    }
    const sixth = await app.call('POST', '/v1/auth/forgot-password', {
      body: { email: 'x@example.com' },
      headers: { 'x-forwarded-for': `203.0.113.99, ${real}` },
    })
    expectProblem(sixth, 429)
  })

  it('take all of an IPv6 /64 for one caller, and the next /64 for another', async () => {
    const ask = (ip: string) =>
      app.call('POST', '/v1/auth/forgot-password', {
        body: { email: 'x@example.com' },
        headers: { 'x-forwarded-for': ip },
      })
    const spellings = [
      '2001:db8:1:2::1',
      '2001:db8:1:2:aaaa::',
      '2001:DB8:1:2:0:0:0:3',
      '2001:db8:1:2::1.2.3.4',
      '2001:0db8:0001:0002::5',
    ]
    for (const ip of spellings) expect((await ask(ip)).status, ip).to.equal(200)
    expectProblem(await ask('2001:db8:1:2:ffff:ffff:ffff:ffff'), 429)
    for (const ip of ['2001:db8:1:3::1', '2001:db8::1:2:0:1', '::1']) expect((await ask(ip)).status, ip).to.equal(200)
    const sid = await app.person('sid@example.com')
    expect((await login(sid.email, sid.password, { 'x-forwarded-for': '2001:db8:7::1' })).status).to.equal(200)
    await app.db('login_counters').delete()
    for (let i = 0; i < 5; i += 1) {
      expectProblem(await login(sid.email, 'wrong-guess-1', { 'x-forwarded-for': `2001:db8:9::${i + 1}` }), 401)
    }
    expectProblem(await login(sid.email, sid.password, { 'x-forwarded-for': '2001:db8:9::99' }), 429)
    expect((await login(sid.email, sid.password, { 'x-forwarded-for': '2001:db8:7::2' })).status).to.equal(200)
  })

  it('slow down guesses at one account from one address, on the API and on the pages alike', async () => {
    const ann = await app.person('ann@example.com')
    const headers = from()
    for (const path of ['/v1/auth/login', '/auth/login', '/v1/auth/login', '/auth/login', '/v1/auth/login']) {
      expectProblem(
        await app.call('POST', path, { body: { email: 'Ann@Example.com', password: 'wrong-guess-1' }, headers }),
        401,
        'INVALID_CREDENTIALS',
      )
    }
    const proofs = await failedProofs()
    const right = await login(ann.email, ann.password, headers)
    expectProblem(right, 429, 'RATE_LIMITED')
    expect(Number(right.headers.get('retry-after'))).to.be.within(20, 31)
    expect(await failedProofs()).to.equal(proofs)
    expect((await app.db('sessions').where({ user_id: ann.id })).length).to.equal(1)
    const change = await app.call('POST', '/v1/auth/change-password', {
      token: ann.accessToken,
      headers,
      body: { current_password: ann.password, new_password: 'NewSecurePassword123!' },
    })
    expectProblem(change, 429, 'RATE_LIMITED')
    const page = await pageLogin(ann.email, ann.password, headers)
    expect(page.status).to.equal(429)
    expect(page.html).to.match(/seconds|minute/i)
    // Elsewhere, and for somebody else here, nothing is slowed down.
    expect((await login(ann.email, ann.password, from())).status).to.equal(200)
  })

  /** A password typed on the hosted page of an authorization request. */
  async function pageLogin(email: string, password: string, headers: Record<string, string>) {
    const admin = await app.admin()
    const made = await app.call('POST', '/clients', {
      token: admin,
      body: { client_name: 'x', redirect_uris: ['https://rp.example.com/cb'] },
    })
    const browser = new Browser(app.url)
    const original = globalThis.fetch
    globalThis.fetch = ((url: any, init: any = {}) =>
      original(url, { ...init, headers: { ...init.headers, ...headers } })) as typeof fetch
    try {
      const query = new URLSearchParams({
        client_id: made.body.client_id,
        response_type: 'code',
        scope: 'openid',
        redirect_uri: 'https://rp.example.com/cb',
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
      })
      const at = await browser.open(`${app.url}/oauth/authorize?${query}`)
      const done = await browser.submit(at, { email, password })
      return { status: done.status, html: done.page ?? '' }
    } finally {
      globalThis.fetch = original
    }
  }

  it('count what was typed on pages against the API too', async () => {
    const abe = await app.person('abe@example.com')
    const headers = from()
    for (let i = 0; i < 5; i += 1)
      expect((await pageLogin(abe.email, `wrong-guess-${i}`, headers)).status).to.equal(401)
    expectProblem(await login(abe.email, abe.password, headers), 429, 'RATE_LIMITED')
  })

  it('cannot be turned against the owner: who signed in from an address before gets in from there', async () => {
    const eva = await app.person('eva@example.com')
    const home = { 'x-forwarded-for': '2001:db8:40:1::1' }
    expect((await login(eva.email, eva.password, home)).status).to.equal(200)
    // A hundred guesses from everywhere.
    for (let i = 0; i < 25; i += 1) {
      await Promise.all(Array.from({ length: 4 }, () => login(eva.email, 'wrong-guess-1', from())))
    }
    expectProblem(await login(eva.email, eva.password, from()), 429, 'RATE_LIMITED')
    expectProblem(await login(eva.email, 'wrong-guess-1', from()), 429, 'RATE_LIMITED')
    const tomorrow = { 'x-forwarded-for': '2001:db8:40:1:abcd::7' }
    expect((await login(eva.email, eva.password, tomorrow)).status).to.equal(200)
    // A reset by mail works from anywhere, and then signing in does, too.
    const away = from()
    await app.call('POST', '/v1/auth/forgot-password', { body: { email: eva.email }, headers: away })
    const mail = await app.smtp.waitFor(eva.email, /reset-password\?token=/)
    const token = new URL(mail.link('reset-password')).searchParams.get('token')
    await app.call('POST', '/v1/auth/reset-password', {
      body: { token, new_password: 'Recovered-Password-1' },
      headers: away,
    })
    expect((await login(eva.email, 'Recovered-Password-1', away)).status).to.equal(200)
  })

  it('lets no parallel guess slip by: of fifty at once, five are looked at', async () => {
    const pat = await app.person('pat@example.com')
    const headers = from()
    const proofs = await failedProofs()
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => login(pat.email, `wrong-guess-${i}`, headers)),
    )
    expect(answers.filter((a) => a.status === 401)).to.have.length(5)
    expect(answers.filter((a) => a.status === 429)).to.have.length(45)
    expect((await failedProofs()) - proofs).to.equal(5)
  })

  it('lets of 150 guesses from as many addresses no more than a hundred be looked at', async () => {
    const quin = await app.person('quin@example.com')
    const proofs = await failedProofs()
    const statuses: number[] = []
    for (let i = 0; i < 3; i += 1) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => login(quin.email, 'wrong-guess-1', from())))
      statuses.push(...answers.map((a) => a.status))
    }
    expect([...new Set(statuses)].sort()).to.deep.equal([401, 429])
    expect((await failedProofs()) - proofs).to.equal(100)
  }).timeout(60_000)

  it('survive a restart, and hold across two processes on one database', async () => {
    const first = await startApp({ TRUST_PROXY: '1' })
    const env = { TRUST_PROXY: '1', PUBLIC_URL: first.url }
    let second: TestApp | undefined
    let third: TestApp | undefined
    try {
      const rob = await first.person('rob@example.com')
      second = await startApp(env, { databaseUrl: first.databaseUrl })
      const headers = from()
      for (let i = 0; i < 5; i += 1) {
        const at = i % 2 ? first : second
        expect((await login(rob.email, 'wrong-guess-1', headers, at)).status).to.equal(401)
      }
      for (const at of [first, second]) expectProblem(await login(rob.email, rob.password, headers, at), 429)
      const other = from()
      for (let i = 0; i < 5; i += 1) {
        const at = i % 2 ? first : second
        const answer = await at.call('POST', '/v1/auth/forgot-password', {
          body: { email: 'x@example.com' },
          headers: other,
        })
        expect(answer.headers.get('x-ratelimit-remaining')).to.equal(String(4 - i))
      }
      await Promise.all([first.stop(), second.stop()])
      third = await startApp(env, { databaseUrl: first.databaseUrl })
      expectProblem(
        await third.call('POST', '/v1/auth/forgot-password', { body: { email: 'x@example.com' }, headers: other }),
        429,
      )
      expectProblem(await login(rob.email, rob.password, headers, third), 429)
      expect((await login(rob.email, rob.password, from(), third)).status).to.equal(200)
    } finally {
      await third?.stop()
      await second?.stop()
      await first.close()
    }
  })

  it('answer overload of hashing with 503 quickly, while refreshing goes on', async () => {
    const sue = await app.person('sue@example.com')
    const started = performance.now()
    const took: number[] = []
    const flood = Array.from({ length: 200 }, async (_, i) => {
      const answer = await login(`flood${i}@example.com`, 'wrong-guess-1', from())
      if (answer.status === 503) took.push(performance.now() - started)
      return answer
    })
    const fresh = await app.call('POST', '/v1/auth/refresh', {
      body: { refresh_token: sue.refreshToken },
      headers: from(),
    })
    const waited = performance.now() - started
    const answers = await Promise.all(flood)
    const refused = answers.filter((a) => a.status === 503)
    expect(refused.length).to.be.greaterThan(50)
    for (const answer of refused) {
      expectProblem(answer, 503, 'UNAVAILABLE')
      expect(answer.headers.get('retry-after')).to.match(/^[1-9]/)
    }
    expect(fresh.status).to.equal(200)
    expect(waited).to.be.below(2000)
    expect(Math.max(...took)).to.be.below(2500)
  }).timeout(60_000)
})
