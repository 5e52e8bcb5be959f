/**
 * Storage of oidc-provider's models in PostgreSQL as a unit of work: what one request will need is read by one
 * prepared statement and kept for that request; its writes leave together in one statement, in which single use is
 * decided by the database. Bearer values are stored as SHA-256 only.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Adapter, AdapterPayload } from 'oidc-provider'
import { type Db, named } from './knex.ts'
import { sha256 } from './sealing.ts'

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

interface Upsert {
  model: string
  id: string
  payload: AdapterPayload
  ttl: number
}
interface SessionWrite {
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
  db: Db
  /** Given to new sessions. */
  ip: string
  userAgent: string
  /** The client of this request, so that a session brings its grant for it along. */
  clientId: string | undefined
  /** The device a session of this person is opened on, and its country. */
  placeOf: ((userId: string) => { deviceId: string | null; country: string | null }) | undefined
  /** Set by API logins: their sessions have no cookie. */
  sessionKind: 'browser' | 'api'
  /** A JWT handed to introspection or revocation, in whose place the provider sees STRUCTURED. */
  structured: string | undefined
  /** An API key handed to introspection. */
  apiKey: string | undefined
  found: Map<string, AdapterPayload | null>
  people: Map<string, any>
  sessionOf: Map<string, string>
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
  also: { shape: string; sql: (bind: (value: unknown, type: string) => string) => string }[]
}

export const units = new AsyncLocalStorage<Unit>()

export const newUnit = (fields: Pick<Unit, 'tenantId' | 'db' | 'ip' | 'userAgent'> & Partial<Unit>): Unit => ({
  clientId: undefined,
  placeOf: undefined,
  sessionKind: 'browser',
  structured: undefined,
  apiKey: undefined,
  found: new Map(),
  people: new Map(),
  sessionOf: new Map(),
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

/** A single-use value was used before, or at the same moment by somebody else. */
export class Replayed extends Error {
  readonly grantIds: string[]
  constructor(grantIds: string[]) {
    super('A single-use value was used twice')
    this.grantIds = grantIds
  }
}

const current = (): Unit => {
  const unit = units.getStore()
  if (!unit) throw new Error('oidc storage used outside a unit of work')
  return unit
}

const plainIds = new Set(['Grant', 'Interaction', 'RevokedToken', 'ReplayDetection'])
const idOf = (model: string, id: string) => (plainIds.has(model) ? id : sha256(id).toString('base64url'))
const keyOf = (model: string, id: string) => `${model} ${id}`
const epoch = (date: Date) => Math.floor(date.getTime() / 1000)

export const USER_COLUMNS = [
  'id',
  'email',
  'email_verified_at',
  'phone_number',
  'phone_verified_at',
  'given_name',
  'family_name',
  'nickname',
  'picture',
  'locale',
  'zoneinfo',
  'attributes',
  'status',
  'locked_until',
  'last_login_at',
  'created_at',
  'updated_at',
] as const
const USER_SELECT = USER_COLUMNS.map((c) => `u.${c} as u_${c}`).join(', ')
const ROLES_SELECT = `array(select role_id from user_roles ur where ur.tenant_id = u.tenant_id and ur.user_id = u.id) as u_role_ids`
const CONTEXT_SELECT = `g.payload as g_payload, g.expires_at as g_expires_at,
  s.id as s_id, s.payload as s_payload, s.expires_at as s_expires_at, s.ended_at as s_ended_at, s.end_reason as s_end_reason,
  s.last_used_at as s_last_used_at, ${USER_SELECT}, ${ROLES_SELECT}`
const contextJoins = (grant: string, session: string, user: string) => `
  left join oidc_models g on g.tenant_id = $1 and g.model = 'Grant' and g.id = ${grant}
  left join sessions s on s.tenant_id = $1 and s.id = ${session}
  left join users u on u.tenant_id = $1 and u.id = ${user}`

const FIND_TOKEN = `select t.payload, t.expires_at, t.consumed_at, t.grant_id, ${CONTEXT_SELECT}
  from oidc_models t ${contextJoins('t.grant_id', 't.session_id', 't.user_id')}
  where t.tenant_id = $1 and t.model = $2 and t.id = $3`
const FIND_CONTEXT = `select ${CONTEXT_SELECT}, exists (select 1 from oidc_models d where d.tenant_id = $1
    and d.model = 'RevokedToken' and d.id = $5) as revoked
  from (select 1) one ${contextJoins('$2', '$3', '$4::uuid')}`
const FIND_SESSION = `select s.id as s_id, s.payload as s_payload, s.expires_at as s_expires_at, s.ended_at as s_ended_at,
    s.end_reason as s_end_reason, s.last_used_at as s_last_used_at, ${USER_SELECT}, ${ROLES_SELECT},
    g.id as g_id, g.payload as g_payload, g.expires_at as g_expires_at
  from sessions s
  left join users u on u.tenant_id = $1 and u.id = s.user_id
  left join oidc_models g on g.tenant_id = $1 and g.model = 'Grant' and g.id = s.payload #>> array['authorizations', $3::text, 'grantId']
  where s.tenant_id = $1 and s.cookie_hash = $2 and s.ended_at is null`
// On the way back from the pages, an interaction brings along who signed in there.
const FIND_INTERACTION = `select t.payload, t.expires_at, t.consumed_at, ${USER_SELECT}, ${ROLES_SELECT}
  from oidc_models t
  left join users u on u.tenant_id = $1 and u.id = (t.payload #>> '{result,login,accountId}')::uuid
  where t.tenant_id = $1 and t.model = 'Interaction' and t.id = $2`
const FIND_MODEL = `select payload, expires_at, consumed_at from oidc_models where tenant_id = $1 and model = $2 and id = $3`
const FIND_SESSION_BY_ID = `select id as s_id, payload as s_payload, expires_at as s_expires_at, ended_at as s_ended_at,
  end_reason as s_end_reason, last_used_at as s_last_used_at from sessions where tenant_id = $1 and id = $2`
const FIND_USER = `select ${USER_SELECT}, ${ROLES_SELECT} from users u where u.tenant_id = $1 and u.id = $2`

/** What a token stands on: its grant, session and person, as of now. */
export interface Standing {
  grant: AdapterPayload | undefined
  session: { live: boolean; revoked: boolean } | undefined
  /** The users row with role_ids. */
  user: any
  /** The token itself is on the deny-list. */
  revoked: boolean
}

/** Keeps what a joined row brought along, so that the provider's own look-ups need no further statement. */
function remember(unit: Unit, row: any, grantId: string | undefined): void {
  if (grantId !== undefined) {
    unit.found.set(
      keyOf('Grant', grantId),
      row.g_payload ? { ...row.g_payload, jti: grantId, exp: epoch(row.g_expires_at) } : null,
    )
  }
  if (row.s_id) {
    const live = row.s_ended_at === null && row.s_expires_at > new Date()
    unit.found.set(keyOf('SessionUid', row.s_id), live ? { ...row.s_payload, exp: epoch(row.s_expires_at) } : null)
    if (live && Date.now() - row.s_last_used_at.getTime() > 60_000) unit.touched.add(row.s_id)
  }
  if (row.u_id) unit.people.set(row.u_id, person(row))
}
function person(row: any): any {
  const user: any = { role_ids: row.u_role_ids ?? [] }
  for (const column of USER_COLUMNS) user[column] = row[`u_${column}`]
  return user
}
const standing = (row: any): Standing => ({
  grant: row.g_payload ?? undefined,
  session: row.s_id
    ? { live: row.s_ended_at === null && row.s_expires_at > new Date(), revoked: row.s_end_reason === 'revoked' }
    : undefined,
  user: row.u_id ? person(row) : undefined,
  revoked: row.revoked ?? false,
})

/** Milliseconds for which a token's standing may be remembered. */
const FRESH = 1000
const MAX_STANDINGS = 20_000
const recent = new Map<string, { at: number; changes: number; row: Promise<any> }>()
/** Counts what this process took away; a standing read before is read again. */
let changes = 0

/** What was revoked here is refused here at once; other processes follow within a second. */
export function forgetStandings(): void {
  changes += 1
}
export const forgetStanding = (tenantId: string, tokenId: string): void => void recent.delete(`${tenantId} ${tokenId}`)

/**
 * Grant, session, person and deny-list entry behind a verified JWT: one round trip, and none for a second use of the
 * token within a second. The one place where a token's standing is remembered.
 */
export async function loadStanding(
  db: Db,
  tenantId: string,
  ids: { grantId?: string | undefined; sessionId?: string | undefined; userId?: string | undefined; tokenId: string },
  unit?: Unit,
): Promise<Standing> {
  const key = `${tenantId} ${ids.tokenId}`
  let known = recent.get(key)
  if (!known || known.changes !== changes || Date.now() - known.at >= FRESH) {
    const values = [tenantId, ids.grantId ?? null, ids.sessionId ?? null, ids.userId ?? null, ids.tokenId]
    const row = named(db, 'oidc_context', FIND_CONTEXT, values).then((rows) => rows[0])
    known = { at: Date.now(), changes, row }
    recent.set(key, known)
    row.catch(() => recent.delete(key))
    if (recent.size > MAX_STANDINGS) recent.delete(recent.keys().next().value!)
  }
  const row = await known.row
  if (unit) remember(unit, row, ids.grantId)
  return standing(row)
}

/** The users row with role_ids, from this request's reads or by one statement. */
export async function findPerson(unit: Unit, userId: string): Promise<any> {
  if (unit.people.has(userId)) return unit.people.get(userId)
  const [row] = await named(unit.db, 'oidc_user', FIND_USER, [unit.tenantId, userId])
  const found = row ? person(row) : undefined
  unit.people.set(userId, found)
  return found
}

async function findSession(unit: Unit, cookie: string): Promise<AdapterPayload | undefined> {
  const hash = sha256(cookie)
  const [row] = await named(unit.db, 'oidc_session', FIND_SESSION, [unit.tenantId, hash, unit.clientId ?? ''])
  if (!row) return undefined
  remember(unit, row, row.g_id ?? undefined)
  unit.sessionOf.set(hash.toString('base64url'), row.s_id)
  unit.touched.delete(row.s_id)
  return { ...row.s_payload, jti: cookie, uid: row.s_id, exp: epoch(row.s_expires_at) }
}

async function findRow(unit: Unit, model: string, id: string): Promise<AdapterPayload | undefined> {
  const key = keyOf(model, id)
  const known = unit.found.get(key)
  if (known !== undefined) return known ?? undefined
  const stored = idOf(model, id)
  const joined = model === 'RefreshToken' || model === 'AuthorizationCode' || model === 'AccessToken'
  const [row] = joined
    ? await named(unit.db, 'oidc_token', FIND_TOKEN, [unit.tenantId, model, stored])
    : model === 'Interaction'
      ? await named(unit.db, 'oidc_interaction', FIND_INTERACTION, [unit.tenantId, stored])
      : await named(unit.db, 'oidc_model', FIND_MODEL, [unit.tenantId, model, stored])
  if (!row) {
    unit.found.set(key, null)
    return undefined
  }
  if (joined) remember(unit, row, row.grant_id ?? undefined)
  if (row.u_id) unit.people.set(row.u_id, person(row))
  const payload = { ...row.payload, jti: id, exp: epoch(row.expires_at) }
  if (row.consumed_at) payload.consumed = epoch(row.consumed_at)
  unit.found.set(key, payload)
  return payload
}

/** The adapter oidc-provider asks for; one per model name, no state of its own. */
export function oidcAdapter(model: string): Adapter {
  return {
    async find(id) {
      if (id.includes('\u0000') || id.length > 4096) return undefined
      const unit = current()
      return model === 'Session' ? findSession(unit, id) : findRow(unit, model, id)
    },
    async findByUid(uid) {
      const unit = current()
      const key = keyOf('SessionUid', uid)
      if (!unit.found.has(key)) {
        const [row] = await named(unit.db, 'oidc_session_by_id', FIND_SESSION_BY_ID, [unit.tenantId, uid])
        if (row) remember(unit, row, undefined)
        else unit.found.set(key, null)
      }
      return unit.found.get(key) ?? undefined
    },
    async findByUserCode() {
      return undefined
    },
    async upsert(id, payload, ttl = 3600) {
      const unit = current()
      if (model === 'Session') return upsertSession(unit, id, payload, ttl)
      const { jti, ...rest } = payload
      if (model === 'Interaction' && rest.session) rest.session = { ...rest.session, cookie: undefined }
      unit.found.set(keyOf(model, id), payload)
      unit.destroyed.delete(keyOf(model, id))
      unit.upserts.set(keyOf(model, id), { model, id: idOf(model, id), payload: rest as AdapterPayload, ttl })
    },
    async consume(id) {
      const unit = current()
      const grantId = unit.found.get(keyOf(model, id))?.grantId
      unit.consumed.set(keyOf(model, id), { model, id: idOf(model, id), grantId })
    },
    async destroy(id) {
      const unit = current()
      if (model === 'Session') {
        const uid = unit.sessionOf.get(sha256(id).toString('base64url'))
        if (uid) unit.endedSessions.add(uid)
        return
      }
      unit.upserts.delete(keyOf(model, id))
      unit.found.set(keyOf(model, id), null)
      unit.destroyed.set(keyOf(model, id), { model, id: idOf(model, id) })
    },
    async revokeByGrantId(grantId) {
      const unit = current()
      const models = unit.revokedGrants.get(grantId) ?? new Set()
      unit.revokedGrants.set(grantId, models.add(model))
    },
  }
}

/** A session keeps its row when its cookie value changes. */
function upsertSession(unit: Unit, cookie: string, payload: AdapterPayload, ttl: number): void {
  const { jti, uid, exp, ...rest } = payload as AdapterPayload & { uid: string }
  unit.endedSessions.delete(uid)
  unit.touched.delete(uid)
  unit.found.set(keyOf('SessionUid', uid), payload)
  unit.sessions.set(uid, {
    id: uid,
    cookieHash: unit.sessionKind === 'browser' ? sha256(cookie) : null,
    userId: payload.accountId ?? null,
    clientId: unit.sessionKind === 'api' ? (unit.clientId ?? null) : null,
    kind: unit.sessionKind,
    payload: { ...rest, uid } as AdapterPayload,
    ttl,
  })
}

/** Where pages of ours only look at a session, use keeps it alive as well; at most once a minute. */
export async function touchSessions(unit: Unit): Promise<void> {
  for (const hash of unit.sessionOf.keys())
    await named(
      unit.db,
      'oidc_session_touch',
      `update sessions set last_used_at = now(), expires_at = greatest(expires_at, now() + (expires_at - last_used_at))
       where tenant_id = $1 and cookie_hash = $2 and ended_at is null and last_used_at < now() - interval '1 minute'`,
      [unit.tenantId, Buffer.from(hash, 'base64url')],
    )
}

/** True where the unit has something to write. */
export const isDirty = (unit: Unit): boolean =>
  unit.upserts.size +
    unit.sessions.size +
    unit.endedSessions.size +
    unit.consumed.size +
    unit.destroyed.size +
    unit.revokedGrants.size +
    unit.events.length +
    unit.also.length >
  0

/**
 * Sends all writes as one statement. If something single-use in it was consumed by somebody else, nothing of it is
 * written and Replayed is thrown with the grants that are now in doubt.
 */
export async function flush(unit: Unit, db: Db = unit.db): Promise<void> {
  if (!isDirty(unit)) return
  const { text, values, shape } = statement(unit)
  const [row] = await named(db, statementName(shape), text, values)
  const expected = unit.consumed.size
  const grantIds = [...unit.consumed.values()].map((c) => c.grantId).filter((g) => g !== undefined)
  if (takesAway(unit)) forgetStandings()
  clear(unit)
  if (Number(row.consumed) < expected) throw new Replayed(grantIds)
}

const takesAway = (unit: Unit): boolean =>
  unit.revokedGrants.size + unit.endedSessions.size > 0 ||
  [...unit.destroyed.values()].some(({ model }) => model === 'Grant') ||
  [...unit.upserts.values()].some(({ model }) => model === 'RevokedToken') ||
  unit.also.some(({ shape }) => shape.startsWith('end-'))

const names = new Map<string, string>()
/** PostgreSQL cuts names after 63 bytes, so a shape goes by a number. */
function statementName(shape: string): string {
  const known = names.get(shape) ?? `oidc_flush_${names.size}`
  names.set(shape, known)
  return known
}

function clear(unit: Unit): void {
  for (const set of [
    unit.upserts,
    unit.sessions,
    unit.endedSessions,
    unit.consumed,
    unit.destroyed,
    unit.revokedGrants,
    unit.touched,
  ])
    set.clear()
  unit.events.length = 0
  unit.also.length = 0
}

function statement(unit: Unit): { text: string; values: unknown[]; shape: string } {
  const values: unknown[] = [unit.tenantId]
  const parts: string[] = []
  const shape: string[] = []
  const bind = (value: unknown, type: string) => `$${values.push(value)}::${type}`
  const part = (kind: string, sql: string) => {
    parts.push(`p${parts.length} as (${sql})`)
    shape.push(kind)
  }

  for (const { model, id } of unit.consumed.values()) {
    part(
      'c',
      `update oidc_models set consumed_at = now() where tenant_id = $1 and model = ${bind(model, 'text')}
      and id = ${bind(id, 'text')} and consumed_at is null and expires_at > now() returning 1`,
    )
  }
  const consumes = parts.length
  const all = Array.from({ length: consumes }, (_, i) => `exists (select 1 from p${i})`).join(' and ') || 'true'

  for (const s of unit.sessions.values()) {
    const place = s.userId ? unit.placeOf?.(s.userId) : undefined
    // authorizations of clients that signed in meanwhile are kept: two tabs must not undo each other.
    part(
      's',
      `insert into sessions (tenant_id, id, cookie_hash, user_id, client_id, kind, payload, ip, user_agent, device_id, country, expires_at)
      select $1, ${bind(s.id, 'text')}, ${bind(s.cookieHash, 'bytea')}, ${bind(s.userId, 'uuid')}, ${bind(s.clientId, 'text')},
        ${bind(s.kind, 'text')}, ${bind(JSON.stringify(s.payload), 'jsonb')}, ${bind(unit.ip, 'inet')},
        ${bind(unit.userAgent, 'text')}, ${bind(place?.deviceId ?? null, 'uuid')}, ${bind(place?.country ?? null, 'text')}, now() + make_interval(secs => ${bind(s.ttl, 'int')})
      where ${all}
      on conflict (tenant_id, id) do update set cookie_hash = excluded.cookie_hash, user_id = excluded.user_id,
        payload = case when sessions.cookie_hash = excluded.cookie_hash and sessions.payload ? 'authorizations'
          then excluded.payload || jsonb_build_object('authorizations',
            (sessions.payload -> 'authorizations') || coalesce(excluded.payload -> 'authorizations', '{}'))
          else excluded.payload end,
        device_id = coalesce(excluded.device_id, sessions.device_id), country = coalesce(excluded.country, sessions.country),
        last_used_at = now(), expires_at = excluded.expires_at
      where sessions.ended_at is null`,
    )
  }
  // Use keeps a session alive: it lives as long again as it was given when last used.
  for (const id of unit.touched) {
    part(
      't',
      `update sessions set last_used_at = now(), expires_at = greatest(expires_at, now() + (expires_at - last_used_at))
      where tenant_id = $1 and id = ${bind(id, 'text')} and ended_at is null and ${all}`,
    )
  }
  for (const { model, id, payload, ttl } of unit.upserts.values()) {
    const { grantId, sessionUid, accountId, clientId } = payload as any
    part(
      'u',
      `insert into oidc_models (tenant_id, model, id, grant_id, session_id, user_id, client_id, payload, expires_at)
      select $1, ${bind(model, 'text')}, ${bind(id, 'text')}, ${bind(model === 'Grant' ? id : (grantId ?? null), 'text')},
        ${bind(sessionUid ?? null, 'text')}, ${bind(accountId ?? null, 'uuid')}, ${bind(clientId ?? null, 'text')},
        ${bind(JSON.stringify(payload), 'jsonb')}, now() + make_interval(secs => ${bind(ttl, 'int')})
      where ${all}
      on conflict (tenant_id, model, id) do update set payload = excluded.payload, expires_at = excluded.expires_at`,
    )
  }
  for (const { model, id } of unit.destroyed.values()) {
    part(
      'd',
      `delete from oidc_models where tenant_id = $1 and model = ${bind(model, 'text')} and id = ${bind(id, 'text')} and ${all}`,
    )
  }
  for (const [grantId, models] of unit.revokedGrants) {
    part(
      'g',
      `delete from oidc_models where tenant_id = $1 and grant_id = ${bind(grantId, 'text')}
      and model = any(${bind([...models], 'text[]')}) and ${all}`,
    )
  }
  for (const id of unit.endedSessions) {
    part(
      'e',
      `update sessions set ended_at = now(), end_reason = 'logout', cookie_hash = null
      where tenant_id = $1 and id = ${bind(id, 'text')} and ended_at is null and ${all}`,
    )
  }
  for (const e of unit.events) {
    part(
      'v',
      `insert into events (tenant_id, id, type, actor_id, user_id, client_id, session_id, ip, user_agent, request_id, data)
      select $1, ${bind(e.id, 'uuid')}, ${bind(e.type, 'text')}, ${bind(e.actorId ?? null, 'uuid')}, ${bind(e.userId ?? null, 'uuid')},
        ${bind(e.clientId ?? null, 'text')}, ${bind(e.sessionId ?? null, 'text')}, ${bind(e.ip ?? null, 'inet')},
        ${bind(e.userAgent ?? null, 'text')}, ${bind(e.requestId ?? null, 'text')}, ${bind(JSON.stringify(e.data ?? {}), 'jsonb')}
      where ${all}`,
    )
  }
  for (const { shape: kind, sql } of unit.also) part(` ${kind} `, sql(bind))
  const count = Array.from({ length: consumes }, (_, i) => `(select count(*) from p${i})`).join(' + ') || '0'
  return { text: `with ${parts.join(',\n')} select ${count} as consumed`, values, shape: shape.join('') }
}

/** Marks a replay detection value as seen. False when it was seen before. One atomic insert. */
export async function markOnce(model: string, id: string, expiresAt: number): Promise<boolean> {
  const unit = current()
  const rows = await named(
    unit.db,
    'oidc_mark_once',
    `insert into oidc_models (tenant_id, model, id, payload, expires_at) values ($1, $2, $3, '{}', to_timestamp($4))
     on conflict do nothing returning 1`,
    [unit.tenantId, model, sha256(id).toString('base64url'), expiresAt],
  )
  return rows.length === 1
}
