/**
 * Reads a tenant's whole log and says what is not as it was sealed: changed, deleted, slipped in, cut off. Believes signed
 * heads, best of all those that were kept elsewhere; the rest of the database is what is being judged.
 */
import type { Knex } from 'knex'
import type { Db } from '../../../adapters/knex.ts'
import * as heads from './heads.ts'
import { detailsHash, type EventRecord, isBare, leafOf } from './leaf.ts'
import { COLUMNS } from './seal.ts'
import { readTile, treeOf } from './store.ts'
import { append, emptyFrontier, type Frontier, leafHash, rootOf, TILE } from './tree.ts'

export interface Problem {
  what: string
  leafIndex?: number
  eventId?: string
}
export interface Verdict {
  treeSize: number
  /** Leaves whose events were deleted by retention. */
  purged: number
  /** Leaves of people erased since. */
  erased: number
  /** Signed heads compared, those from elsewhere among them. */
  heads: number
  /** Events that are still to be sealed. */
  waiting: number
  problems: Problem[]
}

/** No event is deleted by retention before that (settings.ts); a day less, for clocks. */
const YOUNGEST_PURGED_MS = 29 * 86_400_000

/** `kept`: heads as JWS that were stored outside; whoever stored them vouches for them, so their signature is not asked for. */
export const verify = (db: Knex, tenantId: string, kept: heads.Statement[] = []): Promise<Verdict> =>
  // One snapshot, so that what is sealed meanwhile is no problem.
  db.transaction((trx) => judgeAll(trx, tenantId, kept), { isolationLevel: 'repeatable read', readOnly: true })

async function judgeAll(db: Db, tenantId: string, kept: heads.Statement[]): Promise<Verdict> {
  const tree = await treeOf(db, tenantId)
  const { size } = tree.frontier
  const verdict: Verdict = { treeSize: size, purged: 0, erased: 0, heads: 0, waiting: 0, problems: [] }
  const roots = await promisedRoots(db, tenantId, kept, verdict)
  const purgedTo = await provenPurge(db, tenantId, tree.purgedTo, verdict)
  const frontier = emptyFrontier()
  for (let tile = 0; tile * TILE < size; tile++) {
    const hashes = await readTile(db, tenantId, 0, tile)
    const places = await placesOf(db, tenantId, tile)
    const count = Math.min(TILE, size - tile * TILE)
    if (hashes.length < count) verdict.problems.push({ what: 'hashes are missing', leafIndex: tile * TILE })
    for (const [i, hash] of hashes.slice(0, count).entries()) {
      judge(verdict, tile * TILE + i, hash, places.get(tile * TILE + i), purgedTo)
      append(frontier, hash, () => {})
      compare(verdict, frontier, roots)
    }
  }
  for (const [lost] of roots)
    if (lost > frontier.size) verdict.problems.push({ what: 'the log was cut off', leafIndex: lost })
  if (!rootOf(frontier).equals(rootOf(tree.frontier)))
    verdict.problems.push({ what: 'the tree does not go on from its leaves' })
  await countUnsealed(db, tenantId, size, verdict)
  return verdict
}

/** Roots by size, as heads say. */
async function promisedRoots(
  db: Db,
  tenantId: string,
  kept: heads.Statement[],
  verdict: Verdict,
): Promise<Map<number, string[]>> {
  const roots = new Map<number, string[]>()
  const promise = (size: number, root: string) => roots.set(size, [...(roots.get(size) ?? []), root])
  for (const row of await db('audit_heads').where({ tenant_id: tenantId }).orderBy('size').select('size', 'jws')) {
    const said = await heads.open(db, tenantId, row.jws)
    if (said?.tree_size === row.size) promise(row.size, said!.root_hash)
    else verdict.problems.push({ what: 'a head is not signed by the tenant', leafIndex: row.size })
    verdict.heads += 1
  }
  for (const { tree_size, root_hash } of kept) {
    promise(tree_size, root_hash)
    verdict.heads += 1
  }
  return roots
}

/** How far events may be missing: a signed head of just that size must be old enough. */
async function provenPurge(db: Db, tenantId: string, purgedTo: number, verdict: Verdict): Promise<number> {
  if (purgedTo === 0) return 0
  const head = await heads.find(db, tenantId, purgedTo)
  const said = head && (await heads.open(db, tenantId, head.jws))
  if (said && said.iat * 1000 < Date.now() - YOUNGEST_PURGED_MS) return purgedTo
  verdict.problems.push({ what: 'retention is claimed without a signed head that is old enough', leafIndex: purgedTo })
  return 0
}

/** A leaf's row with its event, where there still is one. */
interface Place extends EventRecord {
  id: string
  event_id: string
  salt: Buffer | null
  details: Buffer
  /** An event says that the person was erased, and there is no such person. */
  person_erased: boolean
}

async function placesOf(db: Db, tenantId: string, tile: number): Promise<Map<number, Place>> {
  const rows = await db('audit_leaves as l')
    .leftJoin('events as e', (on) => on.on('e.tenant_id', 'l.tenant_id').on('e.id', 'l.event_id'))
    .where('l.tenant_id', tenantId)
    .where('l.leaf_index', '>=', tile * TILE)
    .where('l.leaf_index', '<', (tile + 1) * TILE)
    .select('l.leaf_index', 'l.event_id', 'l.salt', 'l.details', ...COLUMNS)
    .select(
      db.raw(`l.salt is null and not exists (select 1 from users u where u.tenant_id = e.tenant_id and u.id = e.user_id)
        and exists (select 1 from events x where x.tenant_id = e.tenant_id and x.user_id = e.user_id and x.type = 'user.erased')
        as person_erased`),
    )
  return new Map(rows.map((row) => [row.leaf_index, row]))
}

function judge(verdict: Verdict, leafIndex: number, hash: Buffer, place: Place | undefined, purgedTo: number): void {
  const problem = (what: string) =>
    verdict.problems.push({ what, leafIndex, ...(place && { eventId: place.event_id }) })
  if (!place?.id) {
    if (leafIndex < purgedTo) verdict.purged += 1
    else problem('the event was deleted')
    return
  }
  if (!leafHash(leafOf(place, place.details)).equals(hash)) return void problem('the event was changed')
  if (place.salt) {
    if (!detailsHash(place, place.salt).equals(place.details)) problem('the event was changed')
    return
  }
  verdict.erased += 1
  if (!isBare(place) || !place.person_erased) problem('the event lost its details, but nobody was erased')
}

function compare(verdict: Verdict, frontier: Frontier, roots: Map<number, string[]>): void {
  const promised = roots.get(frontier.size)
  if (!promised) return
  const root = rootOf(frontier).toString('base64url')
  if (promised.some((other) => other !== root))
    verdict.problems.push({ what: 'the log before here is not what a head says', leafIndex: frontier.size })
}

/** What sealing has passed must be in the tree. */
async function countUnsealed(db: Db, tenantId: string, size: number, verdict: Verdict): Promise<void> {
  const unsealed = await db('events as e')
    .where('e.tenant_id', tenantId)
    .whereNotExists(
      db('audit_leaves as l')
        .whereRaw('l.tenant_id = e.tenant_id and l.event_id = e.id and l.leaf_index < ?', [size])
        .select(db.raw('1')),
    )
    .crossJoin('audit_progress as p' as any)
    .select(
      'e.id',
      db.raw('e.xid < p.next_xid and p.cluster = (select system_identifier::text from pg_control_system()) as passed'),
    )
    .limit(1000)
  for (const { id, passed } of unsealed) {
    if (passed) verdict.problems.push({ what: 'the event was slipped in', eventId: id })
    else verdict.waiting += 1
  }
}
