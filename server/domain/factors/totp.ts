/** Authenticator apps: setting one up, proving it, and using a code. A time step counts once (RFC 6238 section 5.2). */
import { newTotpSecret, totpStep, totpUri } from '../../../adapters/totp.ts'
import { fail } from '../../kernel/errors.ts'
import type { Context, UserRow } from '../context.ts'
import { newId } from '../ids.ts'
import { signInName } from '../users.ts'
import { dropPending } from './pending.ts'

export interface TotpSetup {
  id: string
  /** Base32. */
  secret: string
  /** otpauth:// address. */
  url: string
}

type Named = Pick<UserRow, 'id' | 'email' | 'phone_number'>

/** Minutes until a secret that was never proven is no longer accepted. */
const PENDING_MINUTES = 60

const sealedFor = (ctx: Context, id: string) => `credentials:${ctx.tenant.id}:${id}`
const open = (ctx: Context, row: { id: string; secret: string }): string =>
  ctx.out.sealing.open(Buffer.from(row.secret, 'base64'), sealedFor(ctx, row.id)).toString()

/** A row of credentials for a secret that was proven elsewhere. */
export const totpRow = (ctx: Context, userId: string, secret: string) => {
  const id = newId()
  const sealed = ctx.out.sealing.seal(secret, sealedFor(ctx, id)).toString('base64')
  return { id, user_id: userId, type: 'totp', secret: sealed }
}

const pending = (ctx: Context, userId: string) =>
  ctx.db('credentials').where({ tenant_id: ctx.tenant.id, user_id: userId, type: 'totp', verified_at: null })

/**
 * A new secret, not active before enable(); the one in use stays so until then. Earlier unproven ones are gone; within a
 * sign-in only its own (`instead`), since another sign-in of the same person is none of its business.
 */
export async function setUp(
  ctx: Context,
  user: Named,
  { instead }: { instead?: string | null } = {},
): Promise<TotpSetup> {
  const id = newId()
  const secret = newTotpSecret()
  await dropPending(pending(ctx, user.id), instead)
  await ctx.db('credentials').insert({
    tenant_id: ctx.tenant.id,
    id,
    user_id: user.id,
    type: 'totp',
    secret: ctx.out.sealing.seal(secret, sealedFor(ctx, id)).toString('base64'),
    verified_at: null,
  })
  ctx.event('mfa.setup_started', { userId: user.id, data: { factor: 'totp' } })
  return { id, secret, url: urlOf(ctx, user, secret) }
}

const urlOf = (ctx: Context, user: Named, secret: string) =>
  totpUri({ secret, issuer: ctx.tenant.name, account: signInName(user) })

/** The set-up that is waiting, for a page that shows it again. */
export async function waiting(ctx: Context, user: Named, id: string): Promise<TotpSetup | undefined> {
  const row = await pending(ctx, user.id).where({ id }).first('id', 'secret')
  if (!row) return undefined
  const secret = open(ctx, row)
  return { id, secret, url: urlOf(ctx, user, secret) }
}

/** Makes the waiting secret the one that counts. INVALID_CODE when the code is not of it, NOT_FOUND when none waits. */
export async function enable(ctx: Context, userId: string, code: string, id?: string): Promise<void> {
  const query = pending(ctx, userId)
    .where('created_at', '>', ctx.db.raw(`now() - interval '${PENDING_MINUTES} minutes'`))
    .orderBy('created_at', 'desc')
  if (id) query.where({ id })
  const row = await query.first('id', 'secret')
  if (!row) throw fail('NOT_FOUND', 'No authenticator app is being set up. Start with the set-up')
  const step = totpStep(open(ctx, row), code)
  if (step === undefined) throw fail('INVALID_CODE', 'This code is wrong. Check the clock of your device')
  await ctx
    .db('credentials')
    .where({ tenant_id: ctx.tenant.id, user_id: userId, type: 'totp' })
    .whereNot('id', row.id)
    .delete()
  const enabled = await pending(ctx, userId)
    .where({ id: row.id })
    .update({
      verified_at: ctx.db.fn.now(),
      last_used_at: ctx.db.fn.now(),
      updated_at: ctx.db.fn.now(),
      data: JSON.stringify({ last_step: step }),
    })
  if (enabled === 0) throw fail('INVALID_CODE', 'This code was used already')
}

/** Undefined when the code is wrong; else what takes it. Of parallel uses of one code, one is told true. */
export async function check(
  ctx: Context,
  userId: string,
  code: string,
): Promise<((inner: Context) => Promise<boolean>) | undefined> {
  const row = await ctx
    .db('credentials')
    .where({ tenant_id: ctx.tenant.id, user_id: userId, type: 'totp' })
    .whereNotNull('verified_at')
    .first('id', 'secret', 'data')
  if (!row) return undefined
  const step = totpStep(open(ctx, row), code, { after: row.data.last_step })
  if (step === undefined) return undefined
  return async (inner) => {
    const used = await inner
      .db('credentials')
      .where({ tenant_id: inner.tenant.id, id: row.id })
      .whereRaw(`coalesce((data->>'last_step')::bigint, -1) < ?`, [step])
      .update({
        data: inner.db.raw(`data || jsonb_build_object('last_step', ?::bigint)`, [step]),
        last_used_at: inner.db.fn.now(),
      })
    return used === 1
  }
}
