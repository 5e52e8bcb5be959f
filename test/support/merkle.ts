/** RFC 9162 as a verifier elsewhere would write it: roots by the definition, proofs by the algorithms of 2.1.3.2 and 2.1.4.2. */
import { createHash } from 'node:crypto'

const sha256 = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
export const leaf = (text: string) => sha256(Buffer.of(0), Buffer.from(text))
const node = (left: Buffer, right: Buffer) => sha256(Buffer.of(1), left, right)

/** MTH of hashed leaves (2.1.1). */
export function mth(leaves: Buffer[]): Buffer {
  if (leaves.length === 0) return sha256()
  if (leaves.length === 1) return leaves[0]!
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return node(mth(leaves.slice(0, k)), mth(leaves.slice(k)))
}

export function includes(hash: Buffer, index: number, size: number, path: Buffer[], root: Buffer): boolean {
  if (index >= size) return false
  let [fn, sn, r] = [index, size - 1, hash]
  for (const p of path) {
    if (sn === 0) return false
    if (fn % 2 === 1 || fn === sn) {
      r = node(p, r)
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn >> 1, sn >> 1]
    } else r = node(r, p)
    ;[fn, sn] = [fn >> 1, sn >> 1]
  }
  return sn === 0 && r.equals(root)
}

export function isConsistent(first: number, second: number, path: Buffer[], one: Buffer, two: Buffer): boolean {
  if (first === second) return path.length === 0 && one.equals(two)
  const all = Number.isInteger(Math.log2(first)) ? [one, ...path] : path
  if (all.length === 0) return false
  let [fn, sn] = [first - 1, second - 1]
  while (fn % 2 === 1) [fn, sn] = [fn >> 1, sn >> 1]
  let [fr, sr] = [all[0]!, all[0]!]
  for (const c of all.slice(1)) {
    if (sn === 0) return false
    if (fn % 2 === 1 || fn === sn) {
      ;[fr, sr] = [node(c, fr), node(c, sr)]
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn >> 1, sn >> 1]
    } else sr = node(sr, c)
    ;[fn, sn] = [fn >> 1, sn >> 1]
  }
  return sn === 0 && fr.equals(one) && sr.equals(two)
}
