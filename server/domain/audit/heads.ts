/**
 * Signed heads: what a tenant's tree is at a size, as a JWS (RFC 7515) by the tenant's own key. Who keeps one elsewhere can
 * tell later whether anything before it was changed or taken away, whoever has the database by then.
 */
import { CompactSign, compactVerify, importJWK, type JWK } from 'jose'
import type { Knex } from 'knex'
import type { Db } from '../../../adapters/knex.ts'
import type { Outside } from '../context.ts'
import type { Tenant } from '../directory.ts'
import { insertEvent } from '../events.ts'
import { rootOfTree, treeOf } from './store.ts'

/** The typ of the JWS. */
export const HEAD_TYPE = 'audit-head+jws'

/** The event of a head, written where somebody listens; it becomes a leaf as well. */
const ANNOUNCED = 'audit.head_signed'

/** What is signed. */
export interface Statement {
  iss: string
  tenant_id: string
  tree_size: number
  /** base64url */
  root_hash: string
  /** Unix seconds. */
  iat: number
}

/** Signs heads of all trees that grew since their last one; answers how many. Twice does no harm. */
export async function signHeads(out: Outside, db: Knex, at?: Date): Promise<number> {
  const now = at ?? ((await db.raw('select now()')).rows[0].now as Date)
  const grown = await db('audit_trees as a')
    .join('tenants as t', 't.id', 'a.tenant_id')
    .whereRaw('a.size > a.signed_size')
    .whereNot('t.status', 'deleted')
    .pluck('a.tenant_id')
  for (const id of grown) {
    const tenant = await out.directory.byId(id)
    if (tenant) await signHead(out, db, tenant, now)
  }
  return grown.length
}

async function signHead(out: Outside, db: Knex, tenant: Tenant, now: Date): Promise<void> {
  const tree = await treeOf(db, tenant.id)
  const root = rootOfTree(tree)
  const { size } = tree.frontier
  const { signedSize } = tree
  const jws = await sign(tenant, {
    iss: tenant.issuer,
    tenant_id: tenant.id,
    tree_size: size,
    root_hash: root.toString('base64url'),
    iat: Math.floor(now.getTime() / 1000),
  })
  await db.transaction(async (trx) => {
    await trx('audit_heads')
      .insert({ tenant_id: tenant.id, size, root, jws, created_at: now })
      .onConflict(['tenant_id', 'size'])
      .ignore()
    await trx('audit_trees').where({ tenant_id: tenant.id }).update({ signed_size: size })
    if (await isAwaited(trx, tenant.id, signedSize)) {
      const data = { size, root: root.toString('base64url'), jws }
      await insertEvent(trx, tenant.id, { type: ANNOUNCED, data })
    }
  })
  // The log usually leaves this machine, and with it a copy that the database's owner cannot change.
  out.log.info({ tenant: tenant.slug, size, root: root.toString('base64url') }, 'audit head')
}

/** Whether a webhook wants to hear of the head, and it says more than that the one before was announced. */
async function isAwaited(trx: Db, tenantId: string, signedSize: number): Promise<boolean> {
  const { rows } = await trx.raw(
    `select exists (select from webhook_receivers(:tenantId, :type, null)) and exists (
       select from audit_leaves l join events e on e.tenant_id = l.tenant_id and e.id = l.event_id
       where l.tenant_id = :tenantId and l.leaf_index >= :signedSize and e.type <> :type) as awaited`,
    { tenantId, type: ANNOUNCED, signedSize },
  )
  return rows[0].awaited
}

async function sign(tenant: Tenant, statement: Statement): Promise<string> {
  const key = tenant.keys.find(({ alg, signs }) => alg === 'ES256' && signs)
  if (!key) throw new Error(`Tenant ${tenant.slug} has no ES256 key that signs`)
  return new CompactSign(Buffer.from(JSON.stringify(statement)))
    .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: HEAD_TYPE })
    .sign(key.privateKey)
}

/** What the JWS says, if a key of the tenant signed it, also one retired long ago; undefined otherwise. */
export async function open(db: Db, tenantId: string, jws: string): Promise<Statement | undefined> {
  try {
    const { payload, protectedHeader } = await compactVerify(jws, async ({ kid }) => {
      const row = await db('signing_keys')
        .where({ tenant_id: tenantId, kid: kid ?? '' })
        .first('public_jwk')
      return importJWK(row.public_jwk as JWK, 'ES256')
    })
    const statement = JSON.parse(Buffer.from(payload).toString()) as Statement
    return protectedHeader.typ === HEAD_TYPE && statement.tenant_id === tenantId ? statement : undefined
  } catch {
    return undefined
  }
}

export interface HeadView {
  treeSize: number
  rootHash: string
  /** The signed statement. */
  jws: string
  createdAt: Date
}
interface HeadRow {
  size: number
  root: Buffer
  jws: string
  created_at: Date
}
const view = (row: HeadRow): HeadView => ({
  treeSize: row.size,
  rootHash: row.root.toString('base64url'),
  jws: row.jws,
  createdAt: row.created_at,
})

/** Newest first. */
export async function list(
  db: Db,
  tenantId: string,
  { limit, before }: { limit: number; before?: number | undefined },
): Promise<HeadView[]> {
  const query = db('audit_heads').where({ tenant_id: tenantId }).orderBy('size', 'desc').limit(limit)
  if (before !== undefined) query.where('size', '<', before)
  return (await query).map(view)
}

/** The newest, or that of a size. */
export async function find(db: Db, tenantId: string, size?: number): Promise<HeadView | undefined> {
  const query = db('audit_heads').where({ tenant_id: tenantId }).orderBy('size', 'desc')
  const row = await (size === undefined ? query : query.where({ size })).first()
  return row && view(row)
}
