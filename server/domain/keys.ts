/** Signing keys of a tenant: made, sealed at rest. ES256 signs access tokens; RS256 is OpenID's must. See key-rotation.ts. */
import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint, type JWK } from 'jose'
import type { Db } from '../../adapters/knex.ts'
import type { Sealing } from '../../adapters/sealing.ts'

export const ALGORITHMS = ['ES256', 'RS256'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

export interface SigningKey {
  kid: string
  alg: Algorithm
  publicJwk: JWK
  privateJwk: JWK
  privateKey: KeyObject
  /** Others only verify: they are published for the time before or after. */
  signs: boolean
}
export interface KeyRow {
  kid: string
  alg: Algorithm
  public_jwk: JWK
  private_encrypted: string
  signs: boolean
}
/** Made, not yet stored. */
export interface FreshKey {
  kid: string
  alg: Algorithm
  publicJwk: JWK
  privateJwk: JWK
}

const makePair = promisify(generateKeyPair)
const place = (tenantId: string, kid: string) => `signing_keys:${tenantId}:${kid}`

/** RSA takes about 100 ms of CPU, in a thread of libuv: make keys before a transaction opens. */
export async function makeKey(alg: Algorithm): Promise<FreshKey> {
  const { publicKey, privateKey } =
    alg === 'ES256' ? await makePair('ec', { namedCurve: 'P-256' }) : await makePair('rsa', { modulusLength: 2048 })
  const jwk = publicKey.export({ format: 'jwk' }) as JWK
  const kid = await calculateJwkThumbprint(jwk)
  return {
    kid,
    alg,
    publicJwk: { ...jwk, kid, alg, use: 'sig' },
    privateJwk: privateKey.export({ format: 'jwk' }) as JWK,
  }
}

/** One key per algorithm. */
export const makeKeys = (algs: readonly Algorithm[] = ALGORITHMS): Promise<FreshKey[]> => Promise.all(algs.map(makeKey))

/** Stores keys that sign `after` seconds from now. */
export async function storeKeys(
  db: Db,
  sealing: Sealing,
  tenantId: string,
  keys: FreshKey[],
  after = 0,
): Promise<void> {
  await db('signing_keys').insert(
    keys.map(({ kid, alg, publicJwk, privateJwk }) => ({
      tenant_id: tenantId,
      kid,
      alg,
      public_jwk: JSON.stringify(publicJwk),
      private_encrypted: sealing.seal(JSON.stringify(privateJwk), place(tenantId, kid)),
      signs_at: db.raw('now() + make_interval(secs => ?)', [after]),
    })),
  )
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
    signs: row.signs,
  }
}
