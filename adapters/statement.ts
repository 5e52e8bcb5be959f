/**
 * Prepared statements in fewer words: from its second use on a connection, a statement is one write of Bind, Execute and
 * Sync, and its columns, which cannot change any more, are not described again. The rest is node-postgres as it is.
 */
import pg from 'pg'

interface Columns {
  names: string[]
  parsers: ((value: string) => unknown)[]
}

const Query = pg.Query as any
const { prepareValue } = (pg as any).utils
const sendBind = (pg.Connection.prototype as any).bind
/** Execute of the unnamed portal without a limit on rows, then Sync (PostgreSQL: frontend/backend protocol, 54.7). */
const EXECUTE_SYNC = Buffer.from([0x45, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0x53, 0, 0, 0, 4])
/** By connection and name: what the first use learnt. */
const described = new WeakMap<object, Map<string, Columns>>()

type Callback = (error: unknown) => void

export interface Bound {
  name: string
  text: string
  values: unknown[]
}

/** Execute of the unnamed portal without a limit on rows; what follows is still of the same transaction. */
const EXECUTE = EXECUTE_SYNC.subarray(0, 10)
const SYNC = EXECUTE_SYNC.subarray(10)

function bindTo(parts: Buffer[], { name, values }: Bound): void {
  sendBind.call({ _send: (part: Buffer) => parts.push(part) }, { statement: name, values, valueMapper: prepareValue })
}

function rowOf({ names, parsers }: Columns, fields: (string | null)[]): Record<string, unknown> {
  const row: Record<string, unknown> = {}
  for (let i = 0; i < names.length; i += 1) {
    const value = fields[i]!
    row[names[i]!] = value === null ? null : parsers[i]!(value)
  }
  return row
}

/** A pg.Query by its prototype; what that one's constructor makes for row modes, events and several results stays unmade. */
class Statement {
  readonly name: string
  readonly text: string
  readonly values: unknown[]
  /** node-postgres wraps it where it gives statements a time limit. */
  callback: Callback
  readonly found: Record<string, unknown>[] = []
  columns: Columns | undefined
  connection: any

  constructor(name: string, text: string, values: unknown[], callback: Callback) {
    this.name = name
    this.text = text
    this.values = values
    this.callback = callback
  }

  prepare(connection: any): void {
    this.connection = connection
    this.columns = Query.prototype.hasBeenParsed.call(this, connection)
      ? described.get(connection)?.get(this.name)
      : undefined
    if (!this.columns) return void Query.prototype.prepare.call(this, connection)
    const parts: Buffer[] = []
    bindTo(parts, this)
    connection._send(Buffer.concat([...parts, EXECUTE_SYNC]))
  }

  handleRowDescription(message: { fields: { name: string; dataTypeID: number }[] }): void {
    const names = message.fields.map((field) => field.name)
    const parsers = message.fields.map((field) => pg.types.getTypeParser(field.dataTypeID, 'text'))
    this.columns = { names, parsers }
    const ofConnection = described.get(this.connection) ?? new Map<string, Columns>()
    described.set(this.connection, ofConnection.set(this.name, this.columns))
  }

  handleDataRow(message: { fields: (string | null)[] }): void {
    this.found.push(rowOf(this.columns!, message.fields))
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.callback(null)
  }

  handleError(error: unknown): void {
    this.callback(error)
  }
}
Object.setPrototypeOf(Statement.prototype, Query.prototype)

/** Several statements, one after the other in one transaction (PostgreSQL: 54.2.4, an implicit block until Sync). */
class Together {
  readonly statements: readonly Bound[]
  readonly columns: Columns[]
  callback: Callback
  readonly found: Record<string, unknown>[][]
  private at = 0

  constructor(statements: readonly Bound[], columns: Columns[], callback: Callback) {
    this.statements = statements
    this.columns = columns
    this.callback = callback
    this.found = statements.map(() => [])
  }

  submit(connection: any): null {
    const parts: Buffer[] = []
    for (const statement of this.statements) {
      bindTo(parts, statement)
      parts.push(EXECUTE)
    }
    connection._send(Buffer.concat([...parts, SYNC]))
    return null
  }

  handleDataRow(message: { fields: (string | null)[] }): void {
    this.found[this.at]!.push(rowOf(this.columns[this.at]!, message.fields))
  }

  handleCommandComplete(): void {
    this.at += 1
  }

  handleReadyForQuery(): void {
    this.callback(null)
  }

  handleError(error: unknown): void {
    this.callback(error)
  }
}
Object.setPrototypeOf(Together.prototype, Query.prototype)

const columnsOf = (connection: pg.Client, name: string): Columns | undefined =>
  described.get((connection as any).connection)?.get(name)

/** Whether the connection has run this statement before, so that it can be among others. */
export const isKnown = (connection: pg.Client, name: string): boolean => columnsOf(connection, name) !== undefined

/** Rows of each, when all are committed. Rejects with the error of the first that failed; then none was. */
export function executeTogether(connection: pg.Client, statements: readonly Bound[]): Promise<any[][]> {
  return new Promise((resolve, reject) => {
    const columns = statements.map(({ name }) => columnsOf(connection, name)!)
    const all = new Together(statements, columns, (error) => (error ? reject(error) : resolve(all.found)))
    connection.query(all as any)
  })
}

/** Runs the statement `name` and answers its rows. `text` must always be the same for a name. Rejects with pg's errors. */
export function execute(connection: pg.Client, name: string, text: string, values: unknown[]): Promise<any[]> {
  return new Promise((resolve, reject) => {
    const statement = new Statement(name, text, values, (error) => (error ? reject(error) : resolve(statement.found)))
    connection.query(statement as any)
  })
}
