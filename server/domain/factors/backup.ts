/** Backup codes: ten, each good for one sign-in without the other factors. Only keyed hashes are stored. */
import { createHmac, randomInt } from 'node:crypto'
import type { Context } from '../context.ts'
import { newId } from '../ids.ts'

const COUNT = 10
/** Without characters that look alike: 50 bits in ten of them. */
const ALPHABET = '23456789abcdefghjkmnpqrstuvwxyz'

const newCode = (): string => {
  const characters = Array.from({ length: 10 }, () => ALPHABET[randomInt(ALPHABET.length)])
  return `${characters.slice(0, 5).join('')}-${characters.slice(5).join('')}`
}

/** As typed by hand: case, spaces and dashes do not matter. */
const hashOf = (ctx: Context, userId: string, code: string): string =>
  createHmac('sha256', ctx.out.sealing.derive('backup codes'))
    .update(`${ctx.tenant.id}\n${userId}\n${code.toLowerCase().replace(/[^a-z0-9]/g, '')}`)
    .digest('base64url')

const live = (ctx: Context, userId: string) =>
  ctx.db('credentials').where({ tenant_id: ctx.tenant.id, user_id: userId, type: 'backup_codes' })

/** Ten new codes, shown once; all earlier ones are dead. */
export async function create(ctx: Context, userId: string): Promise<string[]> {
  const codes = Array.from({ length: COUNT }, newCode)
  await live(ctx, userId).delete()
  await ctx.db('credentials').insert({
    tenant_id: ctx.tenant.id,
    id: newId(),
    user_id: userId,
    type: 'backup_codes',
    secret: '',
    data: JSON.stringify({ codes: codes.map((code) => hashOf(ctx, userId, code)) }),
  })
  ctx.event('mfa.backup_codes_created', { userId, data: { count: COUNT } })
  return codes
}

/** Codes for who has none left; undefined for who has some. */
export const ensure = async (ctx: Context, userId: string): Promise<string[] | undefined> =>
  (await remaining(ctx, userId)) > 0 ? undefined : create(ctx, userId)

export async function remaining(ctx: Context, userId: string): Promise<number> {
  const row = await live(ctx, userId).first(ctx.db.raw(`jsonb_array_length(data->'codes') as count`))
  return (row as { count: number } | undefined)?.count ?? 0
}

export const removeAll = (ctx: Context, userId: string) => live(ctx, userId).delete()

/** Undefined when there is no such code; else what takes it: true to exactly one caller. */
export async function check(
  ctx: Context,
  userId: string,
  code: string,
): Promise<((inner: Context) => Promise<boolean>) | undefined> {
  const hash = hashOf(ctx, userId, code)
  const known = await live(ctx, userId).whereRaw(`jsonb_exists(data->'codes', ?)`, [hash]).first('id')
  if (!known) return undefined
  return async (inner) => {
    // The last one used up, the factor is no longer offered.
    const used = await live(inner, userId)
      .whereRaw(`jsonb_exists(data->'codes', ?)`, [hash])
      .update({
        data: inner.db.raw(`jsonb_set(data, '{codes}', (data->'codes') - ?::text)`, [hash]),
        verified_at: inner.db.raw(`case when jsonb_array_length(data->'codes') > 1 then verified_at end`),
        last_used_at: inner.db.fn.now(),
      })
    if (used === 0) return false
    inner.event('mfa.backup_code_used', { userId })
    inner.job('mail', { template: 'factor-changed', userId, what: 'backup_codes-used', locales: inner.request.locales })
    return true
  }
}
