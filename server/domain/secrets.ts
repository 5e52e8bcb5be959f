/** One-time secrets of links and codes. Only hashes are stored; taking one is a single UPDATE, so it works once. */
import type { Db } from '../../adapters/knex.ts'
import { randomToken, sha256 } from '../../adapters/sealing.ts'

export type Purpose = 'verify_email' | 'reset_password' | 'set_up' | 'webauthn'

export interface NewSecret {
  tenantId: string
  purpose: Purpose
  userId?: string
  data?: Record<string, unknown>
  /** Seconds. */
  lifetime: number
}

/** Makes a secret and forgets it: the caller has the only copy. Earlier ones of the same purpose and user die. */
export async function create(db: Db, { tenantId, purpose, userId, data = {}, lifetime }: NewSecret): Promise<string> {
  const token = randomToken()
  if (userId) await db('secrets').where({ tenant_id: tenantId, user_id: userId, purpose }).delete()
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

/** Takes the secret: true to exactly one caller. Undefined when unknown, used or expired. */
export async function consume(
  db: Db,
  tenantId: string,
  purpose: Purpose,
  token: string,
): Promise<{ userId: string | null; data: Record<string, any> } | undefined> {
  const [taken] = await db('secrets')
    .where({ tenant_id: tenantId, purpose, hash: sha256(token) })
    .whereNull('used_at')
    .where('expires_at', '>', db.fn.now())
    .update({ used_at: db.fn.now() })
    .returning(['user_id', 'data'])
  return taken && { userId: taken.user_id, data: taken.data }
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
