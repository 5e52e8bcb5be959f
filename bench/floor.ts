/**
 * `node bench/floor.ts`: what the least statement costs here, in CPU of Node and PostgreSQL: one row read by its key, and one
 * row written and committed, by the connections that the server uses. No flow can cost less than its statements at this
 * price, whatever else it does. BENCH_DATABASE_URL as for `npm run bench`.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, named } from '../adapters/knex.ts'
import { createLogger } from '../adapters/log.ts'
import { startEmbedded } from '../adapters/postgres.ts'
import { ofTree, postmasterOf } from './cpu.ts'
import { run } from './load.ts'
import { CONCURRENCY } from './sides.ts'

const ROUNDS = 9
const COUNT = 2000
const ROWS = 10_000

const dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-floor-'))
await chmod(dataDir, 0o755)
const given = process.env.BENCH_DATABASE_URL
const embedded = given ? undefined : await startEmbedded({ dataDir, log: createLogger({ level: 'error' }) })
const db = connect(given ?? embedded!.url, { lanes: true, patience: 10_000 })
try {
  await db.raw('create table if not exists bench_floor (id int primary key, payload text)')
  await db.raw(
    `insert into bench_floor select i, repeat('x', 300) from generate_series(1, ${ROWS}) i on conflict do nothing`,
  )
  await db.raw('create table if not exists bench_floor_log (id bigserial primary key, payload text)')
  const { rows } = await db.raw('select pg_backend_pid() as pid')
  const postmaster = postmasterOf(rows[0].pid)
  let turn = 0
  const read = () => named(db, 'floor_read', 'select id, payload from bench_floor where id = $1', [(turn++ % ROWS) + 1])
  const insert = 'insert into bench_floor_log (payload) values ($1) returning 1'
  const write = (shares: boolean) => () => named(db, 'floor_write', insert, ['x'.repeat(300)], shares)
  for (const [name, once] of Object.entries({ read, write: write(false), 'write, sharing commits': write(true) })) {
    const node: number[] = []
    const postgres: number[] = []
    for (let round = 0; round <= ROUNDS; round += 1) {
      const before = { node: process.cpuUsage(), postgres: postmaster ? ofTree(postmaster) : 0 }
      await run(Array(CONCURRENCY).fill(once), COUNT)
      const { user, system } = process.cpuUsage(before.node)
      // The first round warms up.
      if (round === 0) continue
      node.push((user + system) / COUNT)
      postgres.push((((postmaster ? ofTree(postmaster) : 0) - before.postgres) * 1000) / COUNT)
    }
    const middle = (all: number[]) => all.sort((a, b) => a - b)[ROUNDS >> 1]!.toFixed(0)
    console.log(`${name}: ${middle(node)} µs of Node and ${middle(postgres)} µs of PostgreSQL`)
  }
  await db.raw('drop table bench_floor, bench_floor_log')
} finally {
  await db.destroy()
  await embedded?.stop()
  rmSync(dataDir, { recursive: true, force: true })
}
