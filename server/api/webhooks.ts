/** Webhooks: a person's own, and the tenant's for whoever may. */
import { type Context, operation } from '../domain/context.ts'
import { eventTypes as knownTypes } from '../domain/webhooks/event-types.ts'
import * as webhooks from '../domain/webhooks.ts'
import {
  array,
  boolean,
  instant,
  integer,
  nothing,
  nullable,
  object,
  oneOf,
  optional,
  page,
  resource,
  string,
  text,
  uri,
  uuid,
} from '../kernel/schema.ts'
import { Done, done, paged, pageInput } from './shapes.ts'

const tag = 'Webhooks'
const auth = 'user'
/** Making one looks a name up and asks nobody. */
const limit = { name: 'webhooks', count: 60, seconds: 900 }

const version = async (ctx: Context, { id }: { id: string }, lock: boolean): Promise<string> => {
  const row = await (lock ? webhooks.writable(ctx, id, true) : webhooks.get(ctx, id))
  return `${row.id} ${row.updated_at.getTime()}`
}

const fields = {
  id: uuid(),
  url: string(),
  description: nullable(string()),
  eventTypes: array(string()),
  tenantWide: boolean({ description: 'Hears of everybody, not only of the owner' }),
  ownerId: uuid({ description: 'Who answers for the address' }),
  enabled: boolean(),
  disabledReason: nullable(
    oneOf(['owner', 'failing', 'gone', 'not_allowed'], {
      description:
        'owner: switched off by hand; failing: nothing arrived for five days; gone: the receiver answered 410; not_allowed: the owner left or may not have these events any more',
    }),
  ),
  failingSince: nullable(instant({ description: 'Of the first failure after the last success' })),
  previousSecretExpiresAt: nullable(instant({ description: 'Until then messages are signed with two secrets' })),
  createdAt: instant(),
  updatedAt: instant(),
}
const Webhook = resource('Webhook', fields)
const NewWebhook = resource('NewWebhook', {
  ...fields,
  secret: string({ description: 'whsec_…, to verify signatures with. Shown only now' }),
})

const view = (row: webhooks.WebhookRow) => ({
  id: row.id,
  url: row.url,
  description: row.description,
  eventTypes: row.event_types,
  tenantWide: row.tenant_wide,
  ownerId: row.owner_id,
  enabled: row.enabled,
  disabledReason: row.disabled_reason,
  failingSince: row.failing_since,
  previousSecretExpiresAt:
    row.previous_expires_at && row.previous_expires_at > new Date() ? row.previous_expires_at : null,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

const url = uri({ description: 'https://…, a public address' })
const eventTypes = array(text(100), {
  minItems: 1,
  maxItems: 100,
  description: 'A type (user.created), a group (user.*), or * for all; see /v1/webhooks/event-types',
})
const description = optional(nullable(text(200)))

export const list = operation({
  id: 'webhooks.list',
  summary: 'List configured webhooks',
  description: 'Your own, and with `webhooks:read` the tenant-wide ones. Newest first.',
  tag,
  auth,
  effect: 'read',
  input: object({ ...pageInput, tenantWide: optional(boolean()) }),
  output: page(Webhook),
  run: (ctx, input) => paged(input, (window) => webhooks.list(ctx, window, input.tenantWide), view),
})

export const create = operation({
  id: 'webhooks.create',
  summary: 'Create a new webhook subscription',
  description:
    'Messages follow Standard Webhooks: verify `webhook-signature` with the `secret` of this answer. A webhook hears of the events of your own account; with `tenant_wide`, which needs `webhooks:write`, of all. Made by a signed-in person in an app of ours.',
  tag,
  auth,
  effect: 'write',
  errors: ['VALIDATION_ERROR', 'ACCESS_DENIED', 'CONFLICT', 'RATE_LIMITED'],
  limit,
  input: object({
    url,
    eventTypes,
    description,
    tenantWide: optional(boolean()),
    enabled: optional(boolean()),
  }),
  example: { url: 'https://hooks.example.com/gatehouse', eventTypes: ['login.*', 'user.deleted'] },
  output: NewWebhook,
  prepare: webhooks.prepareCreate,
  async run(ctx, input, address) {
    const { row, secret } = await webhooks.create(ctx, input, address)
    return { ...view(row), secret }
  },
})

export const get = operation({
  id: 'webhooks.get',
  summary: 'Get webhook details',
  tag,
  auth,
  effect: 'read',
  errors: ['NOT_FOUND'],
  version,
  input: object({ id: uuid() }),
  output: Webhook,
  run: async (ctx, input) => view(await webhooks.get(ctx, input.id)),
})

export const update = operation({
  id: 'webhooks.update',
  summary: 'Update webhook configuration',
  description:
    'Absent keys stay, null clears. `enabled: true` wakes one that was switched off. Who changes the address of a tenant-wide webhook answers for it from then on.',
  tag,
  auth,
  effect: 'write',
  errors: ['NOT_FOUND', 'VALIDATION_ERROR', 'ACCESS_DENIED', 'PRECONDITION_FAILED', 'RATE_LIMITED'],
  limit,
  version,
  input: object({
    id: uuid(),
    url: optional(url),
    eventTypes: optional(eventTypes),
    description,
    enabled: optional(boolean()),
  }),
  example: { eventTypes: ['*'], enabled: true },
  output: Webhook,
  prepare: (ctx, { id, ...change }) => webhooks.prepareUpdate(ctx, id, change),
  run: async (ctx, { id, ...change }, address) => view(await webhooks.update(ctx, id, change, address)),
})

export const remove = operation({
  id: 'webhooks.delete',
  summary: 'Delete a webhook',
  description: 'What waits for it is not sent any more.',
  tag,
  auth,
  effect: 'write',
  errors: ['NOT_FOUND', 'ACCESS_DENIED'],
  input: object({ id: uuid() }),
  output: Done,
  version,
  async run(ctx, input) {
    await webhooks.remove(ctx, input.id)
    return done('The webhook is deleted')
  },
})

export const rotateSecret = operation({
  id: 'webhooks.rotate_secret',
  summary: 'Replace the secret of a webhook',
  description:
    'For `overlap` seconds (a day unless you say otherwise) messages carry a signature of each, so that receivers can change over; 0 ends the old one at once.',
  tag,
  auth,
  effect: 'write',
  errors: ['NOT_FOUND', 'ACCESS_DENIED'],
  input: object({
    id: uuid(),
    overlap: optional(integer({ minimum: 0, maximum: 2_592_000, description: 'Seconds the old one signs as well' })),
  }),
  example: { overlap: 3600 },
  output: NewWebhook,
  async run(ctx, input) {
    const { row, secret } = await webhooks.rotateSecret(ctx, input.id, input.overlap ?? webhooks.OVERLAP)
    return { ...view(row), secret }
  },
})

export const types = operation({
  id: 'webhooks.event_types',
  summary: 'What webhooks can subscribe to',
  tag,
  auth,
  effect: 'read',
  input: nothing,
  output: object({ eventTypes: array(string()) }),
  run: async () => ({ eventTypes: knownTypes }),
})
