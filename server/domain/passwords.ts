/** Passwords: what a good one is, and setting one. Hashing is the adapter's. */
import { fail } from '../kernel/errors.ts'
import type { Context, UserRow } from './context.ts'
import { newId } from './ids.ts'
import { type About, explanations, type Weakness, weaknesses } from './password-policy.ts'
import * as sessions from './sessions.ts'

export { weaknesses }

/** WEAK_PASSWORD with the rules it breaks. */
export function assertStrong(ctx: Pick<Context, 'tenant'>, password: string, about: About): void {
  const found = weaknesses(ctx, password, about)
  if (found.length > 0) throw weak(ctx, found)
}

function weak(ctx: Pick<Context, 'tenant'>, found: Weakness[]): Error {
  return fail('WEAK_PASSWORD', `The password ${found.map((rule) => explanations[rule]).join(', and ')}`, {
    details: found.map((rule) => ({
      field: 'password',
      message: rule,
      minimum: ctx.tenant.settings.password_min_length,
    })),
  })
}

/**
 * WEAK_PASSWORD when it is one of the person's last ones, where the tenant remembers them. Costs a hash for each, so it
 * belongs before the transaction, and behind a proof of who is asking: it tells what the current password is.
 */
export async function assertUnused(ctx: Context, userId: string, password: string): Promise<void> {
  const count = ctx.tenant.settings.password_history
  if (count === 0) return
  const { rows } = await ctx.db.raw(
    `select secret as hash from credentials where tenant_id = :tenant and user_id = :user and type = 'password'
     union all (select hash from password_history where tenant_id = :tenant and user_id = :user
       order by created_at desc limit :rest)`,
    { tenant: ctx.tenant.id, user: userId, rest: count - 1 },
  )
  for (const { hash } of rows) {
    if ((await ctx.out.passwords.verify(hash, password)).ok) throw weak(ctx, ['reused'])
  }
}

/** The same, and never the current one, whatever the history says. VALIDATION_ERROR. */
export async function assertNew(ctx: Context, userId: string, password: string): Promise<void> {
  await assertUnused(ctx, userId, password)
  const current = await ctx
    .db('credentials')
    .where({ tenant_id: ctx.tenant.id, user_id: userId, type: 'password' })
    .first('secret')
  if (current && (await ctx.out.passwords.verify(current.secret, password)).ok) throw weak(ctx, ['reused'])
}

/** Moves the hash that is about to be replaced to the history, and forgets what is too old for it. */
async function remember(ctx: Context, userId: string): Promise<void> {
  const count = ctx.tenant.settings.password_history
  const whose = { tenant: ctx.tenant.id, user: userId }
  if (count > 0) {
    await ctx.db.raw(
      `insert into password_history (tenant_id, user_id, hash) select tenant_id, user_id, secret from credentials
       where tenant_id = :tenant and user_id = :user and type = 'password'`,
      whose,
    )
  }
  await ctx.db.raw(
    `delete from password_history where tenant_id = :tenant and user_id = :user and ctid not in (
       select ctid from password_history where tenant_id = :tenant and user_id = :user
       order by created_at desc limit :keep)`,
    { ...whose, keep: Math.max(0, count - 1) },
  )
}

/** Stores the hash; sessions are the caller's matter. */
export async function store(ctx: Context, userId: string, hash: string): Promise<void> {
  await ctx
    .db('credentials')
    .insert({ tenant_id: ctx.tenant.id, id: newId(), user_id: userId, type: 'password', secret: hash })
    .onConflict(ctx.db.raw(`(tenant_id, user_id) where type = 'password'`) as any)
    .merge({ secret: hash, updated_at: ctx.db.fn.now() })
}

/** A new password ends the other sessions and tells the owner. */
export async function change(
  ctx: Context,
  user: UserRow,
  hash: string,
  options: { exceptSession?: string | undefined; how: 'change' | 'reset' },
): Promise<void> {
  await remember(ctx, user.id)
  await store(ctx, user.id, hash)
  await sessions.endAll(ctx, user.id, options.exceptSession)
  ctx.event('password.changed', { userId: user.id, data: { how: options.how } })
  ctx.job('mail', { template: 'password-changed', userId: user.id, locales: ctx.request.locales })
}
