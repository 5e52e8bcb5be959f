/** One-time secrets of links and codes. Only hashes are stored; taking one is a single UPDATE, so it works once. */
import { randomInt, timingSafeEqual } from 'node:crypto'
import type { Db } from '../../adapters/knex.ts'
import { randomToken, sha256 } from '../../adapters/sealing.ts'

export type Purpose =
  | 'verify_email'
  | 'reset_password'
  | 'set_up'
  | 'webauthn'
  | 'magic_link'
  | 'otp_sms'
  | 'social_login'
  | 'change_email'
  | 'undo_email'
  | 'client_secret'

export interface NewSecret {
  tenantId: string
  purpose: Purpose
  userId?: string
  data?: Record<string, unknown>
  /** Seconds. */
  lifetime: number
  /** Leaves earlier ones of the same purpose and user alive. */
  keepEarlier?: boolean
}

/** Makes a secret and forgets it: the caller has the only copy. Earlier ones of the same purpose and user die. */
export async function create(
  db: Db,
  { tenantId, purpose, userId, data = {}, lifetime, keepEarlier = false }: NewSecret,
): Promise<string> {
  const token = randomToken()
  if (userId && !keepEarlier) await db('secrets').where({ tenant_id: tenantId, user_id: userId, purpose }).delete()
  await db('secrets').insert({
    tenant_id: tenantId,
    hash: sha256(token),
    purpose,
    user_id: userId ?? null,
    data: JSON.stringify(data),
    expires_at: db.raw('now() + make_interval(secs => ?)', [lifetime]),
  })
  return token
}

/** Wrong codes that one secret bears; its link works on. */
const CODE_TRIES = 5

/**
 * A secret with a six-digit code besides the token, for what is sent to `address` (as a key). Earlier ones of the same
 * purpose and address die.
 */
export async function createWithCode(
  trx: Db,
  { tenantId, purpose, userId, data = {}, lifetime, address }: NewSecret & { address: string },
): Promise<{ token: string; code: string }> {
  const token = randomToken()
  const code = String(randomInt(1_000_000)).padStart(6, '0')
  // Two at once must not both be the newest.
  await trx.raw('select pg_advisory_xact_lock(hashtext(?))', [`${tenantId} ${purpose} ${address}`])
  await trx('secrets').where({ tenant_id: tenantId, purpose, address }).delete()
  await trx('secrets').insert({
    tenant_id: tenantId,
    hash: sha256(token),
    code_hash: codeHash(sha256(token), code),
    purpose,
    address,
    user_id: userId ?? null,
    data: JSON.stringify(data),
    expires_at: trx.raw('now() + make_interval(secs => ?)', [lifetime]),
  })
  return { token, code }
}

const codeHash = (hash: Buffer, code: string) => sha256(`${hash.toString('hex')} ${code}`)

/**
 * The secret whose code this is, not yet taken: consumeHash() takes it. Counts the try before it looks, so that
 * parallel guesses are counted one by one; `db` must be the pool, for the count to stay whatever happens after.
 */
export async function checkCode(
  db: Db,
  { tenantId, purpose, address, code }: { tenantId: string; purpose: Purpose; address: string; code: string },
): Promise<Buffer | undefined> {
  const [counted] = await db('secrets')
    .where({ tenant_id: tenantId, purpose, address })
    .whereNull('used_at')
    .whereNotNull('code_hash')
    .where('tries', '<', CODE_TRIES)
    .where('expires_at', '>', db.fn.now())
    .update({ tries: db.raw('tries + 1') })
    .returning(['hash', 'code_hash'])
  if (!counted) return undefined
  return timingSafeEqual(counted.code_hash, codeHash(counted.hash, code)) ? counted.hash : undefined
}

/** Takes the secret: true to exactly one caller. Undefined when unknown, used or expired. */
export const consume = (db: Db, tenantId: string, purpose: Purpose, token: string): Promise<Taken | undefined> =>
  consumeHash(db, tenantId, purpose, sha256(token))

export interface Taken {
  userId: string | null
  data: Record<string, any>
}

export async function consumeHash(
  db: Db,
  tenantId: string,
  purpose: Purpose,
  hash: Buffer,
): Promise<Taken | undefined> {
  const [taken] = await db('secrets')
    .where({ tenant_id: tenantId, purpose, hash })
    .whereNull('used_at')
    .where('expires_at', '>', db.fn.now())
    .update({ used_at: db.fn.now() })
    .returning(['user_id', 'data'])
  return taken && { userId: taken.user_id, data: taken.data }
}

/** What a live secret carries, without taking it. */
export async function look(db: Db, tenantId: string, purpose: Purpose, token: string): Promise<Taken | undefined> {
  const row = await db('secrets')
    .where({ tenant_id: tenantId, purpose, hash: sha256(token) })
    .whereNull('used_at')
    .where('expires_at', '>', db.fn.now())
    .first('user_id', 'data')
  return row && { userId: row.user_id, data: row.data }
}

/** Looks without taking: for the page that asks a person to click. */
export async function peek(db: Db, tenantId: string, purpose: Purpose, token: string): Promise<boolean> {
  const row = await db('secrets')
    .where({ tenant_id: tenantId, purpose, hash: sha256(token) })
    .whereNull('used_at')
    .where('expires_at', '>', db.fn.now())
    .first(db.raw('1 as live'))
  return row !== undefined
}
