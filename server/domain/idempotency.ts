/**
 * Remembers answers by idempotency key, in the transaction of what they answer: either both are there or neither. Only of
 * people and clients who are known, each by themselves. Sealed, since an answer may show a secret.
 */
import { sha256 } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import type { Kept, Use } from '../kernel/idempotency.ts'
import type { Context } from './context.ts'

/**
 * The answer given before, if any. Until the transaction ends nobody else gets past here with the same key. CONFLICT while
 * somebody is there, IDEMPOTENCY_KEY_REUSED when the key came with another request.
 */
export async function recall(ctx: Context, use: Use): Promise<(Kept & Pick<Context, 'place'>) | undefined> {
  const hash = hashOf(ctx, use)
  // In a statement of its own: the next one must see what the last holder committed.
  const { rows } = await ctx.db.raw('select pg_try_advisory_xact_lock(?::bigint) as mine', [
    hash.readBigInt64BE().toString(),
  ])
  if (!rows[0].mine)
    throw fail('CONFLICT', 'A request with this Idempotency-Key is still being worked on', { retryAfter: 1 })
  const row = await ctx
    .db('idempotency_keys')
    .where({ tenant_id: ctx.tenant.id, hash })
    .where('expires_at', '>', ctx.db.fn.now())
    .first('fingerprint', 'answer')
  if (!row) return undefined
  if (!use.fingerprint.equals(row.fingerprint))
    throw fail('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key was sent with another request. Take a new one')
  return JSON.parse(ctx.out.sealing.open(row.answer, place(ctx, hash)).toString())
}

export async function remember(ctx: Context, use: Use, kept: Kept): Promise<void> {
  const hash = hashOf(ctx, use)
  const answer = ctx.out.sealing.seal(JSON.stringify({ ...kept, place: ctx.place }), place(ctx, hash))
  await ctx
    .db('idempotency_keys')
    .insert({ tenant_id: ctx.tenant.id, hash, fingerprint: use.fingerprint, answer })
    // One that is over and not yet cleaned up.
    .onConflict(['tenant_id', 'hash'])
    .merge({
      fingerprint: use.fingerprint,
      answer,
      created_at: ctx.db.fn.now(),
      expires_at: ctx.db.raw(`now() + interval '1 day'`),
    })
}

function hashOf(ctx: Context, { row, key }: Use): Buffer {
  const { kind, userId, clientId, impersonatorId } = ctx.actor!
  return sha256(JSON.stringify([ctx.tenant.id, kind, userId, clientId, impersonatorId, row, key]))
}

const place = (ctx: Context, hash: Buffer) => `idempotency_keys:${ctx.tenant.id}:${hash.toString('hex')}`
