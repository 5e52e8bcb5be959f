/** The statements that find models: one round trip brings what the rest of the request will ask for. */
import type { AdapterPayload } from 'oidc-provider'
import { named } from '../knex.ts'
import { sha256 } from '../sealing.ts'
import { CONTEXT_SELECT, contextJoins, GRANT, person, ROLES_SELECT, remember, USER_SELECT } from './rows.ts'
import { epoch, idOf, keyOf, sessionState, type Unit } from './unit.ts'

const FIND_TOKEN = `select t.payload, t.expires_at, t.consumed_at, t.grant_id, ${CONTEXT_SELECT}
  from oidc_models t ${contextJoins('t.grant_id', 't.session_id', 't.user_id')}
  where t.tenant_id = $1 and t.model = $2 and t.id = $3`
const FIND_SESSION = `select s.id as s_id, s.payload as s_payload, s.expires_at as s_expires_at, s.ended_at as s_ended_at,
    s.end_reason as s_end_reason, s.last_used_at as s_last_used_at, ${USER_SELECT}, ${ROLES_SELECT},
    g.id as g_id, ${GRANT} as g_payload, g.expires_at as g_expires_at
  from sessions s
  left join users u on u.tenant_id = $1 and u.id = s.user_id
  left join oidc_models g on g.tenant_id = $1 and g.model = 'Grant' and g.id = s.payload #>> array['authorizations', $3::text, 'grantId']
  where s.tenant_id = $1 and s.cookie_hash = $2 and s.ended_at is null`
// On the way back from the pages, an interaction brings along who signed in there.
const FIND_INTERACTION = `select t.payload, t.expires_at, t.consumed_at, ${USER_SELECT}, ${ROLES_SELECT}
  from oidc_models t
  left join users u on u.tenant_id = $1 and u.id = (t.payload #>> '{result,login,accountId}')::uuid
  where t.tenant_id = $1 and t.model = 'Interaction' and t.id = $2`
const FIND_GRANT = `select ${GRANT} as payload, expires_at, consumed_at from oidc_models g
  where tenant_id = $1 and model = 'Grant' and id = $2`
const FIND_MODEL = `select payload, expires_at, consumed_at from oidc_models where tenant_id = $1 and model = $2 and id = $3`
const OWN_STATEMENTS: Record<string, { name: string; text: string }> = {
  Interaction: { name: 'oidc_interaction', text: FIND_INTERACTION },
  Grant: { name: 'oidc_grant', text: FIND_GRANT },
}
export const FIND_SESSION_BY_ID = `select id as s_id, payload as s_payload, expires_at as s_expires_at, ended_at as s_ended_at,
  end_reason as s_end_reason, last_used_at as s_last_used_at from sessions where tenant_id = $1 and id = $2`
const FIND_USER = `select ${USER_SELECT}, ${ROLES_SELECT} from users u where u.tenant_id = $1 and u.id = $2`

/** The users row with role_ids, from this request's reads or by one statement. */
export async function findPerson(unit: Unit, userId: string): Promise<any> {
  if (unit.people.has(userId)) return unit.people.get(userId)
  const [row] = await named(unit.db, 'oidc_user', FIND_USER, [unit.tenantId, userId])
  const found = row ? person(row) : undefined
  unit.people.set(userId, found)
  return found
}

export async function findSession(unit: Unit, cookie: string): Promise<AdapterPayload | undefined> {
  const hash = sha256(cookie)
  const [row] = await named(unit.db, 'oidc_session', FIND_SESSION, [unit.tenantId, hash, unit.clientId ?? ''])
  if (!row) return undefined
  remember(unit, row, row.g_id ?? undefined)
  unit.sessionOf.set(hash.toString('base64url'), row.s_id)
  // One used within the last minute is not written again for having been used: the provider saves it at each request.
  if (!unit.touched.delete(row.s_id)) unit.unchanged.set(row.s_id, sessionState(hash, row.s_payload))
  return { ...row.s_payload, jti: cookie, uid: row.s_id, exp: epoch(row.s_expires_at) }
}

export async function findRow(unit: Unit, model: string, id: string): Promise<AdapterPayload | undefined> {
  const key = keyOf(model, id)
  const known = unit.found.get(key)
  if (known !== undefined) return known ?? undefined
  const stored = idOf(model, id)
  const joined = model === 'RefreshToken' || model === 'AuthorizationCode' || model === 'AccessToken'
  const own = OWN_STATEMENTS[model]
  const [row] = joined
    ? await named(unit.db, 'oidc_token', FIND_TOKEN, [unit.tenantId, model, stored])
    : own
      ? await named(unit.db, own.name, own.text, [unit.tenantId, stored])
      : await named(unit.db, 'oidc_model', FIND_MODEL, [unit.tenantId, model, stored])
  if (!row?.payload) {
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
