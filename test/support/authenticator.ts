/** An authenticator in software: passkeys with ES256, a counter and backup flags, and the browser's part around it (WebAuthn 5, 6). */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

interface Key {
  id: string
  privateKey: KeyObject
  userHandle: string
  counter: number
}
export interface Behaviour {
  userVerified?: boolean
  backupEligible?: boolean
  backedUp?: boolean
  /** Another origin than the page's, as a phishing site has. */
  origin?: string
  /** Another host than the page's. */
  rpId?: string
  crossOrigin?: boolean
  userHandle?: string | undefined
  /** Sent in place of the next count. */
  counter?: number
}

const hash = (data: string | Buffer) => createHash('sha256').update(data).digest()
const b64 = (data: Buffer | string) => Buffer.from(data).toString('base64url')

export class Authenticator {
  readonly keys: Key[] = []
  readonly origin: string
  behaviour: Behaviour
  constructor(origin: string, behaviour: Behaviour = {}) {
    this.origin = origin
    this.behaviour = { userVerified: true, ...behaviour }
  }

  /** navigator.credentials.create() */
  create(options: any, once: Behaviour = {}): any {
    const how = { ...this.behaviour, ...once }
    if (options.excludeCredentials.some(({ id }: { id: string }) => this.keys.some((key) => key.id === id)))
      throw new Error('InvalidStateError')
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const key = { id: b64(randomBytes(24)), privateKey, userHandle: options.user.id, counter: 0 }
    this.keys.push(key)
    const { x, y } = publicKey.export({ format: 'jwk' })
    // COSE_Key (RFC 9053): kty EC2, alg ES256, crv P-256
    const cose = cbor(
      new Map<number, number | Buffer>([
        [1, 2],
        [3, -7],
        [-1, 1],
        [-2, Buffer.from(x!, 'base64url')],
        [-3, Buffer.from(y!, 'base64url')],
      ]),
    )
    const id = Buffer.from(key.id, 'base64url')
    const attested = Buffer.concat([Buffer.alloc(16), Buffer.from([id.length >> 8, id.length & 255]), id, cose])
    const authData = Buffer.concat([this.#head(options.rp.id, how, 0, 0x40), attested])
    const attestationObject = cbor(
      new Map<string, unknown>([
        ['fmt', 'none'],
        ['attStmt', new Map()],
        ['authData', authData],
      ]),
    )
    return {
      id: key.id,
      rawId: key.id,
      type: 'public-key',
      clientExtensionResults: {},
      response: {
        clientDataJSON: this.#clientData('webauthn.create', options.challenge, how),
        attestationObject: b64(attestationObject),
        transports: ['internal'],
      },
    }
  }

  /** navigator.credentials.get() */
  get(options: any, once: Behaviour = {}): any {
    const how = { ...this.behaviour, ...once }
    const allowed = options.allowCredentials?.map(({ id }: { id: string }) => id)
    const key = this.keys.findLast(({ id }) => !allowed || allowed.includes(id))
    if (!key) throw new Error('NotAllowedError')
    key.counter = how.counter ?? key.counter + 1
    const authenticatorData = this.#head(options.rpId, how, key.counter, 0)
    const clientDataJSON = this.#clientData('webauthn.get', options.challenge, how)
    const signed = Buffer.concat([authenticatorData, hash(Buffer.from(clientDataJSON, 'base64url'))])
    const userHandle = 'userHandle' in how ? how.userHandle : key.userHandle
    return {
      id: key.id,
      rawId: key.id,
      type: 'public-key',
      clientExtensionResults: {},
      response: {
        clientDataJSON,
        authenticatorData: b64(authenticatorData),
        signature: b64(sign('sha256', signed, key.privateKey)),
        ...(userHandle && { userHandle }),
      },
    }
  }

  #head(rpId: string, how: Behaviour, counter: number, more: number): Buffer {
    const flags = 1 | (how.userVerified ? 4 : 0) | (how.backupEligible ? 8 : 0) | (how.backedUp ? 16 : 0) | more
    const count = Buffer.alloc(4)
    count.writeUInt32BE(counter)
    return Buffer.concat([hash(how.rpId ?? rpId), Buffer.from([flags]), count])
  }

  #clientData(type: string, challenge: string, how: Behaviour): string {
    return b64(
      JSON.stringify({ type, challenge, origin: how.origin ?? this.origin, crossOrigin: how.crossOrigin ?? false }),
    )
  }
}

/** The part of CBOR (RFC 8949) that attestation needs: integers, byte and text strings, maps. */
function cbor(value: unknown): Buffer {
  if (typeof value === 'number') return value >= 0 ? head(0, value) : head(1, -1 - value)
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value])
  if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)])
  const entries = [...(value as Map<unknown, unknown>)]
  return Buffer.concat([head(5, entries.length), ...entries.flatMap(([k, v]) => [cbor(k), cbor(v)])])
}
function head(major: number, length: number): Buffer {
  if (length < 24) return Buffer.from([(major << 5) | length])
  if (length < 256) return Buffer.from([(major << 5) | 24, length])
  return Buffer.from([(major << 5) | 25, length >> 8, length & 255])
}
