/**
 * Webhooks: addresses that are told of events by signed messages (Standard Webhooks). A person's own webhook hears of that
 * person's account; a tenant-wide one of everything, as long as whoever answers for it may have such.
 */
import { newSecret } from '../../adapters/webhook-signature.ts'
import { fail } from '../kernel/errors.ts'
import { assertHolds } from './authority.ts'
import type { Context } from './context.ts'
import { newId } from './ids.ts'
import { countOf, type Page, readPage, type Window } from './pages.ts'
import { assertInPerson } from './recent.ts'
import { checkAddress } from './webhooks/address.ts'
import { eventTypes } from './webhooks/event-types.ts'

const MOST_OWN = 10
const MOST_TENANT_WIDE = 50
/** Seconds both secrets sign after a rotation, unless the caller says otherwise. */
export const OVERLAP = 86_400
/**
 * Seconds after which a webhook is given what it may have missed: processes learn within milliseconds, at worst when they
 * compare versions and their running requests are over, that there is one at all.
 */
const CATCH_UP = [2, 60]

export interface WebhookRow {
  id: string
  owner_id: string
  tenant_wide: boolean
  url: string
  description: string | null
  event_types: string[]
  enabled: boolean
  disabled_reason: 'owner' | 'failing' | 'gone' | 'not_allowed' | null
  previous_expires_at: Date | null
  failing_since: Date | null
  created_at: Date
  updated_at: Date
}
const COLUMNS = [
  'id',
  'owner_id',
  'tenant_wide',
  'url',
  'description',
  'event_types',
  'enabled',
  'disabled_reason',
  'previous_expires_at',
  'failing_since',
  'created_at',
  'updated_at',
] as const

export const secretPlace = (tenantId: string, id: string): string => `webhooks:${tenantId}:${id}`

const missing = () => fail('NOT_FOUND', 'No such webhook')
/** Of an address, what an event may say: path and query are often secrets. */
const hostOf = (url: string) => new URL(url).host
const all = (ctx: Context) => ctx.db('webhooks').where({ tenant_id: ctx.tenant.id })

/** Their own, and the tenant-wide ones for who may see or change those. */
function visible(ctx: Context) {
  const { userId, permissions } = ctx.actor!
  return all(ctx).where((q) => {
    q.where({ owner_id: userId!, tenant_wide: false })
    if (permissions.has('webhooks:read') || permissions.has('webhooks:write')) q.orWhere({ tenant_wide: true })
  })
}

export function list(ctx: Context, page: Window, tenantWide?: boolean): Promise<Page<WebhookRow>> {
  const found = visible(ctx)
  if (tenantWide !== undefined) found.where({ tenant_wide: tenantWide })
  return readPage(found, page, (q) => q.orderBy('id', 'desc').select([...COLUMNS]))
}

/** NOT_FOUND also for what the caller may not see. */
export async function get(ctx: Context, id: string): Promise<WebhookRow> {
  const row = await visible(ctx)
    .where({ id })
    .first([...COLUMNS])
  if (!row) throw missing()
  return row
}

/** One the caller may change: their own, or with webhooks:write a tenant-wide one. ACCESS_DENIED for those they only see. */
export async function writable(ctx: Context, id: string, lock = false): Promise<WebhookRow> {
  const found = visible(ctx).where({ id })
  const row = await (lock ? found.forUpdate() : found).first([...COLUMNS])
  if (!row) throw missing()
  if (row.tenant_wide) assertHolds(ctx, ['webhooks:write'])
  return row
}

/** What is left to the caller to say: a type, a group (user.*), or * for all. VALIDATION_ERROR for what never happens. */
function checkTypes(types: string[]): string[] {
  const groups = new Set(eventTypes.map((type) => type.split('.')[0]))
  const isKnown = (type: string) =>
    type === '*' || eventTypes.includes(type) || (type.endsWith('.*') && groups.has(type.slice(0, -2)))
  const unknown = types.find((type) => !isKnown(type))
  if (unknown !== undefined)
    throw fail('VALIDATION_ERROR', `event_types: there are no events ${unknown} (see /v1/webhooks/event-types)`, {
      details: [{ field: 'event_types', message: `there are no events ${unknown}` }],
    })
  return [...new Set(types)]
}

export interface NewWebhook {
  url: string
  eventTypes: string[]
  description?: string | null | undefined
  tenantWide?: boolean | undefined
  enabled?: boolean | undefined
}

/** Before the transaction: who may, and whether the address will do. Answers the address as it is stored. */
export async function prepareCreate(ctx: Context, input: NewWebhook): Promise<string> {
  assertInPerson(ctx, 'Webhooks are made')
  if (input.tenantWide) assertHolds(ctx, ['webhooks:write'])
  return checkAddress(ctx, input.url, input.tenantWide ?? false)
}

/** `secret` is the only copy that can be read. CONFLICT when there are too many. */
export async function create(
  ctx: Context,
  input: NewWebhook,
  url: string,
): Promise<{ row: WebhookRow; secret: string }> {
  const ownerId = ctx.actor!.userId!
  const tenantWide = input.tenantWide ?? false
  const types = checkTypes(input.eventTypes)
  await assertRoom(ctx, ownerId, tenantWide)
  const id = newId()
  const secret = newSecret()
  const enabled = input.enabled ?? true
  const [row] = await ctx
    .db('webhooks')
    .insert({
      tenant_id: ctx.tenant.id,
      id,
      owner_id: ownerId,
      tenant_wide: tenantWide,
      url,
      description: input.description ?? null,
      event_types: types,
      secret_encrypted: ctx.out.sealing.seal(secret, secretPlace(ctx.tenant.id, id)),
      enabled,
      disabled_reason: enabled ? null : 'owner',
    })
    .returning([...COLUMNS])
  if (enabled) catchUpLater(ctx, id)
  ctx.event('webhook.created', {
    userId: ownerId,
    data: { id, host: hostOf(url), event_types: types, tenant_wide: tenantWide },
  })
  return { row, secret }
}

/** One at a time, so that of two at once one sees the other. */
async function assertRoom(ctx: Context, ownerId: string, tenantWide: boolean): Promise<void> {
  const whose = tenantWide ? ctx.tenant.id : ownerId
  await ctx.db.raw('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`webhooks of ${whose}`])
  const rivals = all(ctx).where(tenantWide ? { tenant_wide: true } : { tenant_wide: false, owner_id: ownerId })
  const there = await countOf(rivals)
  const most = tenantWide ? MOST_TENANT_WIDE : MOST_OWN
  if (there >= most) throw fail('CONFLICT', `There are ${most} webhooks already. Delete one first`)
}

function catchUpLater(ctx: Context, id: string): void {
  for (const seconds of CATCH_UP) ctx.job('webhook-catch-up', { id }, new Date(Date.now() + seconds * 1000))
}

export interface WebhookChange {
  url?: string | undefined
  eventTypes?: string[] | undefined
  description?: string | null | undefined
  enabled?: boolean | undefined
}

/** As prepareCreate. What directs the messages elsewhere, or wakes them, is done in person. */
export async function prepareUpdate(ctx: Context, id: string, change: WebhookChange): Promise<string | undefined> {
  const row = await writable(ctx, id)
  if (change.url === undefined && change.eventTypes === undefined && !change.enabled) return undefined
  assertInPerson(ctx, 'Webhooks are changed')
  return change.url === undefined ? undefined : checkAddress(ctx, change.url, row.tenant_wide)
}

/** Absent keys stay, null clears. Who changes the address of a tenant-wide webhook answers for it from then on. */
export async function update(
  ctx: Context,
  id: string,
  change: WebhookChange,
  url: string | undefined,
): Promise<WebhookRow> {
  const before = await writable(ctx, id, true)
  const isWoken = change.enabled === true && !before.enabled
  const values = {
    ...(url !== undefined && { url, owner_id: ctx.actor!.userId! }),
    ...(change.eventTypes && { event_types: checkTypes(change.eventTypes) }),
    ...(change.description !== undefined && { description: change.description }),
    ...(change.enabled === false && before.enabled && { enabled: false, disabled_reason: 'owner' }),
    ...(isWoken && { enabled: true, enabled_at: ctx.db.fn.now(), disabled_reason: null, failing_since: null }),
  }
  const [row] = await all(ctx)
    .where({ id })
    .update({ ...values, updated_at: ctx.db.fn.now() })
    .returning([...COLUMNS])
  if (isWoken) catchUpLater(ctx, id)
  const fields = Object.keys(change).filter((key) => change[key as keyof WebhookChange] !== undefined)
  ctx.event('webhook.updated', { userId: row.owner_id, data: { id, fields, host: hostOf(row.url) } })
  return row
}

/** Its messages that wait are not sent any more; they and the log go by clean-up. */
export async function remove(ctx: Context, id: string): Promise<void> {
  const row = await writable(ctx, id, true)
  await all(ctx).where({ id }).delete()
  ctx.event('webhook.deleted', { userId: row.owner_id, data: { id, host: hostOf(row.url) } })
}

/**
 * A new secret, shown this once. Messages are signed with the one before as well for `overlap` seconds; 0 ends it now. An
 * earlier one still running out ends in any case.
 */
export async function rotateSecret(
  ctx: Context,
  id: string,
  overlap: number,
): Promise<{ row: WebhookRow; secret: string }> {
  assertInPerson(ctx, 'Secrets are replaced')
  await writable(ctx, id, true)
  const secret = newSecret()
  const [row] = await all(ctx)
    .where({ id })
    .update({
      secret_encrypted: ctx.out.sealing.seal(secret, secretPlace(ctx.tenant.id, id)),
      previous_secret_encrypted: overlap > 0 ? ctx.db.ref('secret_encrypted') : null,
      previous_expires_at: overlap > 0 ? ctx.db.raw('now() + make_interval(secs => ?)', [overlap]) : null,
      updated_at: ctx.db.fn.now(),
    })
    .returning([...COLUMNS])
  ctx.event('webhook.secret_rotated', { userId: row.owner_id, data: { id, overlap } })
  return { row, secret }
}

/** Of a person who leaves, or whose account turns out to be somebody else's. Others may take over the tenant-wide ones. */
export async function endOf(ctx: Pick<Context, 'db' | 'tenant'>, userId: string): Promise<void> {
  const theirs = ctx.db('webhooks').where({ tenant_id: ctx.tenant.id, owner_id: userId })
  await theirs.clone().where({ tenant_wide: false }).delete()
  await theirs.clone().where({ enabled: true }).update({ enabled: false, disabled_reason: 'not_allowed' })
}
