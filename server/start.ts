/** One process group: the database, the schema, the first start, then the listeners; and an orderly end. */
import type { Cluster } from 'node:cluster'
import type { RequestListener, Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGeo } from '../adapters/geo.ts'
import { migrateJobs } from '../adapters/jobs.ts'
import { connect, isOutage } from '../adapters/knex.ts'
import { createLogger, type Logger } from '../adapters/log.ts'
import { createPasswords } from '../adapters/passwords.ts'
import { createSealing } from '../adapters/sealing.ts'
import { migrate } from '../migrations/index.ts'
import { createApp } from './app.ts'
import { banner } from './banner.ts'
import type { Config } from './config.ts'
import { createDeps } from './deps.ts'
import { type Installed, install } from './domain/installation.ts'
import { drain, listen } from './listen.ts'
import { settle } from './memory.ts'
import { runTasks } from './tasks.ts'
import { SERVING, supervise } from './workers.ts'

/** How long (ms) a process in production still serves after a signal, so that proxies see /health first. */
const NOTICE_MS = 2000
/** How long (ms) to wait at the start for a database that is not there yet. */
const DATABASE_MS = 30_000
/** How long (ms) a signal waits for a start to get to a point where it can be undone. */
const BEGIN_MS = 5000
const OLDEST_POSTGRES = 15

type MakeServer = (listener: RequestListener) => Server
type Closer = () => Promise<unknown>

export async function start(config: Config, cluster: Cluster, makeServer: MakeServer): Promise<void> {
  // What is open, closed in the reverse order.
  const closers: Closer[] = []
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close()
  }
  const begun = begin(config, cluster, makeServer, closers)
  onSignal(async () => {
    // A database that is just being started must not be left behind.
    await Promise.race([begun.catch(() => {}), sleep(BEGIN_MS, undefined, { ref: false })])
    await stop()
  })
  try {
    await begun
  } catch (error) {
    await stop()
    throw error
  }
}

async function begin(config: Config, cluster: Cluster, makeServer: MakeServer, closers: Closer[]): Promise<void> {
  if (cluster.isWorker) {
    await serve(config, config.databaseUrl!, makeServer, closers)
    process.send?.(SERVING)
    return
  }
  // What is wrong with the file ends the start, not one worker after the other.
  createGeo(config.geoDatabase)
  const log = createLogger({ level: config.logLevel, pretty: !config.production })
  const databaseUrl = config.databaseUrl ?? (await embedded(config, log, closers))
  const installed = await prepareDatabase(config, databaseUrl, log)
  if (config.workers > 1) {
    const workers = await supervise(cluster, config.workers, databaseUrl, log)
    closers.push(workers.stop)
    settle()
  } else await serve(config, databaseUrl, makeServer, closers)
  log.info({ port: config.port, issuer: config.publicUrl, workers: config.workers }, 'ready')
  banner(config, installed)
}

async function embedded(config: Config, log: Logger, closers: Closer[]): Promise<string> {
  const { startEmbedded } = await import('../adapters/postgres.ts')
  const server = await startEmbedded({ dataDir: config.dataDir, log })
  closers.push(server.stop)
  return server.url
}

/** Schema and first rows, on connections of its own. Waits for a database that is still starting, not for a refusal. */
export async function prepareDatabase(config: Config, databaseUrl: string, log?: Logger): Promise<Installed> {
  const db = connect(databaseUrl, { max: 3 })
  try {
    await checkDatabase(db, databaseUrl, log)
    await migrate(db)
    await migrateJobs(databaseUrl)
    return await install(db, { config, sealing: createSealing(config.secretKey), hasher: createPasswords({}) })
  } finally {
    await db.destroy()
  }
}

async function checkDatabase(db: ReturnType<typeof connect>, databaseUrl: string, log?: Logger): Promise<void> {
  const deadline = Date.now() + DATABASE_MS
  for (let told = false; ; told = true) {
    try {
      const { rows } = await db.raw(`select current_setting('server_version') as version`)
      const { version } = rows[0]
      if (Number.parseInt(version, 10) >= OLDEST_POSTGRES) return
      throw new Error(`PostgreSQL ${version} is too old: Gatehouse needs ${OLDEST_POSTGRES} or newer`)
    } catch (error) {
      const { host, hostname, pathname } = new URL(databaseUrl)
      const where = `the database ${pathname.slice(1)} at ${host || hostname || 'the local socket'}`
      if (!isOutage(error)) throw explain(error, where)
      if (Date.now() > deadline) throw new Error(`${where} does not answer (${text(error)}); see DATABASE_URL`)
      if (!told) log?.warn({ err: error }, `waiting for ${where}`)
      await sleep(500)
    }
  }
}

/** Errors of the log-in to PostgreSQL, in words that name the setting. */
function explain(error: unknown, where: string): unknown {
  const { code } = error as { code?: string }
  if (code === '28P01' || code === '28000' || code === '3D000')
    return new Error(`${where} refuses: ${text(error)}; see DATABASE_URL`)
  return error
}
const text = (error: unknown): string =>
  error instanceof AggregateError ? error.errors.map(text).join(', ') : String((error as Error).message)

/** Listens and runs jobs in this process. */
async function serve(config: Config, databaseUrl: string, makeServer: MakeServer, closers: Closer[]): Promise<void> {
  const deps = createDeps(config, databaseUrl)
  closers.push(deps.close)
  const readiness = { ready: true }
  const app = createApp(deps, readiness)
  settle()
  const servers: Server[] = []
  closers.push(() => Promise.all(servers.map(drain)))
  closers.push(async () => {
    readiness.ready = false
    if (config.production && servers.length > 0) await sleep(NOTICE_MS)
  })
  servers.push(await listen(makeServer(app.listener), config.port, config.host))
  if (config.adminPort !== undefined)
    servers.push(await listen(makeServer(app.adminListener), config.adminPort, config.host))
  const tasks = await runTasks(deps, app.providers)
  // After the last request and before the database.
  closers.splice(closers.indexOf(deps.close) + 1, 0, tasks.stop)
}

function onSignal(stop: Closer): void {
  let stopping = false
  const end = () => {
    if (stopping) return
    stopping = true
    stop().then(
      () => process.exit(0),
      (error) => {
        console.error(error)
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, end)
}
