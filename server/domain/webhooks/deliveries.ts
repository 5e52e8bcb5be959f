/** The log of a webhook: what was sent or waits, newest first, and sending something again. */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { newId } from '../ids.ts'
import { type CursorWindow, cut } from '../pages.ts'
import { get, writable } from '../webhooks.ts'

export type DeliveryStatus = 'pending' | 'delivered' | 'failed'

export interface DeliveryRow {
  webhook_id: string
  /** Also the message's webhook-id. */
  event_id: string
  event_type: string
  status: DeliveryStatus
  attempts: number
  due_at: Date | null
  response_status: number | null
  response_body: string | null
  log: { at: string; status: number | null; error: string | null; ms: number }[]
  created_at: Date
  finished_at: Date | null
}
const COLUMNS = [
  'webhook_id',
  'event_id',
  'event_type',
  'status',
  'attempts',
  'due_at',
  'response_status',
  'response_body',
  'log',
  'created_at',
  'finished_at',
] as const

const of = (ctx: Context, webhookId: string) =>
  ctx.db('webhook_deliveries').where({ tenant_id: ctx.tenant.id, webhook_id: webhookId })
const missing = () => fail('NOT_FOUND', 'No such delivery')

/** One page and where the next begins. Not counted in all: there may be millions. */
export async function list(
  ctx: Context,
  webhookId: string,
  filter: { status?: DeliveryStatus | undefined; eventType?: string | undefined },
  { limit, offset, cursor }: CursorWindow,
): Promise<{ items: DeliveryRow[]; nextCursor: string | undefined }> {
  await get(ctx, webhookId)
  const query = of(ctx, webhookId)
    .orderBy('event_id', 'desc')
    .limit(limit + 1)
    .offset(offset)
    .select([...COLUMNS])
  if (cursor) query.where('event_id', '<', cursor)
  if (filter.status) query.where({ status: filter.status })
  if (filter.eventType) query.where({ event_type: filter.eventType })
  return cut<DeliveryRow>(await query, limit, (last) => last.event_id)
}

/** NOT_FOUND. */
export async function find(ctx: Context, webhookId: string, eventId: string): Promise<DeliveryRow> {
  await get(ctx, webhookId)
  const row = await of(ctx, webhookId)
    .where({ event_id: eventId })
    .first([...COLUMNS])
  if (!row) throw missing()
  return row
}

const assertOn = ({ enabled }: { enabled: boolean }) => {
  if (!enabled) throw fail('CONFLICT', 'The webhook is switched off. Enable it first')
}

/**
 * Sends it again under the same webhook-id, at once and with all retries, whatever came of it before. CONFLICT while it is on
 * its way, or when the webhook is off.
 */
export async function redeliver(ctx: Context, webhookId: string, eventId: string): Promise<DeliveryRow> {
  assertOn(await writable(ctx, webhookId))
  const now = ctx.db.fn.now()
  const [row] = await of(ctx, webhookId)
    .where({ event_id: eventId })
    .where((q) => q.whereNull('sending_until').orWhere('sending_until', '<', now))
    .update({ status: 'pending', step: 0, due_at: now, queued_at: now, sending_until: null, finished_at: null })
    .returning([...COLUMNS])
  if (row) return row
  await find(ctx, webhookId, eventId)
  throw fail('CONFLICT', 'It is being sent at this moment', { retryAfter: 5 })
}

/** A message of the type webhook.test to this webhook alone, whatever it subscribes to. */
export async function trial(ctx: Context, webhookId: string): Promise<DeliveryRow> {
  const webhook = await writable(ctx, webhookId)
  assertOn(webhook)
  const eventId = newId()
  ctx.event('webhook.test', { id: eventId, userId: webhook.owner_id, data: { id: webhookId } })
  const [row] = await ctx
    .db('webhook_deliveries')
    .insert({ tenant_id: ctx.tenant.id, webhook_id: webhookId, event_id: eventId, event_type: 'webhook.test' })
    .returning([...COLUMNS])
  return row
}
