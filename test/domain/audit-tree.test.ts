import { expect } from 'chai'
import {
  append,
  consistency,
  emptyFrontier,
  inclusion,
  type ReadTile,
  rootAt,
  rootOf,
} from '../../server/domain/audit/tree.ts'
import { includes, isConsistent, leaf, mth } from '../support/merkle.ts'

/** A tree of so many leaves, kept in tiles as the database does. */
function grow(size: number): { leaves: Buffer[]; roots: Buffer[]; read: ReadTile } {
  const frontier = emptyFrontier()
  const tiles = new Map<string, Buffer[]>()
  const leaves = Array.from({ length: size }, (_, i) => leaf(`fact ${i}`))
  const roots = leaves.map((hash) => {
    append(frontier, hash, (level, index, value) => {
      const key = `${level} ${Math.floor(index / 256)}`
      const tile = tiles.get(key) ?? []
      if (tile.length !== index % 256) throw new Error('tiles do not grow in order')
      tiles.set(key, tile)
      tile.push(value)
    })
    return rootOf(frontier)
  })
  return { leaves, roots, read: async (level, tile) => tiles.get(`${level} ${tile}`) ?? [] }
}

describe('the Merkle tree', () => {
  it('has the roots of RFC 9162, appended to or read from tiles', async () => {
    const { leaves, roots, read } = grow(600)
    expect(rootOf(emptyFrontier()).equals(mth([]))).to.equal(true)
    for (const size of [1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 600]) {
      expect(roots[size - 1]!.equals(mth(leaves.slice(0, size))), `${size}`).to.equal(true)
      expect((await rootAt(read, size)).equals(roots[size - 1]!), `${size} from tiles`).to.equal(true)
    }
  })

  it('proves every leaf in every small tree, and some in one of several levels', async () => {
    const { leaves, roots, read } = grow(70)
    for (let size = 1; size <= 70; size++)
      for (let index = 0; index < size; index++) {
        const path = await inclusion(read, index, size)
        expect(includes(leaves[index]!, index, size, path, roots[size - 1]!), `${index} of ${size}`).to.equal(true)
        const other = leaves[(index + 1) % 70]!
        expect(includes(other, index, size, path, roots[size - 1]!)).to.equal(false)
      }
    const large = grow(66_000)
    for (const index of [0, 255, 256, 65_535, 65_536, 65_999]) {
      const path = await inclusion(large.read, index, 66_000)
      expect(includes(large.leaves[index]!, index, 66_000, path, large.roots[65_999]!), `${index}`).to.equal(true)
    }
    for (const first of [1, 256, 1000, 65_536, 65_537, 66_000]) {
      const path = await consistency(large.read, first, 66_000)
      const [one, two] = [large.roots[first - 1]!, large.roots[65_999]!]
      expect(isConsistent(first, 66_000, path, one, two), `${first}`).to.equal(true)
    }
  })

  it('proves that each tree grew out of each smaller one, and of no other', async () => {
    const { roots, read } = grow(40)
    for (let second = 1; second <= 40; second++)
      for (let first = 1; first <= second; first++) {
        const path = await consistency(read, first, second)
        const [one, two] = [roots[first - 1]!, roots[second - 1]!]
        expect(isConsistent(first, second, path, one, two), `${first} in ${second}`).to.equal(true)
        expect(isConsistent(first, second, path, leaf('forged'), two)).to.equal(false)
      }
  })
})
