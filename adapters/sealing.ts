/** Encryption at rest and keyed derivation from SECRET_KEY: AES-256-GCM, HKDF-SHA-256. */
import { createCipheriv, createDecipheriv, createSecretKey, hash, hkdfSync, randomBytes } from 'node:crypto'

export interface Sealing {
  /** Encrypts; `context` binds the result to its place (table, tenant, id), so rows cannot be swapped. */
  seal(plain: string | Buffer, context: string): Buffer
  /** Throws when the key, the context or the bytes do not match. */
  open(sealed: Buffer, context: string): Buffer
  /** 32 bytes for one purpose. */
  derive(purpose: string): Buffer
}

export function createSealing(secretKey: Buffer): Sealing {
  const derive = (purpose: string) => Buffer.from(hkdfSync('sha256', secretKey, 'gatehouse', purpose, 32))
  // Made once: of bytes, each use would make one (15 of 18 µs).
  const key = createSecretKey(derive('encryption at rest v1'))
  return {
    derive,
    seal(plain, context) {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context))
      const body = Buffer.concat([cipher.update(plain), cipher.final()])
      return Buffer.concat([Buffer.from([1]), iv, cipher.getAuthTag(), body])
    },
    open(sealed, context) {
      if (sealed[0] !== 1) throw new Error('Unknown sealing version')
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 13))
        .setAAD(Buffer.from(context))
        .setAuthTag(sealed.subarray(13, 29))
      return Buffer.concat([decipher.update(sealed.subarray(29)), decipher.final()])
    },
  }
}

export const sha256 = (value: string | Buffer): Buffer => hash('sha256', value, 'buffer')
/** Random bytes are drawn a page at a time: one call into the kernel's generator costs as much as many tokens. */
const POOL = 4096
let pool = Buffer.alloc(0)

/** 256 random bits, URL-safe. */
export function randomToken(bytes = 32): string {
  if (pool.length < bytes) pool = randomBytes(POOL)
  const token = pool.toString('base64url', 0, bytes)
  pool.fill(0, 0, bytes)
  pool = pool.subarray(bytes)
  return token
}
