/**
 * What signing in asks for: the tenant's settings, and what a client asks beside them. A client can only ask for more.
 * Also what a session's proofs (amr, RFC 8176) are worth against it.
 */
import type { Context } from './context.ts'
import type { LoginPolicy as ClientPolicy, Tenant } from './directory.ts'
import { DIRECT_CLIENT } from './ids.ts'

/** Second factors, in the order in which they are offered. */
export const FACTORS = ['webauthn', 'totp', 'sms', 'email'] as const
export type Factor = (typeof FACTORS)[number]
export type Method = NonNullable<ClientPolicy['methods']>[number]

export interface Policy {
  mfa: 'off' | 'optional' | 'required'
  /** Second factors that count. */
  factors: readonly Factor[]
  /** Ways to sign in; all of them where undefined. */
  methods: readonly Method[] | undefined
  verifiedEmail: boolean
  organization: 'optional' | 'required'
}

/** What a sign-in may have too little of. */
export type Lack = 'factor' | 'organization'

const STRICTNESS = ['off', 'optional', 'required'] as const

/** The stricter of both. Where no factor pleases both, the tenant's count: nobody could sign in otherwise. */
export function policyOf({ settings }: Pick<Tenant, 'settings'>, client: ClientPolicy = {}): Policy {
  const strictness = Math.max(STRICTNESS.indexOf(settings.mfa_policy), STRICTNESS.indexOf(client.mfa ?? 'off'))
  const allowed = FACTORS.filter((f) => settings.mfa_factors.includes(f))
  const both = allowed.filter((f) => client.factors?.includes(f) ?? true)
  return {
    mfa: STRICTNESS[strictness]!,
    factors: both.length > 0 ? both : allowed,
    methods: client.methods,
    verifiedEmail: settings.require_verified_email || client.require_verified_email === true,
    organization: client.organization ?? 'optional',
  }
}

/** The policy at a client; without one, at our own pages and direct-login API. */
export async function policyAt(ctx: Pick<Context, 'out' | 'tenant'>, clientId = DIRECT_CLIENT): Promise<Policy> {
  return policyOf(ctx.tenant, (await ctx.out.directory.client(ctx.tenant.id, clientId))?.loginPolicy)
}

/** What proving a factor adds to amr. A backup code says so, since it stands in for other factors. */
export const AMR: Record<Exclude<Factor, 'webauthn'> | 'backup_codes', string[]> = {
  totp: ['otp'],
  email: ['email'],
  sms: ['sms'],
  backup_codes: ['otp', 'backup'],
}
const PROOF: Record<Factor, string> = { webauthn: 'hwk', totp: 'otp', sms: 'sms', email: 'email' }

/** Backup codes stand in for any factor but one that resists phishing. */
export const allowsBackup = (policy: Policy): boolean => policy.factors.some((f) => f !== 'webauthn')

/** Whether two factors were proven, the second one of those that count. */
export function hasSecondFactor(policy: Policy, amr: string[]): boolean {
  const isStrong = amr.includes('mfa') || (amr.includes('hwk') && amr.includes('user'))
  return (
    isStrong && (policy.factors.some((f) => amr.includes(PROOF[f])) || (amr.includes('backup') && allowsBackup(policy)))
  )
}

const METHOD: Record<string, Method> = {
  pwd: 'password',
  email: 'magic_link',
  sms: 'otp',
  hwk: 'passkey',
  fed: 'social',
}

export const offers = ({ methods }: Policy, method: Method): boolean => methods?.includes(method) ?? true

/** Whether signing in the way it was begun is offered. */
export function allowsMethod(policy: Policy, amr: string[]): boolean {
  const method = METHOD[amr[0] ?? '']
  return method === undefined || offers(policy, method)
}

/**
 * Whether a session with these proofs is good for the policy by itself; where not, a trusted device may still make up
 * for the second factor. Who acts for somebody else has proven themselves, not that somebody.
 */
export function suffices(policy: Policy, amr: string[]): { method: boolean; factor: boolean } {
  const acting = amr.includes('imp')
  return {
    method: acting || allowsMethod(policy, amr),
    factor: acting || policy.mfa !== 'required' || hasSecondFactor(policy, amr),
  }
}
