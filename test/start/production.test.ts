/** NODE_ENV=production: what it refuses to start with, and what it keeps to itself. */
import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { from } from '../support/address.ts'
import { Browser } from '../support/rp.ts'
import { type SmtpSink, startSmtp } from '../support/smtp.ts'
import { type Database, ownDatabase } from './database.ts'
import { administrator, basic, makeClient, PASSWORD, register, signIn } from './people.ts'
import { ADMIN, call, cleanUp, freePort, launch, type Program, until } from './program.ts'

const NEW_PASSWORD = 'Another-Password-9!'

describe('production', function () {
  this.timeout(60_000)
  let database: Database
  let smtp: SmtpSink
  let proper: Record<string, string>
  before(async () => {
    database = await ownDatabase()
    smtp = await startSmtp()
    proper = {
      NODE_ENV: 'production',
      HOST: 'localhost',
      PUBLIC_URL: 'https://id.example.com',
      DATABASE_URL: await database.create('production'),
      SECRET_KEY: randomBytes(32).toString('base64'),
      SMTP_URL: smtp.url,
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
    }
  })
  after(async () => {
    await smtp.close()
    await database.remove()
    await cleanUp()
  })

  it('lists every unsafe or missing setting at once, and ends with 1 without touching anything', async () => {
    const since = Date.now()
    const program = await launch({
      early: true,
      env: {
        NODE_ENV: 'production',
        PUBLIC_URL: 'http://id.example.com',
        SECRET_KEY: 'change-me',
        ADMIN_PASSWORD: 'short',
        OUTBOUND_ALLOW: '10.0.0.0/99',
        WORKERS: 'many',
        NODE_TLS_REJECT_UNAUTHORIZED: '0',
      },
    })
    expect(await program.ended).to.equal(1)
    expect(Date.now() - since).to.be.below(10_000)
    const output = program.output()
    for (const name of ['PUBLIC_URL', 'DATABASE_URL', 'SMTP_URL', 'SECRET_KEY', 'ADMIN_PASSWORD'])
      expect(output).to.match(new RegExp(`^  - ${name}\\b`, 'm'))
    for (const name of ['OUTBOUND_ALLOW', 'WORKERS', 'NODE_TLS_REJECT_UNAUTHORIZED'])
      expect(output).to.match(new RegExp(`^  - ${name}\\b`, 'm'))
    expect(output).to.not.match(/change-me|"short"|\n +at /)
  })

  it('refuses a SECRET_KEY that nobody drew at random', async () => {
    for (const SECRET_KEY of ['0'.repeat(64), 'a passphrase of more than thirty-two letters']) {
      const program = await launch({ early: true, env: { ...proper, SECRET_KEY } })
      expect(await program.ended).to.equal(1)
      expect(program.output()).to.match(/ {2}- SECRET_KEY/)
    }
  })

  describe('with proper settings', () => {
    let program: Program
    before(async () => {
      program = await launch({ env: proper })
    })

    it('writes JSON lines with request ids', async () => {
      const answer = await program.call('GET', '/v1/auth/me', {
        headers: { 'x-request-id': 'abc-123', 'user-agent': 'a\nb'.replace('\n', ' ') },
      })
      expect(answer.headers.get('x-request-id')).to.equal('abc-123')
      await until('the line', 2000, () => program.output().includes('abc-123'))
      const lines = program.output().trim().split('\n')
      const parsed = lines.map((line) => JSON.parse(line))
      for (const line of parsed) expect(line).to.include.keys('level', 'time', 'msg')
      const line = parsed.find((each) => each.requestId === 'abc-123')
      expect(line).to.include({ level: 'info', method: 'GET', path: '/v1/auth/me', status: 401 })
    })

    it('logs no password, token, code or secret of anybody', async () => {
      const secrets: string[] = [PASSWORD, NEW_PASSWORD, ADMIN.password, proper.SECRET_KEY!]
      const email = await register(program)
      const verification = (await smtp.waitFor(email, /verify-email\?/)).link('verify-email').split('token=')[1]!
      const spent = { token: verification }
      expect((await program.call('POST', '/v1/auth/verify-email', { body: spent, headers: from() })).status).to.equal(
        200,
      )
      const wrong = { email, password: 'Wrong-Password-77!' }
      expect((await program.call('POST', '/v1/auth/login', { body: wrong, headers: from() })).status).to.equal(401)
      const tokens = await signIn(program, email)
      await program.call('POST', '/v1/auth/forgot-password', { body: { email }, headers: from() })
      const reset = (await smtp.waitFor(email, /reset-password\?/)).link('reset-password').split('token=')[1]!
      const body = { token: reset, new_password: NEW_PASSWORD, password: NEW_PASSWORD }
      await program.call('POST', '/v1/auth/reset-password', { body, headers: from() })
      await program.call('GET', `/reset-password?token=${reset}`, { headers: { accept: 'text/html' } })
      const client = await makeClient(program, await administrator(program), {
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      })
      const form = { grant_type: 'client_credentials' }
      const granted = await program.call('POST', '/oauth/token', { form, headers: basic(client) })
      expect(granted.status).to.equal(200)
      const broken = {
        grant_type: 'authorization_code',
        code: 'a-code-that-is-wrong',
        redirect_uri: 'https://x.example',
      }
      await program.call('POST', '/oauth/token', { form: broken, headers: basic(client) })
      await program.call('GET', `/oauth/userinfo?access_token=${tokens.access_token}`)
      await program.call('POST', '/oauth/introspect', { form: { token: tokens.access_token }, headers: basic(client) })
      secrets.push(verification, wrong.password, reset, client.client_secret, broken.code)
      secrets.push(tokens.access_token, tokens.refresh_token, granted.body.access_token)
      await until('the lines', 2000, () => program.output().includes('/oauth/introspect'))
      for (const secret of secrets) {
        expect(program.output()).to.not.contain(secret)
        expect(program.output()).to.not.contain(encodeURIComponent(secret))
      }
    })

    it('has no demo, no mailbox, no demo client and no open metrics', async () => {
      for (const path of ['/demo', '/dev/mailbox', '/dev/mailbox/1', '/metrics'])
        expect((await program.call('GET', path)).status, path).to.equal(404)
      const query = new URLSearchParams({
        client_id: 'demo',
        response_type: 'code',
        redirect_uri: `${program.url}/demo`,
      })
      expect((await program.call('GET', `/oauth/authorize?${query}`)).status).to.equal(400)
      const rows = await database.query("select from clients where client_id = 'demo'", [], proper.DATABASE_URL)
      expect(rows).to.deep.equal([])
      expect((await program.call('GET', '/health')).status).to.equal(200)
    })

    it('marks cookies Secure and asks browsers to stay with https, whatever the request claims', async () => {
      const client = await makeClient(program, await administrator(program))
      const query = new URLSearchParams({
        client_id: client.client_id,
        response_type: 'code',
        redirect_uri: 'https://rp.example.com/callback',
        scope: 'openid',
        code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
        code_challenge_method: 'S256',
      })
      const headers = { accept: 'text/html', 'x-forwarded-proto': 'http', 'x-forwarded-host': 'evil.example' }
      const answer = await program.call('GET', `/oauth/authorize?${query}`, { headers })
      expect(answer.status).to.equal(303)
      const cookies = answer.headers.getSetCookie()
      expect(cookies.length).to.be.above(0)
      for (const cookie of cookies)
        expect(cookie)
          .to.match(/; secure/i)
          .and.to.match(/; httponly/i)
      expect(answer.headers.get('strict-transport-security')).to.match(/max-age=\d{7,}/)
      expect(JSON.stringify([...answer.headers])).to.not.contain('evil.example')
      const { body } = await program.call('GET', '/.well-known/openid-configuration', { headers })
      expect(body.issuer).to.equal('https://id.example.com')
      expect(body.token_endpoint).to.equal('https://id.example.com/oauth/token')
      const page = await new Browser(program.url).request('/forgot-password')
      for (const cookie of page.headers.getSetCookie()) expect(cookie).to.match(/; secure/i)
    })

    it('says 503 at /health for a moment before it closes the port, and finishes what it has begun', async () => {
      process.kill(program.pid, 'SIGTERM')
      const away = async () => (await program.call('GET', '/health')).status === 503
      await until('/health says so', 1000, away)
      const health = await program.call('GET', '/health')
      expect(health.body).to.deep.equal({ status: 'unavailable', services: { database: 'up' } })
      // A request that a proxy sends before it notices is answered.
      expect((await program.call('GET', '/v1/auth/settings', { headers: from() })).status).to.be.below(500)
      expect(await program.ended).to.equal(0)
    })
  })

  it('with ADMIN_PORT serves the admin API there and nowhere else; /metrics with its token', async () => {
    const ADMIN_PORT = String(await freePort())
    const METRICS_TOKEN = 'metrics-token-for-tests'
    for (const WORKERS of ['1', '2']) {
      const program = await launch({ env: { ...proper, ADMIN_PORT, METRICS_TOKEN, WORKERS } })
      const adminUrl = `http://localhost:${ADMIN_PORT}`
      const token = await administrator(program)
      expect((await program.call('GET', '/clients', { token })).status).to.equal(404)
      expect((await call(adminUrl, 'GET', '/clients', { token })).status).to.equal(200)
      expect((await call(adminUrl, 'GET', '/clients')).status).to.equal(401)
      const login = { body: { email: ADMIN.email, password: ADMIN.password }, headers: from() }
      expect((await call(adminUrl, 'POST', '/v1/auth/login', login)).status).to.equal(404)
      expect((await program.call('GET', '/metrics')).status).to.equal(401)
      expect((await program.call('GET', '/metrics', { token: 'wrong' })).status).to.equal(401)
      const metrics = await program.call('GET', '/metrics', { token: METRICS_TOKEN })
      expect(metrics.status).to.equal(200)
      expect(metrics.body)
        .to.match(/^http_request_duration_seconds_bucket/m)
        .and.to.match(/^database_connections/m)
      expect(metrics.body).to.not.contain(token)
      expect(await program.stop()).to.equal(0)
    }
  })

  it('believes X-Forwarded-For from as many proxies as TRUST_PROXY says, and nobody else', async () => {
    const ipOf = async (TRUST_PROXY: string, forwarded: string) => {
      const program = await launch({ env: { ...proper, TRUST_PROXY } })
      await program.call('GET', '/v1/auth/settings', { headers: { 'x-forwarded-for': forwarded } })
      await until('the line', 2000, () => program.output().includes('/v1/auth/settings'))
      program.child.kill('SIGKILL')
      await program.ended
      const lines = program.output().trim().split('\n')
      return lines.map((line) => JSON.parse(line)).find((line) => line.path === '/v1/auth/settings').ip
    }
    expect(await ipOf('0', '203.0.113.9')).to.match(/^(127\.0\.0\.1|::1)$/)
    expect(await ipOf('1', '1.2.3.4, 203.0.113.9')).to.equal('203.0.113.9')
    expect(await ipOf('2', '1.2.3.4, 203.0.113.9, 10.0.0.1')).to.equal('203.0.113.9')
  })
})
