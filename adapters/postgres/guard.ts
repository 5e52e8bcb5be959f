/**
 * One connection held for as long as the app lives. It holds a lock that says "this database has its app" and that even
 * kill -9 gives back, and its end is the first sign that the server is gone.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Home } from './home.ts'
import type { Server } from './server.ts'

export interface Guard {
  /** Resolves when the connection has ended, by release() or by itself. */
  ended: Promise<void>
  release(): Promise<void>
}

/** Thrown when another app holds the database. */
export class InUse extends Error {}

const LOCK = 0x6761_7470

/** The connection string for a database of this server. */
export function urlOf(server: Server, home: Home, database: string): string {
  const credentials = `gatehouse:${encodeURIComponent(home.password)}`
  if (!server.host.startsWith('/')) return `postgres://${credentials}@${server.host}:${server.port}/${database}`
  return `postgres://${credentials}@localhost:${server.port}/${database}?host=${encodeURIComponent(server.host)}`
}

/** Takes the lock and makes the app's database if it is missing. Throws InUse, or the reason why connecting failed. */
export async function guard(server: Server, home: Home): Promise<Guard> {
  const client = new pg.Client({
    connectionString: urlOf(server, home, 'postgres'),
    connectionTimeoutMillis: 5000,
    application_name: `gatehouse app ${process.pid}`,
  })
  client.on('error', () => {})
  const ended = new Promise<void>((resolve) => client.on('end', () => resolve()))
  try {
    await client.connect()
    await takeLock(client)
    const { rowCount } = await client.query("select from pg_database where datname = 'gatehouse'")
    if (!rowCount) await client.query('create database gatehouse')
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
  return {
    ended,
    release: () => client.end().catch(() => {}),
  }
}

/** A killed app's lock is free as soon as the server notices, which may be a moment after the next app starts. */
async function takeLock(client: pg.Client): Promise<void> {
  const deadline = Date.now() + 1500
  for (;;) {
    const { rows } = await client.query('select pg_try_advisory_lock($1) as held', [LOCK])
    if (rows[0].held) return
    if (Date.now() > deadline) break
    await sleep(25)
  }
  const { rows } = await client.query(
    `select a.application_name as name from pg_locks l join pg_stat_activity a using (pid)
      where l.locktype = 'advisory' and l.objid = $1 and l.granted and a.datname = current_database()`,
    [LOCK],
  )
  throw new InUse(rows[0]?.name ?? 'another process')
}
