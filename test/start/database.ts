/** A PostgreSQL of the test's own outside the program, which can be stopped, frozen and brought back. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { createLogger } from '../../adapters/log.ts'
import { chooseAccount, give } from '../../adapters/postgres/account.ts'
import { findBinaries } from '../../adapters/postgres/binaries.ts'
import { descendants, freePort, isAlive, temporary, until } from './program.ts'

/** Programs of a PostgreSQL that Debian installed, the oldest that we support. */
export const installed: string | undefined = [15, 16, 17, 18]
  .map((version) => `/usr/lib/postgresql/${version}/bin`)
  .find((path) => existsSync(join(path, 'postgres')))

export interface Database {
  url: string
  port: number
  /** Another, empty database on the same server. */
  create(name: string): Promise<string>
  query(sql: string, values?: unknown[], url?: string): Promise<any[]>
  pid(): number
  start(): Promise<void>
  /** kill -9 of the postmaster; resolves when its backends are gone, too. */
  kill(): Promise<void>
  /** kill -9 of one connection of the app, on which the server restarts all of them. */
  killBackend(): Promise<void>
  /** Connections stay open and are never answered. */
  freeze(): void
  thaw(): void
  remove(): Promise<void>
}

/** Starts one, by the installed programs, else by the embedded ones. */
export async function ownDatabase(programs = installed): Promise<Database> {
  const account = chooseAccount(undefined)
  const base = temporary('gh-pg-')
  const directory = join(base, 'cluster')
  mkdirSync(directory, { mode: 0o700 })
  give(account, directory)
  const bin = programs ?? join(findBinaries(account, base).postgres, '..')
  const options = { ...account.spawn, cwd: '/', stdio: 'ignore' as const }
  const port = await freePort()
  execFileSync(
    join(bin, 'initdb'),
    ['-D', directory, '-U', 'gatehouse', '-A', 'trust', '-E', 'UTF8', '--no-sync'],
    options,
  )
  const url = `postgres://gatehouse@127.0.0.1:${port}/postgres`
  const arguments_ = ['-D', directory, '-p', String(port), '-h', '127.0.0.1', '-c', 'unix_socket_directories=']
  let pid = 0
  const query = async (sql: string, values: unknown[] = [], target = url) => {
    const client = new pg.Client({ connectionString: target, connectionTimeoutMillis: 2000 })
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query(sql, values)).rows
    } finally {
      await client.end()
    }
  }
  const signalAll = (signal: NodeJS.Signals) => {
    for (const one of [pid, ...descendants(pid)]) if (isAlive(one)) process.kill(one, signal)
  }
  const database: Database = {
    url,
    port,
    query,
    pid: () => pid,
    async create(name) {
      await query(`create database ${name}`)
      return url.replace(/postgres$/, name)
    },
    async start() {
      const child = spawn(join(bin, 'postgres'), arguments_, { ...options, detached: true })
      child.unref()
      pid = child.pid!
      await until('PostgreSQL starts', 20_000, () =>
        query('select 1').then(
          () => true,
          () => false,
        ),
      )
    },
    async kill() {
      const all = [pid, ...descendants(pid)]
      process.kill(pid, 'SIGKILL')
      await until('PostgreSQL is gone', 10_000, () => !all.some(isAlive))
    },
    async killBackend() {
      const rows = await query("select pid from pg_stat_activity where application_name = 'gatehouse' limit 1")
      process.kill(rows[0].pid, 'SIGKILL')
    },
    freeze: () => signalAll('SIGSTOP'),
    thaw: () => signalAll('SIGCONT'),
    async remove() {
      if (pid && isAlive(pid)) {
        signalAll('SIGCONT')
        await database.kill()
      }
      rmSync(base, { recursive: true, force: true })
    },
  }
  await database.start()
  return database
}

export const silent = createLogger({ level: 'silent' })
