/** SMS as a factor: enabling it sends a code to the verified phone, which proves that it still is the person's. */
import type { Db } from '../../../adapters/knex.ts'
import { fail } from '../../kernel/errors.ts'
import type { Context, UserRow } from '../context.ts'
import { newId } from '../ids.ts'
import { CODE_LIFETIME, codeHash, newCode, sameHash } from './codes.ts'
import { dropPending } from './pending.ts'

const TRIES = 5

const pending = (db: Db, tenantId: string, userId: string) =>
  db('credentials').where({ tenant_id: tenantId, user_id: userId, type: 'sms', verified_at: null })

/**
 * Sends a code to the verified phone, or to `phone`, which the code then proves; `instead` as in totp.setUp(). Answers the
 * row. VALIDATION_ERROR without a number.
 */
export async function setUp(
  ctx: Context,
  user: UserRow,
  { phone = verifiedPhone(user), instead }: { phone?: string | undefined; instead?: string | null } = {},
): Promise<string> {
  if (!ctx.out.texter.available) throw fail('UNAVAILABLE', 'Text messages are not set up here', { retryAfter: 3600 })
  if (!phone) throw fail('VALIDATION_ERROR', 'Add a phone number to your profile and verify it first')
  const id = newId()
  await dropPending(pending(ctx.db, ctx.tenant.id, user.id), instead)
  await ctx.db('credentials').insert({
    tenant_id: ctx.tenant.id,
    id,
    user_id: user.id,
    type: 'sms',
    secret: phone,
    data: JSON.stringify({ tries: 0 }),
    verified_at: null,
  })
  ctx.job('sms', {
    template: 'mfa-code',
    userId: user.id,
    to: phone,
    credentialId: id,
    locales: ctx.request.locales,
  })
  ctx.event('mfa.setup_started', { userId: user.id, data: { factor: 'sms' } })
  return id
}

const verifiedPhone = (user: UserRow): string | undefined => (user.phone_verified_at && user.phone_number) || undefined

/** For the job: the code of this set-up. Undefined when it is over, or was begun anew. */
export async function mint(db: Db, tenantId: string, credentialId: string): Promise<string | undefined> {
  const code = newCode()
  const minted = await db('credentials')
    .where({ tenant_id: tenantId, id: credentialId, type: 'sms', verified_at: null })
    .update({
      data: db.raw(
        `data || jsonb_build_object('code', ?::text, 'expires', extract(epoch from now())::bigint + ${CODE_LIFETIME})`,
        [codeHash(credentialId, code).toString('base64')],
      ),
    })
  return minted === 1 ? code : undefined
}

/** Counts the try before the code is looked at; needs no open transaction. `id` as setUp() answered, where it is known. INVALID_CODE, or NOT_FOUND when none waits. */
export async function checkSetUp(ctx: Context, userId: string, code: string, id?: string): Promise<string> {
  const { db } = ctx.out
  const [row] = await pending(db, ctx.tenant.id, userId)
    .where(id ? { id } : {})
    .whereRaw(`(data->>'tries')::int < ${TRIES} and (data->>'expires')::bigint > extract(epoch from now())`)
    .update({ data: db.raw(`data || jsonb_build_object('tries', (data->>'tries')::int + 1)`) })
    .returning(['id', 'data'])
  if (!row) throw fail('NOT_FOUND', 'No code is waiting. Ask for a new one')
  if (!sameHash(Buffer.from(row.data.code, 'base64'), codeHash(row.id, code))) {
    throw fail('INVALID_CODE', 'This code is wrong or no longer valid')
  }
  return row.id
}

/** Makes the proven number the factor. */
export async function enable(ctx: Context, userId: string, id: string): Promise<void> {
  const all = ctx.db('credentials').where({ tenant_id: ctx.tenant.id, user_id: userId, type: 'sms' })
  await all.clone().whereNot('id', id).delete()
  const enabled = await all
    .clone()
    .where({ id, verified_at: null })
    .update({ verified_at: ctx.db.fn.now(), updated_at: ctx.db.fn.now(), data: '{}' })
  if (enabled === 0) throw fail('INVALID_CODE', 'This code was used already')
}
