/** The tree of a tenant as rows: the frontier, tiles that only grow, and leaves beside their events. */
import type { Db } from '../../../adapters/knex.ts'
import { detailsHash, type EventRecord, leafOf, newSalt } from './leaf.ts'
import { append, type Emit, type Frontier, leafHash, type ReadTile, rootOf, TILE } from './tree.ts'

const HASH = 32
const split = (bytes: Buffer): Buffer[] =>
  Array.from({ length: bytes.length / HASH }, (_, i) => bytes.subarray(i * HASH, (i + 1) * HASH))

export interface Tree {
  frontier: Frontier
  signedSize: number
  /** Events of leaves before this one were deleted by retention. */
  purgedTo: number
}

/** The tree as it is kept; an empty one where nothing was sealed yet. */
export async function treeOf(db: Db, tenantId: string): Promise<Tree> {
  const row = await db('audit_trees').where({ tenant_id: tenantId }).first()
  return {
    frontier: row ? { size: row.size, hashes: split(row.frontier) } : { size: 0, hashes: [] },
    signedSize: row?.signed_size ?? 0,
    purgedTo: row?.purged_to ?? 0,
  }
}

export const rootOfTree = ({ frontier }: Tree): Buffer => rootOf(frontier)

/** Adds events of one tenant as leaves. Only under the lock of audit_progress: two at once would take the same places. */
export async function addLeaves(trx: Db, tenantId: string, events: EventRecord[]): Promise<void> {
  const { frontier } = await treeOf(trx, tenantId)
  const tiles = new Map<string, { level: number; tile: number; hashes: Buffer[] }>()
  const emit: Emit = (level, index, hash) => {
    const tile = Math.floor(index / TILE)
    const key = `${level} ${tile}`
    const known = tiles.get(key)
    if (known) known.hashes.push(hash)
    else tiles.set(key, { level, tile, hashes: [hash] })
  }
  const leaves = events.map((event) => {
    const salt = newSalt()
    const details = detailsHash(event, salt)
    const place = { id: event.id, index: frontier.size, salt, details }
    append(frontier, leafHash(leafOf(event, details)), emit)
    return place
  })
  // Four parameters, however many rows.
  await trx.raw(
    `insert into audit_leaves (tenant_id, event_id, leaf_index, salt, details)
     select ?, * from unnest(?::uuid[], ?::bigint[], ?::bytea[], ?::bytea[])`,
    [tenantId, ...(['id', 'index', 'salt', 'details'] as const).map((key) => leaves.map((leaf) => leaf[key]))] as any,
  )
  const grown = [...tiles.values()].map(({ hashes, ...place }) => ({
    tenant_id: tenantId,
    ...place,
    hashes: Buffer.concat(hashes),
  }))
  await trx('audit_tiles')
    .insert(grown)
    .onConflict(['tenant_id', 'level', 'tile'])
    .merge({ hashes: trx.raw('audit_tiles.hashes || excluded.hashes') })
  const kept = { size: frontier.size, frontier: Buffer.concat(frontier.hashes) }
  await trx('audit_trees')
    .insert({ tenant_id: tenantId, ...kept })
    .onConflict('tenant_id')
    .merge(kept)
}

/** Reads tiles, each once. */
export function tilesOf(db: Db, tenantId: string): ReadTile {
  const known = new Map<string, Promise<Buffer[]>>()
  return (level, tile) => {
    const key = `${level} ${tile}`
    const reading = known.get(key) ?? readTile(db, tenantId, level, tile)
    known.set(key, reading)
    return reading
  }
}

export async function readTile(db: Db, tenantId: string, level: number, tile: number): Promise<Buffer[]> {
  const row = await db('audit_tiles').where({ tenant_id: tenantId, level, tile }).first('hashes')
  return row ? split(row.hashes) : []
}
