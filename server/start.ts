/** One process group: the database, the schema, the first start, then the listeners; and an orderly end. */
import type { Cluster, Worker } from 'node:cluster'
import type { RequestListener, Server } from 'node:http'
import { migrateJobs } from '../adapters/jobs.ts'
import { connect } from '../adapters/knex.ts'
import { createLogger } from '../adapters/log.ts'
import { createPasswords } from '../adapters/passwords.ts'
import { createSealing } from '../adapters/sealing.ts'
import { migrate } from '../migrations/index.ts'
import { createApp } from './app.ts'
import { banner } from './banner.ts'
import type { Config } from './config.ts'
import { createDeps } from './deps.ts'
import { type Installed, install } from './domain/installation.ts'
import { runTasks } from './tasks.ts'

const DRAIN_MS = 10_000
type MakeServer = (listener: RequestListener) => Server

export async function start(config: Config, cluster: Cluster, makeServer: MakeServer): Promise<void> {
  if (cluster.isWorker) return serve(config, config.databaseUrl!, makeServer)
  const log = createLogger({ level: config.logLevel, pretty: !config.production })
  const embedded = config.databaseUrl
    ? undefined
    : await (await import('../adapters/postgres.ts')).startEmbedded({ dataDir: config.dataDir, log })
  const databaseUrl = config.databaseUrl ?? embedded!.url
  try {
    const installed = await prepareDatabase(config, databaseUrl)
    if (config.workers > 1) {
      await supervise(config, cluster, databaseUrl)
      banner(config, installed)
      onSignal(async () => {
        await stopWorkers(cluster)
        await embedded?.stop()
      })
      return
    }
    await serve(config, databaseUrl, makeServer, async () => embedded?.stop())
    banner(config, installed)
  } catch (error) {
    await embedded?.stop()
    throw error
  }
}

/** Schema and first rows, on a connection of its own. Waits up to 30 s for a database that is still starting. */
export async function prepareDatabase(config: Config, databaseUrl: string): Promise<Installed> {
  const db = connect(databaseUrl, { max: 3 })
  try {
    await waitFor(async () => db.raw('select 1'), 30_000)
    await migrate(db)
    await migrateJobs(databaseUrl)
    return await install(db, { config, sealing: createSealing(config.secretKey), hasher: createPasswords({}) })
  } finally {
    await db.destroy()
  }
}

async function waitFor(attempt: () => Promise<unknown>, patience: number): Promise<void> {
  const deadline = Date.now() + patience
  for (;;) {
    try {
      await attempt()
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }
}

/** Listens and runs jobs in this process until a signal; then drains, and calls `last`. */
async function serve(
  config: Config,
  databaseUrl: string,
  makeServer: MakeServer,
  last: () => Promise<unknown> = async () => {},
): Promise<void> {
  const deps = createDeps(config, databaseUrl)
  const readiness = { ready: true }
  const app = createApp(deps, readiness)
  const tasks = await runTasks(deps, app.providers)
  const servers = [await listen(makeServer(app.listener), config.port, config.host)]
  if (config.adminPort !== undefined)
    servers.push(await listen(makeServer(app.adminListener), config.adminPort, config.host))
  onSignal(async () => {
    readiness.ready = false
    await Promise.all(servers.map(drain))
    await tasks.stop()
    await deps.close()
    await last()
  })
}

function listen(server: Server, port: number, host: string): Promise<Server> {
  server.keepAliveTimeout = 65_000
  server.headersTimeout = 20_000
  server.requestTimeout = 30_000
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new Error(`port ${port} is in use; stop what uses it, or set PORT to another`)
          : error,
      ),
    )
    server.listen(port, host, () => resolve(server))
  })
}

/** Takes no new requests and lets the running ones end. */
function drain(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), DRAIN_MS)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
    server.closeIdleConnections()
  })
}

function onSignal(stop: () => Promise<void>): void {
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
  process.on('message', (message) => {
    if (message === 'stop') end()
  })
}

/** Starts the workers and replaces those that die. Resolves when all listen. */
function supervise(config: Config, cluster: Cluster, databaseUrl: string): Promise<void> {
  // A worker's DATABASE_URL is always set: the embedded server's, if there is no other.
  const fork = () => cluster.fork({ DATABASE_URL: databaseUrl })
  return new Promise((resolve) => {
    let listening = 0
    cluster.on('listening', () => {
      listening += 1
      if (listening === config.workers) resolve()
    })
    cluster.on('exit', (_worker, code, signal) => {
      if (ending) return
      console.error(`a worker ended (${signal ?? code}); starting another`)
      setTimeout(fork, 1000)
    })
    for (let i = 0; i < config.workers; i += 1) fork()
  })
}
let ending = false

async function stopWorkers(cluster: Cluster): Promise<void> {
  ending = true
  const workers = Object.values(cluster.workers ?? {}).filter((w): w is Worker => w !== undefined)
  await Promise.all(
    workers.map(
      (worker) =>
        new Promise<void>((resolve) => {
          worker.once('exit', () => resolve())
          worker.send('stop')
        }),
    ),
  )
}
