/** Login attempts: sign-ins that were begun by a proof and wait for what they still owe. */
import { flush, newUnit } from '../../adapters/oidc.ts'
import { randomToken, sha256 } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import * as devices from './devices.ts'
import { newId } from './ids.ts'
import { type Policy, policyAt, policyOf } from './login-policy.ts'
import { type Person, type Proof, person } from './proofs.ts'
import { isReachable } from './users.ts'

/** For a second factor, or for what a person has to do. */
export type Stage = 'factor' | 'actions'
/** Seconds. Reading terms takes longer than typing a code. */
const LIFETIME: Record<Stage, number> = { factor: 300, actions: 900 }
const TRIES = 5

export interface Attempt {
  id: string
  userId: string
  clientId: string | null
  interactionId: string | null
  amr: string[]
  tries: number
  data: Record<string, any>
  challenge: string | null
  /** Of the code sent last: email or sms. */
  codeFactor: string | null
  codesSent: number
}

/** Where somebody signs in. `interactionId` binds the attempt to hosted pages. */
export interface Where {
  clientId?: string | undefined
  interactionId?: string | undefined
}

/** Stores an attempt, with what the proof leaves behind. `mfaToken` binds the rest of the sign-in to the caller. */
export async function begin(
  ctx: Context,
  proof: Proof,
  stage: Stage,
  { clientId, interactionId }: Where,
): Promise<{ mfaToken: string; expiresIn: number }> {
  const { user, amr, also, trustDevice } = proof
  const { ip, userAgent } = ctx.request
  const { id: tenantId, hasWebhooks } = ctx.tenant
  await flush(newUnit({ tenantId, hasWebhooks, db: ctx.db, ip, userAgent, also }))
  const mfaToken = randomToken()
  const expiresIn = LIFETIME[stage]
  await ctx.db('login_attempts').insert({
    tenant_id: ctx.tenant.id,
    id: newId(),
    token_hash: sha256(mfaToken),
    user_id: user.id,
    client_id: clientId ?? null,
    interaction_id: interactionId ?? null,
    stage,
    amr,
    data: JSON.stringify({ ...(trustDevice && { trustDevice }) }),
    caller_hash: callerHash(ctx),
    expires_at: ctx.db.raw('now() + make_interval(secs => ?)', [expiresIn]),
  })
  return { mfaToken, expiresIn }
}

/** Nobody who may not act gets past here, whichever way they came. */
export function assertMaySignIn(ctx: Context, user: Person, policy: Policy = policyOf(ctx.tenant)): void {
  if (user.status !== 'active') throw fail('ACCOUNT_DISABLED', 'This account is disabled')
  if (user.locked_until && user.locked_until > new Date()) throw fail('ACCOUNT_LOCKED', 'This account is locked')
  devices.assertNotBlocked(ctx, user)
  if (isReachable(user)) return
  // Whoever has no address signs in with the number alone: it must be theirs.
  if (user.email === null)
    throw fail('EMAIL_VERIFICATION_REQUIRED', 'Verify your telephone number first, by a texted code')
  if (policy.verifiedEmail || user.required_actions.includes('verify_email'))
    throw fail('EMAIL_VERIFICATION_REQUIRED', 'Verify your e-mail address first')
}

const callerHash = (ctx: Context) => sha256(`${ctx.request.ip}\n${ctx.request.userAgent}`)

/**
 * The live attempt of mfa_token; or of user_id alone while exactly one is live for that person from this address and
 * user agent (the documents' clients send no more). UNAUTHORIZED when there is none.
 */
export async function find(
  ctx: Context,
  by: { mfaToken?: string | undefined; userId?: string | undefined; interactionId?: string; stage?: Stage },
): Promise<Attempt> {
  const live = ctx
    .db('login_attempts')
    .where({ tenant_id: ctx.tenant.id, finished_at: null, stage: by.stage ?? 'factor' })
    .where('expires_at', '>', ctx.db.fn.now())
    .where('tries', '<', TRIES)
  if (by.mfaToken) live.where({ token_hash: sha256(by.mfaToken) })
  else if (by.interactionId) live.where({ interaction_id: by.interactionId })
  else if (by.userId && ctx.tenant.settings.mfa_by_user_id)
    live.where({ user_id: by.userId, caller_hash: callerHash(ctx), interaction_id: null })
  else throw gone()
  const rows = await live.orderBy('created_at', 'desc').limit(2)
  const row = rows[0]
  if (!row || (rows.length > 1 && !by.interactionId) || (by.userId && row.user_id !== by.userId)) throw gone()
  return {
    id: row.id,
    userId: row.user_id,
    clientId: row.client_id,
    interactionId: row.interaction_id,
    amr: row.amr,
    tries: row.tries,
    data: row.data,
    challenge: row.challenge,
    codeFactor: row.code_factor,
    codesSent: row.codes_sent,
  }
}

const gone = () => fail('UNAUTHORIZED', 'There is no sign-in waiting for a second factor. Sign in again')

/** Counts a try before the code is looked at, so that parallel guesses are counted one by one. UNAUTHORIZED when used up. */
export async function countTry(ctx: Context, attempt: Attempt): Promise<void> {
  const counted = await ctx.out
    .db('login_attempts')
    .where({ tenant_id: ctx.tenant.id, id: attempt.id, finished_at: null })
    .where('tries', '<', TRIES)
    .where('expires_at', '>', ctx.db.fn.now())
    .update({ tries: ctx.out.db.raw('tries + 1') })
  if (counted === 0) throw gone()
  await countAccount(ctx, attempt.userId)
}

/** Second-factor guesses on one account within the hour, over all attempts: knowing the password buys no more. */
const ACCOUNT_TRIES = 30

export async function countAccount(ctx: Context, userId: string): Promise<void> {
  const { rows } = await ctx.out.db.raw(
    `insert into login_counters as c (tenant_id, key, failures, expires_at) values (?, ?, 1, now() + interval '1 hour')
     on conflict (tenant_id, key) do update set
       failures = case when c.expires_at <= now() then 1 else c.failures + 1 end,
       expires_at = case when c.expires_at <= now() then now() + interval '1 hour' else c.expires_at end
     returning failures, ceil(extract(epoch from expires_at - now()))::int as wait`,
    [ctx.tenant.id, sha256(`mfa ${userId}`)],
  )
  if (rows[0].failures > ACCOUNT_TRIES) {
    throw fail('RATE_LIMITED', 'Too many wrong codes for this account. Wait, or use a passkey', {
      retryAfter: rows[0].wait,
    })
  }
}

/** Writes down how far a set-up within the attempt is. Getting an app and writing codes down takes longer than a code. */
export const note = (ctx: Context, attempt: Attempt, data: object) =>
  ctx
    .db('login_attempts')
    .where({ tenant_id: ctx.tenant.id, id: attempt.id, finished_at: null })
    .update({
      data: ctx.db.raw('data || ?::jsonb', [JSON.stringify(data)]),
      expires_at: ctx.db.raw(`greatest(expires_at, now() + interval '10 minutes')`),
    })

/** Ends the attempt, for exactly one caller. Answers the proof with what a second factor added, if it was one; to settle() of sign-in.ts. */
export async function finish(ctx: Context, attempt: Attempt, factor?: { amr: string[] }): Promise<Proof> {
  const ended = await ctx
    .db('login_attempts')
    .where({ tenant_id: ctx.tenant.id, id: attempt.id, finished_at: null })
    .where('expires_at', '>', ctx.db.fn.now())
    .update({ finished_at: ctx.db.fn.now() })
  if (ended === 0) throw gone()
  const user = await person(ctx, attempt.userId)
  if (!user) throw gone()
  assertMaySignIn(ctx, user, await policyAt(ctx, attempt.clientId ?? undefined))
  const amr = factor ? [...new Set([...attempt.amr, ...factor.amr, 'mfa'])] : attempt.amr
  return { user, amr, also: [], ...(attempt.data.trustDevice && { trustDevice: true }) }
}

/** The wrong-code failure; the try was counted before. */
export async function wrongCode(ctx: Context, attempt: Attempt, factor: string): Promise<Error> {
  await ctx.out.recordNow(ctx, 'login.mfa_failed', { userId: attempt.userId, data: { factor } })
  return fail('INVALID_CODE', 'This code is wrong or no longer valid')
}
