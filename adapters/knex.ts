/** Knex on PostgreSQL: the pool, prepared statements on it, the statement counter, and errors in our words. */
import { AsyncLocalStorage } from 'node:async_hooks'
import knexPackage, { type Knex } from 'knex'
import pg from 'pg'

export type Db = Knex | Knex.Transaction

/** Counts SQL round trips of what runs inside; for tests and the benchmark. */
export const roundTrips = new AsyncLocalStorage<{ count: number; statements: string[] }>()
/** Every statement this process has sent. */
export const statements = { total: 0 }

pg.types.setTypeParser(pg.types.builtins.INT8, Number)

/** Opens the pool. Waits at most 2 s for a connection; a statement may run 15 s. */
export function connect(url: string, { max = 16 }: { max?: number } = {}): Knex {
  const db = knexPackage({
    client: 'pg',
    connection: {
      connectionString: url,
      connectionTimeoutMillis: 2000,
      keepAlive: true,
      statement_timeout: 15_000,
      idle_in_transaction_session_timeout: 30_000,
      application_name: 'gatehouse',
    },
    pool: { min: 0, max, idleTimeoutMillis: 60_000, acquireTimeoutMillis: 2500, propagateCreateError: true },
    acquireConnectionTimeout: 2500,
    // Knex would print whole statements; errors reach the caller anyway.
    log: { warn() {}, error() {}, deprecate() {}, debug() {} },
  })
  db.on('query', (query: { sql: string }) => count(query.sql))
  return db
}

function count(sql: string): void {
  statements.total += 1
  const store = roundTrips.getStore()
  if (!store) return
  store.count += 1
  store.statements.push(sql)
}

/** Runs a prepared statement: parsed and planned once per connection under `name`. Returns its rows. */
export async function named<R = any>(db: Db, name: string, text: string, values: unknown[]): Promise<R[]> {
  count(name)
  const client = db.client
  const connection = await client.acquireConnection()
  try {
    const result = await connection.query({ name, text, values })
    return result.rows
  } catch (error) {
    // A broken connection must not go back to the pool as good.
    if (isOutage(error)) connection.__knex__disposed = error
    throw error
  } finally {
    await client.releaseConnection(connection)
  }
}

/** A connection of its own outside the pool, for LISTEN. */
export function listener(url: string): pg.Client {
  return new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 2000,
    keepAlive: true,
    application_name: 'gatehouse-listen',
  })
}

const outageCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  '57P01',
  '57P02',
  '57P03',
  '53300',
  '53400',
])

/** True where the database is away or overloaded, as opposed to refusing what was asked. */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, name } = error as Error & { code?: string }
  if (code && (outageCodes.has(code) || code.startsWith('08'))) return true
  if (name === 'KnexTimeoutError' || name === 'TimeoutError') return true
  if (error instanceof AggregateError) return error.errors.some(isOutage)
  return /Connection terminated|connection timeout|Client has encountered a connection error|not queryable|timeout exceeded when trying to connect|aborted/i.test(
    error.message,
  )
}

/** The SQLSTATE of a database error, such as 23505. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}
