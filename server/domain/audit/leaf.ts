/**
 * An event as a leaf. What is personal (address, program, data) is in the leaf as a salted hash: an erased person leaves a
 * tree that still verifies, and a hash that nobody can guess back from.
 */
import { createHash, randomBytes } from 'node:crypto'

/** A row of events. */
export interface EventRecord {
  tenant_id: string
  id: string
  type: string
  actor_id: string | null
  user_id: string | null
  client_id: string | null
  session_id: string | null
  ip: string | null
  user_agent: string | null
  request_id: string | null
  data: Record<string, unknown>
  created_at: Date
}

/** JSON in its one canonical spelling (RFC 8785): keys by UTF-16 code unit, numbers and strings as ECMAScript writes them. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const object = value as Record<string, unknown>
  return `{${Object.keys(object)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(object[key])}`)
    .join(',')}}`
}

export const newSalt = (): Buffer => randomBytes(16)

/** SHA-256 of the salt and of what is personal. */
export const detailsHash = ({ ip, user_agent, data }: EventRecord, salt: Buffer): Buffer =>
  createHash('sha256').update(salt).update(canonical({ ip, user_agent, data })).digest()

/** The text whose hash is the leaf. Its keys are those of the audit log over HTTP. */
export const leafOf = (event: EventRecord, details: Buffer): string =>
  canonical({
    tenant_id: event.tenant_id,
    id: event.id,
    event_type: event.type,
    actor_id: event.actor_id,
    user_id: event.user_id,
    client_id: event.client_id,
    session_id: event.session_id,
    request_id: event.request_id,
    created_at: event.created_at.toISOString(),
    details: details.toString('base64url'),
  })

/** Without what is personal: what erasure leaves of an event. */
export const isBare = ({ ip, user_agent, data }: EventRecord): boolean =>
  ip === null && user_agent === null && Object.keys(data).length === 0
