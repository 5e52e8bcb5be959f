/** A person's second factors: which they have, turning them on and off, and what every change brings with it. */
import { fail } from '../kernel/errors.ts'
import { countAccount } from './attempts.ts'
import type { Context, UserRow } from './context.ts'
import * as backup from './factors/backup.ts'
import * as sms from './factors/sms.ts'
import * as totp from './factors/totp.ts'
import { newId } from './ids.ts'
import { AMR, FACTORS, type Factor } from './login-policy.ts'
import { acrOf } from './proofs.ts'
import { insufficient, isRecent, sessionProof } from './recent.ts'
import * as sessions from './sessions.ts'

export { FACTORS, type Factor }

export interface FactorView {
  type: Factor
  name: string | null
  createdAt: Date
  lastUsedAt: Date | null
}

/** The proven factors of a person, oldest first. */
export async function list(ctx: Context, userId: string): Promise<FactorView[]> {
  const rows = await ctx
    .db('credentials')
    .where({ tenant_id: ctx.tenant.id, user_id: userId })
    .whereIn('type', FACTORS)
    .whereNotNull('verified_at')
    .orderBy(['created_at', 'id'])
  return rows.map((row) => ({
    type: row.type,
    name: row.name,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  }))
}

export async function status(ctx: Context, userId: string) {
  // One after the other: within a transaction they share a connection.
  const all = await list(ctx, userId)
  const user = await ctx.db('users').where({ tenant_id: ctx.tenant.id, id: userId }).first('preferred_factor')
  const remaining = await backup.remaining(ctx, userId)
  const methods = FACTORS.filter((f) => all.some(({ type }) => type === f))
  const preferred = methods.find((f) => f === user?.preferred_factor) ?? methods[0] ?? null
  return {
    enabled: methods.length > 0,
    methods,
    preferredMethod: preferred,
    factors: all,
    backupCodesRemaining: remaining,
    policy: ctx.tenant.settings.mfa_policy,
  }
}

/** A code that proves a factor in place of a recent sign-in; take() it in the transaction. */
export type Allowed = (inner: Context) => Promise<void>

/**
 * Whether the caller may change factors now: signed in recently, with a second factor if they have one; or with a code
 * of the app or a backup code. Before the transaction. INSUFFICIENT_AUTHENTICATION, INVALID_CODE.
 */
export async function assertMayChange(ctx: Context, code?: string): Promise<Allowed> {
  const userId = ctx.actor!.userId!
  const mfa = ctx.tenant.settings.mfa_policy !== 'off' && (await list(ctx, userId)).length > 0
  if (isRecent(await sessionProof(ctx), { mfa })) return async () => {}
  if (code === undefined) throw insufficient({ mfa })
  await countAccount(ctx, userId)
  const given = code.replace(/\s/g, '')
  const take = (await totp.check(ctx, userId, given)) ?? (await backup.check(ctx, userId, given))
  if (!take) {
    await ctx.out.recordNow(ctx, 'mfa.code_refused', { userId })
    throw fail('INVALID_CODE', 'This code is wrong or no longer valid')
  }
  return async (inner) => {
    if (!(await take(inner))) throw fail('INVALID_CODE', 'This code was used already')
  }
}

export interface ChangeOptions {
  /** Leaves other sessions signed in. */
  keepSessions?: boolean | undefined
  /** Whose change: the caller's, or that of a sign-in whose browser session must stay. */
  exceptSession?: string | undefined
}

/** What every change of a factor brings: an event, a mail to the owner, and the end of other sessions. */
export async function changed(
  ctx: Context,
  userId: string,
  factor: Factor,
  how: 'added' | 'removed',
  { keepSessions = false, exceptSession = ctx.actor?.sessionId }: ChangeOptions = {},
): Promise<void> {
  ctx.event(how === 'added' ? 'mfa.enabled' : 'mfa.disabled', { userId, data: { factor } })
  tell(ctx, userId, `${factor}-${how}`)
  if (!keepSessions) await sessions.endAll(ctx, userId, exceptSession)
}

function tell(ctx: Context, userId: string, what: string): void {
  const { ip, locales } = ctx.request
  ctx.job('mail', { template: 'factor-changed', userId, what, ip, locales })
}

/** Turns the app on that was set up. Answers ten backup codes to who has none. */
export async function enableTotp(
  ctx: Context,
  userId: string,
  code: string,
  options: ChangeOptions & { setupId?: string } = {},
): Promise<string[] | undefined> {
  await totp.enable(ctx, userId, code.replace(/\s/g, ''), options.setupId)
  await raiseSession(ctx, AMR.totp)
  return added(ctx, userId, 'totp', options)
}

/** Turns SMS on after checkSetUp(). */
export async function enableSms(ctx: Context, userId: string, id: string, options: ChangeOptions = {}) {
  await sms.enable(ctx, userId, id)
  await raiseSession(ctx, AMR.sms)
  return added(ctx, userId, 'sms', options)
}

/** Turns codes by mail on. EMAIL_VERIFICATION_REQUIRED before the address is proven. Doing it twice changes nothing. */
export async function enableEmail(ctx: Context, user: UserRow, options: ChangeOptions = {}) {
  if (!user.email_verified_at) throw fail('EMAIL_VERIFICATION_REQUIRED', 'Verify your e-mail address first')
  const made = await ctx
    .db('credentials')
    .insert({ tenant_id: ctx.tenant.id, id: newId(), user_id: user.id, type: 'email', secret: '' })
    .onConflict(
      ctx.db.raw(
        `(tenant_id, user_id, type) where type in ('totp', 'email', 'sms', 'backup_codes') and verified_at is not null`,
      ) as any,
    )
    .ignore()
    .returning('id')
  return made.length ? added(ctx, user.id, 'email', options) : undefined
}

/**
 * What a passkey that came or went brings besides its own event: the mail; and with a new one the session counts as
 * signed in with two factors, and no enrolment is owed.
 */
export async function passkeyChanged(ctx: Context, userId: string, how: 'added' | 'removed'): Promise<void> {
  tell(ctx, userId, `webauthn-${how}`)
  if (how === 'removed') return
  await enrolled(ctx, userId)
  await raiseSession(ctx, ['hwk'])
}

const enrolled = async (ctx: Context, userId: string): Promise<void> =>
  void (await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: userId })
    .update({ required_actions: ctx.db.raw(`array_remove(required_actions, 'enrol_mfa')`) }))

async function added(ctx: Context, userId: string, factor: Factor, options: ChangeOptions) {
  await enrolled(ctx, userId)
  await changed(ctx, userId, factor, 'added', options)
  return backup.ensure(ctx, userId)
}

/** The session of the caller has just proven a second factor. */
async function raiseSession(ctx: Context, amr: string[]): Promise<void> {
  if (!ctx.actor?.sessionId) return
  const proof = await sessionProof(ctx)
  const now = [...new Set([...proof.amr, ...amr, 'mfa'])]
  await ctx
    .db('sessions')
    .where({ tenant_id: ctx.tenant.id, id: ctx.actor.sessionId })
    .update({ payload: ctx.db.raw('payload || ?::jsonb', [JSON.stringify({ amr: now, acr: acrOf(now) })]) })
}

/**
 * Turns factors off. With the last one go the backup codes. NOT_FOUND when none of them is on; CONFLICT for the last
 * one while the tenant demands a second factor.
 */
export async function disable(
  ctx: Context,
  userId: string,
  factors: readonly Factor[],
  options: ChangeOptions = {},
): Promise<void> {
  await holdFactors(ctx, userId)
  const removed = await ctx
    .db('credentials')
    .where({ tenant_id: ctx.tenant.id, user_id: userId })
    .whereIn('type', factors)
    .whereNotNull('verified_at')
    .delete()
    .returning('type')
  if (removed.length === 0) throw fail('NOT_FOUND', 'This factor is not switched on')
  await assertOneStays(ctx, userId)
  const types = [...new Set(removed.map((row) => row.type as Factor))]
  await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: userId })
    .whereIn('preferred_factor', types)
    .update({ preferred_factor: null })
  for (const type of types) await changed(ctx, userId, type, 'removed', options)
}

/** Before a removal: two at once must not both believe that another factor stays. */
export const holdFactors = async (ctx: Context, userId: string): Promise<void> =>
  void (await ctx.db('users').where({ tenant_id: ctx.tenant.id, id: userId }).forUpdate().first('id'))

/** After a removal: CONFLICT if none is left where one is demanded; without a factor backup codes mean nothing. */
export async function assertOneStays(ctx: Context, userId: string): Promise<void> {
  if ((await list(ctx, userId)).length > 0) return
  if (ctx.tenant.settings.mfa_policy === 'required') {
    throw fail('CONFLICT', 'A second factor is demanded here. Set up another one before you remove this')
  }
  await backup.removeAll(ctx, userId)
}

/** Which factor is offered first. VALIDATION_ERROR when it is not on. */
export async function prefer(ctx: Context, userId: string, factor: Factor): Promise<void> {
  if (!(await list(ctx, userId)).some(({ type }) => type === factor)) {
    throw fail('VALIDATION_ERROR', 'This factor is not switched on')
  }
  await ctx.db('users').where({ tenant_id: ctx.tenant.id, id: userId }).update({ preferred_factor: factor })
  ctx.event('mfa.preferred_changed', { userId, data: { factor } })
}

/** New backup codes in place of all others, and a mail that says so. CONFLICT without a factor they could stand in for. */
export async function newBackupCodes(ctx: Context, userId: string): Promise<string[]> {
  if ((await list(ctx, userId)).length === 0) throw fail('CONFLICT', 'Set up a second factor first')
  const codes = await backup.create(ctx, userId)
  tell(ctx, userId, 'backup_codes-added')
  return codes
}
