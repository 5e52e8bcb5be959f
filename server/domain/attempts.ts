/**
 * Login attempts: the one place that decides what a sign-in still owes. Password, magic link, passkey, social login and
 * reset all bring a proof here; the answer is either a finished sign-in or a stored attempt that waits for a second factor.
 */
import { flush, newUnit, USER_COLUMNS } from '../../adapters/oidc.ts'
import { randomToken, sha256 } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import type { Context, UserRow } from './context.ts'
import * as devices from './devices.ts'
import { choices as enrolmentChoices } from './factors/enrolment.ts'
import { newId } from './ids.ts'
import { allowsBackup, allowsMethod, hasSecondFactor, type Policy, policyAt, policyOf } from './login-policy.ts'
import { type Action, owedActions } from './required-actions.ts'

/** Seconds. */
const LIFETIME = 300
/** Reading terms takes longer than typing a code. */
const ACTIONS_LIFETIME = 900
const TRIES = 5

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

export type Outcome =
  | { kind: 'done'; proof: Proof }
  | {
      kind: 'mfa_required'
      userId: string
      /** Binds the rest of the sign-in to this caller. */
      mfaToken: string
      methods: string[]
      preferred: string
      /** True when the person has no factor yet and must enrol one now. */
      enrol: boolean
      /** What may be set up then. */
      enrolments: string[]
      /** Seconds. */
      expiresIn: number
    }
  | { kind: 'actions_required'; userId: string; mfaToken: string; actions: Action[]; expiresIn: number }

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

/** Whether the proof is not enough by itself. */
export function owesSecondFactor(policy: Policy, proof: Proof): boolean {
  const { user, amr, deviceTrusted, mfaDemanded } = proof
  if (policy.mfa === 'off' || hasSecondFactor(policy, amr)) return false
  if (mfaDemanded) return true
  if (deviceTrusted) return false
  const has = secondFactors(policy, user, amr).length > 0
  return has || policy.mfa === 'required' || user.required_actions.includes('enrol_mfa')
}

/** Notes on the proof whether this device is remembered as one that skips the second factor. */
async function considerDevice(ctx: Context, policy: Policy, proof: Proof): Promise<void> {
  const { user, amr } = proof
  if (proof.deviceTrusted !== undefined || !owesSecondFactor(policy, proof)) return
  const mayBe = secondFactors(policy, user, amr).length > 0 && !user.required_actions.includes('enrol_mfa')
  proof.deviceTrusted = mayBe && (await devices.isTrusted(ctx, user.id))
}

export interface Owed {
  policy: Policy
  factor: boolean
  /** After the factor, where one is owed. */
  actions: Action[]
}

/** What is owed at the client before a session opens. Throws for who may not sign in, or not in this way. */
export async function owed(ctx: Context, proof: Proof, clientId?: string): Promise<Owed> {
  const policy = await policyAt(ctx, clientId)
  assertMaySignIn(ctx, proof.user, policy)
  if (!allowsMethod(policy, proof.amr)) throw fail('ACCESS_DENIED', 'Signing in this way is not offered here')
  await considerDevice(ctx, policy, proof)
  const factor = owesSecondFactor(policy, proof)
  return { policy, factor, actions: factor ? [] : owedActions(ctx.tenant.settings, proof.user) }
}

/** What the proof still owes. Runs in a transaction; `interactionId` binds the attempt to hosted pages. */
export async function settle(
  ctx: Context,
  proof: Proof,
  where: { clientId?: string | undefined; interactionId?: string | undefined } = {},
): Promise<Outcome> {
  const { policy, factor, actions } = await owed(ctx, proof, where.clientId)
  if (!factor && actions.length === 0) return { kind: 'done', proof }
  const { user, amr } = proof
  const expiresIn = factor ? LIFETIME : ACTIONS_LIFETIME
  const mfaToken = await wait(ctx, proof, { ...where, stage: factor ? 'factor' : 'actions', expiresIn })
  const common = { userId: user.id, mfaToken, expiresIn }
  if (!factor) {
    ctx.event('login.actions_required', { userId: user.id, clientId: where.clientId, data: { amr, actions } })
    return { kind: 'actions_required', actions, ...common }
  }
  const factors = secondFactors(policy, user, amr)
  ctx.event('login.mfa_required', { userId: user.id, clientId: where.clientId, data: { amr, factors } })
  const enrol = factors.length === 0
  const enrolments = enrol ? enrolmentChoices(ctx, policy, amr) : []
  const preferred =
    [...factors, ...enrolments].find((f) => f === user.preferred_factor) ?? factors[0] ?? enrolments[0] ?? 'totp'
  return { kind: 'mfa_required', methods: factors, preferred, enrol, enrolments, ...common }
}

type Stage = 'factor' | 'actions'
interface Where {
  clientId?: string | undefined
  interactionId?: string | undefined
  stage: Stage
  /** Seconds. */
  expiresIn: number
}

/** Stores the attempt, with what the proof leaves behind. Answers mfa_token. */
async function wait(ctx: Context, proof: Proof, { clientId, interactionId, stage, expiresIn }: Where): Promise<string> {
  const { user, amr, also, trustDevice } = proof
  const { ip, userAgent } = ctx.request
  const { id: tenantId, hasWebhooks } = ctx.tenant
  await flush(newUnit({ tenantId, hasWebhooks, db: ctx.db, ip, userAgent, also }))
  const mfaToken = randomToken()
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
  return mfaToken
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

/** Nobody who may not act gets past here, whichever way they came. */
export function assertMaySignIn(ctx: Context, user: Person, policy: Policy = policyOf(ctx.tenant)): void {
  if (user.status !== 'active') throw fail('ACCOUNT_DISABLED', 'This account is disabled')
  if (user.locked_until && user.locked_until > new Date()) throw fail('ACCOUNT_LOCKED', 'This account is locked')
  devices.assertNotBlocked(ctx, user)
  if (!user.email_verified_at && (policy.verifiedEmail || user.required_actions.includes('verify_email'))) {
    throw fail('EMAIL_VERIFICATION_REQUIRED', 'Verify your e-mail address first')
  }
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

/** Ends the attempt, for exactly one caller. Answers the proof with what a second factor added, if it was one; to settle(). */
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
