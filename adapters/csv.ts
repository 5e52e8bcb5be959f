/**
 * CSV by csv-parse and csv-stringify (RFC 4180). Nothing written is a formula to a spreadsheet, whichever separator it takes the
 * file to have: what would be one gets an apostrophe in front, which reading takes off again, so that what we wrote comes back as it was.
 */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { CsvError, Info, Options, Parser } from 'csv-parse'
import { lazily } from './lazily.ts'

const reading = lazily<typeof import('csv-parse')>('csv-parse')
const writing = lazily<typeof import('csv-stringify/sync')>('csv-stringify/sync')

const SEPARATORS = [',', ';', '\t', '|']
/** Where somebody's cell may begin within ours: quotes hold for one separator only. */
const PLACE = /[,;|\t\r\n]/
/** What spreadsheets take for a formula, in full width as well, after quotes and blanks that they may drop. */
const FORMULA = /(?:[^\S\t\r\n]|["'])*[=+\-@\uff1d\uff0b\uff0d\uff20]/.source
/** What a cell of ours must not begin with either. */
const BREAK = /'*[\t\r\n]/.source
const BEGINNING = new RegExp(`^${FORMULA}`)
const DANGEROUS = new RegExp(`(?<=^|${PLACE.source})(?=${FORMULA})|^(?=${BREAK})`, 'g')
const DEFUSED = new RegExp(`(?<=^|${PLACE.source})'(?=${FORMULA})|^'(?=${BREAK})`, 'g')

/** Puts an apostrophe before what would be a formula. restore() undoes it for every text. */
export const defuse = (cell: string): string =>
  PLACE.test(cell) || BEGINNING.test(cell) ? cell.replace(DANGEROUS, "'") : cell
export const restore = (cell: string): string =>
  PLACE.test(cell) || BEGINNING.test(cell) ? cell.replace(DEFUSED, '') : cell

/** Lines of CSV, each with its end. null is an empty cell. */
export const csvLines = (rows: (string | null)[][]): string =>
  writing().stringify(
    rows.map((row) => row.map((cell) => (cell === null ? '' : defuse(cell)))),
    // Programs that take several separators at once leave quoted cells whole.
    { quoted_match: /[;|\t]/ },
  )

export interface CsvRecord {
  /** Where it begins, from 1. */
  line: number
  cells: string[]
}
export class CsvFault extends Error {
  override name = 'CsvFault'
}

/**
 * Reads records as they come, some at a time; empty lines are none. The separator is the one the first line has most of.
 * Throws CsvFault with the line for what is no CSV, such as a quote that is never closed or a record larger than
 * `maxRecord` characters.
 */
export async function* readCsv(
  source: AsyncIterable<Buffer>,
  { maxRecord }: { maxRecord: number },
): AsyncGenerator<CsvRecord[]> {
  const text = decoded(source)
  const { value: first = '', done } = await text.next()
  if (done) return
  const options: Options & { readableHighWaterMark: number } = {
    delimiter: separatorOf(first),
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: maxRecord,
    readableHighWaterMark: 500,
  }
  const parser = reading().parse(options)
  const fed = pipeline(Readable.from(joined(first, text)), parser)
  fed.catch(() => {})
  const records = recordsOf(parser)
  try {
    for (;;) {
      const found = records()
      if (found.length > 0) yield found
      else if (parser.readableEnded || parser.destroyed) break
      else await once(parser)
    }
    await fed
  } catch (error) {
    if (!(error instanceof reading().CsvError)) throw error
    const { lines } = error as { lines?: number }
    throw new CsvFault(`line ${lines ?? 1}: ${reasonOf(error)}`)
  } finally {
    parser.destroy()
  }
}

/** What can be read by now. */
function recordsOf(parser: Parser): () => CsvRecord[] {
  // The parser counts CRLF within quotes as two lines.
  let surplus = 0
  const count = (cells: string[], pattern: RegExp) =>
    cells.reduce((sum, cell) => sum + (cell.match(pattern)?.length ?? 0), 0)
  return () => {
    const records: CsvRecord[] = []
    for (let found = parser.read(); found !== null; found = parser.read()) {
      const { record, info } = found as { record: string[]; info: Info }
      surplus += count(record, /\r\n/g)
      records.push({ line: info.lines - surplus - count(record, /\r\n|\r|\n/g), cells: record.map(restore) })
    }
    return records
  }
}

/** Until there is something to read, or nothing more. */
function once(parser: Parser): Promise<void> {
  const names = ['readable', 'end', 'close', 'error']
  return new Promise((resolve) => {
    const done = () => {
      for (const name of names) parser.off(name, done)
      resolve()
    }
    for (const name of names) parser.on(name, done)
  })
}

async function* joined(first: string, rest: AsyncIterable<string>): AsyncGenerator<string> {
  yield first
  yield* rest
}

async function* decoded(source: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const decode = (bytes?: Buffer) => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined })
    } catch {
      throw new CsvFault('the text is not UTF-8')
    }
  }
  for await (const bytes of source) {
    const piece = decode(bytes)
    if (piece) yield piece
  }
  const rest = decode()
  if (rest) yield rest
}

function separatorOf(text: string): string {
  const [head = ''] = text.split(/[\r\n]/, 1)
  const counts = SEPARATORS.map((separator) => head.split(separator).length)
  return SEPARATORS[counts.indexOf(Math.max(...counts))]!
}

const reasons: Record<string, string> = {
  CSV_MAX_RECORD_SIZE: 'the record is too large',
  CSV_QUOTE_NOT_CLOSED: 'a quote is opened and never closed',
  CSV_INVALID_CLOSING_QUOTE: 'a quote is closed in the middle of a cell',
  INVALID_OPENING_QUOTE: 'a quote stands in the middle of a cell that is not quoted',
}
const reasonOf = ({ code }: CsvError): string => reasons[code] ?? 'this is not CSV'
