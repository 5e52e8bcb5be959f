/**
 * Whether a session is still strong enough for a client: policies change while sessions live. At the authorization
 * endpoint the person signs in again, a refresh is refused, and our own API answers the challenge of RFC 9470.
 */
import { errors } from 'oidc-provider'
import type { Outside } from '../domain/context.ts'
import * as devices from '../domain/devices.ts'
import type { ClientRecord, Tenant } from '../domain/directory.ts'
import { type Lack, policyOf, suffices } from '../domain/login-policy.ts'
import { ACR } from '../domain/proofs.ts'
import { demandsMfa } from './acr.ts'

/** What the token endpoint says of it; server/oidc/providers.ts knows it again. */
export const TOO_WEAK: Record<Lack, string> = {
  factor: 'insufficient_user_authentication: sign in again, more is asked for now',
  organization: 'insufficient_user_authentication: sign in again, as a member of an organization',
}
export const LACKS = Object.keys(TOO_WEAK) as Lack[]

/** At the authorization endpoint, for the session of the browser. */
export async function isStrongEnough(out: Outside, tenant: Tenant, ctx: any): Promise<boolean> {
  const { session, client, params } = ctx.oidc
  const policy = policyOf(tenant, client.record.loginPolicy)
  if (policy.mfa !== 'off' && demandsMfa(params) && session.acr !== ACR.mfa) return false
  if (!session.accountId) return true
  // The session is of somebody whom the client does not take as they are, such as with an unverified address.
  if (!ctx.oidc.account) return false
  const { method, factor } = suffices(policy, session.amr ?? [])
  if (!method || factor) return method
  const { ip } = ctx.req.gatehouse
  const request = { ip, userAgent: ctx.get('user-agent'), deviceToken: devices.deviceToken(out, tenant, ctx.req) }
  return devices.isTrusted({ tenant, request, db: out.db }, session.accountId)
}

interface Signed {
  userId: string
  sessionId: string | undefined
  amr: string[]
  /** Of the grant. */
  organization: string | undefined
}

/** What was issued on a session has too little of. A trusted device costs a look-up, and only where it decides. */
export async function lackOf(
  out: Outside,
  tenant: Tenant,
  client: ClientRecord,
  { userId, sessionId, amr, organization }: Signed,
): Promise<Lack | undefined> {
  const policy = policyOf(tenant, client.loginPolicy)
  if (policy.organization === 'required' && organization === undefined) return 'organization'
  const { method, factor } = suffices(policy, amr)
  if (!method) return 'factor'
  const isTrusted = () => sessionId !== undefined && devices.isSessionTrusted({ tenant, db: out.db }, userId, sessionId)
  return factor || (await isTrusted()) ? undefined : 'factor'
}

/** Before a refresh token is rotated. A session that proved a factor since counts; without one, what the token says. */
export async function assertSessionSuffices(out: Outside, tenant: Tenant, oidc: any): Promise<void> {
  const { RefreshToken: token, Grant: grant } = oidc.entities
  const session = token.sessionUid && (await oidc.provider.Session.findByUid(token.sessionUid))
  const signed = {
    userId: token.accountId,
    sessionId: token.sessionUid,
    amr: session?.amr ?? token.amr ?? [],
    organization: grant.organization,
  }
  const lack = await lackOf(out, tenant, oidc.client.record, signed)
  if (!lack) return
  const description = TOO_WEAK[lack]
  throw Object.assign(new errors.InvalidGrant(description), { error_description: description })
}
