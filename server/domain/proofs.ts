/** A proof: a person and how they have proven who they are (amr, RFC 8176), and what that is worth by itself. */
import { USER_COLUMNS } from '../../adapters/oidc.ts'
import type { Context, UserRow } from './context.ts'
import { allowsBackup, hasSecondFactor, type Policy } from './login-policy.ts'

/** A person with what signing in needs to know of them. */
export type Person = UserRow & {
  role_ids: string[]
  /** Types of proven second factors: totp, email, sms, webauthn, backup_codes. */
  factors: string[]
  preferred_factor: string | null
  required_actions: string[]
  /** Of the terms accepted last. */
  terms_version?: string | null
  /** Ids of devices that may not sign in to this account. */
  blocked_devices?: string[]
}

/** A part of the statement that opens the session. */
export interface Part {
  shape: string
  isEvent?: boolean
  sql(bind: (value: unknown, type: string) => string): string
}

/** Somebody proved who they are, in these ways (RFC 8176 names). */
export interface Proof {
  user: Person
  amr: string[]
  also: Part[]
  /** A device that may skip the second factor; see devices.ts. */
  deviceTrusted?: boolean
  /** The app asked for a second factor (acr_values), whatever the device. */
  mfaDemanded?: boolean
  /** The person wants this device to skip the second factor from now on. */
  trustDevice?: boolean
}

/** Whether the proof is not enough by itself. */
export function owesSecondFactor(policy: Policy, proof: Proof): boolean {
  const { user, amr, deviceTrusted, mfaDemanded } = proof
  if (policy.mfa === 'off' || hasSecondFactor(policy, amr)) return false
  if (mfaDemanded) return true
  if (deviceTrusted) return false
  const has = secondFactors(policy, user, amr).length > 0
  return has || policy.mfa === 'required' || user.required_actions.includes('enrol_mfa')
}

/** Factors that count and add something to what was proven already: mail after a mailed link proves nothing new. */
export function secondFactors(policy: Policy, user: Person, amr: string[]): string[] {
  const usable = policy.factors.filter(
    (f) =>
      user.factors.includes(f) && !(f === 'email' && amr.includes('email')) && !(f === 'sms' && amr.includes('sms')),
  )
  const withBackup = usable.length > 0 && user.factors.includes('backup_codes') && allowsBackup(policy)
  return withBackup ? [...usable, 'backup_codes'] : usable
}

/** Every finished sign-in notes when it was. */
export const noteSignIn = (user: Person): Part => ({
  shape: 'login-user',
  sql: (bind) => `update users set last_login_at = now() where tenant_id = $1 and id = ${bind(user.id, 'uuid')}`,
})

/** Authentication context (OIDC Core acr) of what was proven. */
export const acrOf = (amr: string[]): string =>
  amr.includes('mfa') || (amr.includes('hwk') && amr.includes('user')) ? ACR.mfa : ACR.single
export const ACR = { single: 'urn:gatehouse:acr:single', mfa: 'urn:gatehouse:acr:mfa' } as const

/** SQL of the columns that make a Person, for statements of other files; expects the users row as u. */
export const PERSON_EXTRAS = `u.preferred_factor, u.required_actions, u.terms_version,
    array(select d.id::text from devices d where d.tenant_id = u.tenant_id and d.user_id = u.id and d.blocked_at is not null)
      as blocked_devices,
    array(select role_id from user_roles r where r.tenant_id = u.tenant_id and r.user_id = u.id) as role_ids,
    array(select distinct f.type from credentials f where f.tenant_id = u.tenant_id and f.user_id = u.id
      and f.type <> 'password' and f.verified_at is not null) as factors`

export async function person(ctx: Context, userId: string): Promise<Person | undefined> {
  const { rows } = await ctx.db.raw(
    `select ${USER_COLUMNS.map((c) => `u.${c}`).join(', ')}, ${PERSON_EXTRAS} from users u where u.tenant_id = ? and u.id = ? and u.deleted_at is null`,
    [ctx.tenant.id, userId],
  )
  return rows[0]
}
