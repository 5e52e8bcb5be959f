/** Webhooks of the real program: over its death by kill -9, and in production, where they lead to public addresses. */
import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { Webhook } from 'standardwebhooks'
import { type Receiver, startReceiver } from '../support/receiver.ts'
import { type SmtpSink, startSmtp } from '../support/smtp.ts'
import { type Database, ownDatabase } from './database.ts'
import { administrator, register, signIn } from './people.ts'
import { ADMIN, cleanUp, launch, type Program, until } from './program.ts'

describe('webhooks of the program', function () {
  this.timeout(120_000)
  let database: Database
  let receiver: Receiver
  let smtp: SmtpSink
  before(async () => {
    database = await ownDatabase()
    receiver = await startReceiver()
    smtp = await startSmtp()
  })
  after(async () => {
    await receiver.close()
    await smtp.close()
    await database.remove()
    await cleanUp()
  })

  const attempt = (program: Program, token: string, url: string, more: object = {}) =>
    program.call('POST', '/v1/webhooks', { token, body: { url, event_types: ['user.updated'], ...more } })

  it('reach the receiver though the program is killed between sending and the answer', async () => {
    const url = await database.create('webhooks_killed')
    const env = { DATABASE_URL: url, SECRET_KEY: 'x'.repeat(32), OUTBOUND_ALLOW: '127.0.0.1/32' }
    let program = await launch({ env })
    const token = (await signIn(program, await register(program))).access_token
    const { body: hook } = await attempt(program, token, `${receiver.url}/hang/killed`)
    const renamed = await program.call('PUT', '/users/me', { token, body: { given_name: 'Ada' } })
    expect(renamed.status).to.equal(200)
    const [first] = await receiver.waitFor('/hang/killed')
    await program.stop('SIGKILL')
    const claimed = async () =>
      (await database.query('select attempts, sending_until > now() as held, log from webhook_deliveries', [], url))[0]
    expect(await claimed()).to.deep.equal({ attempts: 1, held: true, log: [] })
    program = await launch({ env, port: program.port })
    await until('the claim of the dead runs out', 70_000, async () => (await claimed()).attempts === 2)
    const second = (await receiver.waitFor('/hang/killed', 2))[1]!
    expect(second.headers['webhook-id']).to.equal(first!.headers['webhook-id'])
    expect(second.body).to.equal(first!.body)
    new Webhook(hook.secret).verify(second.body, second.headers)
    const since = Date.now()
    expect(await program.stop(), 'a receiver that hangs does not keep the program from stopping').to.equal(0)
    expect(Date.now() - since).to.be.below(12_000)
  })

  it('lead to public addresses by https in production; only tenant-wide ones to what OUTBOUND_ALLOW adds', async () => {
    const env = {
      NODE_ENV: 'production',
      HOST: 'localhost',
      PUBLIC_URL: 'https://id.example.com',
      DATABASE_URL: await database.create('webhooks_production'),
      SECRET_KEY: randomBytes(32).toString('base64'),
      SMTP_URL: smtp.url,
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      OUTBOUND_ALLOW: '127.0.0.1/32',
    }
    const program = await launch({ env })
    const root = await administrator(program)
    const ada = (await signIn(program, await register(program))).access_token
    for (const url of [
      'http://93.184.215.14/',
      receiver.url,
      receiver.tlsUrl,
      'https://127.0.0.1/',
      'https://[::1]/',
    ]) {
      const refused = await attempt(program, ada, url)
      expect(refused.status, url).to.equal(400)
      expect(refused.body.detail, url).to.match(/^url: must be/)
    }
    for (const url of ['http://93.184.215.14/', 'http://10.0.0.1/', 'https://169.254.169.254/'])
      expect((await attempt(program, root, url, { tenant_wide: true })).status, url).to.equal(400)
    expect((await attempt(program, ada, 'https://93.184.215.14/hook')).status).to.equal(201)
    const own = await attempt(program, root, 'https://localhost.invalid/')
    const wide = await attempt(program, root, `${receiver.url}/ok/wide`, { tenant_wide: true })
    expect([own.status, wide.status]).to.deep.equal([201, 201])
    // As if its name had meanwhile been pointed into our network.
    const set = 'update webhooks set url = $1 where id = $2'
    await database.query(set, [`${receiver.url}/ok/rebound`, own.body.id], env.DATABASE_URL)
    await until('both are tried', 10_000, async () => {
      await program.call('PUT', '/users/me', { token: root, body: { given_name: 'Root' } })
      const sql = 'select webhook_id, log from webhook_deliveries where log <> $1'
      const tried = await database.query(sql, ['[]'], env.DATABASE_URL)
      return [own, wide].every(({ body }) => tried.some((row) => row.webhook_id === body.id))
    })
    const log = 'select log from webhook_deliveries where webhook_id = $1 and log <> $2 limit 1'
    const [refused] = await database.query(log, [own.body.id, '[]'], env.DATABASE_URL)
    expect(refused.log[0]).to.include({ status: null, error: 'not a public address' })
    expect(await receiver.messages('/ok/rebound')).to.deep.equal([])
    await receiver.waitFor('/ok/wide')
    await program.stop()
  })
})
