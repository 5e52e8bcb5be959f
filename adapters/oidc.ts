/**
 * Storage of oidc-provider's models in PostgreSQL as a unit of work: what one request will need is read by one
 * prepared statement and kept for that request; its writes leave together in one statement, in which single use is
 * decided by the database. Bearer values are stored as SHA-256 only.
 */
import type { Adapter, AdapterPayload } from 'oidc-provider'
import { named } from './knex.ts'
import { FIND_SESSION_BY_ID, findRow, findSession } from './oidc/reads.ts'
import { remember } from './oidc/rows.ts'
import { current, idOf, keyOf, sessionState, type Unit } from './oidc/unit.ts'
import { sha256 } from './sealing.ts'

export { flush, isDirty, touchSessions } from './oidc/flush.ts'
export { findPerson } from './oidc/reads.ts'
export { USER_COLUMNS } from './oidc/rows.ts'
export { forgetStanding, forgetStandings, loadStanding, type Standing } from './oidc/standing.ts'
export { type EventRow, newUnit, Replayed, type Unit, units } from './oidc/unit.ts'

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
  const cookieHash = unit.sessionKind === 'browser' ? sha256(cookie) : null
  if (cookieHash && unit.unchanged.get(uid) === sessionState(cookieHash, rest)) {
    unit.sessions.delete(uid)
    return
  }
  unit.sessions.set(uid, {
    id: uid,
    cookieHash,
    userId: payload.accountId ?? null,
    clientId: unit.sessionKind === 'api' ? (unit.clientId ?? null) : null,
    kind: unit.sessionKind,
    payload: { ...rest, uid } as AdapterPayload,
    ttl,
  })
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
