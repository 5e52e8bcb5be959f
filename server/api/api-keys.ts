/** A person's own API keys. */

import * as apiKeys from '../domain/api-keys.ts'
import { operation } from '../domain/context.ts'
import { assertMayChange } from '../domain/factors.ts'
import { versionBy } from '../domain/versions.ts'
import {
  array,
  instant,
  integer,
  label,
  nullable,
  object,
  optional,
  page,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { Done, done, paged, pageInput } from './shapes.ts'

const tag = 'API keys'

const fields = {
  id: uuid(),
  name: string(),
  prefix: string({ description: 'First characters of the key, to recognise it by' }),
  scopes: array(string()),
  createdAt: instant(),
  expiresAt: nullable(instant()),
  lastUsedAt: nullable(instant()),
  lastUsedIp: nullable(string()),
  replaces: nullable(uuid({ description: 'The key this one took the place of' })),
}
const ApiKey = resource('ApiKey', fields)
const NewApiKey = resource('NewApiKey', { ...fields, key: string({ description: 'The key itself. Shown only now' }) })

const view = (row: apiKeys.ApiKeyRow) => ({
  id: row.id,
  name: row.name,
  prefix: row.prefix,
  scopes: row.scopes,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  lastUsedAt: row.last_used_at,
  lastUsedIp: row.last_used_ip,
  replaces: row.replaces,
})
const name = label(100)
const expiresAt = optional(nullable(instant({ description: 'null: does not expire' })))

/** Using a key does not change it. */
const version = versionBy('api key', ['id'], async (ctx, { id }) => {
  const { last_used_at, last_used_ip, ...row } = await apiKeys.get(ctx, ctx.actor!.userId!, id)
  return row
})

export const list = operation({
  id: 'api_keys.list',
  summary: "List user's API keys",
  tag,
  auth: 'user',
  effect: 'read',
  input: object(pageInput),
  output: page(ApiKey),
  run: (ctx, input) => paged(input, (window) => apiKeys.list(ctx, ctx.actor!.userId!, window), view),
})

export const create = operation({
  id: 'api_keys.create',
  summary: 'Create a new API key (shows raw key once)',
  description:
    'Send it as `Authorization: Bearer gh_…`. It may do what is both among its scopes and among your permissions at that moment; `account` opens your own account. Asks for a sign-in within the last 15 minutes, with a second factor of who has one.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['VALIDATION_ERROR', 'ACCESS_DENIED', 'CONFLICT', 'INSUFFICIENT_AUTHENTICATION'],
  input: object({
    name,
    scopes: optional(array(text(100), { maxItems: 100, default: ['account'] })),
    expiresAt,
  }),
  example: { name: 'Nightly export', scopes: ['users:read'], expiresAt: '2027-01-10T00:00:00Z' },
  output: NewApiKey,
  prepare: (ctx) => assertMayChange(ctx),
  async run(ctx, input) {
    const { row, secret } = await apiKeys.create(ctx, { ...input, scopes: input.scopes ?? ['account'] })
    return { ...view(row), key: secret }
  },
})

export const get = operation({
  id: 'api_keys.get',
  summary: 'Get API key metadata',
  tag,
  auth: 'user',
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id: uuid() }),
  output: ApiKey,
  version,
  run: async (ctx, input) => view(await apiKeys.get(ctx, ctx.actor!.userId!, input.id)),
})

export const revoke = operation({
  id: 'api_keys.revoke',
  summary: 'Revoke an API key',
  description: 'It is refused within a second.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ id: uuid() }),
  output: Done,
  version,
  async run(ctx, input) {
    await apiKeys.revoke(ctx, ctx.actor!.userId!, input.id)
    return done('The key is revoked')
  },
})

export const rotate = operation({
  id: 'api_keys.rotate',
  summary: 'Rotate API key (revokes old, creates new)',
  description: 'The old key works on for `overlap` seconds (a day unless you say otherwise); 0 ends it at once.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND', 'ACCESS_DENIED', 'CONFLICT', 'VALIDATION_ERROR', 'INSUFFICIENT_AUTHENTICATION'],
  input: object({
    id: uuid(),
    overlap: optional(integer({ minimum: 0, maximum: 604_800, description: 'Seconds the old key works on' })),
    expiresAt,
  }),
  example: { overlap: 86_400 },
  output: NewApiKey,
  prepare: (ctx) => assertMayChange(ctx),
  async run(ctx, input) {
    const { row, secret } = await apiKeys.rotate(ctx, input.id, input)
    return { ...view(row), key: secret }
  },
})
