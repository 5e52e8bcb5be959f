/**
 * Signing keys over time. A new key is published before it signs, so that no resource server meets an unknown kid; the one
 * before stays published until nothing it signed is in use; a revoked one is gone at once. All by timestamps that every
 * process reads alike, so nothing needs to run at the moment of the change.
 */
import type { Db } from '../../adapters/knex.ts'
import { fail } from '../kernel/errors.ts'
import type { Context, Outside } from './context.ts'
import { insertEvent } from './events.ts'
import { type Algorithm, type FreshKey, makeKey, makeKeys, storeKeys } from './keys.ts'
import { definitions, type Settings } from './settings.ts'

export type KeyStatus = 'next' | 'signing' | 'retired' | 'revoked'
export interface KeyView {
  kid: string
  alg: Algorithm
  status: KeyStatus
  createdAt: Date
  signsAt: Date
  retiredAt: Date | null
  /** No longer published from then on. */
  expiresAt: Date | null
  publicJwk: Record<string, unknown>
}

/** Seconds that clocks of others may be wrong, and that our processes may be late. */
const SKEW = 300
/** The longest life of anything signed that settings and resources allow, whatever they say today. */
const LONGEST_TOKEN = (definitions.access_token_lifetime.schema as unknown as { maximum: number }).maximum

/** Seconds a retired key stays published: its ID tokens are shown again as id_token_hint when a session ends. */
const overlap = (settings: Settings) => Math.max(LONGEST_TOKEN, settings.session_lifetime) + SKEW

const STATUS = `case when revoked_at is not null then 'revoked' when retired_at <= now() then 'retired'
  when signs_at > now() then 'next' else 'signing' end as status`

const keysOf = (db: Db, tenantId: string) => db('signing_keys').where({ tenant_id: tenantId })

/** Newest first. Those that are over are listed for a month more. */
export async function list(ctx: Context): Promise<KeyView[]> {
  const rows = await keysOf(ctx.db, ctx.tenant.id)
    .where((q) => q.whereNull('expires_at').orWhereRaw(`expires_at > now() - interval '30 days'`))
    .orderBy('signs_at', 'desc')
    .orderBy('kid')
    .select('*', ctx.db.raw(STATUS))
  return rows.map((row) => ({
    kid: row.kid,
    alg: row.alg,
    status: row.status,
    createdAt: row.created_at,
    signsAt: row.signs_at,
    retiredAt: row.retired_at,
    expiresAt: row.expires_at,
    publicJwk: row.public_jwk,
  }))
}

/** Changes of a tenant's keys take turns. */
const takeTurns = (db: Db, tenantId: string) => db('tenants').where({ id: tenantId }).forNoKeyUpdate().first('id')

/** The signing keys of the algorithm give way `after` seconds from now. */
const retire = (db: Db, tenantId: string, alg: Algorithm, after: number, settings: Settings) =>
  keysOf(db, tenantId)
    .where({ alg, revoked_at: null })
    .where('signs_at', '<=', db.fn.now())
    .where((q) => q.whereNull('retired_at').orWhere('retired_at', '>', db.fn.now()))
    .update({
      retired_at: db.raw('now() + make_interval(secs => ?)', [after]),
      expires_at: db.raw('now() + make_interval(secs => ?)', [after + overlap(settings)]),
    })

const nextOf = (db: Db, tenantId: string, alg: Algorithm) =>
  keysOf(db, tenantId).where({ alg, revoked_at: null }).where('signs_at', '>', db.fn.now()).first('kid', 'signs_at')

/** Publishes the key, to sign `after` seconds from now. False when one waits for that already. */
async function succeed(
  db: Db,
  out: Pick<Outside, 'sealing'>,
  tenantId: string,
  key: FreshKey,
  { after, settings }: { after: number; settings: Settings },
): Promise<boolean> {
  if (await nextOf(db, tenantId, key.alg)) return false
  await retire(db, tenantId, key.alg, after, settings)
  await storeKeys(db, out.sealing, tenantId, [key], after)
  return true
}

/** The waiting key signs from now on. Answers its kid, or undefined where none waits. */
async function promote(db: Db, tenantId: string, alg: Algorithm, settings: Settings): Promise<string | undefined> {
  const next = await nextOf(db, tenantId, alg)
  if (!next) return undefined
  await retire(db, tenantId, alg, 0, settings)
  await keysOf(db, tenantId).where({ kid: next.kid }).update({ signs_at: db.fn.now() })
  return next.kid
}

/** Settings of the tenant the context is about, which may be another than the caller's. */
async function settingsOf(ctx: Context): Promise<Settings> {
  const tenant = await ctx.out.directory.byId(ctx.tenant.id)
  if (!tenant) throw fail('NOT_FOUND', 'No such tenant')
  return tenant.settings
}

/**
 * New keys, published now and signing after key_publish_hours, or `immediately`: then a waiting key signs at once, else a
 * fresh one, which resource servers that keep our keys do not know yet. CONFLICT while new keys wait already.
 */
export async function rotate(ctx: Context, fresh: FreshKey[], immediately: boolean): Promise<KeyView[]> {
  const { db, tenant, out } = ctx
  const settings = await settingsOf(ctx)
  await takeTurns(db, tenant.id)
  const after = immediately ? 0 : settings.key_publish_hours * 3600
  for (const key of fresh) {
    const promoted = immediately ? await promote(db, tenant.id, key.alg, settings) : undefined
    if (!promoted && !(await succeed(db, out, tenant.id, key, { after, settings })))
      throw fail('CONFLICT', `A new ${key.alg} key is published already and waits: give immediately to use it now`)
    ctx.event('key.rotated', { data: { kid: promoted ?? key.kid, alg: key.alg, after } })
  }
  return list(ctx)
}

/** Before the transaction: a key to take the place of the one to be revoked. NOT_FOUND. */
export async function prepareRevocation(ctx: Context, kid: string): Promise<FreshKey> {
  return makeKey((await published(ctx, kid)).alg)
}

async function published(ctx: Context, kid: string): Promise<{ alg: Algorithm; status: KeyStatus }> {
  const row = await keysOf(ctx.db, ctx.tenant.id)
    .where({ kid, revoked_at: null })
    .where((q) => q.whereNull('expires_at').orWhere('expires_at', '>', ctx.db.fn.now()))
    .first('alg', ctx.db.raw(STATUS))
  if (!row) throw fail('NOT_FOUND', 'No such key is published')
  return row
}

/**
 * The key is published no more and what it signed is refused, at once and by all processes. Another one signs: the waiting
 * one, or `fresh`. Refresh tokens are not signed, so people stay signed in. NOT_FOUND.
 */
export async function revoke(ctx: Context, kid: string, fresh: FreshKey, reason?: string): Promise<KeyView[]> {
  const { db, tenant, out } = ctx
  const settings = await settingsOf(ctx)
  await takeTurns(db, tenant.id)
  const { alg, status } = await published(ctx, kid)
  if (status === 'signing' && !(await promote(db, tenant.id, alg, settings)))
    await storeKeys(db, out.sealing, tenant.id, [fresh])
  // The one that was to give way to it signs on.
  if (status === 'next')
    await keysOf(db, tenant.id)
      .where({ alg, revoked_at: null })
      .where('retired_at', '>', db.fn.now())
      .update({ retired_at: null, expires_at: null })
  await keysOf(db, tenant.id)
    .where({ kid })
    .update({
      revoked_at: db.fn.now(),
      expires_at: db.fn.now(),
      retired_at: db.raw('least(retired_at, now())'),
    })
  ctx.event('key.revoked', { data: { kid, alg, status, ...(reason !== undefined && { reason }) } })
  return list(ctx)
}

/** Tenants one run of the clock rotates; making keys costs CPU. */
const BATCH = 20

/** By the clock: tenants whose keys reach key_rotation_days get new ones, published ahead. Answers how many keys. */
export async function rotateDue(out: Outside, db: Db): Promise<number> {
  const { rows } = await db.raw(
    `select k.tenant_id, array_agg(distinct k.alg) as algs from signing_keys k
     join tenants t on t.id = k.tenant_id and t.status = 'active'
     left join settings d on d.tenant_id = k.tenant_id and d.key = 'key_rotation_days'
     left join settings h on h.tenant_id = k.tenant_id and h.key = 'key_publish_hours'
     where k.retired_at is null and k.revoked_at is null and coalesce((d.value #>> '{}')::int, :days) > 0
       and k.signs_at < now() - make_interval(days => coalesce((d.value #>> '{}')::int, :days),
         hours => -coalesce((h.value #>> '{}')::int, :hours))
     group by 1 limit ${BATCH}`,
    { days: definitions.key_rotation_days.fallback, hours: definitions.key_publish_hours.fallback },
  )
  let made = 0
  for (const { tenant_id, algs } of rows) {
    const settings = (await out.directory.byId(tenant_id))?.settings
    if (settings) made += await succeedAll(out, db, tenant_id, await makeKeys(algs), settings)
  }
  return made
}

const succeedAll = (out: Outside, db: Db, tenantId: string, fresh: FreshKey[], settings: Settings): Promise<number> =>
  db.transaction(async (trx) => {
    await takeTurns(trx, tenantId)
    const after = settings.key_publish_hours * 3600
    let made = 0
    for (const key of fresh) {
      if (!(await succeed(trx, out, tenantId, key, { after, settings }))) continue
      const data = { kid: key.kid, alg: key.alg, after, scheduled: true }
      await insertEvent(trx, tenantId, { type: 'key.rotated', data })
      made += 1
    }
    return made
  })
