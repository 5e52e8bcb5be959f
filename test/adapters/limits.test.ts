/** Rate limits on real PostgreSQL, and on Redis where there is one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Knex } from 'knex'
import { connect, roundTrips } from '../../adapters/knex.ts'
import { createLimits, type Limits, purge } from '../../adapters/limits.ts'
import { createLogger } from '../../adapters/log.ts'
import { up } from '../../migrations/0002_limits.ts'
import { makeDatabase } from '../support/postgres.ts'
import { skip } from '../support/skip.ts'

const log = createLogger({ level: 'silent' })
const rule = { count: 3, seconds: 60 }

describe('rate limits', function () {
  this.timeout(10_000)
  let db: Knex
  let drop: () => Promise<void>
  const open: Limits[] = []
  const limits = (redisUrl?: string) => {
    const made = createLimits({ db, redisUrl, log })
    open.push(made)
    return made
  }

  before(async () => {
    const database = await makeDatabase()
    drop = database.drop
    db = connect(database.url)
    await up(db)
  })
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close()
  })
  after(async () => {
    await db.destroy()
    await drop()
  })

  describe('in PostgreSQL', () => {
    it('lets the allowed number pass and says when to come back', async () => {
      const { hit } = limits()
      const now = Date.now() / 1000
      const states = []
      for (let i = 0; i < 5; i++) states.push(await hit('a', rule))
      expect(states.map((s) => s.ok)).to.deep.equal([true, true, true, false, false])
      expect(states.map((s) => s.remaining)).to.deep.equal([2, 1, 0, 0, 0])
      expect(states.every((s) => s.limit === 3 && Number.isInteger(s.reset))).to.equal(true)
      expect(states[0]?.reset).to.be.within(now + 58, now + 63)
      expect(states[3]?.retryAfter).to.be.within(58, 60)
      expect(states[0]?.retryAfter).to.equal(0)
      expect((await hit('b', rule)).ok).to.equal(true)
    })

    it('counts exactly, however many processes hit at once', async () => {
      const processes = [limits(), limits(), limits()]
      const hits = Array.from({ length: 60 }, (_, i) => processes[i % 3]!.hit('parallel', { count: 10, seconds: 60 }))
      const passed = (await Promise.all(hits)).filter((s) => s.ok)
      expect(passed).to.have.length(10)
    })

    it('remembers over a restart', async () => {
      for (let i = 0; i < 3; i++) await limits().hit('restart', rule)
      expect((await limits().hit('restart', rule)).ok).to.equal(false)
    })

    it('starts anew when the window is over', async () => {
      const { hit } = limits()
      const short = { count: 1, seconds: 1 }
      expect((await hit('short', short)).ok).to.equal(true)
      expect((await hit('short', short)).ok).to.equal(false)
      await sleep(1050)
      expect((await hit('short', short)).ok).to.equal(true)
      expect((await limits().hit('short', short)).ok).to.equal(false)
    })

    it('counts several keys in one round trip and answers what decides', async () => {
      const { hitAll } = limits()
      const wide = { count: 100, seconds: 60 }
      const trips = { count: 0, statements: [] as string[] }
      const state = await roundTrips.run(trips, () =>
        hitAll([
          { key: 'address', rule: wide },
          { key: 'account', rule },
        ]),
      )
      expect(trips.count).to.equal(1)
      expect(state).to.include({ ok: true, limit: 3, remaining: 2 })
    })

    it('needs no query for who is over the limit, and then counts on nobody else', async () => {
      const { hit, hitAll } = limits()
      for (let i = 0; i < 4; i++) await hit('flood', rule)
      const trips = { count: 0, statements: [] as string[] }
      await roundTrips.run(trips, async () => {
        for (let i = 0; i < 20; i++) {
          const both = [
            { key: 'flood', rule },
            { key: 'victim', rule },
          ]
          expect((await hitAll(both)).ok).to.equal(false)
        }
      })
      expect(trips.count).to.equal(0)
      expect((await limits().hit('victim', rule)).remaining).to.equal(2)
    })

    it('does not deadlock when requests share keys in any order', async () => {
      const { hitAll } = limits()
      const wide = { count: 10_000, seconds: 60 }
      const keys = ['x', 'y', 'z'].map((key) => ({ key, rule: wide }))
      const orders = [keys, keys.toReversed(), [keys[1]!, keys[0]!, keys[2]!]]
      const states = await Promise.all(Array.from({ length: 90 }, (_, i) => hitAll(orders[i % 3]!)))
      expect(states.every((s) => s.ok)).to.equal(true)
      expect((await hitAll(keys)).remaining).to.equal(10_000 - 91)
    })

    it('keeps no readable key and purges what is over', async () => {
      await db('rate_limits').delete()
      const { hit } = limits()
      for (let i = 0; i < 5; i++) await hit(`person${i}@example.org`, { count: 1, seconds: 1 })
      await hit('stays', { count: 1, seconds: 60 })
      const keys: string[] = await db('rate_limits').pluck('key')
      expect(keys.every((key) => /^[\w-]{24}$/.test(key))).to.equal(true)
      await sleep(1050)
      expect([await purge(db, 3), await purge(db, 3), await purge(db, 3)]).to.deep.equal([3, 2, 0])
      expect(await db('rate_limits').pluck('key')).to.have.length(1)
    })

    it('throws when the database is away instead of letting pass', async () => {
      const away = connect('postgres://u:p@127.0.0.1:1/none')
      const made = createLimits({ db: away, log })
      const error = await made.hit('a', rule).catch((e: Error) => e)
      expect(error).to.be.instanceOf(Error)
      await away.destroy()
    })
  })

  describe('in Redis', () => {
    let redis: ChildProcess
    let port: number

    before(async function () {
      port = await freePort()
      if (!(await startRedis())) skip(this, 'redis-server is not installed')
    })
    after(() => redis?.kill('SIGKILL'))

    it('lets the allowed number pass and says when to come back', async () => {
      const { hit } = await ready()
      const now = Date.now() / 1000
      const states = []
      for (let i = 0; i < 5; i++) states.push(await hit('a', rule))
      expect(states.map((s) => s.ok)).to.deep.equal([true, true, true, false, false])
      expect(states.map((s) => s.remaining)).to.deep.equal([2, 1, 0, 0, 0])
      expect(states[0]?.reset).to.be.within(now + 59, now + 62)
      expect(states[3]?.retryAfter).to.be.within(58, 61)
    })

    it('counts exactly, however many processes hit at once, and sends no SQL', async () => {
      const processes = [await ready(), await ready(), await ready()]
      const trips = { count: 0, statements: [] as string[] }
      const states = await roundTrips.run(trips, () =>
        Promise.all(Array.from({ length: 60 }, (_, i) => processes[i % 3]!.hit('p', { count: 10, seconds: 60 }))),
      )
      expect(states.filter((s) => s.ok)).to.have.length(10)
      expect(trips.count).to.equal(0)
    })

    it('can be used again when it said so', async () => {
      const { hit } = await ready()
      const short = { count: 1, seconds: 1 }
      await hit('short', short)
      const { ok, retryAfter } = await hit('short', short)
      expect(ok).to.equal(false)
      await sleep(retryAfter * 1000)
      expect((await hit('short', short)).ok).to.equal(true)
    })

    it('falls back to PostgreSQL while Redis is away and returns to it', async () => {
      const { hit } = await ready()
      redis.kill('SIGKILL')
      await once(redis, 'exit')
      const states = []
      for (let i = 0; i < 4; i++) states.push((await hit('fallback', rule)).ok)
      expect(states).to.deep.equal([true, true, true, false])
      await startRedis()
      await eventually(async () => {
        const trips = { count: 0, statements: [] as string[] }
        await roundTrips.run(trips, () => hit(`back${Math.random()}`, rule))
        return trips.count === 0
      })
    })

    it('does not wait for a Redis that hangs', async () => {
      const { hit } = await ready()
      redis.kill('SIGSTOP')
      const since = Date.now()
      expect((await hit('hang', rule)).ok).to.equal(true)
      expect(Date.now() - since).to.be.below(1000)
      redis.kill('SIGCONT')
    })

    async function startRedis(): Promise<boolean> {
      redis = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', ''], { stdio: 'pipe' })
      const output = once(redis.stdout!, 'data').then(() => true)
      return Promise.race([output, once(redis, 'error').then(() => false)]).catch(() => false)
    }

    async function ready(): Promise<Limits> {
      const made = limits(`redis://127.0.0.1:${port}`)
      await eventually(async () => {
        const trips = { count: 0, statements: [] as string[] }
        await roundTrips.run(trips, () => made.hit(`probe${Math.random()}`, rule))
        return trips.count === 0
      })
      return made
    }
  })
})

async function eventually(check: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await check()) return
    await sleep(25)
  }
  throw new Error('did not happen')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
