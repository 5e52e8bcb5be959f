/** Reads a JSON request body with limits. Refuses what PostgreSQL text and jsonb cannot hold (U+0000). */
import type { IncomingMessage } from 'node:http'
import { fail } from './errors.ts'

const LIMIT = 256 * 1024
const MAX_DEPTH = 64

/** The parsed body; {} when there is none. Fails with VALIDATION_ERROR, PAYLOAD_TOO_LARGE or UNSUPPORTED_MEDIA_TYPE. */
export async function readJson(req: IncomingMessage): Promise<Record<string, unknown>> {
  const text = await readText(req, LIMIT)
  if (!text.trim()) return {}
  const type = (req.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  if (type !== 'application/json' && !type.endsWith('+json')) {
    throw fail('UNSUPPORTED_MEDIA_TYPE', 'Send the body as application/json')
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw fail('VALIDATION_ERROR', 'The body is not valid JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw fail('VALIDATION_ERROR', 'The body must be a JSON object')
  }
  inspect(value)
  return value as Record<string, unknown>
}

/** A parsed application/x-www-form-urlencoded body; the last of several values counts. */
export async function readForm(req: IncomingMessage): Promise<Record<string, unknown>> {
  const form = Object.fromEntries(new URLSearchParams(await readText(req, LIMIT)))
  inspect(form)
  return form
}

/** The body as UTF-8 text of at most `limit` bytes. */
export async function readText(req: IncomingMessage, limit: number): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    size += chunk.length
    if (size > limit) break
    chunks.push(chunk)
  }
  if (size > limit) {
    // Read on and forget: a connection closed now would take the answer with it.
    req.resume()
    throw fail('PAYLOAD_TOO_LARGE', `The body is larger than ${limit} bytes`)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Refuses U+0000 in any string or key, and nesting that would overflow the stack of whoever walks it next. */
export function inspect(value: unknown, depth = 0): void {
  if (typeof value === 'string') refuseNul(value.includes('\u0000'))
  if (typeof value !== 'object' || value === null) return
  if (depth > MAX_DEPTH) throw fail('VALIDATION_ERROR', `The body is nested deeper than ${MAX_DEPTH} levels`)
  for (const [key, item] of Object.entries(value)) {
    refuseNul(key.includes('\u0000'))
    inspect(item, depth + 1)
  }
}

export function refuseNul(present: boolean): void {
  if (present) throw fail('VALIDATION_ERROR', 'The request contains a U+0000 character')
}
