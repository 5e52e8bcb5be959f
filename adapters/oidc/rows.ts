/** Joined rows: the columns that bring a token's grant, session and person along, and what is kept of them. */
import { epoch, keyOf, type Unit } from './unit.ts'

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
export const USER_SELECT = USER_COLUMNS.map((c) => `u.${c} as u_${c}`).join(', ')
export const ROLES_SELECT = `array(select role_id from user_roles ur where ur.tenant_id = u.tenant_id and ur.user_id = u.id) as u_role_ids`
/** A grant's payload; null where it was made for an organization that is not active any more, or its person no member. */
export const GRANT = `case when not g.payload ? 'organization' or exists (
    select from memberships m join organizations o on o.tenant_id = m.tenant_id and o.id = m.organization_id
    where m.tenant_id = $1 and m.organization_id = (g.payload ->> 'organization')::uuid and m.user_id = g.user_id
      and o.status = 'active') then g.payload end`
export const CONTEXT_SELECT = `${GRANT} as g_payload, g.expires_at as g_expires_at,
  s.id as s_id, s.payload as s_payload, s.expires_at as s_expires_at, s.ended_at as s_ended_at, s.end_reason as s_end_reason,
  s.last_used_at as s_last_used_at, ${USER_SELECT}, ${ROLES_SELECT}`
export const contextJoins = (grant: string, session: string, user: string) => `
  left join oidc_models g on g.tenant_id = $1 and g.model = 'Grant' and g.id = ${grant}
  left join sessions s on s.tenant_id = $1 and s.id = ${session}
  left join users u on u.tenant_id = $1 and u.id = ${user}`

/** Keeps what a joined row brought along, so that the provider's own look-ups need no further statement. */
export function remember(unit: Unit, row: any, grantId: string | undefined): void {
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
/** The users row with role_ids; made once, since a row may serve several requests. */
export function person(row: any): any {
  if (row.person) return row.person
  const user: any = { role_ids: row.u_role_ids ?? [] }
  for (const column of USER_COLUMNS) user[column] = row[`u_${column}`]
  row.person = user
  return user
}
