/**
 * `npm run bench`: our whole server on a real PostgreSQL beside bare oidc-provider in memory, in turns.
 * --quick takes less than a minute; --only=refresh,code chooses; --write puts the result into docs/bench.md.
 * --only=import,users_list makes a million people (with --quick a tenth of that) and reads them, which takes minutes.
 * --only=lists fills a database with a million people and measures every list of them; BENCH_LISTS=pattern chooses by title.
 * BENCH_DATABASE_URL uses another PostgreSQL (its database is filled); BENCH_PROFILE=dir writes CPU profiles.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { createLogger } from '../adapters/log.ts'
import { defaultConcurrency } from '../adapters/passwords.ts'
import { startEmbedded } from '../adapters/postgres.ts'
import { startSmtp } from '../test/support/smtp.ts'
import { BULK, bulk, bulkReport } from './bulk.ts'
import { postmasterOf } from './cpu.ts'
import { lists } from './lists.ts'
import { compare, compareLogin, type Plan, type Result } from './measure.ts'
import { LOGIN, operations } from './operations.ts'
import { report } from './report.ts'
import { CONCURRENCY, type Side, startBare, startGatehouse, startHashing } from './sides.ts'

const flags = new Set(process.argv.slice(2))
const quick = flags.has('--quick')
const only = [...flags]
  .find((flag) => flag.startsWith('--only='))
  ?.slice(7)
  .split(',')
const plan: Plan = quick ? { rounds: 3, factor: 1 } : { rounds: 5, factor: 2 }
const wanted = (id: string) => !only || only.includes(id)

const isBulk = BULK.some((id) => only?.includes(id))

const closing: (() => unknown)[] = []
const close = async () => {
  for (const end of closing.splice(0).reverse()) await end()
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void close().then(() => process.exit(130)))
try {
  await main()
} finally {
  await close()
}
process.exit(0)

async function main(): Promise<void> {
  const databaseUrl = process.env.BENCH_DATABASE_URL ?? (await embedded())
  if (only?.includes('lists')) return everyList(databaseUrl)
  const database = await inspect(databaseUrl)
  const smtp = await startSmtp()
  closing.push(() => smtp.close())
  const gatehouse = (hashing: boolean) => startGatehouse({ databaseUrl, ...database, smtpUrl: smtp.url, hashing })
  if (isBulk) await many(await gatehouse(true))
  if (isBulk && only?.every((id) => BULK.some((known) => known === id))) return
  const bare = await startBare()
  closing.push(() => bare.stop())
  const results: Result[] = []
  let ours: Side | undefined
  let withHash: boolean | undefined
  /** The server of that kind; only one runs at a time. */
  const server = async (hashing: boolean): Promise<Side> => {
    if (ours && withHash === hashing) return ours
    if (ours) await ours.stop()
    withHash = hashing
    ours = await gatehouse(hashing)
    return ours
  }
  closing.push(() => ours?.stop())

  if (wanted(LOGIN.id)) {
    const hashing = await startHashing()
    process.stderr.write(`${LOGIN.title} …\n`)
    results.push(await compareLogin(await server(true), hashing, defaultConcurrency, plan))
    hashing.stop()
  }
  for (const hash of [true, false]) {
    for (const op of operations.filter((o) => wanted(o.id) && !o.withoutHash === hash)) {
      const side = await server(hash)
      process.stderr.write(`${op.title} …\n`)
      results.push(await compare(op, side, bare, plan))
    }
  }
  results.push(
    ...results.splice(
      0,
      results.findIndex((r) => r.id !== LOGIN.id),
    ),
  )
  const text = report(results, {
    ...database,
    provider: createRequire(import.meta.url)('oidc-provider/package.json').version,
    concurrency: CONCURRENCY,
    mode: quick ? 'quick' : 'full',
    cpuComplete: database.postmaster !== undefined,
  })
  console.log(text)
  if (flags.has('--write')) write('result', text)
}

/** On a server of its own, which is stopped again. */
async function many(side: Side): Promise<void> {
  try {
    process.stderr.write('many people …\n')
    const text = bulkReport(await bulk(side, wanted, quick))
    console.log(text)
    if (flags.has('--write')) write('bulk', text)
  } finally {
    await side.stop()
  }
}

/** On a database without any server. */
async function everyList(databaseUrl: string): Promise<void> {
  const text = await lists(databaseUrl, quick)
  console.log(text)
  if (flags.has('--write')) write('lists', text)
}

async function embedded(): Promise<string> {
  const dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'))
  await chmod(dataDir, 0o755)
  const { url, stop } = await startEmbedded({ dataDir, log: createLogger({ level: 'error' }) })
  closing.push(async () => {
    await stop()
    rmSync(dataDir, { recursive: true, force: true })
  })
  return url
}

async function inspect(databaseUrl: string): Promise<{ postgres: string; postmaster: number | undefined }> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const { rows } = await client.query(
    `select pg_backend_pid() as pid, current_setting('server_version') as version, current_setting('synchronous_commit') as sync`,
  )
  const { pid, version, sync } = rows[0]
  const postmaster = postmasterOf(pid)
  await client.end()
  return { postgres: `${version} (synchronous_commit ${sync})`, postmaster }
}

/** Replaces what stands between the markers. */
function write(marker: 'result' | 'bulk' | 'lists', text: string): void {
  const path = join(import.meta.dirname, '../docs/bench.md')
  const page = readFileSync(path, 'utf8')
  const place = new RegExp(`(<!-- ${marker} -->\\n)[\\s\\S]*?(<!-- end -->)`)
  writeFileSync(path, page.replace(place, `$1\n${text}\n$2`))
}
