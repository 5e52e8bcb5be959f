/**
 * ECDSA P-256 signatures between DER, which OpenSSL speaks, and the 64 bytes of JWS (RFC 7518 3.4). Letting OpenSSL
 * convert costs as much again as the signature itself (26 of 51 µs).
 */

const SIZE = 32

/** SEQUENCE { INTEGER r, INTEGER s } to r || s. */
export function toJws(der: Buffer): Buffer {
  const out = Buffer.alloc(2 * SIZE)
  let at = 2
  for (let i = 0; i < 2; i += 1) {
    const length = der[at + 1]!
    const value = der.subarray(at + 2, at + 2 + length)
    const unsigned = length > SIZE ? value.subarray(length - SIZE) : value
    out.set(unsigned, (i + 1) * SIZE - unsigned.length)
    at += 2 + length
  }
  return out
}

/** r || s to SEQUENCE { INTEGER r, INTEGER s }; undefined when it is not 64 bytes. */
export function toDer(jws: Buffer): Buffer | undefined {
  if (jws.length !== 2 * SIZE) return undefined
  const parts = [integer(jws.subarray(0, SIZE)), integer(jws.subarray(SIZE))]
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([0x30, body.length]), body])
}

/** The shortest form: no leading zeros, but one where the first bit would read as a sign. */
function integer(bytes: Buffer): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1
  const digits = bytes.subarray(start)
  const sign = digits[0]! >= 0x80 ? [0] : []
  return Buffer.concat([Buffer.from([0x02, digits.length + sign.length, ...sign]), digits])
}
