/** Recent authentication: changes to how a person signs in ask for a sign-in that is not long ago (RFC 9470). */
import { type Failure, fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import type { Lack } from './login-policy.ts'
import { ACR, acrOf } from './proofs.ts'

/** Seconds. */
export const RECENT = 900

export interface SessionProof {
  /** Unix seconds; 0 when the session is gone or the token has none. */
  loginTs: number
  amr: string[]
}

/** ACCESS_DENIED while acting as somebody else: how people sign in is theirs to change. */
export function assertOneself(ctx: Context): void {
  if (ctx.actor?.impersonatorId) throw fail('ACCESS_DENIED', 'This cannot be done while acting as somebody else')
}

/**
 * ACCESS_DENIED unless a signed-in person does it in an app of ours, as themselves: what is made here outlives the key or the
 * permission it would be made with. `what` says what cannot be done.
 */
export function assertInPerson(ctx: Context, what: string): void {
  assertOneself(ctx)
  if (!ctx.actor?.sessionId || !ctx.actor.firstParty)
    throw fail('ACCESS_DENIED', `${what} by a signed-in person, not by a key or another app`)
}

/** When and how the session of the caller's token was signed in. */
export async function sessionProof(ctx: Context): Promise<SessionProof> {
  assertOneself(ctx)
  // Whoever may change how a person signs in may become that person; no consent to an app says so.
  if (ctx.actor?.sessionId && !ctx.actor.firstParty)
    throw fail('ACCESS_DENIED', 'How a person signs in is changed in an app of ours, not by another app')
  const row = ctx.actor?.sessionId
    ? await ctx
        .db('sessions')
        .where({ tenant_id: ctx.tenant.id, id: ctx.actor.sessionId, ended_at: null })
        .first('payload')
    : undefined
  return { loginTs: row?.payload.loginTs ?? 0, amr: row?.payload.amr ?? [] }
}

export interface RecentOptions {
  /** Seconds. */
  maxAge?: number
  /** The session must have been signed in with a second factor. */
  mfa?: boolean
}

export function isRecent(proof: SessionProof, { maxAge = RECENT, mfa = false }: RecentOptions = {}): boolean {
  const isFresh = proof.loginTs >= Math.floor(Date.now() / 1000) - maxAge
  return isFresh && (!mfa || acrOf(proof.amr) === ACR.mfa)
}

/** INSUFFICIENT_AUTHENTICATION (401 with the challenge of RFC 9470 section 3) unless the sign-in was recent. */
export async function assertRecent(ctx: Context, options: RecentOptions = {}): Promise<void> {
  if (!isRecent(await sessionProof(ctx), options)) throw insufficient(options)
}

export function insufficient({ maxAge = RECENT, mfa = false }: RecentOptions = {}): Error {
  const message = mfa ? 'Sign in again with your second factor to do this' : 'Sign in again to do this'
  return challenge(message, [`max_age=${maxAge}`, ...(mfa ? [`acr_values="${ACR.mfa}"`] : [])])
}

/** The same of a session that is not too old, but was opened with less than is asked for by now. */
export const tooWeak = (lack: Lack): Failure =>
  lack === 'organization'
    ? challenge('This app asks for an organization by now. Sign in again', [])
    : challenge('A second factor is asked for here by now. Sign in again', [`acr_values="${ACR.mfa}"`])

function challenge(message: string, asks: string[]): Failure {
  const words = ['Bearer error="insufficient_user_authentication"', `error_description="${message}"`, ...asks]
  return fail('INSUFFICIENT_AUTHENTICATION', message, { headers: { 'WWW-Authenticate': words.join(', ') } })
}
