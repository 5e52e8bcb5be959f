/**
 * Password hashes in the forms that other systems export. Parsing bounds what a hash may cost: who imports users must not
 * be able to make every login attempt take seconds or gigabytes.
 */
import { pbkdf2, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { verify as verifyArgon2 } from '@node-rs/argon2'
import { verifyBcrypt } from './bcrypt.ts'

/** Compares one password. Rejects only if the machine fails. */
export type Check = (password: string) => Promise<boolean>

const derivePbkdf2 = promisify(pbkdf2)
const deriveScrypt = promisify(scrypt) as (p: string, s: Buffer, length: number, options: object) => Promise<Buffer>

const argon2 =
  /^\$argon2(?:id|i|d)\$(?:v=(?:16|19)\$)?m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/
const bcrypt = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/
const pbkdf2Phc =
  /^\$pbkdf2(?:-(sha1|sha256|sha512))?\$(?:i=(\d{1,8})(?:,l=(\d{1,3}))?|(\d{1,8}))\$([A-Za-z0-9+/.=]+)\$([A-Za-z0-9+/.=]+)$/
const pbkdf2Django = /^pbkdf2_(sha1|sha256|sha512)\$(\d{1,8})\$([^$]{1,128})\$([A-Za-z0-9+/]+={0,2})$/
const scryptPhc = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/.=]+)\$([A-Za-z0-9+/.=]+)$/

/** How to check against this hash; undefined if its form is unknown, malformed or too expensive. */
export function checkOf(hash: string): Check | undefined {
  if (hash.length > 512) return undefined
  return ofArgon2(hash) ?? ofBcrypt(hash) ?? ofPbkdf2(hash) ?? ofDjango(hash) ?? ofScrypt(hash)
}

/** argon2id, argon2i, argon2d in PHC form, up to 128 MiB and about 25 times our own cost. */
function ofArgon2(hash: string): Check | undefined {
  const found = argon2.exec(hash)
  if (!found) return undefined
  const [m, t, p] = [Number(found[1]), Number(found[2]), Number(found[3])] as [number, number, number]
  const sizes = fits(bytes(found[4]), 8, 64) && fits(bytes(found[5]), 12, 64)
  const affordable = t >= 1 && p >= 1 && p <= 16 && m >= 8 * p && m <= 131_072 && m * t <= 1_048_576
  return sizes && affordable ? (password) => verifyArgon2(hash, password) : undefined
}

/** bcrypt up to cost 14. As everywhere, only the first 72 bytes of the password count. */
function ofBcrypt(hash: string): Check | undefined {
  const cost = Number(bcrypt.exec(hash)?.[1])
  return cost >= 4 && cost <= 14 ? (password) => verifyBcrypt(hash, password) : undefined
}

/** `$pbkdf2-sha256$i=310000,l=32$salt$hash`, and passlib's `$pbkdf2-sha256$29000$salt$hash` with "." for "+". */
function ofPbkdf2(hash: string): Check | undefined {
  const found = pbkdf2Phc.exec(hash)
  if (!found) return undefined
  const [, digest = 'sha1', named, length, bare, salt, key] = found
  const expected = bytes(key)
  if (length !== undefined && Number(length) !== expected.length) return undefined
  return pbkdf2Check(digest, Number(named ?? bare), bytes(salt), expected)
}

/** Django's `pbkdf2_sha256$iterations$salt$hash`, whose salt is text. */
function ofDjango(hash: string): Check | undefined {
  const found = pbkdf2Django.exec(hash)
  if (!found) return undefined
  const [, digest = '', iterations, salt = '', key] = found
  return pbkdf2Check(digest, Number(iterations), Buffer.from(salt), bytes(key))
}

const digestLength = { sha1: 20, sha256: 32, sha512: 64 }

function pbkdf2Check(digest: string, iterations: number, salt: Buffer, expected: Buffer): Check | undefined {
  if (!fits(salt, 1, 128) || !fits(expected, 16, 64)) return undefined
  const rounds = iterations * Math.ceil(expected.length / digestLength[digest as keyof typeof digestLength])
  if (rounds < 1 || rounds > 2_000_000) return undefined
  return async (password) =>
    timingSafeEqual(await derivePbkdf2(password, salt, iterations, expected.length, digest), expected)
}

/** `$scrypt$ln=15,r=8,p=1$salt$hash` up to 128 MiB. */
function ofScrypt(hash: string): Check | undefined {
  const found = scryptPhc.exec(hash)
  if (!found) return undefined
  const [ln, r, p] = [Number(found[1]), Number(found[2]), Number(found[3])] as [number, number, number]
  const [salt, expected] = [bytes(found[4]), bytes(found[5])]
  const blocks = 2 ** ln * r
  if (ln < 1 || r < 1 || p < 1 || blocks > 2 ** 20 || blocks * p > 2 ** 20) return undefined
  if (!fits(salt, 1, 128) || !fits(expected, 16, 64)) return undefined
  const options = { N: 2 ** ln, r, p, maxmem: 128 * (blocks + r * p) + 1_048_576 }
  return async (password) => timingSafeEqual(await deriveScrypt(password, salt, expected.length, options), expected)
}

/** Base64 with or without padding, and passlib's with "." for "+". */
function bytes(base64: string | undefined): Buffer {
  return Buffer.from((base64 ?? '').replaceAll('.', '+'), 'base64')
}

function fits(value: Buffer, min: number, max: number): boolean {
  return value.length >= min && value.length <= max
}
