/** What the exports of other systems have in common: values as ours, with a note of those that have no place here. */
import { PHONE } from '../users.ts'
import type { Report } from './report.ts'

/** A row of ours, or undefined for who is no person. Throws TypeError for what has another shape. */
export type Mapper = (raw: any, report: Report) => Record<string, unknown> | undefined

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
  if (PHONE.test(plain)) return plain
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
