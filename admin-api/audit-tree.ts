/** The audit log's Merkle tree: signed heads, and proofs of inclusion and consistency (RFC 9162). */

import { pageInput } from '../server/api/shapes.ts'
import * as heads from '../server/domain/audit/heads.ts'
import * as proofs from '../server/domain/audit/proofs.ts'
import { operation } from '../server/domain/context.ts'
import { fail } from '../server/kernel/errors.ts'
import {
  array,
  instant,
  integer,
  nullable,
  object,
  optional,
  page,
  resource,
  string,
  uuid,
} from '../server/kernel/schema.ts'

const tag = 'Audit'
const auth = { permission: 'audit:read' }
const size = integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })
const hash = (description: string) => string({ description: `${description}, base64url` })

const Head = resource('AuditHead', {
  treeSize: integer({ description: 'Events it speaks for' }),
  rootHash: hash('SHA-256 of the tree'),
  jws: string({ maxLength: 10_000, description: 'Signed statement of both and of the time, by a key of the tenant' }),
  createdAt: instant(),
})

export const listHeads = operation({
  id: 'audit.heads',
  summary: 'List signed heads of the audit log',
  description: 'Newest first: all of the last week, before that the last of each day. Keep them elsewhere.',
  tag,
  auth,
  effect: 'read',
  input: object({
    limit: pageInput.limit,
    cursor: optional(
      integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'next_cursor of the page before' }),
    ),
  }),
  output: page(Head),
  async run(ctx, { limit = 50, cursor }) {
    const found = await heads.list(ctx.db, ctx.tenant.id, { limit: limit + 1, before: cursor })
    const items = found.slice(0, limit)
    const nextCursor = found.length > limit ? String(items.at(-1)!.treeSize) : undefined
    return { items, limit, offset: 0, count: items.length, nextCursor }
  },
})

export const latestHead = operation({
  id: 'audit.head',
  summary: 'Get the newest signed head of the audit log',
  tag,
  auth,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({}),
  output: Head,
  async run(ctx) {
    const head = await heads.find(ctx.db, ctx.tenant.id)
    if (!head) throw fail('NOT_FOUND', 'Nothing is sealed yet. Ask again in a minute')
    return head
  },
})

export const inclusion = operation({
  id: 'audit.inclusion',
  summary: 'Prove that an event is in the audit log',
  description:
    'RFC 9162 2.1.3. The leaf is JSON by RFC 8785; its `details` is SHA-256 of the salt and of address, program and data.',
  tag,
  auth,
  effect: 'read',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({
    id: uuid({ description: 'Of the event' }),
    treeSize: optional({ ...size, description: 'Of the head to prove it for; the newest if absent' }),
  }),
  output: resource('InclusionProof', {
    leafIndex: integer(),
    treeSize: integer(),
    rootHash: hash('SHA-256 of the tree'),
    leaf: string({ maxLength: 100_000 }),
    leafHash: hash('SHA-256 of a zero byte and the leaf'),
    salt: nullable(hash('null once the person is erased')),
    hashes: array(hash('From the leaf upwards')),
  }),
  run: (ctx, { id, treeSize }) => proofs.ofEvent(ctx, id, treeSize),
})

export const consistency = operation({
  id: 'audit.consistency',
  summary: 'Prove that the audit log only grew between two heads',
  description: 'RFC 9162 2.1.4.',
  tag,
  auth,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ first: size, second: optional({ ...size, description: 'The newest head if absent' }) }),
  output: resource('ConsistencyProof', {
    first: integer(),
    second: integer(),
    firstRoot: hash('SHA-256 of the smaller tree'),
    secondRoot: hash('SHA-256 of the larger tree'),
    hashes: array(hash('As RFC 9162 has them')),
  }),
  run: (ctx, { first, second }) => proofs.between(ctx, first, second),
})
