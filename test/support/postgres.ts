/** Databases for tests: on the server of the test run (TEST_DATABASE_URL), else on one started for this process. */
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { createLogger } from '../../adapters/log.ts'
import { type Embedded, startEmbedded } from '../../adapters/postgres.ts'

let own: Promise<Embedded & { remove(): void }> | undefined

/** Starts a PostgreSQL in a temporary directory that every account can reach. */
export async function temporaryServer(): Promise<Embedded & { remove(): void }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-test-'))
  chmodSync(dataDir, 0o755)
  const embedded = await startEmbedded({ dataDir, log: createLogger({ level: 'silent' }) })
  return { ...embedded, remove: () => rmSync(dataDir, { recursive: true, force: true }) }
}

/** A connection string of the test server, for its database `gatehouse` or whatever TEST_DATABASE_URL names. */
export async function serverUrl(): Promise<string> {
  const given = process.env.TEST_DATABASE_URL
  if (given) return given
  own ??= temporaryServer()
  return (await own).url
}

/** Makes a database, empty or a copy of `template`. Drop it when done; the whole server goes with the test run anyway. */
export async function makeDatabase(
  template = 'template0',
): Promise<{ url: string; name: string; drop(): Promise<void> }> {
  const name = `t_${randomBytes(6).toString('hex')}`
  await onServer(`create database ${name} template ${template}`)
  const url = new URL(await serverUrl())
  url.pathname = `/${name}`
  return { url: url.href, name, drop: () => onServer(`drop database if exists ${name} with (force)`) }
}

async function onServer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: await serverUrl() })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

if (typeof after === 'function') {
  after(async () => {
    const server = await own
    await server?.stop()
    server?.remove()
  })
}
