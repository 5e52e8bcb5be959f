/** The trees of tenants as rows: the frontier, tiles that only grow, and leaves beside their events. */
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

/** The trees as they are kept; empty ones where nothing was sealed yet. */
export async function treesOf(db: Db, tenantIds: string[]): Promise<Map<string, Tree>> {
  const rows = await db('audit_trees').whereRaw('tenant_id = any(?::uuid[])', [tenantIds])
  const kept = new Map(rows.map((row) => [row.tenant_id, row]))
  return new Map(
    tenantIds.map((id) => {
      const row = kept.get(id)
      const frontier = row ? { size: row.size, hashes: split(row.frontier) } : { size: 0, hashes: [] }
      return [id, { frontier, signedSize: row?.signed_size ?? 0, purgedTo: row?.purged_to ?? 0 }]
    }),
  )
}

export const treeOf = async (db: Db, tenantId: string): Promise<Tree> => (await treesOf(db, [tenantId])).get(tenantId)!

export const rootOfTree = ({ frontier }: Tree): Buffer => rootOf(frontier)

interface Tile {
  level: number
  tile: number
  hashes: Buffer[]
}

/** Adds events as leaves of their tenants' trees. Only under the lock of audit_progress: two at once would take the same places. */
export async function addLeaves(trx: Db, events: EventRecord[]): Promise<void> {
  if (events.length === 0) return
  const theirs = Map.groupBy(events, ({ tenant_id }) => tenant_id)
  // Rows of trees are locked in one order by all who lock several.
  const ids = [...theirs.keys()].sort()
  const trees = await treesOf(trx, ids)
  const grown = ids.map((id) => ({ id, ...grow(trees.get(id)!.frontier, theirs.get(id)!) }))
  const leaves = grown.flatMap(({ id, leaves }) => leaves.map((leaf) => ({ tenant: id, ...leaf })))
  const tiles = grown.flatMap(({ id, tiles }) => tiles.map((tile) => ({ tenant: id, ...tile })))
  // Arrays are few parameters, however many rows.
  await trx.raw(
    `insert into audit_leaves (tenant_id, event_id, leaf_index, salt, details)
     select * from unnest(?::uuid[], ?::uuid[], ?::bigint[], ?::bytea[], ?::bytea[])`,
    (['tenant', 'id', 'index', 'salt', 'details'] as const).map((key) => leaves.map((leaf) => leaf[key])) as any,
  )
  await trx.raw(
    `insert into audit_tiles (tenant_id, level, tile, hashes)
     select * from unnest(?::uuid[], ?::smallint[], ?::bigint[], ?::bytea[])
     on conflict (tenant_id, level, tile) do update set hashes = audit_tiles.hashes || excluded.hashes`,
    [
      tiles.map(({ tenant }) => tenant),
      tiles.map(({ level }) => level),
      tiles.map(({ tile }) => tile),
      tiles.map(({ hashes }) => Buffer.concat(hashes)),
    ] as any,
  )
  await trx.raw(
    `insert into audit_trees (tenant_id, size, frontier) select * from unnest(?::uuid[], ?::bigint[], ?::bytea[])
     on conflict (tenant_id) do update set size = excluded.size, frontier = excluded.frontier`,
    [
      ids,
      ids.map((id) => trees.get(id)!.frontier.size),
      ids.map((id) => Buffer.concat(trees.get(id)!.frontier.hashes)),
    ] as any,
  )
}

/** Appends the events of one tenant to its frontier; answers what is to be written besides it. */
function grow(frontier: Frontier, events: EventRecord[]) {
  const tiles = new Map<string, Tile>()
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
  return { leaves, tiles: [...tiles.values()] }
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
