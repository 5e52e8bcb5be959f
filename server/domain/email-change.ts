/**
 * Another e-mail address for an account, or the first one of who signs in with a number: proven by a link mailed to the new one, while the old one is told and can undo
 * it. Until the proof everything stays as it is.
 */
import { sha256 } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import type { Context, UserRow } from './context.ts'
import { assertRecent } from './recent.ts'
import * as secrets from './secrets.ts'
import * as sessions from './sessions.ts'
import * as users from './users.ts'

/** Seconds in which the owner of the old address can take the change back. */
export const UNDO_LIFETIME = 14 * 86_400

/**
 * Mails a link to the new address and a notice to the old one. INSUFFICIENT_AUTHENTICATION; VALIDATION_ERROR when it is
 * the address already; CONFLICT when it is somebody's, unless the tenant hides that: then its owner is told.
 */
export async function request(ctx: Context, user: UserRow, email: string): Promise<void> {
  await assertRecent(ctx)
  const wanted = email.trim()
  if (users.emailKey(wanted) === users.emailKey(user.email))
    throw fail('VALIDATION_ERROR', 'This is your e-mail address already')
  ctx.event('email.change_requested', { userId: user.id, data: { from: user.email, to: wanted } })
  const { locales } = ctx.request
  const taken = await users.byEmail(ctx.db, ctx.tenant.id, wanted)
  if (taken && !ctx.tenant.settings.enumeration_protection)
    throw fail('CONFLICT', 'There is an account with this e-mail address already')
  if (taken) return ctx.job('mail', { template: 'account-exists', userId: taken.id, locales })
  const from = user.email
  ctx.job('mail', { template: 'email-change', userId: user.id, email: wanted, from, locales })
  // Whoever reads an address that was never proven may be a stranger: no link that brings the account there.
  if (from !== null && user.email_verified_at)
    ctx.job('mail', { template: 'email-change-notice', userId: user.id, email: from, to: wanted, locales })
}

/** Whether a link of this kind is alive, and which addresses it is about. */
export async function look(
  ctx: Context,
  kind: 'change_email' | 'undo_email',
  token: string,
): Promise<{ from: string | null; to: string }> {
  const found = await secrets.look(ctx.db, ctx.tenant.id, kind, token)
  if (!found) throw deadLink()
  return { from: found.data.from, to: found.data.to }
}

const deadLink = () => fail('INVALID_TOKEN', 'This link is invalid, was used already, or has expired')

/** Takes the link mailed to the new address: it is the account's from now on, and verified. INVALID_TOKEN, CONFLICT. */
export async function confirm(ctx: Context, token: string): Promise<UserRow> {
  const taken = await secrets.consume(ctx.db, ctx.tenant.id, 'change_email', token)
  const user = taken?.userId ? await users.byId(ctx.db, ctx.tenant.id, taken.userId) : undefined
  if (!taken || user?.status !== 'active' || users.emailKey(user.email) !== users.emailKey(taken.data.from))
    throw deadLink()
  await move(ctx, user, taken.data.to)
  ctx.event('email.changed', { userId: user.id, data: { from: user.email, to: taken.data.to } })
  return { ...user, email: taken.data.to, email_verified_at: new Date() }
}

/**
 * Takes the link mailed to the old address: the account is back there, or never leaves. All sessions end, all links mailed
 * since are dead, and a link to choose a new password is on its way. INVALID_TOKEN, CONFLICT.
 */
export async function undo(ctx: Context, token: string): Promise<UserRow> {
  const taken = await secrets.consume(ctx.db, ctx.tenant.id, 'undo_email', token)
  const user = taken?.userId ? await users.byId(ctx.db, ctx.tenant.id, taken.userId) : undefined
  if (!taken || !user) throw deadLink()
  const email: string = taken.data.from
  if (users.emailKey(user.email) !== users.emailKey(email)) await move(ctx, user, email)
  // A later change was made by whoever made this one: its way back must not lead there.
  await ctx
    .db('secrets')
    .where({ tenant_id: ctx.tenant.id, user_id: user.id })
    .whereNull('used_at')
    .whereRaw(
      `(purpose <> 'undo_email' or created_at > (select created_at from secrets
        where tenant_id = ? and purpose = 'undo_email' and hash = ?))`,
      [ctx.tenant.id, sha256(token)],
    )
    .delete()
  await sessions.endAll(ctx, user.id)
  ctx.event('email.change_undone', { userId: user.id, data: { from: user.email, to: email } })
  ctx.job('mail', { template: 'reset-password', userId: user.id, locales: ctx.request.locales })
  return { ...user, email }
}

/** Links mailed to the former address must not open the account any more. */
async function move(ctx: Context, user: UserRow, email: string): Promise<void> {
  const other = await users.byEmail(ctx.db, ctx.tenant.id, email)
  if (other && other.id !== user.id) throw fail('CONFLICT', 'There is an account with this e-mail address already')
  await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: user.id })
    .update({
      email,
      email_key: users.emailKey(email),
      email_verified_at: ctx.db.fn.now(),
      updated_at: ctx.db.fn.now(),
    })
  await ctx
    .db('secrets')
    .where({ tenant_id: ctx.tenant.id, user_id: user.id })
    .whereIn('purpose', ['verify_email', 'reset_password', 'magic_link', 'change_email'])
    .whereNull('used_at')
    .delete()
}
