/** Time-based one-time passwords (RFC 6238) by otplib: SHA-1, six digits, 30 seconds, as all authenticator apps take them. */
import { generateSecret, generateURI, verifySync } from 'otplib'

const PERIOD = 30
const CODE = /^\d{6}$/

/** 160 random bits in Base32. */
export const newTotpSecret = (): string => generateSecret({ length: 20 })

/** The address an authenticator app reads from a QR code. */
export const totpUri = ({ secret, issuer, account }: { secret: string; issuer: string; account: string }): string =>
  generateURI({ secret, issuer: issuer.replaceAll(':', ' ').trim() || 'Gatehouse', label: account })

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
  const result = verifySync({
    secret,
    token: code,
    epoch: at,
    epochTolerance: PERIOD,
    ...(after !== undefined && { afterTimeStep: after }),
  })
  return result.valid ? Math.floor(((result as { epoch: number }).epoch ?? at) / PERIOD) : undefined
}
