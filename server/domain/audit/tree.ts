/** The Merkle tree of RFC 9162 2.1: hashes, appending with nothing but the frontier, and proofs out of stored tiles. */
import { createHash } from 'node:crypto'

const sha256 = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
const LEAF = Buffer.of(0)
const NODE = Buffer.of(1)

export const leafHash = (leaf: string): Buffer => sha256(LEAF, Buffer.from(leaf))
const nodeHash = (left: Buffer, right: Buffer): Buffer => sha256(NODE, left, right)

/** Hashes of one tile: complete subtrees of 2^(8 × level) leaves. */
export const TILE = 256
const TILE_HEIGHT = 8

/** The complete subtrees that a tree of `size` leaves is made of, the largest first. */
export interface Frontier {
  size: number
  hashes: Buffer[]
}
export const emptyFrontier = (): Frontier => ({ size: 0, hashes: [] })

/** A hash that belongs into a tile, told in the order in which tiles grow. */
export type Emit = (level: number, index: number, hash: Buffer) => void

/** Adds a leaf to the frontier, in place. */
export function append(frontier: Frontier, leaf: Buffer, emit: Emit): void {
  const { hashes } = frontier
  let index = frontier.size
  hashes.push(leaf)
  emit(0, index, leaf)
  for (let height = 1; index % 2 === 1; height++) {
    const right = hashes.pop()!
    hashes.push(nodeHash(hashes.pop()!, right))
    index = (index - 1) / 2
    if (height % TILE_HEIGHT === 0) emit(height / TILE_HEIGHT, index, hashes.at(-1)!)
  }
  frontier.size += 1
}

/** The root hash; of no leaves that of nothing. */
export function rootOf({ hashes }: Frontier): Buffer {
  return hashes.length === 0 ? sha256() : hashes.reduceRight((right, left) => nodeHash(left, right))
}

/** The hashes of a tile, in their order. */
export type ReadTile = (level: number, tile: number) => Promise<Buffer[]>

/** The hash of the complete subtree of 2^height leaves, the index-th of its height. */
async function subtree(read: ReadTile, height: number, index: number): Promise<Buffer> {
  const level = Math.floor(height / TILE_HEIGHT)
  const width = 2 ** (height % TILE_HEIGHT)
  const first = index * width
  let hashes = (await read(level, Math.floor(first / TILE))).slice(first % TILE, (first % TILE) + width)
  if (hashes.length !== width) throw new Error(`The audit tree lacks hashes of level ${level}`)
  while (hashes.length > 1) hashes = pairs(hashes)
  return hashes[0]!
}
const pairs = (hashes: Buffer[]): Buffer[] =>
  Array.from({ length: hashes.length / 2 }, (_, i) => nodeHash(hashes[2 * i]!, hashes[2 * i + 1]!))

/** The largest power of two below `count`, as RFC 9162 splits. */
const splitOf = (count: number): number => 2 ** Math.ceil(Math.log2(count) - 1)

/** MTH(D[from:to]). */
async function rangeHash(read: ReadTile, from: number, to: number): Promise<Buffer> {
  const count = to - from
  const height = Math.log2(count)
  if (Number.isInteger(height) && from % count === 0) return subtree(read, height, from / count)
  const middle = from + splitOf(count)
  return nodeHash(await rangeHash(read, from, middle), await rangeHash(read, middle, to))
}

/** The root of the first `size` leaves. */
export const rootAt = (read: ReadTile, size: number): Promise<Buffer> =>
  size === 0 ? Promise.resolve(sha256()) : rangeHash(read, 0, size)

/** PATH(index, D[0:size]) of RFC 9162 2.1.3.1. */
export async function inclusion(read: ReadTile, index: number, size: number): Promise<Buffer[]> {
  const path: Buffer[] = []
  let [from, to] = [0, size]
  while (to - from > 1) {
    const middle = from + splitOf(to - from)
    path.unshift(await (index < middle ? rangeHash(read, middle, to) : rangeHash(read, from, middle)))
    if (index < middle) to = middle
    else from = middle
  }
  return path
}

/** PROOF(first, D[0:second]) of RFC 9162 2.1.4.1, for 0 < first ≤ second. */
export async function consistency(read: ReadTile, first: number, second: number): Promise<Buffer[]> {
  const path: Buffer[] = []
  let [from, to] = [0, second]
  while (to !== first) {
    const middle = from + splitOf(to - from)
    path.unshift(await (first <= middle ? rangeHash(read, middle, to) : rangeHash(read, from, middle)))
    if (first <= middle) to = middle
    else from = middle
  }
  // The subtree that `first` ends with; a verifier who has the whole old tree needs no hash of it.
  if (from > 0) path.unshift(await rangeHash(read, from, to))
  return path
}
