/** Proofs that others can check by RFC 9162 with nothing but a head they trust: an event is in the log; the log only grew. */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import * as heads from './heads.ts'
import { leafOf } from './leaf.ts'
import { COLUMNS } from './seal.ts'
import { tilesOf } from './store.ts'
import { consistency, inclusion, leafHash, rootAt } from './tree.ts'

export interface InclusionProof {
  leafIndex: number
  treeSize: number
  rootHash: string
  /** The text whose hash is the leaf. */
  leaf: string
  leafHash: string
  /** What the hash of the details is salted with; null once the person is erased. */
  salt: string | null
  hashes: string[]
}

const encode = (hash: Buffer) => hash.toString('base64url')

/** NOT_FOUND for no event; CONFLICT while it is not under a signed head, which takes a minute. */
export async function ofEvent(ctx: Context, eventId: string, treeSize?: number): Promise<InclusionProof> {
  const event = await ctx
    .db('events as e')
    .leftJoin('audit_leaves as l', (on) => on.on('l.tenant_id', 'e.tenant_id').on('l.event_id', 'e.id'))
    .where({ 'e.tenant_id': ctx.tenant.id, 'e.id': eventId })
    .first(...COLUMNS, 'l.leaf_index', 'l.salt', 'l.details')
  if (!event) throw fail('NOT_FOUND', 'No such event')
  const newest = await heads.find(ctx.db, ctx.tenant.id)
  if (event.leaf_index === null || !newest || event.leaf_index >= newest.treeSize)
    throw fail('CONFLICT', 'The event is not sealed yet. Ask again in a minute', { retryAfter: 60 })
  const size = treeSize ?? newest.treeSize
  assertSize(size, newest.treeSize)
  if (event.leaf_index >= size)
    throw fail('VALIDATION_ERROR', `tree_size: the event is leaf ${event.leaf_index}, so the tree must be larger`)
  const read = tilesOf(ctx.db, ctx.tenant.id)
  const leaf = leafOf(event, event.details)
  return {
    leafIndex: event.leaf_index,
    treeSize: size,
    rootHash: encode(await rootAt(read, size)),
    leaf,
    leafHash: encode(leafHash(leaf)),
    salt: event.salt === null ? null : encode(event.salt),
    hashes: (await inclusion(read, event.leaf_index, size)).map(encode),
  }
}

export interface ConsistencyProof {
  first: number
  second: number
  firstRoot: string
  secondRoot: string
  hashes: string[]
}

/** `second` is the newest head where it is not given. NOT_FOUND while there is none. */
export async function between(ctx: Context, first: number, second?: number): Promise<ConsistencyProof> {
  const newest = await heads.find(ctx.db, ctx.tenant.id)
  if (!newest) throw fail('NOT_FOUND', 'Nothing is sealed yet')
  const to = second ?? newest.treeSize
  assertSize(to, newest.treeSize)
  if (first > to) throw fail('VALIDATION_ERROR', 'first: must not be larger than second')
  const read = tilesOf(ctx.db, ctx.tenant.id)
  return {
    first,
    second: to,
    firstRoot: encode(await rootAt(read, first)),
    secondRoot: encode(await rootAt(read, to)),
    hashes: (await consistency(read, first, to)).map(encode),
  }
}

function assertSize(size: number, newest: number): void {
  if (size > newest) throw fail('VALIDATION_ERROR', `The newest head is of ${newest} leaves; ask for no larger tree`)
}
