/** An outside PostgreSQL, and several processes on it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { from } from '../support/address.ts'
import { skip } from '../support/skip.ts'
import { startSmtp } from '../support/smtp.ts'
import { type Database, installed, ownDatabase } from './database.ts'
import { administrator, basic, makeClient, register, signIn } from './people.ts'
import { cleanUp, descendants, filesIn, isAlive, launch, temporary, until } from './program.ts'

const SECRET_KEY = 'y'.repeat(32)

describe('on an outside PostgreSQL', function () {
  this.timeout(60_000)
  let database: Database
  before(async function () {
    if (!installed) skip(this, 'no PostgreSQL in /usr/lib/postgresql')
    database = await ownDatabase()
  })
  after(async () => {
    await database?.remove()
    await cleanUp()
  })

  it('starts none of its own; two processes make one empty database at once, and share all that is in it', async () => {
    const smtp = await startSmtp()
    const url = await database.create('shared')
    const dataDir = temporary()
    const env = { DATABASE_URL: url, SECRET_KEY, SMTP_URL: smtp.url, PUBLIC_URL: 'http://localhost:4000' }
    const [one, two] = await Promise.all([launch({ dataDir, env }), launch({ dataDir, env })])
    expect(filesIn(dataDir)).to.not.include('postgres')
    expect((await database.query('select count(*)::int as n from users', [], url))[0].n).to.equal(1)

    const email = await register(one)
    const { access_token: token, refresh_token } = await signIn(two, email)
    expect((await one.call('GET', '/v1/auth/me', { token })).status).to.equal(200)
    await smtp.waitFor(email)
    expect(smtp.mails.filter((mail) => mail.to === email)).to.have.length(1)

    // A client that one process changes, the other knows at once.
    const admin = await administrator(one)
    const client = await makeClient(one, admin, { grant_types: ['authorization_code', 'client_credentials'] })
    const form = { grant_type: 'client_credentials' }
    expect((await two.call('POST', '/oauth/token', { form, headers: basic(client) })).status).to.equal(200)
    expect((await one.call('DELETE', `/clients/${client.id}`, { token: admin })).status).to.be.below(300)
    const refused = async () =>
      (await two.call('POST', '/oauth/token', { form, headers: basic(client) })).status === 401
    expect(await until('the other process knows', 2000, refused)).to.be.below(1000)

    // One leaves, the other carries on.
    await one.stop()
    const answer = await two.call('POST', '/v1/auth/refresh', { body: { refresh_token }, headers: from() })
    expect(answer.status).to.equal(200)
    await two.stop()
    await smtp.close()
  })

  it('gives the jobs of a killed process to another', async () => {
    const smtp = await startSmtp()
    const url = await database.create('jobs')
    const env = { DATABASE_URL: url, SECRET_KEY, SMTP_URL: smtp.url }
    // A mail server that takes the connection and says nothing, so that the job is running when the process dies.
    const { createServer } = await import('node:net')
    const mute = createServer(() => {}).listen(0, '127.0.0.1')
    await sleep(50)
    const { port } = mute.address() as { port: number }
    const first = await launch({ env: { ...env, SMTP_URL: `smtp://127.0.0.1:${port}` } })
    const email = await register(first)
    const locked = async () =>
      (await database.query('select from graphile_worker.jobs where locked_by is not null', [], url)).length > 0
    await until('the job runs', 5000, locked)
    await first.stop('SIGKILL')
    mute.close()
    const second = await launch({ env })
    await until('the mail is sent', 25_000, () => smtp.mails.some((mail) => mail.to === email))
    await second.stop()
    await smtp.close()
  })

  it('with WORKERS=2 both serve, a killed one is replaced, and SIGTERM ends all', async () => {
    const url = await database.create('workers')
    const program = await launch({ env: { DATABASE_URL: url, SECRET_KEY, WORKERS: '2', LOG_LEVEL: 'info' } })
    await until('the banner', 3000, () => program.output().includes('Gatehouse is ready'))
    const workers = () => descendants(program.pid)
    expect(workers()).to.have.length(2)
    const email = await register(program)
    await Promise.all(Array.from({ length: 6 }, () => signIn(program, email)))
    const before = workers()
    process.kill(before[0]!, 'SIGKILL')
    await until('another worker serves', 10_000, () => workers().length === 2 && !workers().includes(before[0]!))
    await signIn(program, email)
    await sleep(1500)
    const all = [...workers(), program.pid]
    // As a terminal does: everybody is told.
    process.kill(-program.child.pid!, 'SIGTERM')
    expect(await program.ended).to.equal(0)
    expect(all.filter(isAlive)).to.deep.equal([])
    const [{ n }] = await database.query(
      "select count(*)::int as n from pg_stat_activity where application_name like 'gatehouse%' and datname = 'workers'",
    )
    expect(n).to.equal(0)
  })

  it('leaves no worker behind when the first process is killed', async () => {
    const url = await database.create('orphans')
    const program = await launch({ env: { DATABASE_URL: url, SECRET_KEY, WORKERS: '2' } })
    const workers = descendants(program.pid)
    await program.stop('SIGKILL')
    await until('the workers end', 5000, () => !workers.some(isAlive))
  })

  it('refuses a wrong SECRET_KEY, a wrong password and a missing database in words, at once', async () => {
    const url = await database.create('keyed')
    const first = await launch({ env: { DATABASE_URL: url, SECRET_KEY } })
    await first.stop()
    const wrong = await launch({ early: true, env: { DATABASE_URL: url, SECRET_KEY: 'z'.repeat(32) } })
    expect(await wrong.ended).to.equal(1)
    expect(wrong.output()).to.contain('SECRET_KEY is not the one this database was set up with')
    const right = await launch({ env: { DATABASE_URL: url, SECRET_KEY } })
    await right.stop()

    const since = Date.now()
    const missing = await launch({
      early: true,
      env: { DATABASE_URL: url.replace('keyed', 'nowhere').replace('gatehouse@', 'gatehouse:hunter2@'), SECRET_KEY },
    })
    expect(await missing.ended).to.equal(1)
    expect(missing.output()).to.match(/database "nowhere" does not exist.*DATABASE_URL/)
    expect(missing.output()).to.not.contain('hunter2')
    expect(Date.now() - since).to.be.below(5000)
  })
})
