/** Time-based one-time passwords (RFC 6238) by otplib: SHA-1, six digits, 30 seconds, as all authenticator apps take them. */
import { lazily } from './lazily.ts'

const otplib = lazily<typeof import('otplib')>('otplib')

const PERIOD = 30
const CODE = /^\d{6}$/
/** Bytes of a secret. RFC 4226 asks for 16, but many an app was given 10, and people bring theirs along. */
const LIMITS = { MIN_SECRET_BYTES: 10, MAX_SECRET_BYTES: 64 }

/** 160 random bits in Base32. */
export const newTotpSecret = (): string => otplib().generateSecret({ length: 20 })

/** The address an authenticator app reads from a QR code. */
export const totpUri = ({ secret, issuer, account }: { secret: string; issuer: string; account: string }): string =>
  otplib().generateURI({ secret, issuer: issuer.replaceAll(':', ' ').trim() || 'Gatehouse', label: account })

/**
 * The time step whose code this is: now, or one neighbour (RFC 6238 section 5.2), later than `after`; compared in
 * constant time. Undefined when it is none of them. `at` is in Unix seconds.
 */
export function totpStep(
  secret: string,
  code: string,
  { after, at = Math.floor(Date.now() / 1000) }: { after?: number | undefined; at?: number } = {},
): number | undefined {
  if (!CODE.test(code)) return undefined
  const newest = Math.floor(at / PERIOD) + 1
  if (after !== undefined && after >= newest) return undefined
  const result = otplib().verifySync({
    secret,
    token: code,
    epoch: at,
    epochTolerance: PERIOD,
    guardrails: otplib().createGuardrails(LIMITS),
    ...(after !== undefined && { afterTimeStep: after }),
  })
  return result.valid ? Math.floor(((result as { epoch: number }).epoch ?? at) / PERIOD) : undefined
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** A secret made elsewhere as we keep it, Base32 in capitals; undefined where it is none, or of another size. */
export function knownSecret(text: string): string | undefined {
  const secret = text.replace(/[\s=-]/g, '').toUpperCase()
  const bytes = Math.floor((secret.length * 5) / 8)
  const fits = bytes >= LIMITS.MIN_SECRET_BYTES && bytes <= LIMITS.MAX_SECRET_BYTES
  return fits && /^[A-Z2-7]+$/.test(secret) ? secret : undefined
}

/** Base32 (RFC 4648) without padding. */
export function base32(bytes: Buffer): string {
  let out = ''
  let [bits, held] = [0, 0]
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff
    for (bits += 8; bits >= 5; bits -= 5) out += ALPHABET[(held >> (bits - 5)) & 31]
  }
  return bits > 0 ? out + ALPHABET[(held << (5 - bits)) & 31] : out
}
