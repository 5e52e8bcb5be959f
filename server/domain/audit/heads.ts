/**
 * Signed heads: what a tenant's tree is at a size, as a JWS (RFC 7515) by the tenant's own key. Who keeps one elsewhere can
 * tell later whether anything before it was changed or taken away, whoever has the database by then.
 */
import { sign as signBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { compactVerify, importJWK, type JWK } from 'jose'
import type { Knex } from 'knex'
import type { Db } from '../../../adapters/knex.ts'
import type { Outside } from '../context.ts'
import { mountPathOf } from '../directory/load.ts'
import { insertOfMany } from '../events.ts'
import { NIL } from '../ids.ts'
import { type KeyRow, openKey, type SigningKey } from '../keys.ts'
import { rootOfTree, type Tree, treesOf } from './store.ts'

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

/** Trees whose heads are written by one transaction. */
const BATCH = 500

/** Signs heads of all trees that grew since their last one; answers how many. Twice does no harm. */
export async function signHeads(out: Outside, db: Knex, at?: Date): Promise<number> {
  const now = at ?? ((await db.raw('select now()')).rows[0].now as Date)
  let signed = 0
  for (let after: string | undefined = NIL; after; ) {
    const signers: Signer[] = (await db.raw(SIGNERS, { after, limit: BATCH })).rows
    after = signers.length === BATCH ? signers.at(-1)!.tenant_id : undefined
    signed += await signSome(out, db, signers, now)
  }
  return signed
}

/** Trees that grew with the key of their tenant that signs heads, by id. Tenants are not read as a whole: thousands may have grown. */
const SIGNERS = `select a.tenant_id, t.slug, to_jsonb(k) as key from audit_trees a
  join tenants t on t.id = a.tenant_id and t.status <> 'deleted'
  left join lateral (select kid, alg, public_jwk, private_encrypted, true as signs from signing_keys
    where tenant_id = a.tenant_id and alg = 'ES256' and signs_at <= now()
      and coalesce(retired_at > now(), true) and coalesce(expires_at > now(), true)
    order by signs_at desc, created_at desc limit 1) k on true
  where a.size > a.signed_size and a.tenant_id > :after order by a.tenant_id limit :limit`

interface Signer {
  tenant_id: string
  slug: string
  key: KeyRow | null
}
interface Head {
  id: string
  slug: string
  size: number
  signedSize: number
  root: Buffer
  jws: string
}

async function signSome(out: Outside, db: Knex, signers: Signer[], now: Date): Promise<number> {
  const trees = await treesOf(
    db,
    signers.map(({ tenant_id }) => tenant_id),
  )
  const heads: Head[] = []
  for (const signer of signers) {
    try {
      heads.push(await headOf(out, signer, trees.get(signer.tenant_id)!, now))
    } catch (err) {
      // Others must not go without because of one.
      out.log.error({ err, tenant: signer.slug }, 'no new audit head')
    }
  }
  if (heads.length > 0) await db.transaction((trx) => write(trx, heads, now))
  // The log usually leaves this machine, and with it a copy that the database's owner cannot change.
  for (const { slug, size, root } of heads)
    out.log.info({ tenant: slug, size, root: root.toString('base64url') }, 'audit head')
  return heads.length
}

async function headOf(out: Outside, { tenant_id: id, slug, key }: Signer, tree: Tree, now: Date): Promise<Head> {
  if (!key) throw new Error('no ES256 key signs')
  const root = rootOfTree(tree)
  const { size } = tree.frontier
  const jws = await sign(openKey(out.sealing, id, key), {
    iss: out.config.publicUrl + mountPathOf({ id, slug }),
    tenant_id: id,
    tree_size: size,
    root_hash: root.toString('base64url'),
    iat: Math.floor(now.getTime() / 1000),
  })
  return { id, slug, size, signedSize: tree.signedSize, root, jws }
}

async function write(trx: Knex.Transaction, heads: Head[], now: Date): Promise<void> {
  const column = <K extends keyof Head>(key: K) => heads.map((head) => head[key])
  // Sealing and retention lock rows of trees in this order, too.
  await trx.raw('select 1 from audit_trees where tenant_id = any(?::uuid[]) order by tenant_id for update', [
    column('id'),
  ])
  await trx.raw(
    `insert into audit_heads (tenant_id, size, root, jws, created_at)
     select *, ?::timestamptz from unnest(?::uuid[], ?::bigint[], ?::bytea[], ?::text[]) on conflict do nothing`,
    [now, column('id'), column('size'), column('root'), column('jws')] as any,
  )
  await trx.raw(
    `update audit_trees a set signed_size = h.size from unnest(?::uuid[], ?::bigint[]) h (tenant_id, size)
     where a.tenant_id = h.tenant_id`,
    [column('id'), column('size')] as any,
  )
  const awaited = await awaitedBy(trx, heads)
  const told = heads.filter(({ id }) => awaited.has(id))
  await insertOfMany(
    trx,
    ANNOUNCED,
    told.map(({ id, size, root, jws }) => ({ tenantId: id, data: { size, root: root.toString('base64url'), jws } })),
  )
}

/** Tenants in which a webhook wants to hear of the head, where it says more than that the one before was announced. */
async function awaitedBy(trx: Db, heads: Head[]): Promise<Set<string>> {
  const { rows } = await trx.raw(
    `select h.tenant_id from unnest(?::uuid[], ?::bigint[]) h (tenant_id, signed_size)
     where exists (select from webhooks w where w.tenant_id = h.tenant_id and w.enabled)
       and exists (select from webhook_receivers(h.tenant_id, ?, null))
       and exists (select from audit_leaves l join events e on e.tenant_id = l.tenant_id and e.id = l.event_id
         where l.tenant_id = h.tenant_id and l.leaf_index >= h.signed_size and e.type <> ?)`,
    [heads.map(({ id }) => id), heads.map(({ signedSize }) => signedSize), ANNOUNCED, ANNOUNCED] as any,
  )
  return new Set(rows.map(({ tenant_id }: { tenant_id: string }) => tenant_id))
}

const inThread = promisify(signBytes)
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** By OpenSSL, for which the key need not be made anew (decision 16). In a thread, so that requests go on between heads. */
async function sign({ kid, privateKey }: SigningKey, statement: Statement): Promise<string> {
  const input = `${encode({ alg: 'ES256', kid, typ: HEAD_TYPE })}.${encode(statement)}`
  const signature = await inThread('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
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
