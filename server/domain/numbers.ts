/** Telephone numbers that let people in: whose they are, and the codes that are texted to them. */
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { SEND_LIMIT } from './magic-links.ts'

/** Before the transaction: counts what one number is sent. RATE_LIMITED; UNAVAILABLE where nothing can be texted. */
export async function prepareText(ctx: Context, number: string): Promise<void> {
  if (!ctx.out.texter.available) throw fail('UNAVAILABLE', 'Text messages are not set up here', { retryAfter: 3600 })
  const state = await ctx.out.limits.hit(`${ctx.tenant.id}:otp-to:${number}`, SEND_LIMIT)
  if (!state.ok) throw fail('RATE_LIMITED', 'Too many texts to this number', { retryAfter: state.retryAfter })
}

export interface Holder {
  id: string
  status: string
  email: string | null
  phone_verified_at: Date | null
}

/** Who has proven the number or signs in with it, at most three; who has no address first. */
export const holders = (ctx: Context, number: string): Promise<Holder[]> =>
  ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, phone_number: number })
    .whereNull('deleted_at')
    .where((q) => q.whereNotNull('phone_verified_at').orWhereNull('email'))
    .orderByRaw('email is not null')
    .limit(3)
    .select('id', 'status', 'email', 'phone_verified_at')

/**
 * Whom a code to the number lets in: who has proven it and has nothing else, or the one person who has proven it. Whoever
 * merely registered it comes last, so that no squatter keeps its owner out. Two with addresses of their own are nobody.
 */
export function holderOf(found: Holder[]): Holder | undefined {
  const proven = found.filter((holder) => holder.phone_verified_at)
  const bare = found.find((holder) => holder.email === null)
  if (bare && (bare.phone_verified_at || proven.length === 0)) return bare
  return proven.length === 1 ? proven[0] : undefined
}

/** register: of the person who makes the account just now, whose password stays. */
export type Purpose = 'sign_in' | 'verify' | 'register'

/** Texts a code; does the same work where nobody may have one. */
export function text(
  ctx: Context,
  to: string,
  purpose: Purpose,
  user: Pick<Holder, 'id' | 'status'> | undefined,
): void {
  if (user?.status !== 'active') ctx.job('nothing', {})
  else ctx.job('sms', { template: 'otp', userId: user.id, to, purpose, locales: ctx.request.locales })
}
