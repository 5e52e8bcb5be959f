/** A token's standing: whether what it was issued on still holds, remembered for at most a second. */
import type { AdapterPayload } from 'oidc-provider'
import { type Db, named } from '../knex.ts'
import { CONTEXT_SELECT, contextJoins, person, remember } from './rows.ts'
import type { Unit } from './unit.ts'

const FIND_CONTEXT = `select ${CONTEXT_SELECT}, exists (select 1 from oidc_models d where d.tenant_id = $1
    and d.model = 'RevokedToken' and d.id = $5) as revoked, i.status as i_status, i.locked_until as i_locked_until,
    array(select role_id from user_roles ir where ir.tenant_id = $1 and ir.user_id = i.id) as i_role_ids
  from (select 1) one ${contextJoins('$2', '$3', '$4::uuid')}
  left join users i on i.tenant_id = $1 and i.id = s.impersonator_id`

/** What a token stands on: its grant, session and person, as of now. */
export interface Standing {
  grant: AdapterPayload | undefined
  /** `amr`: how it was signed in. */
  session: { live: boolean; revoked: boolean; amr: string[] } | undefined
  /** The users row with role_ids. */
  user: any
  /** Of a session in which somebody acts as the person: that one. */
  impersonator: { status: string; locked_until: Date | null; role_ids: string[] } | undefined
  /** The token itself is on the deny-list. */
  revoked: boolean
}

const standing = (row: any): Standing => ({
  grant: row.g_payload ?? undefined,
  session: row.s_id
    ? {
        live: row.s_ended_at === null && row.s_expires_at > new Date(),
        revoked: row.s_end_reason === 'revoked',
        amr: row.s_payload.amr ?? [],
      }
    : undefined,
  user: row.u_id ? person(row) : undefined,
  impersonator: row.i_status
    ? { status: row.i_status, locked_until: row.i_locked_until, role_ids: row.i_role_ids }
    : undefined,
  revoked: row.revoked ?? false,
})

/** Milliseconds for which a token's standing may be remembered. */
const FRESH = 1000
const MAX_STANDINGS = 20_000
const recent = new Map<string, { at: number; changes: number; row: Promise<any>; standing?: Standing }>()
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
  known.standing ??= standing(row)
  return known.standing
}
