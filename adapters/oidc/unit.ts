/** The unit of work: all that one request reads and writes through the provider, kept until it is sent. */

import { AsyncLocalStorage } from 'node:async_hooks'
import type { AdapterPayload } from 'oidc-provider'
import type { Place } from '../geo.ts'
import type { Db } from '../knex.ts'
import { sha256 } from '../sealing.ts'

export interface EventRow {
  id: string
  type: string
  actorId?: string | undefined
  userId?: string | undefined
  clientId?: string | undefined
  sessionId?: string | undefined
  ip?: string | undefined
  userAgent?: string | undefined
  requestId?: string | undefined
  data?: Record<string, unknown> | undefined
}

export interface Upsert {
  model: string
  id: string
  payload: AdapterPayload
  ttl: number
}
export interface SessionWrite {
  id: string
  cookieHash: Buffer | null
  userId: string | null
  clientId: string | null
  kind: 'browser' | 'api'
  payload: AdapterPayload
  ttl: number
}

/** Everything one request reads and writes through the provider. */
export interface Unit {
  tenantId: string
  /** Somebody may listen to its events. */
  hasWebhooks: boolean
  db: Db
  /** Given to new sessions. */
  ip: string
  userAgent: string
  /** The client of this request, so that a session brings its grant for it along. */
  clientId: string | undefined
  /** The device a session of this person is opened on, and where it is. */
  placeOf: ((userId: string) => { deviceId: string | null } & Place) | undefined
  /** Set by API logins: their sessions have no cookie. */
  sessionKind: 'browser' | 'api'
  /** A JWT handed to introspection or revocation, in whose place the provider sees STRUCTURED. */
  structured: string | undefined
  /** A client_credentials request: the client's own roles count. */
  byItself?: boolean
  /** An API key handed to introspection. */
  apiKey: string | undefined
  found: Map<string, AdapterPayload | null>
  people: Map<string, any>
  sessionOf: Map<string, string>
  /** Sessions as they were read, where they need not be written again unless something in them changed. */
  unchanged: Map<string, string>
  upserts: Map<string, Upsert>
  sessions: Map<string, SessionWrite>
  endedSessions: Set<string>
  /** Sessions seen in use; their last_used_at moves with the flush. */
  touched: Set<string>
  consumed: Map<string, { model: string; id: string; grantId: string | undefined }>
  destroyed: Map<string, { model: string; id: string }>
  revokedGrants: Map<string, Set<string>>
  events: EventRow[]
  /** Further parts of the same statement, from the domain. */
  also: {
    shape: string
    /** It is an insert into events. */
    isEvent?: boolean
    sql: (bind: (value: unknown, type: string) => string) => string
  }[]
}

export const units = new AsyncLocalStorage<Unit>()

export const newUnit = (
  fields: Pick<Unit, 'tenantId' | 'hasWebhooks' | 'db' | 'ip' | 'userAgent'> & Partial<Unit>,
): Unit => ({
  clientId: undefined,
  placeOf: undefined,
  sessionKind: 'browser',
  structured: undefined,
  apiKey: undefined,
  found: new Map(),
  people: new Map(),
  sessionOf: new Map(),
  unchanged: new Map(),
  upserts: new Map(),
  sessions: new Map(),
  endedSessions: new Set(),
  touched: new Set(),
  consumed: new Map(),
  destroyed: new Map(),
  revokedGrants: new Map(),
  events: [],
  also: [],
  ...fields,
})

/** What tells a session's states apart; when it was made does not. */
export const sessionState = (cookieHash: Buffer, { iat: _, uid: _uid, ...payload }: Record<string, unknown>): string =>
  `${cookieHash.toString('base64url')} ${JSON.stringify(Object.entries(payload).sort(([a], [b]) => (a < b ? -1 : 1)))}`

/** A single-use value was used before, or at the same moment by somebody else. */
export class Replayed extends Error {
  readonly grantIds: string[]
  constructor(grantIds: string[]) {
    super('A single-use value was used twice')
    this.grantIds = grantIds
  }
}

export const current = (): Unit => {
  const unit = units.getStore()
  if (!unit) throw new Error('oidc storage used outside a unit of work')
  return unit
}

const plainIds = new Set(['Grant', 'Interaction', 'RevokedToken', 'ReplayDetection'])
export const idOf = (model: string, id: string) => (plainIds.has(model) ? id : sha256(id).toString('base64url'))
export const keyOf = (model: string, id: string) => `${model} ${id}`
export const epoch = (date: Date) => Math.floor(date.getTime() / 1000)
