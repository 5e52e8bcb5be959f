/**
 * The embedded PostgreSQL: what runs when there is no DATABASE_URL. Starts it (or takes over one that a killed app left
 * running), keeps it running, stops it. The database outlives this process only if this process is killed.
 */
import { mkdirSync, realpathSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from './log.ts'
import { type Account, chooseAccount } from './postgres/account.ts'
import { type Binaries, findBinaries } from './postgres/binaries.ts'
import { type Guard, guard, InUse, urlOf } from './postgres/guard.ts'
import { abandonedHomes, createHome, existingHome, type Home, openHome } from './postgres/home.ts'
import { findServer, type Server, startServer, stopServer } from './postgres/server.ts'

export interface Embedded {
  /** Connection string of the database `gatehouse`, for node-postgres. Stays valid when the server is restarted. */
  url: string
  /** Fast shutdown: ends sessions, writes everything down, resolves when the server is gone. */
  stop(): Promise<void>
}

/** How long (ms) to wait for what passes by itself before calling it broken. */
const PATIENCE = 15_000

/**
 * Starts PostgreSQL on `dataDir`/postgres, making it first if need be (1 to 2 s; later starts take about 0.1 s). Throws in
 * words if the platform's package is missing, another app uses the directory, or the server will not start.
 */
export async function startEmbedded({ dataDir, log }: { dataDir: string; log: Logger }): Promise<Embedded> {
  mkdirSync(dataDir, { recursive: true })
  const directory = realpathSync(dataDir)
  let path = existingHome(directory)
  const account = chooseAccount(path)
  const binaries = findBinaries(account, directory)
  if (!path) {
    await stopAbandoned(directory, account, binaries, log)
    path = await createHome(directory, account, binaries, log)
  }
  const home = openHome(path, binaries)
  const raise = (last?: Server) => ensure({ home, account, binaries, log, last })
  const first = await raise().catch((error) => {
    if (!(error instanceof InUse)) throw error
    throw new Error(`${directory} is in use by another Gatehouse (${error.message}); stop it or set another DATA_DIR`)
  })
  let stopping = false
  let held: Guard | undefined = first.guard
  const watched = watch()
  const shutdown = async () => {
    await held?.release()
    await watched
    await stopServer(home, binaries)
  }
  let stopped: Promise<void> | undefined
  return {
    url: urlOf(first.server, home, 'gatehouse'),
    stop() {
      stopping = true
      stopped ??= shutdown()
      return stopped
    },
  }

  /** Brings the server back whenever it is lost, however often, until stop(). */
  async function watch(): Promise<void> {
    let last = first
    for (;;) {
      await last.guard.ended
      held = undefined
      if (stopping) return
      log.error('the connection to the embedded PostgreSQL is lost; bringing it back')
      const since = Date.now()
      const back = await insist(() => raise(last.server))
      if (!back) return
      last = back
      held = back.guard
      log.warn({ milliseconds: Date.now() - since }, 'the embedded PostgreSQL is back')
      if (stopping) return back.guard.release()
    }
  }

  async function insist<T>(attempt: () => Promise<T>): Promise<T | undefined> {
    while (!stopping) {
      try {
        return await attempt()
      } catch (err) {
        log.error({ err }, 'the embedded PostgreSQL does not start; trying again')
        await sleep(1000)
      }
    }
    return undefined
  }
}

interface Place {
  home: Home
  account: Account
  binaries: Binaries
  log: Logger
  /** Where the server was reached before; it must come back there, because the app knows that address. */
  last: Server | undefined
}

/**
 * Until it stands: find the running server or start one, and connect. Retries what passes by itself: a server that is just
 * starting or stopping, memory still in use by the orphans of a killed one, another process that is starting it as well.
 */
async function ensure({ home, account, binaries, log, last }: Place): Promise<{ server: Server; guard: Guard }> {
  const deadline = Date.now() + PATIENCE
  for (let delay = 10; ; delay = Math.min(delay * 2, 250)) {
    try {
      const running = findServer(home)
      const server = running ?? (await startServer(home, account, binaries, last))
      const held = await guard(server, home)
      if (running && !last) log.info({ pid: running.pid }, 'using the embedded PostgreSQL that is already running')
      return { server, guard: held }
    } catch (error) {
      if (error instanceof InUse || Date.now() > deadline || !passes(error as Error)) throw error
      await sleep(delay)
    }
  }
}

/** 57P03: starting up or shutting down; 57P01 and closed connections: it ended while we connected. */
function passes(error: Error & { code?: string }): boolean {
  if (error.code && ['57P01', '57P03', 'ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(error.code))
    return true
  return /shared memory block|lock file|Connection terminated|is another postmaster/i.test(error.message)
}

/** DATA_DIR was deleted but its database lives elsewhere: end its server; the data stays for the operator to delete. */
async function stopAbandoned(dataDir: string, account: Account, binaries: Binaries, log: Logger): Promise<void> {
  for (const path of abandonedHomes(dataDir, account)) {
    await stopServer(openHome(path, binaries), binaries)
    log.warn({ path }, 'the database of a deleted DATA_DIR is left here; delete it if nobody needs it')
  }
}
