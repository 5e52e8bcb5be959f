/** Signing keys of a tenant: made, sealed at rest, rotated with overlap. ES256 signs access tokens; RS256 is OpenID's must. */
import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint, type JWK } from 'jose'
import type { Db } from '../../adapters/knex.ts'
import type { Sealing } from '../../adapters/sealing.ts'

export interface SigningKey {
  kid: string
  alg: 'ES256' | 'RS256'
  publicJwk: JWK
  privateJwk: JWK
  privateKey: KeyObject
  /** Retired keys only verify. */
  signs: boolean
}
export interface KeyRow {
  kid: string
  alg: 'ES256' | 'RS256'
  public_jwk: JWK
  private_encrypted: string
  retired_at: string | null
}

const makePair = promisify(generateKeyPair)
const place = (tenantId: string, kid: string) => `signing_keys:${tenantId}:${kid}`

/** Makes and stores one key per algorithm. */
export async function createKeys(db: Db, sealing: Sealing, tenantId: string): Promise<void> {
  const pairs = [
    { alg: 'ES256', pair: await makePair('ec', { namedCurve: 'P-256' }) },
    { alg: 'RS256', pair: await makePair('rsa', { modulusLength: 2048 }) },
  ]
  for (const { alg, pair } of pairs) {
    const publicJwk = pair.publicKey.export({ format: 'jwk' }) as JWK
    const kid = await calculateJwkThumbprint(publicJwk)
    await db('signing_keys').insert({
      tenant_id: tenantId,
      kid,
      alg,
      public_jwk: JSON.stringify({ ...publicJwk, kid, alg, use: 'sig' }),
      private_encrypted: sealing.seal(JSON.stringify(pair.privateKey.export({ format: 'jwk' })), place(tenantId, kid)),
    })
  }
}

/** Opens a stored key. `private_encrypted` comes hex-encoded out of json_agg (\\x…). */
export function openKey(sealing: Sealing, tenantId: string, row: KeyRow): SigningKey {
  const sealed = Buffer.from(row.private_encrypted.slice(2), 'hex')
  const jwk = JSON.parse(sealing.open(sealed, place(tenantId, row.kid)).toString()) as JWK
  return {
    kid: row.kid,
    alg: row.alg,
    publicJwk: row.public_jwk,
    privateJwk: { ...jwk, kid: row.kid, alg: row.alg, use: 'sig' },
    privateKey: createPrivateKey({ key: jwk as any, format: 'jwk' }),
    signs: row.retired_at === null,
  }
}
