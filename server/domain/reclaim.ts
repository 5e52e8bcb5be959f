/**
 * The owner of an address or a number arrives at an account that somebody made with it and never proved. Whatever that somebody
 * could still sign in with must go before the owner moves in (pre-hijacking).
 */

import type { Context } from './context.ts'
import { policyOf } from './login-policy.ts'
import { owesSecondFactor, type Person, type Proof } from './proofs.ts'
import * as sessions from './sessions.ts'
import * as webhooks from './webhooks.ts'

type Channel = 'email' | 'sms'

/** Second factors that the proof of the mailbox, or of the phone, does not stand for. */
export const isGuarded = (ctx: Context, proof: Proof, channel: Channel = 'email') =>
  proof.user.factors.some((f) => f !== channel && f !== 'backup_codes') && owesSecondFactor(policyOf(ctx.tenant), proof)

/**
 * True after the account belongs to who proved its address: verified, without old credentials and sessions where it was
 * not verified before. False, and nothing done, where the account asks for a second factor: nobody passes that by mail.
 */
export const claimAddress = (ctx: Context, proof: Proof): Promise<boolean> => claim(ctx, proof, 'email')

/** The same by a code texted to the number, of who has no address. */
export const claimNumber = (ctx: Context, proof: Proof): Promise<boolean> => claim(ctx, proof, 'sms')

async function claim(ctx: Context, proof: Proof, channel: Channel): Promise<boolean> {
  const { user } = proof
  const proven = channel === 'sms' ? 'phone_verified_at' : 'email_verified_at'
  if (user[proven]) return true
  if (isGuarded(ctx, proof, channel)) return false
  const mine = { tenant_id: ctx.tenant.id, user_id: user.id }
  const dropped = await ctx.db('credentials').where(mine).delete()
  for (const table of ['identities', 'api_keys', 'devices']) await ctx.db(table).where(mine).delete()
  await webhooks.endOf(ctx, user.id)
  const ended = await sessions.endAll(ctx, user.id)
  await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: user.id })
    .update({
      [proven]: ctx.db.fn.now(),
      updated_at: ctx.db.fn.now(),
      preferred_factor: null,
    })
  user[proven] = new Date()
  user.factors = []
  user.preferred_factor = null
  if (channel === 'sms') ctx.event('phone.verified', { userId: user.id, data: { how: proof.amr } })
  else ctx.event('email.verified', { userId: user.id, data: { email: user.email, how: proof.amr } })
  if (dropped + ended > 0)
    ctx.event('user.reclaimed', { userId: user.id, data: { credentials: dropped, sessions: ended } })
  return true
}

/** A Person who was made just now. */
export const newcomer = (
  user: Omit<Person, 'role_ids' | 'factors' | 'preferred_factor' | 'required_actions'>,
  roleIds: string[],
): Person => ({
  ...user,
  role_ids: roleIds,
  factors: [],
  preferred_factor: null,
  required_actions: [],
})
