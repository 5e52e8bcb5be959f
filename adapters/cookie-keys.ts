/** What signs the provider's cookies: the values of the package keygrip, by one HMAC where that one compares by three. */
import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'

export interface CookieKeys {
  sign(data: string): string
  verify(data: string, digest: string): boolean
  /** Of the key that made the digest; -1 where none did. */
  index(data: string, digest: string): number
}

export function cookieKeys(secret: string): CookieKeys {
  const key = createSecretKey(secret, 'utf8')
  const sign = (data: string) => createHmac('sha1', key).update(data).digest('base64url')
  const verify = (data: string, digest: string) => {
    const [expected, given] = [Buffer.from(sign(data)), Buffer.from(digest)]
    return expected.length === given.length && timingSafeEqual(expected, given)
  }
  return { sign, verify, index: (data, digest) => (verify(data, digest) ? 0 : -1) }
}
