/**
 * Codes by mail or SMS as a second factor: six digits, ten minutes, the newest only. The job that sends one makes it,
 * so that no code rests in the queue.
 */
import { randomInt, timingSafeEqual } from 'node:crypto'
import type { Db } from '../../../adapters/knex.ts'
import { sha256 } from '../../../adapters/sealing.ts'
import { fail } from '../../kernel/errors.ts'
import type { Attempt } from '../attempts.ts'
import type { Context } from '../context.ts'

/** Seconds. */
export const CODE_LIFETIME = 600
const SENDS = 3

export const newCode = (): string => String(randomInt(1_000_000)).padStart(6, '0')
export const codeHash = (id: string, code: string): Buffer => sha256(`${id}\n${code}`)
export const sameHash = (stored: Buffer | null, given: Buffer): boolean =>
  stored !== null && stored.length === given.length && timingSafeEqual(stored, given)

/** Enough to know it again, too little to learn it: whoever is asked has proven one factor only. */
export const maskedPhone = (phone: string): string => `…${phone.slice(-2)}`
export const maskedEmail = (email: string): string => email.replace(/^(.)[^@]*/, '$1…')

/** Where texted codes go: the number that was proven, whatever the profile says by now. */
export const smsNumber = async (ctx: Context, userId: string): Promise<string | undefined> =>
  (
    await ctx
      .db('credentials')
      .where({ tenant_id: ctx.tenant.id, user_id: userId, type: 'sms' })
      .whereNotNull('verified_at')
      .first('secret')
  )?.secret

/**
 * Sends a code for the attempt; earlier ones are dead at once. The attempt stays open for as long as the code is good,
 * at most 15 minutes. RATE_LIMITED after three.
 */
export async function send(ctx: Context, attempt: Attempt, factor: 'email' | 'sms'): Promise<void> {
  const [sent] = await ctx
    .db('login_attempts')
    .where({ tenant_id: ctx.tenant.id, id: attempt.id, finished_at: null })
    .where('codes_sent', '<', SENDS)
    .where('expires_at', '>', ctx.db.fn.now())
    .update({
      codes_sent: ctx.db.raw('codes_sent + 1'),
      code_hash: null,
      code_factor: factor,
      expires_at: ctx.db.raw(
        `least(greatest(expires_at, now() + make_interval(secs => ${CODE_LIFETIME})), created_at + interval '15 minutes')`,
      ),
    })
    .returning('codes_sent')
  if (!sent) throw fail('RATE_LIMITED', 'No more codes can be sent for this sign-in. Use another way, or sign in again')
  const { id: attemptId, userId } = attempt
  const job = { template: 'mfa-code', userId, attemptId, number: sent.codes_sent, locales: ctx.request.locales }
  if (factor === 'email') ctx.job('mail', job)
  else ctx.job('sms', { ...job, to: await smsNumber(ctx, userId) })
  ctx.event('mfa.code_sent', { userId, data: { factor } })
}

/** For the job: a fresh code of this sending. Undefined when the attempt is over or a newer code was asked for. */
export async function mint(
  db: Db,
  tenantId: string,
  { attemptId, number }: { attemptId: string; number: number },
): Promise<string | undefined> {
  const code = newCode()
  const minted = await db('login_attempts')
    .where({ tenant_id: tenantId, id: attemptId, codes_sent: number, finished_at: null })
    .where('expires_at', '>', db.fn.now())
    .update({
      code_hash: codeHash(attemptId, code),
      code_expires_at: db.raw(`least(expires_at, now() + make_interval(secs => ${CODE_LIFETIME}))`),
    })
  return minted === 1 ? code : undefined
}

/** Undefined when the code is wrong, old or of another way; else what takes it: true to exactly one caller. */
export async function check(
  ctx: Context,
  attempt: Attempt,
  factor: 'email' | 'sms',
  code: string,
): Promise<((inner: Context) => Promise<boolean>) | undefined> {
  const given = codeHash(attempt.id, code)
  const row = await ctx
    .db('login_attempts')
    .where({ tenant_id: ctx.tenant.id, id: attempt.id, code_factor: factor })
    .where('code_expires_at', '>', ctx.db.fn.now())
    .first('code_hash')
  if (!row || !sameHash(row.code_hash, given)) return undefined
  return async (inner) => {
    const taken = await inner
      .db('login_attempts')
      .where({ tenant_id: inner.tenant.id, id: attempt.id, code_hash: given })
      .update({ code_hash: null })
    return taken === 1
  }
}
