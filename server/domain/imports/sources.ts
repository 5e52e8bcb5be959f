/** Files of people as entries, whatever they are written in: CSV, one JSON object with a list, or lines of JSON. */
import { CsvFault, type CsvRecord, readCsv } from '../../../adapters/csv.ts'
import { JsonFault, readJsonItems, readJsonLines } from '../../../adapters/json-stream.ts'
import { inspect } from '../../kernel/body.ts'
import { Failure, fail } from '../../kernel/errors.ts'
import { FIELDS, fieldOf } from './rows.ts'

/** One row, or why it cannot be one. `line` is that of the file, in a JSON list the number of the item. */
export interface Entry {
  line: number
  row?: unknown
  fault?: string
}
export type Source = AsyncGenerator<Entry[]>

/** Most bytes of one row. */
export const MAX_ROW = 256 * 1024

/** Rows that nothing could hold are faults. What is no such file at all is VALIDATION_ERROR. */
export async function* guarded(source: Source): Source {
  try {
    for await (const entries of source) yield entries.map(sound)
  } catch (error) {
    if (error instanceof CsvFault || error instanceof JsonFault) throw fail('VALIDATION_ERROR', error.message)
    throw error
  }
}

/** Why neither PostgreSQL nor who walks it next could hold it. */
function oddity(value: unknown): string | undefined {
  try {
    inspect(value)
    return isWhole(value) ? undefined : 'contains half a character (an unpaired surrogate)'
  } catch (error) {
    if (error instanceof Failure) return error.message.replace(/^The (request|body) /, '')
    throw error
  }
}

/** PostgreSQL refuses unpaired surrogates in jsonb. The depth is bounded by inspect(). */
function isWhole(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, item]) => key.isWellFormed() && isWhole(item))
}

const sound = (entry: Entry): Entry => {
  const fault = oddity(entry.row)
  return fault ? { line: entry.line, fault } : entry
}

/** Items of `{…, [list]: […]}`, or of a list where there is no such key. */
export async function* jsonEntries(
  bytes: AsyncIterable<Buffer>,
  list: string | undefined,
  onBeside: (key: string, value: unknown) => void,
  maxGap = MAX_ROW,
): Source {
  let line = 0
  for await (const items of readJsonItems(bytes, { list, onBeside, maxGap })) {
    yield items.map((row) => {
      line += 1
      return { line, row }
    })
  }
}

export async function* lineEntries(bytes: AsyncIterable<Buffer>): Source {
  for await (const lines of readJsonLines(bytes, MAX_ROW)) {
    yield lines.map(({ line, value, fault }) => (fault ? { line, fault } : { line, row: value }))
  }
}

/** The first record names the columns; what is made of the others is up to `read`. */
async function* table(bytes: AsyncIterable<Buffer>, read: (header: string[]) => (cells: string[]) => unknown): Source {
  let rowOf: ((cells: string[]) => unknown) | undefined
  let width = 0
  for await (const records of readCsv(bytes, { maxRecord: MAX_ROW })) {
    if (!rowOf) {
      const header = records.shift()!.cells
      width = header.length
      rowOf = read(header)
    }
    const row = rowOf
    const entryOf = ({ line, cells }: CsvRecord): Entry =>
      cells.length === width
        ? { line, row: row(cells) }
        : { line, fault: `has ${cells.length} cells, but there are ${width} columns` }
    if (records.length > 0) yield records.map(entryOf)
  }
  if (!rowOf) throw fail('VALIDATION_ERROR', 'The file is empty: its first line must name the columns')
}

/** VALIDATION_ERROR for columns nobody knows, unless they are to be ignored. */
export const csvEntries = (bytes: AsyncIterable<Buffer>, { ignoreUnknown }: { ignoreUnknown: boolean }): Source =>
  table(bytes, (header) => {
    const columns = columnsOf(header, ignoreUnknown)
    return (cells) => typed(cells, columns)
  })

/** Cells by the names of their columns. */
export const csvRecords = (bytes: AsyncIterable<Buffer>): Source =>
  table(bytes, (header) => (cells) => Object.fromEntries(header.map((name, i) => [name, cells[i]])))

const ATTRIBUTE = 'attributes.'

function columnsOf(header: string[], ignoreUnknown: boolean): (string | undefined)[] {
  const columns = header.map((name) => (name.startsWith(ATTRIBUTE) ? name : fieldOf(name)))
  const details = columns.flatMap((column, i) => {
    if (column === undefined || column.startsWith(ATTRIBUTE)) return []
    if (columns.indexOf(column) !== i) return [{ field: header[i]!, message: 'is a column twice' }]
    return FIELDS.has(column) || ignoreUnknown ? [] : [{ field: header[i]!, message: 'is not a known column' }]
  })
  if (!columns.includes('email') && !columns.includes('phone_number'))
    details.push({ field: 'email', message: 'is a column that must be there, or phone_number' })
  if (details.length > 0)
    throw fail('VALIDATION_ERROR', `line 1: ${details[0]!.field} ${details[0]!.message}`, { details })
  return columns.map((column) => (column?.startsWith(ATTRIBUTE) || FIELDS.has(column ?? '') ? column : undefined))
}

function typed(cells: string[], columns: (string | undefined)[]): Record<string, unknown> {
  const row: Record<string, unknown> = {}
  const attributes: Record<string, unknown> = {}
  for (const [i, cell] of cells.entries()) {
    const column = columns[i]
    if (column === undefined || cell === '') continue
    if (column.startsWith(ATTRIBUTE)) attributes[column.slice(ATTRIBUTE.length)] = cell
    else row[column] = (readers[column] ?? String)(cell)
  }
  if (Object.keys(attributes).length > 0)
    row.attributes =
      typeof row.attributes === 'object' ? { ...row.attributes, ...attributes } : (row.attributes ?? attributes)
  return row
}

const flag = (cell: string): unknown => {
  if (/^(true|yes|y|1)$/i.test(cell)) return true
  return /^(false|no|n|0)$/i.test(cell) ? false : cell
}
const json = (cell: string): unknown => {
  try {
    return JSON.parse(cell)
  } catch {
    return cell
  }
}
/** JSON where it looks like it, else words between semicolons. */
const words = (cell: string): unknown =>
  cell.startsWith('[')
    ? json(cell)
    : cell
        .split(';')
        .map((word) => word.trim())
        .filter(Boolean)

/** What the text of a cell means; text that means nothing stays, and the check of the row refuses it. */
const readers: Record<string, (cell: string) => unknown> = {
  email_verified: flag,
  phone_number_verified: flag,
  enabled: flag,
  roles: words,
  organizations: words,
  required_actions: words,
  attributes: json,
  status: (cell) => cell.toLowerCase(),
}
