/** What was sent to webhooks, and sending it again. */
import { operation } from '../domain/context.ts'
import * as deliveries from '../domain/webhooks/deliveries.ts'
import {
  array,
  instant,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  page,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { paged, pageInput } from './shapes.ts'

const tag = 'Webhooks'
const auth = 'user'

const delivery = {
  id: uuid({ description: 'Of the event; the same as webhook-id of the message' }),
  webhookId: uuid(),
  eventType: string(),
  status: oneOf(['pending', 'delivered', 'failed']),
  attempts: integer(),
  nextAttemptAt: nullable(instant()),
  responseStatus: nullable(integer({ description: 'Of the last try' })),
  createdAt: instant(),
  finishedAt: nullable(instant()),
}
const Delivery = resource('WebhookDelivery', delivery)
const DeliveryDetails = resource('WebhookDeliveryDetails', {
  ...delivery,
  responseBody: nullable(string({ maxLength: 4096, description: 'The first KiB of the last answer' })),
  tries: array(
    object({
      at: instant(),
      status: nullable(integer()),
      error: nullable(string()),
      ms: integer({ description: 'Milliseconds it took' }),
    }),
    { description: 'The latest 20, oldest first' },
  ),
})

const view = (row: deliveries.DeliveryRow) => ({
  id: row.event_id,
  webhookId: row.webhook_id,
  eventType: row.event_type,
  status: row.status,
  attempts: row.attempts,
  nextAttemptAt: row.due_at,
  responseStatus: row.response_status,
  createdAt: row.created_at,
  finishedAt: row.finished_at,
})
const detailsView = (row: deliveries.DeliveryRow) => ({
  ...view(row),
  responseBody: row.response_body,
  tries: row.log.map(({ at, ...rest }) => ({ at: new Date(at), ...rest })),
})

const again = { name: 'webhook-send', count: 60, seconds: 900 }

export const trial = operation({
  id: 'webhooks.test',
  summary: 'Send a trial message to a webhook',
  description:
    'Of the type `webhook.test`, whatever it subscribes to. The answer is its delivery, to be looked at again.',
  tag,
  auth,
  effect: 'write',
  errors: ['NOT_FOUND', 'ACCESS_DENIED', 'CONFLICT', 'RATE_LIMITED'],
  limit: again,
  input: object({ id: uuid() }),
  output: Delivery,
  run: async (ctx, input) => view(await deliveries.trial(ctx, input.id)),
})

export const list = operation({
  id: 'webhooks.deliveries',
  summary: 'Get webhook delivery history',
  description: 'Newest first, of the last 30 days. Read on with `cursor`, which stays fast however far it leads.',
  tag,
  auth,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({
    id: uuid(),
    ...pageInput,
    offset: optional(integer({ minimum: 0, maximum: 100_000, default: 0 })),
    cursor: optional(uuid()),
    status: optional(oneOf(['pending', 'delivered', 'failed'])),
    eventType: optional(text(100)),
  }),
  output: page(Delivery),
  run: (ctx, { cursor, ...input }) =>
    paged(input, (window) => deliveries.list(ctx, input.id, input, { ...window, cursor }), view),
})

const one = object({ id: uuid(), deliveryId: uuid() })

export const get = operation({
  id: 'webhooks.delivery',
  summary: 'Get one delivery with its tries',
  tag,
  auth,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: one,
  output: DeliveryDetails,
  run: async (ctx, input) => detailsView(await deliveries.find(ctx, input.id, input.deliveryId)),
})

export const redeliver = operation({
  id: 'webhooks.redeliver',
  summary: 'Send a delivery again',
  description: 'At once, with the same `webhook-id` and with all retries, whatever came of it before.',
  tag,
  auth,
  effect: 'write',
  errors: ['NOT_FOUND', 'ACCESS_DENIED', 'CONFLICT', 'RATE_LIMITED'],
  limit: again,
  input: one,
  output: Delivery,
  run: async (ctx, input) => view(await deliveries.redeliver(ctx, input.id, input.deliveryId)),
})
