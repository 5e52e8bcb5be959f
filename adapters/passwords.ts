/** Password hashes: argon2id for our own, verification of those that come from elsewhere, and a bound on how many at once. */
import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { hash as argon2 } from '@node-rs/argon2'
import { checkOf } from './passwords/foreign.ts'
import { createQueue } from './queue.ts'

export { Overloaded } from './queue.ts'

/** OWASP's recommendation for argon2id; docs/decisions/0003 has what it costs. */
const parameters = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1, outputLen: 32 }
const ours = '$argon2id$v=19$m=19456,t=2,p=1$'

export interface Passwords {
  /** A PHC string, `$argon2id$…`. Throws Overloaded. */
  hash(password: string): Promise<string>
  /**
   * Compares. `rehash` asks to store a new hash: the password is right and the hash is not of our kind. A hash that cannot
   * be understood is never right, and takes as long as one that can. Throws Overloaded, nothing else for any input.
   */
  verify(hash: string, password: string): Promise<{ ok: boolean; rehash: boolean }>
  /** Takes as long as verify() of one of our hashes; for accounts that do not exist. Throws Overloaded. */
  dummy(password: string): Promise<void>
  /** For metrics. */
  load(): { running: number; queued: number }
}

interface Options {
  /** Hashes computed at once. The default leaves a core for the event loop and one of libuv's 4 threads for DNS and files. */
  concurrency?: number
  /** How many may wait for that; more are refused with Overloaded. */
  queue?: number
}

export const defaultConcurrency = Math.min(3, Math.max(1, availableParallelism() - 1))

export function createPasswords({ concurrency = defaultConcurrency, queue = 64 }: Options = {}): Passwords {
  const line = createQueue(concurrency, queue)
  const salt = () => randomBytes(16).toString('base64').slice(0, 22)
  const nobodys = `${ours}${salt()}$${randomBytes(32).toString('base64').replaceAll('=', '')}`
  const checkNobodys = checkOf(nobodys)!

  return {
    hash: (password) => line.run(() => argon2(password, parameters)),
    async verify(hash, password) {
      const check = checkOf(hash)
      const right = await line.run(() => (check ?? checkNobodys)(password).catch(() => false))
      const ok = right && check !== undefined
      return { ok, rehash: ok && !hash.startsWith(ours) }
    },
    async dummy(password) {
      await line.run(() => checkNobodys(password))
    },
    load: line.load,
  }
}

/** True if verify() understands the hash and is willing to compute it; for imports. */
export function isKnownHash(hash: string): boolean {
  return checkOf(hash) !== undefined
}
