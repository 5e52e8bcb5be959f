/** Signing keys of the tenant, or of another one for administrators of all: listed, rotated, revoked. */
import { type Context, operation } from '../server/domain/context.ts'
import * as rotation from '../server/domain/key-rotation.ts'
import { ALGORITHMS, makeKeys } from '../server/domain/keys.ts'
import * as tenants from '../server/domain/tenant-admin.ts'
import {
  anything,
  array,
  boolean,
  instant,
  nullable,
  object,
  oneOf,
  optional,
  page,
  record,
  resource,
  string,
  text,
} from '../server/kernel/schema.ts'
import { wholePage } from './shapes.ts'

const tag = 'Signing keys'
const read = { permission: 'keys:read' }
const write = { permission: 'keys:write' }

const SigningKey = resource('SigningKey', {
  kid: string(),
  alg: oneOf(ALGORITHMS),
  status: oneOf(['next', 'signing', 'retired', 'revoked'], {
    description: 'next: published, signs later; retired: published until expires_at for what it signed',
  }),
  createdAt: instant(),
  signsAt: instant(),
  retiredAt: nullable(instant()),
  expiresAt: nullable(instant({ description: 'Published until then' })),
  publicJwk: record(anything(), { description: 'RFC 7517' }),
})
const tenant = { tenant: optional(text(64, { description: 'id or slug of another tenant' })) }

/** Runs fn in the tenant that is asked for; the row that names one also asks for the permission about tenants. */
async function inTenant<T>(ctx: Context, key: string | undefined, fn: (inner: Context) => Promise<T>): Promise<T> {
  return key === undefined ? fn(ctx) : tenants.inside(ctx, await tenants.find(ctx, key), fn)
}

export const list = operation({
  id: 'keys.list',
  summary: 'List signing keys',
  description: 'Public parts only. Those that are over are shown for 30 days more.',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object(tenant),
  output: page(SigningKey),
  run: async (ctx, input) => wholePage(await inTenant(ctx, input.tenant, rotation.list)),
})

export const rotate = operation({
  id: 'keys.rotate',
  summary: 'Rotate signing keys',
  description:
    'New keys are published now and sign after `key_publish_hours`, so that whoever keeps our keys knows them by then; `immediately` signs with them at once. The old ones stay published until nothing they signed is in use.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  limit: { name: 'key-rotation', count: 20, seconds: 3600 },
  input: object({
    ...tenant,
    algs: optional(array(oneOf(ALGORITHMS), { minItems: 1, maxItems: 2, uniqueItems: true })),
    immediately: optional(boolean()),
  }),
  example: { algs: ['ES256'] },
  output: page(SigningKey),
  prepare: (_, input) => makeKeys(input.algs),
  run: async (ctx, input, fresh) =>
    wholePage(await inTenant(ctx, input.tenant, (inner) => rotation.rotate(inner, fresh, input.immediately ?? false))),
})

export const revoke = operation({
  id: 'keys.revoke',
  summary: 'Revoke a signing key',
  description:
    'For a key that others may have: it is published no more, and what it signed is refused at once. Another key signs from now on; refresh tokens go on.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  limit: { name: 'key-rotation', count: 20, seconds: 3600 },
  input: object({ ...tenant, kid: text(100), reason: optional(text(300)) }),
  example: { reason: 'A backup was lost' },
  output: page(SigningKey),
  prepare: (ctx, { tenant: key, kid }) => inTenant(ctx, key, (inner) => rotation.prepareRevocation(inner, kid)),
  run: async (ctx, { tenant: key, kid, reason }, fresh) =>
    wholePage(await inTenant(ctx, key, (inner) => rotation.revoke(inner, kid, fresh, reason))),
})
