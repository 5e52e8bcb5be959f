/** Exports of other systems as rows of ours: who maps what, and what all of them have in common. */

import { auth0User } from './auth0.ts'
import { cognitoCsvUser, cognitoUser } from './cognito.ts'
import type { Report } from './report.ts'
import { csvRecords, type Entry, jsonEntries, lineEntries, type Source } from './sources.ts'

/** A row of ours, or undefined for who is no person. Throws TypeError for what has another shape. */
export type Mapper = (raw: any, report: Report) => Record<string, unknown> | undefined

export const FOREIGN = ['auth0', 'cognito'] as const
export type Foreign = (typeof FOREIGN)[number]

/** Users of an export in one of the media types that the system writes. */
export function foreignSource(format: Foreign, bytes: AsyncIterable<Buffer>, type: string, report: Report): Source {
  if (format === 'auth0') {
    const source = type === 'application/json' ? jsonEntries(bytes, undefined, () => {}) : lineEntries(bytes)
    return mapped(source, auth0User, report)
  }
  report.note('passwords, which Cognito never gives out')
  if (type === 'text/csv') return mapped(csvRecords(bytes), cognitoCsvUser, report)
  return mapped(
    jsonEntries(bytes, 'Users', () => {}),
    cognitoUser,
    report,
  )
}

export async function* mapped(source: Source, mapper: Mapper, report: Report): Source {
  for await (const entries of source) yield entries.flatMap((entry) => mapOne(entry, mapper, report))
}

function mapOne(entry: Entry, mapper: Mapper, report: Report): Entry[] {
  if (entry.fault !== undefined) return [entry]
  try {
    const row = mapper(entry.row, report)
    return row ? [{ line: entry.line, row: present(row) }] : []
  } catch (error) {
    if (error instanceof TypeError || error instanceof SyntaxError)
      return [{ line: entry.line, fault: 'is not a user as this system exports them' }]
    throw error
  }
}

/** Without what says nothing. */
const present = (row: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined && value !== null && value !== ''))

/** A picture we would show, else a note. */
export function picture(value: unknown, report: Report): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  if (value.startsWith('https://') && URL.canParse(value)) return value
  report.note('pictures that are not at https:// addresses')
  return undefined
}

/** E.164, else a note. */
export function phone(value: unknown, report: Report): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  const plain = value.replace(/[\s().-]/g, '')
  if (/^\+[1-9][0-9]{6,14}$/.test(plain)) return plain
  report.note('telephone numbers that are not in international form')
  return undefined
}

/** A BCP 47 tag, which many systems write with an underscore. */
export const locale = (value: unknown): string | undefined =>
  typeof value === 'string' && /^[A-Za-z0-9_-]{2,35}$/.test(value) ? value.replaceAll('_', '-') : undefined

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
export const uuidOf = (value: unknown): string | undefined =>
  typeof value === 'string' && UUID.test(value) ? value : undefined

/** RFC 3339, from text or milliseconds. */
export function timeOf(value: unknown): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined
  const time = new Date(value)
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString()
}
