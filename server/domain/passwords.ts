/** Passwords: what a good one is, and setting one. Hashing is the adapter's. */
import { fail } from '../kernel/errors.ts'
import type { Context, UserRow } from './context.ts'
import { newId } from './ids.ts'
import * as sessions from './sessions.ts'

const MAX_LENGTH = 256

/** Rules a password breaks, as codes; empty when it is fine. */
export function weaknesses(ctx: Pick<Context, 'tenant'>, password: string, person: { email: string }): string[] {
  const found: string[] = []
  if ([...password].length < ctx.tenant.settings.password_min_length) found.push('too_short')
  if (password.length > MAX_LENGTH) found.push('too_long')
  if (new Set(password).size < 4) found.push('too_simple')
  const name = person.email.split('@')[0]!.toLowerCase()
  if (name.length >= 4 && password.toLowerCase().replace(/[^a-z]/g, '') === name.replace(/[^a-z]/g, ''))
    found.push('contains_email')
  return found
}

export function assertStrong(ctx: Pick<Context, 'tenant'>, password: string, person: { email: string }): void {
  const found = weaknesses(ctx, password, person)
  if (found.length === 0) return
  throw fail('WEAK_PASSWORD', `The password does not meet the rules: ${found.join(', ').replaceAll('_', ' ')}`, {
    details: found.map((rule) => ({
      field: 'password',
      message: rule,
      minimum: ctx.tenant.settings.password_min_length,
    })),
  })
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
  await store(ctx, user.id, hash)
  await sessions.endAll(ctx, user.id, options.exceptSession)
  ctx.event('password.changed', { userId: user.id, data: { how: options.how } })
  ctx.job('mail', { template: 'password-changed', userId: user.id, locales: ctx.request.locales })
}
