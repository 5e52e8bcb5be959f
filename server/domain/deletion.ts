/**
 * Deleting an account: at once nobody can use it and its address is free; what is personal is erased for good a
 * month later, by the clock.
 */
import type { Knex } from 'knex'
import { fail } from '../kernel/errors.ts'
import { mayChangeEvents } from './audit/retention.ts'
import { takeTurns } from './authority.ts'
import type { Context, UserRow } from './context.ts'
import { insertEvents } from './events.ts'
import * as grants from './grants.ts'
import { newId, ROLE } from './ids.ts'
import { forgiveFailures, provePassword } from './login.ts'
import { leaveAll } from './memberships/leaving.ts'
import { assertOneself, assertRecent } from './recent.ts'
import * as sessions from './sessions.ts'
import { emailKey, signInName } from './users.ts'
import * as webhooks from './webhooks.ts'

/** Days between deletion and erasure. */
export const KEPT_DAYS = 30

/**
 * Before the transaction: the address (the number, without one) typed as confirmation, and the password or a sign-in that was not long ago.
 * VALIDATION_ERROR, INVALID_CREDENTIALS, INSUFFICIENT_AUTHENTICATION, RATE_LIMITED.
 */
export async function prepare(
  ctx: Context,
  user: UserRow,
  input: { confirmation: string; password?: string | undefined },
): Promise<void> {
  if (emailKey(input.confirmation) !== emailKey(signInName(user))) {
    const what = user.email === null ? 'telephone number' : 'e-mail address'
    throw fail('VALIDATION_ERROR', `Type the ${what} of the account to confirm`, {
      details: [{ field: 'confirmation', message: `must be the ${what} of the account` }],
    })
  }
  assertOneself(ctx)
  if (input.password === undefined) return assertRecent(ctx)
  await provePassword(ctx, { name: signInName(user), password: input.password }).catch((error) => {
    if (error?.code === 'INVALID_CREDENTIALS') throw fail('INVALID_CREDENTIALS', 'The password is wrong')
    throw error
  })
  await forgiveFailures(ctx, user)
}

/** Ends the account and everything that opens it. CONFLICT for the last super administrator. */
export async function remove(ctx: Context, user: UserRow, how: 'self' | 'administrator' = 'self'): Promise<void> {
  const mine = { tenant_id: ctx.tenant.id, user_id: user.id }
  await assertNotLast(ctx, user.id)
  await leaveAll(ctx, user.id, how)
  const gone = await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: user.id })
    .whereNull('deleted_at')
    .update({ status: 'deleted', deleted_at: ctx.db.fn.now(), updated_at: ctx.db.fn.now() })
  if (gone === 0) throw fail('NOT_FOUND', 'The account is gone')
  await sessions.endAll(ctx, user.id)
  await grants.end(ctx.db, ctx.tenant.id, { userId: user.id })
  for (const table of ['secrets', 'login_attempts']) await ctx.db(table).where(mine).delete()
  await ctx
    .db('api_keys')
    .where({ ...mine, revoked_at: null })
    .update({ revoked_at: ctx.db.fn.now() })
  await webhooks.endOf(ctx, user.id)
  // An invitation is the word of who sent it.
  await ctx
    .db('invitations')
    .where({ tenant_id: ctx.tenant.id, invited_by: user.id, accepted_at: null, revoked_at: null })
    .update({ revoked_at: ctx.db.fn.now(), token_hash: null, code_hash: null })
  // Somebody else's account there may be linked to a new account here.
  await ctx.db('identities').where(mine).delete()
  ctx.event('user.deleted', { userId: user.id, data: { how } })
  if (user.email === null) return
  const locales = [user.locale, ...ctx.request.locales].filter((tag) => tag !== null)
  ctx.job('mail', { template: 'account-deleted', email: user.email, locales, ip: ctx.request.ip })
}

/** Two who leave at the same moment must not both believe that the other stays; who is locked out counts for nobody. */
async function assertNotLast(ctx: Context, userId: string): Promise<void> {
  await takeTurns(ctx)
  const admins = await ctx
    .db('user_roles as r')
    .join('users as u', (on) => on.on('u.tenant_id', 'r.tenant_id').on('u.id', 'r.user_id'))
    .where({ 'r.tenant_id': ctx.tenant.id, 'r.role_id': ROLE.superAdmin, 'u.status': 'active' })
    .where((q) => q.whereNull('u.locked_until').orWhere('u.locked_until', '<=', ctx.db.fn.now()))
    .select('u.id')
  if (admins.length === 1 && admins[0].id === userId)
    throw fail('CONFLICT', 'This is the last super administrator. Make somebody else one first')
}

/**
 * Erases people deleted long enough ago, with all that refers to them. Events stay as facts about nobody in particular:
 * an id, a type and a time. Answers how many people.
 */
export async function erase(db: Knex, batch = 100): Promise<number> {
  let erased = 0
  for (let last = batch; last === batch; erased += last) last = await eraseSome(db, batch)
  return erased
}

const eraseSome = (db: Knex, batch: number): Promise<number> =>
  db.transaction(async (trx) => {
    const people = await trx('users')
      .whereNotNull('deleted_at')
      .where('deleted_at', '<', trx.raw(`now() - make_interval(days => ${KEPT_DAYS})`))
      .limit(batch)
      .forUpdate()
      .skipLocked()
      .select('tenant_id', 'id')
    for (const { tenant_id, id } of people) {
      const theirs = { tenant_id, user_id: id }
      await eraseEvents(trx, theirs)
      await trx('sessions').where(theirs).delete()
      await trx('secrets').where(theirs).delete()
      await trx('invitations').where({ tenant_id, accepted_by: id }).delete()
      await trx('users').where({ tenant_id, id }).delete()
    }
    return people.length
  })

/** What is personal in events goes, and the salt without which nobody guesses it back; their hashes stay in the audit tree. */
async function eraseEvents(trx: Knex.Transaction, theirs: { tenant_id: string; user_id: string }): Promise<void> {
  // Sealing waits: a leaf made meanwhile would be of what is no longer there.
  await trx('audit_progress').forUpdate().first()
  await mayChangeEvents(trx)
  const events = trx('events').where(theirs)
  await trx('audit_leaves')
    .where({ tenant_id: theirs.tenant_id })
    .whereIn('event_id', events.clone().select('id'))
    .update({ salt: null })
  await events.update({ ip: null, user_agent: null, data: '{}' })
  await insertEvents(trx, { id: theirs.tenant_id, hasWebhooks: true }, [
    { id: newId(), type: 'user.erased', userId: theirs.user_id },
  ])
}
