/** The writes of a unit as one statement, in which single use is decided by the database. */
import { type Db, named } from '../knex.ts'
import { queueDeliveries, RETURNING_EVENT } from '../webhook-events.ts'
import { forgetStandings } from './standing.ts'
import { Replayed, type Unit } from './unit.ts'

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
  const [row] = await named(db, statementName(shape), text, values, true)
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

/** Models that are saved once, under a new random id. */
const ONCE = new Set(['AuthorizationCode', 'RefreshToken', 'PushedAuthorizationRequest'])

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
  const heard: string[] = []
  const eventPart = (kind: string, sql: string) => {
    if (unit.hasWebhooks) heard.push(`p${parts.length}`)
    part(kind, unit.hasWebhooks ? `${sql} ${RETURNING_EVENT}` : sql)
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
      `insert into sessions (tenant_id, id, cookie_hash, user_id, client_id, kind, payload, ip, user_agent, device_id, country, city, expires_at)
      select $1, ${bind(s.id, 'text')}, ${bind(s.cookieHash, 'bytea')}, ${bind(s.userId, 'uuid')}, ${bind(s.clientId, 'text')},
        ${bind(s.kind, 'text')}, ${bind(JSON.stringify(s.payload), 'jsonb')}, ${bind(unit.ip, 'inet')},
        ${bind(unit.userAgent, 'text')}, ${bind(place?.deviceId ?? null, 'uuid')}, ${bind(place?.country ?? null, 'text')}, ${bind(place?.city ?? null, 'text')},
        now() + make_interval(secs => ${bind(s.ttl, 'int')})
      where ${all}
      on conflict (tenant_id, id) do update set cookie_hash = excluded.cookie_hash, user_id = excluded.user_id,
        payload = case when sessions.cookie_hash = excluded.cookie_hash and sessions.payload ? 'authorizations'
          then excluded.payload || jsonb_build_object('authorizations',
            (sessions.payload -> 'authorizations') || coalesce(excluded.payload -> 'authorizations', '{}'))
          else excluded.payload end,
        device_id = coalesce(excluded.device_id, sessions.device_id), country = coalesce(excluded.country, sessions.country),
        city = case when excluded.country is null then sessions.city else excluded.city end,
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
    // What is written but once need not look for itself first, which costs a fifth of an insert.
    const isNew = ONCE.has(model)
    part(
      isNew ? 'n' : 'u',
      `insert into oidc_models (tenant_id, model, id, grant_id, session_id, user_id, client_id, payload, expires_at)
      select $1, ${bind(model, 'text')}, ${bind(id, 'text')}, ${bind(model === 'Grant' ? id : (grantId ?? null), 'text')},
        ${bind(sessionUid ?? null, 'text')}, ${bind(accountId ?? null, 'uuid')}, ${bind(clientId ?? null, 'text')},
        ${bind(JSON.stringify(payload), 'jsonb')}, now() + make_interval(secs => ${bind(ttl, 'int')})
      where ${all}
      ${isNew ? '' : 'on conflict (tenant_id, model, id) do update set payload = excluded.payload, expires_at = excluded.expires_at'}`,
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
    eventPart(
      'v',
      `insert into events (tenant_id, id, type, actor_id, user_id, client_id, session_id, ip, user_agent, request_id, data)
      select $1, ${bind(e.id, 'uuid')}, ${bind(e.type, 'text')}, ${bind(e.actorId ?? null, 'uuid')}, ${bind(e.userId ?? null, 'uuid')},
        ${bind(e.clientId ?? null, 'text')}, ${bind(e.sessionId ?? null, 'text')}, ${bind(e.ip ?? null, 'inet')},
        ${bind(e.userAgent ?? null, 'text')}, ${bind(e.requestId ?? null, 'text')}, ${bind(JSON.stringify(e.data ?? {}), 'jsonb')}
      where ${all}`,
    )
  }
  for (const { shape: kind, isEvent, sql } of unit.also) (isEvent ? eventPart : part)(` ${kind} `, sql(bind))
  if (heard.length > 0) part('w', queueDeliveries(heard))
  const count = Array.from({ length: consumes }, (_, i) => `(select count(*) from p${i})`).join(' + ') || '0'
  return { text: `with ${parts.join(',\n')} select ${count} as consumed`, values, shape: shape.join('') }
}
