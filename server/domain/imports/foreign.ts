/** Exports of other systems as rows of ours: who maps what. */
import { auth0User } from './auth0.ts'
import { cognitoCsvUser, cognitoUser } from './cognito.ts'
import type { Mapper } from './foreign-values.ts'
import type { Report } from './report.ts'
import { csvRecords, type Entry, jsonEntries, lineEntries, type Source } from './sources.ts'

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
