/** kill -9 while people write: what was acknowledged is there afterwards. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import pg from 'pg'
import { type Database, ownDatabase } from './database.ts'
import { storedId, type Writers, write } from './people.ts'
import { cleanUp, launch, type Program, postmasterOf, temporary, until } from './program.ts'

const SECRET_KEY = 'x'.repeat(32)

describe('kill -9 during writes', function () {
  this.timeout(60_000)
  let database: Database
  before(async () => {
    database = await ownDatabase()
  })
  after(async () => {
    await database.remove()
    await cleanUp()
  })

  it('of the app: no acknowledged write is lost', async () => {
    const url = await database.create('app_killed')
    const env = { DATABASE_URL: url, SECRET_KEY }
    let program = await launch({ env })
    for (let round = 0; round < 2; round += 1) {
      const writers = await write(program)
      await busy(writers)
      await program.stop('SIGKILL')
      await writers.stop()
      program = await launch({ env, port: program.port })
      await expectAllThere(writers, url)
      expect([...writers.statuses.keys()]).to.have.members([0])
    }
    await program.stop()
  })

  it('of the embedded PostgreSQL: back within 5 s, no acknowledged write is lost', async () => {
    const dataDir = temporary()
    const program = await launch({ dataDir })
    const writers = await write(program)
    await busy(writers)
    for (let round = 0; round < 3; round += 1) {
      await sleep(700)
      process.kill(postmasterOf(dataDir)!, 'SIGKILL')
      await backAgain(program, writers)
    }
    await writers.stop()
    expect(program.child.exitCode).to.equal(null)
    for (const status of writers.statuses.keys()) expect(status).to.be.oneOf([503])
    // Through the program, since only it knows the way to its database.
    for (const email of [writers.registered[0]!, writers.registered.at(-1)!]) {
      const body = { email, password: 'SecurePassword123!' }
      const login = await program.call('POST', '/v1/auth/login', { body, headers: { 'x-forwarded-for': '192.0.2.1' } })
      expect(login.status).to.equal(200)
    }
    expect(await program.stop()).to.equal(0)
    expect(postmasterOf(dataDir)).to.equal(undefined)
  })

  it('of one connection, on which PostgreSQL ends all others: no acknowledged write is lost', async () => {
    const url = await database.create('backend_killed')
    const program = await launch({ env: { DATABASE_URL: url, SECRET_KEY } })
    const writers = await write(program)
    await busy(writers)
    for (let round = 0; round < 3; round += 1) {
      await sleep(700)
      await database.killBackend()
      await backAgain(program, writers)
    }
    await writers.stop()
    for (const status of writers.statuses.keys()) expect(status).to.be.oneOf([503])
    await expectAllThere(writers, url)
    expect(await program.stop()).to.equal(0)
  })

  it('of an outside PostgreSQL: no acknowledged write is lost', async () => {
    const url = await database.create('server_killed')
    const program = await launch({ env: { DATABASE_URL: url, SECRET_KEY } })
    const writers = await write(program)
    await busy(writers)
    await database.kill()
    await sleep(300)
    await database.start()
    await backAgain(program, writers)
    await writers.stop()
    for (const status of writers.statuses.keys()) expect(status).to.be.oneOf([503])
    await expectAllThere(writers, url)
    expect(await program.stop()).to.equal(0)
  })
})

/** Some of everything was acknowledged, however slow the machine is. */
async function busy(writers: Writers): Promise<void> {
  await until('writes', 30_000, () => writers.registered.length > 5 && writers.refreshed.length > 5)
}

async function backAgain(program: Program, writers: Writers): Promise<void> {
  const before = writers.registered.length
  await until('writes again', 5000, () => writers.registered.length > before + 1)
  expect((await program.call('GET', '/health')).status).to.equal(200)
}

async function expectAllThere(writers: Writers, url: string): Promise<void> {
  expect(writers.registered.length).to.be.above(3)
  expect(writers.refreshed.length).to.be.above(3)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const lost = await client.query(
    `select x as email from unnest($1::text[]) x where not exists (select from users where email = x)`,
    [writers.registered],
  )
  const tokens = await client.query(
    `select x as id from unnest($1::text[]) x where not exists (select from oidc_models where model = 'RefreshToken' and id = x)`,
    [writers.refreshed.map(storedId)],
  )
  await client.end()
  expect(lost.rows).to.deep.equal([])
  expect(tokens.rows).to.deep.equal([])
}
