/**
 * WebAuthn ceremonies by @simplewebauthn/server. The relying party is the host of PUBLIC_URL and nothing a request says.
 * What only we can know (whose challenge, whose passkey, counter, backup flags) is checked by domain/passkeys.ts.
 */
import { isIP } from 'node:net'
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server'
import { lazily } from './lazily.ts'

/** With its ASN.1 it is 250 files. */
const webauthn = lazily<typeof import('@simplewebauthn/server')>('@simplewebauthn/server')

/** How long the browser waits for a person, in milliseconds. */
const PATIENCE = 300_000
/** EdDSA, ES256, RS256 (COSE): what authenticators people own can do. */
const ALGORITHMS = [-8, -7, -257]

export interface Party {
  rpId: string
  origin: string
  /** Browsers do passkeys only for host names, over https or on localhost (WebAuthn 5.1.2). */
  usable: boolean
}

export interface NewPasskey {
  /** Credential id, base64url. */
  externalId: string
  publicKey: Buffer
  counter: number
  transports: string[]
  aaguid: string
  userVerified: boolean
  backupEligible: boolean
  backedUp: boolean
}

export interface Assertion {
  counter: number
  userVerified: boolean
  backupEligible: boolean
  backedUp: boolean
}

export function party(publicUrl: string): Party {
  const { hostname, origin, protocol } = new URL(publicUrl)
  const secure = protocol === 'https:' || hostname === 'localhost' || hostname.endsWith('.localhost')
  return { rpId: hostname, origin, usable: secure && isIP(hostname.replace(/^\[|\]$/g, '')) === 0 }
}

/** PublicKeyCredentialCreationOptions as JSON. `challenge` is base64url. */
export async function creationOptions(
  at: Party,
  input: {
    name: string
    user: { handle: Buffer; name: string; displayName: string }
    challenge: string
    exclude: { id: string; transports: string[] }[]
  },
): Promise<object> {
  return webauthn().generateRegistrationOptions({
    rpName: input.name,
    rpID: at.rpId,
    userID: new Uint8Array(input.user.handle),
    userName: input.user.name,
    userDisplayName: input.user.displayName,
    challenge: new Uint8Array(Buffer.from(input.challenge, 'base64url')),
    attestationType: 'none',
    excludeCredentials: input.exclude,
    authenticatorSelection: { residentKey: 'preferred', userVerification: 'preferred' },
    supportedAlgorithmIDs: ALGORITHMS,
    timeout: PATIENCE,
  })
}

/** PublicKeyCredentialRequestOptions as JSON; without `allow` any discoverable passkey may answer. */
export async function requestOptions(
  at: Party,
  input: {
    challenge: string
    allow?: { id: string; transports: string[] }[]
    userVerification: 'required' | 'preferred'
  },
): Promise<object> {
  return webauthn().generateAuthenticationOptions({
    rpID: at.rpId,
    challenge: new Uint8Array(Buffer.from(input.challenge, 'base64url')),
    ...(input.allow && { allowCredentials: input.allow }),
    userVerification: input.userVerification,
    timeout: PATIENCE,
  })
}

/** Answer of navigator.credentials.create(), or undefined when it does not prove what it should. */
export async function verifyCreation(at: Party, response: unknown, challenge: string): Promise<NewPasskey | undefined> {
  if (!isResponse(response, ['attestationObject']) || isFramed(response)) return undefined
  const { verified, registrationInfo: info } = await webauthn()
    .verifyRegistrationResponse({
      response: response as unknown as RegistrationResponseJSON,
      expectedChallenge: challenge,
      expectedOrigin: at.origin,
      expectedRPID: at.rpId,
      requireUserVerification: false,
      supportedAlgorithmIDs: ALGORITHMS,
    })
    .catch(nothing)
  if (!verified || !info) return undefined
  const { transports } = response.response
  return {
    externalId: info.credential.id,
    publicKey: Buffer.from(info.credential.publicKey),
    counter: info.credential.counter,
    transports: Array.isArray(transports) ? transports.filter(isTransport).slice(0, 8) : [],
    aaguid: info.aaguid,
    userVerified: info.userVerified,
    backupEligible: info.credentialDeviceType === 'multiDevice',
    backedUp: info.credentialBackedUp,
  }
}

/** Answer of navigator.credentials.get(), or undefined. The counter is the caller's matter. */
export async function verifyAssertion(
  at: Party,
  response: unknown,
  input: { challenge: string; externalId: string; publicKey: Buffer; requireUserVerification: boolean },
): Promise<Assertion | undefined> {
  if (!isResponse(response, ['authenticatorData', 'signature']) || isFramed(response)) return undefined
  const { verified, authenticationInfo: info } = await webauthn()
    .verifyAuthenticationResponse({
      response: response as unknown as AuthenticationResponseJSON,
      expectedChallenge: input.challenge,
      expectedOrigin: at.origin,
      expectedRPID: at.rpId,
      // Zero switches the library's counter check off: ours is one atomic update.
      credential: { id: input.externalId, publicKey: new Uint8Array(input.publicKey), counter: 0 },
      requireUserVerification: input.requireUserVerification,
    })
    .catch(nothing)
  if (!verified || !info) return undefined
  return {
    counter: info.newCounter,
    userVerified: info.userVerified,
    backupEligible: info.credentialDeviceType === 'multiDevice',
    backedUp: info.credentialBackedUp,
  }
}

// Unreadable input and failed checks alike: the library throws for both.
const nothing = () => ({ verified: false as const, registrationInfo: undefined, authenticationInfo: undefined })

interface Response {
  id: string
  response: Record<string, unknown> & { clientDataJSON: string }
}

function isResponse(value: unknown, needed: string[]): value is Response {
  const it = value as Response | null
  return (
    typeof it === 'object' &&
    it !== null &&
    isShort(it.id, 1400) &&
    typeof it.response === 'object' &&
    it.response !== null &&
    ['clientDataJSON', ...needed].every((key) => isShort(it.response[key], 16_384))
  )
}
const isShort = (value: unknown, max: number) => typeof value === 'string' && value.length > 0 && value.length <= max
const isTransport = (value: unknown): value is string => typeof value === 'string' && /^[a-z-]{1,20}$/.test(value)

/** What the browser wrote down about the ceremony; undefined when unreadable. Not proven before a verify function said so. */
export function clientData(response: unknown): { challenge: string; crossOrigin?: unknown } | undefined {
  try {
    const { clientDataJSON } = (response as Response).response
    const data = JSON.parse(Buffer.from(clientDataJSON, 'base64url').toString())
    return typeof data.challenge === 'string' ? data : undefined
  } catch {
    return undefined
  }
}
/** A page of somebody else must not run the ceremony in a frame. */
const isFramed = (response: unknown) => clientData(response)?.crossOrigin === true
/** Credential id and user handle of an answer, as sent. */
export function claimed(response: unknown): { externalId: string; userHandle: string | undefined } | undefined {
  const it = response as { id?: unknown; response?: { userHandle?: unknown } } | null
  if (!isShort(it?.id, 1400)) return undefined
  const handle = it!.response?.userHandle
  return { externalId: it!.id as string, userHandle: typeof handle === 'string' && handle ? handle : undefined }
}
