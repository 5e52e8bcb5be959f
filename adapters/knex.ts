/** Knex on PostgreSQL: the pool, prepared statements on it, the statement counter, and errors in our words. */
import { AsyncLocalStorage } from 'node:async_hooks'
import knexPackage, { type Knex } from 'knex'
import pg from 'pg'
import { type Lanes, openLanes } from './lanes.ts'
import { execute } from './statement.ts'

export type Db = Knex | Knex.Transaction

/** Counts SQL round trips of what runs inside; for tests and the benchmark. */
export const roundTrips = new AsyncLocalStorage<{ count: number; statements: string[] }>()
/** Every statement this process has sent. */
export const statements = { total: 0 }

pg.types.setTypeParser(pg.types.builtins.INT8, Number)

/**
 * Opens the pool. Waits at most 2 s for a connection. A statement is ended by the server after `patience` ms (0: never),
 * and given up here half a second later, should the server not answer at all. With `lanes`, prepared statements outside
 * transactions share connections of their own.
 */
export function connect(
  url: string,
  { max = 16, patience = 0, lanes = false }: { max?: number; patience?: number; lanes?: boolean } = {},
): Knex {
  const connections = new Map<string, Connection>()
  const connection = {
    connectionString: url,
    connectionTimeoutMillis: 2000,
    keepAlive: true,
    application_name: 'gatehouse',
  }
  const db = knexPackage({
    client: 'pg',
    connection: {
      ...connection,
      ...(patience > 0 && { statement_timeout: patience, query_timeout: patience + 500 }),
      idle_in_transaction_session_timeout: 30_000,
    },
    pool: {
      min: 0,
      max,
      idleTimeoutMillis: 60_000,
      acquireTimeoutMillis: 2000,
      propagateCreateError: true,
      afterCreate(connection: Connection, done: () => void) {
        connections.set(connection.__knexUid, connection)
        connection.once('end', () => connections.delete(connection.__knexUid))
        done()
      },
    },
    acquireConnectionTimeout: 2000,
    // Errors would carry the values, passwords among them.
    compileSqlOnError: false,
    // Knex would print whole statements; errors reach the caller anyway.
    log: { warn() {}, error() {}, deprecate() {}, debug() {} },
  })
  db.on('query', (query: { sql: string }) => count(query.sql))
  db.on('query-error', (error: unknown, query: { __knexUid: string }) => {
    const connection = connections.get(query.__knexUid)
    if (connection) abandonIfBroken(connection, error)
  })
  if (lanes) addLanes(db, openLanes(connection, patience))
  return db
}

/** By the client of a pool, not by those of its transactions. */
const lanesOf = new WeakMap<object, Lanes>()

function addLanes(db: Knex, lanes: Lanes): void {
  lanesOf.set(db.client, lanes)
  const destroy = db.client.destroy
  db.client.destroy = async function (...args: unknown[]) {
    await lanes.close()
    return destroy.apply(this, args)
  }
}

type Connection = pg.Client & { __knexUid: string; __knex__disposed?: unknown }

/** A broken connection must not go back to the pool as good. On one that does not answer, a rollback would wait as well. */
function abandonIfBroken(connection: Connection, error: unknown): void {
  if (!isOutage(error) || sqlState(error) === STATEMENT_TIMEOUT) return
  connection.__knex__disposed = error
  if (error instanceof Error && error.message.endsWith(NO_ANSWER)) (connection as any).connection.stream.destroy()
}

const NO_ANSWER = 'Query read timeout'
const STATEMENT_TIMEOUT = '57014'

function count(sql: string): void {
  statements.total += 1
  const store = roundTrips.getStore()
  if (!store) return
  store.count += 1
  store.statements.push(sql)
}

/**
 * Runs a prepared statement: parsed and planned once per connection under `name`. Returns its rows. Outside transactions, one
 * that `shares` may be committed together with others of its kind.
 */
export async function named<R = any>(
  db: Db,
  name: string,
  text: string,
  values: unknown[],
  shares = false,
): Promise<R[]> {
  count(name)
  const client = db.client
  const lanes = lanesOf.get(client)
  if (lanes) return lanes.run(name, text, values, shares)
  const connection = await client.acquireConnection()
  try {
    return await execute(connection, name, text, values)
  } catch (error) {
    abandonIfBroken(connection, error)
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
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  STATEMENT_TIMEOUT,
  '57P01',
  '57P02',
  '57P03',
  '57P05',
  '53300',
  '53400',
  '25P03',
  // Writing on what has become, or still is, a standby.
  '25006',
])

/** True where the database is away or overloaded, as opposed to refusing what was asked. */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, name } = error as Error & { code?: string }
  if (code && (outageCodes.has(code) || code.startsWith('08'))) return true
  if (sqlState(error)) return false
  if (name === 'KnexTimeoutError' || name === 'TimeoutError') return true
  if (error instanceof AggregateError) return error.errors.some(isOutage)
  return /Connection terminated|connection timeout|Client has encountered a connection error|not queryable|timeout exceeded when trying to connect|Query read timeout|Unable to acquire a connection|timeout expired$|aborted$/i.test(
    error.message,
  )
}

/** The SQLSTATE of a database error, such as 23505. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}
