/** The database is away, or hangs: everybody is told to come back, nobody is told something wrong, and all is well afterwards. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { from } from '../support/address.ts'
import type { Answer } from '../support/app.ts'
import { Browser } from '../support/rp.ts'
import { type SmtpSink, startSmtp } from '../support/smtp.ts'
import { type Database, ownDatabase } from './database.ts'
import { administrator, basic, makeClient, PASSWORD, register, signIn, someone } from './people.ts'
import { cleanUp, isAlive, launch, type Program, until } from './program.ts'

type Probe = [name: string, ask: () => Promise<Pick<Answer, 'status'> & Partial<Answer>>]

describe('while the database is away', function () {
  this.timeout(90_000)
  let database: Database
  let program: Program
  let smtp: SmtpSink
  let url: string
  let probes: Probe[]
  before(async () => {
    database = await ownDatabase()
    smtp = await startSmtp()
    url = await database.create('outage')
    const env = { DATABASE_URL: url, SECRET_KEY: 'x'.repeat(32), SMTP_URL: smtp.url, LOG_LEVEL: 'info' }
    program = await launch({ env })
    probes = await probesOf(program)
    for (const [name, ask] of probes) expect((await ask()).status, name).to.be.below(401)
  })
  afterEach(() => database.thaw())
  after(async () => {
    await database.remove()
    await smtp.close()
    await cleanUp()
  })

  it('answers 503 with Retry-After everywhere, within 5 s; is back within 5 s of its return', async () => {
    await database.kill()
    // Standing of a token is believed for one second.
    await sleep(1000)
    await expectUnavailable(program, probes)
    await sleep(1000)
    await expectUnavailable(program, probes)
    await database.start()
    await expectBack(program, probes)
  })

  it('answers the same while the database hangs, at /health within 200 ms', async () => {
    database.freeze()
    await sleep(1000)
    const times: number[] = []
    for (let i = 0; i < 5; i += 1) {
      const since = performance.now()
      const health = await program.call('GET', '/health')
      times.push(performance.now() - since)
      expect(health.status).to.equal(503)
      expect(health.body).to.deep.equal({ status: 'unavailable', services: { database: 'down' } })
      await sleep(50)
    }
    // A busy machine may delay one.
    expect(times.sort((a, b) => a - b)[2]).to.be.below(200)
    await expectUnavailable(program, probes)
    database.thaw()
    await expectBack(program, probes)
  })

  it('sends mail again afterwards, and notices what somebody changes in the tenant', async () => {
    const email = await register(program)
    await smtp.waitFor(email, /verify-email/)
    const suspended = async () => (await program.call('GET', '/v1/auth/settings', { headers: from() })).status === 403
    expect(await suspended()).to.equal(false)
    await database.query("update tenants set status = 'suspended', version = version + 1", [], url)
    await until('the tenant is suspended', 6000, suspended)
    await database.query("update tenants set status = 'active', version = version + 1", [], url)
    await until('the tenant is active', 6000, async () => !(await suspended()))
  })

  it('logs no failure of ours about it, and stops in order while the database is away', async () => {
    await database.kill()
    expect((await program.call('GET', '/health')).status).to.equal(503)
    const since = Date.now()
    expect(await program.stop()).to.equal(0)
    expect(Date.now() - since).to.be.below(12_000)
    expect(isAlive(program.pid)).to.equal(false)
    expect(program.output()).to.not.match(/request failed|operation failed|provider failed/)
  })

  it('waits for it at the start, and says so', async () => {
    setTimeout(() => void database.start(), 2500)
    const late = await launch({ env: { DATABASE_URL: url, SECRET_KEY: 'x'.repeat(32) } })
    expect(late.output()).to.match(/waiting for the database outage at 127\.0\.0\.1/)
    await late.stop()
  })
})

/** Everything that needs the database, by callers whose clients, sessions and pages are known from before. */
async function probesOf(program: Program): Promise<Probe[]> {
  const email = await register(program)
  const tokens = await signIn(program, email)
  const admin = await administrator(program)
  const grant_types = ['authorization_code', 'refresh_token', 'client_credentials']
  const known = await makeClient(program, admin, { grant_types })
  const html = { accept: 'text/html' }
  const authorize = `/oauth/authorize?${new URLSearchParams({
    client_id: known.client_id,
    response_type: 'code',
    redirect_uri: 'https://rp.example.com/callback',
    scope: 'openid',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  })}`
  const browser = new Browser(program.url)
  const forgot = await browser.open('/forgot-password')
  const step = await browser.open(authorize)
  const token = tokens.access_token
  const call = program.call
  let refresh = tokens.refresh_token
  return [
    ['login', () => call('POST', '/v1/auth/login', { body: { email, password: PASSWORD }, headers: from() })],
    [
      'register',
      () => call('POST', '/v1/auth/register', { body: { email: someone(), password: PASSWORD }, headers: from() }),
    ],
    [
      'refresh',
      async () => {
        const answer = await call('POST', '/v1/auth/refresh', { body: { refresh_token: refresh }, headers: from() })
        if (answer.status === 200) refresh = (answer.body.tokens ?? answer.body).refresh_token
        return answer
      },
    ],
    ['me', () => call('GET', '/v1/auth/me', { token, headers: from() })],
    ['sso sessions', () => call('GET', '/api/account/sessions', { token, headers: from() })],
    ['admin clients', () => call('GET', '/clients', { token: admin, headers: from() })],
    ['introspect', () => call('POST', '/oauth/introspect', { form: { token }, headers: basic(known) })],
    ['userinfo', () => call('GET', '/oauth/userinfo', { token })],
    [
      'refresh grant',
      () =>
        call('POST', '/oauth/token', {
          form: { grant_type: 'refresh_token', refresh_token: 'rt_unknown' },
          headers: basic(known),
        }),
    ],
    ['authorize', () => call('GET', authorize, { headers: html })],
    ['login page', () => browser.request(step.url)],
    ['mail page', () => browser.submit(forgot, { email })],
    ['verification page', () => call('GET', '/verify-email?token=abc', { headers: html })],
  ]
}

async function expectUnavailable(program: Program, probes: Probe[]): Promise<void> {
  await Promise.all(
    probes.map(async ([name, ask]) => {
      const since = performance.now()
      const answer = await ask()
      expect(performance.now() - since, name).to.be.below(5000)
      expect(answer.status, `${name}: ${JSON.stringify(answer.body)}`).to.equal(503)
      if (answer.headers) expect(Number(answer.headers.get('retry-after')), name).to.be.above(0)
      expect(JSON.stringify(answer.body ?? '')).to.not.match(/ECONN|postgres|127\.0\.0\.1:|terminated/i)
    }),
  )
  // Nobody can say yet that there is no such client, or tenant.
  const form = { grant_type: 'client_credentials', client_id: someone(), client_secret: 'secret' }
  expect((await program.call('POST', '/oauth/token', { form })).status).to.equal(503)
  expect((await program.call('GET', `/t/${someone().slice(0, 9)}/v1/auth/settings`)).status).to.equal(503)
  const health = await program.call('GET', '/health')
  expect(health.status).to.equal(503)
  expect(health.headers.get('retry-after')).to.match(/^\d+$/)
  // What this process knows it goes on telling; after an interruption it forgets, since it may have missed a change.
  for (const path of ['/.well-known/openid-configuration', '/oauth/jwks'])
    expect((await program.call('GET', path)).status, path).to.be.oneOf([200, 503])
}

async function expectBack(program: Program, probes: Probe[]): Promise<void> {
  const since = performance.now()
  for (const [name, ask] of probes)
    await until(
      `${name} is back`,
      Math.max(100, 5000 - (performance.now() - since)),
      async () => (await ask()).status < 401,
    )
  await until('health is back', 1000, async () => (await program.call('GET', '/health')).status === 200)
}
