/** core-api and phased-api: unprefixed paths, snake_case, bare bodies, RFC 9457 failures. */
import { type Json, type Row, type Surface, snake } from '../kernel/surface.ts'
import { problem, problemSchema } from './problem.ts'

/** Names the documents use that are not the snake_case of ours. */
const names: Record<string, Record<string, string>> = {
  User: { emailVerified: 'is_email_verified' },
  ManagedUser: { emailVerified: 'is_email_verified' },
  ExportedUser: { emailVerified: 'is_email_verified' },
}

export const plain = (rows: Row[]): Surface => ({
  id: 'plain',
  title: 'Gatehouse core API',
  name: (resource, key) => (resource && names[resource]?.[key]) || snake(key),
  ok: (data) => data,
  okSchema: (json: Json) => json,
  fail: problem,
  failSchema: problemSchema,
  failType: 'application/problem+json',
  rows,
})
