/** Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): which rows take one, and what is the same request. */
import { createHash } from 'node:crypto'
import { fail } from './errors.ts'
import type { Json, Row } from './surface.ts'

/** One use of a key: the same key on another row is another one. */
export interface Use {
  row: string
  key: string
  /** SHA-256 of what was sent. */
  fingerprint: Buffer
}
/** What was answered, as it left. */
export interface Kept {
  status: number
  body: unknown
  etag?: string | undefined
}

/** Rows that make something, in a transaction of ours. */
export const takesIdempotencyKey = ({ method, status, op }: Row): boolean =>
  method === 'POST' && status === 201 && op.effect === 'write' && op.upload === undefined

/** Undefined without the header. The key is a string of RFC 9651, or bare as most clients send it. */
export function useOf(header: string, row: Row, raw: Json): Use | undefined {
  if (header === '' || !takesIdempotencyKey(row)) return undefined
  const key = header.replace(/^"(.*)"$/, '$1')
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw fail('VALIDATION_ERROR', 'Idempotency-Key must be 1 to 255 visible ASCII characters, such as a UUID')
  const fingerprint = createHash('sha256').update(sorted(raw)).digest()
  return { row: `${row.method} ${row.path}`, key, fingerprint }
}

/** JSON that does not depend on the order of keys. */
const sorted = (value: unknown): string =>
  JSON.stringify(value, (_, part) =>
    part && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
