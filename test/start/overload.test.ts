/** More work than can be done: sign-ins are refused in time, everything else goes on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { from } from '../support/address.ts'
import { type Database, ownDatabase } from './database.ts'
import { register, signIn, someone, type Tokens } from './people.ts'
import { cleanUp, launch, type Program, until } from './program.ts'

describe('overload', function () {
  this.timeout(60_000)
  let database: Database
  let program: Program
  let url: string
  before(async () => {
    database = await ownDatabase()
    url = await database.create('overload')
    program = await launch({ env: { DATABASE_URL: url, SECRET_KEY: 'x'.repeat(32), DATABASE_POOL: '4' } })
  })
  after(async () => {
    await database.remove()
    await cleanUp()
  })

  it('of hashing: some of 200 sign-ins at once are told to come back, at once, and refreshes go on', async () => {
    const email = await register(program)
    let tokens = await signIn(program, email)
    const refresh = async (): Promise<number> => {
      const since = performance.now()
      const body = { refresh_token: tokens.refresh_token }
      const answer = await program.call('POST', '/v1/auth/refresh', { body, headers: from() })
      expect(answer.status).to.equal(200)
      tokens = (answer.body.tokens ?? answer.body) as Tokens
      return performance.now() - since
    }
    await refresh()
    let over = false
    const logins = Array.from({ length: 200 }, async () => {
      const since = performance.now()
      const body = { email: someone(), password: 'Some-Password-123!' }
      const { status, headers } = await program.call('POST', '/v1/auth/login', { body, headers: from() })
      return { status, headers, took: performance.now() - since }
    })
    const all = Promise.all(logins).finally(() => {
      over = true
    })
    const times: number[] = []
    while (!over) times.push(await refresh())
    const answers = await all
    const refused = answers.filter(({ status }) => status === 503)
    expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([401, 503]))
    expect(refused.length).to.be.within(50, 190)
    for (const { headers } of refused) expect(Number(headers.get('retry-after'))).to.be.within(1, 60)
    times.sort((a, b) => a - b)
    expect(times.length).to.be.above(3)
    expect(times[Math.floor(times.length * 0.95)]).to.be.below(1000)
    // Refused without a place in the line; the line itself is short.
    const fast = refused.map(({ took }) => took).sort((a, b) => a - b)
    expect(fast[Math.floor(fast.length / 2)]).to.be.below(1500)
    expect((await program.call('GET', '/metrics')).body).to.match(/password_hashing/)
  })

  it('of the database: with every connection taken, callers get 503 in time, /health still sees the database', async () => {
    const email = await register(program)
    const { access_token: token } = await signIn(program, email)
    const { default: pg } = await import('pg')
    const blocker = new pg.Client({ connectionString: url })
    await blocker.connect()
    await blocker.query('begin')
    await blocker.query('lock table users in access exclusive mode')
    await sleep(1100)
    const since = performance.now()
    const calls = Array.from({ length: 12 }, () => program.call('GET', '/v1/auth/me', { token, headers: from() }))
    const others = Array.from({ length: 4 }, () =>
      program.call('POST', '/v1/auth/login', { body: { email, password: 'SecurePassword123!' }, headers: from() }),
    )
    await sleep(500)
    const health = await program.call('GET', '/health')
    expect(health.status).to.equal(200)
    const answers = await Promise.all([...calls, ...others])
    expect(performance.now() - since).to.be.below(5000)
    for (const { status, headers } of answers) {
      expect(status).to.equal(503)
      expect(headers.get('retry-after')).to.match(/^\d+$/)
    }
    await blocker.query('rollback')
    await blocker.end()
    const works = async () => (await program.call('GET', '/v1/auth/me', { token, headers: from() })).status === 200
    expect(await until('it works again', 5000, works)).to.be.below(2000)
  })
})
