/** Tenants: made, seen, changed, suspended, deleted; and who lives in them. For administrators of the default tenant. */
import { Done, done, paged, pageInput, slug } from '../server/api/shapes.ts'
import { type Context, operation } from '../server/domain/context.ts'
import { DEFAULT_TENANT } from '../server/domain/ids.ts'
import { makeKeys } from '../server/domain/keys.ts'
import * as stats from '../server/domain/stats.ts'
import * as tenants from '../server/domain/tenant-admin.ts'
import * as moves from '../server/domain/tenant-moves.ts'
import { list as listUsers } from '../server/domain/user-admin/list.ts'
import {
  anything,
  array,
  boolean,
  instant,
  integer,
  label,
  nullable,
  object,
  oneOf,
  optional,
  page,
  record,
  resource,
  string,
  text,
  uuid,
} from '../server/kernel/schema.ts'
import { brandingFields, brandingKeys, brandingView, storedBranding } from './branding.ts'
import { ManagedUser, managedView } from './shapes.ts'
import { days, TenantStats } from './stats.ts'

const tag = 'Tenants'
const read = { permission: 'tenants:read' }
const write = { permission: 'tenants:write' }
const id = text(64, { description: 'id or slug of the tenant' })

const BrandingInput = object(
  Object.fromEntries(brandingKeys.map((key) => [key, optional(nullable(brandingFields[key]))])),
  { description: 'Merged key by key; null removes' },
)

const Tenant = resource('Tenant', {
  id: uuid(),
  slug: string(),
  name: string(),
  status: oneOf(['active', 'suspended', 'deleted']),
  issuer: string({ description: 'Where its OpenID provider is' }),
  branding: object(Object.fromEntries(brandingKeys.map((key) => [key, optional(string())]))),
  purgeAt: nullable(instant({ description: 'Of a deleted one: when its data goes for good' })),
  createdAt: instant(),
  updatedAt: instant(),
})
const view = (ctx: Context, row: tenants.TenantRow) => ({
  id: row.id,
  slug: row.slug,
  name: row.name,
  status: row.status,
  issuer: ctx.out.config.publicUrl + (row.id === DEFAULT_TENANT ? '' : `/t/${row.slug}`),
  branding: brandingView(row.branding) as Record<string, string>,
  purgeAt: row.purge_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})
const changeable = {
  branding: optional(BrandingInput),
  settings: optional(record(anything(), { maxProperties: 100, description: 'By key; null goes back to the default' })),
}

export const list = operation({
  id: 'tenants.list',
  summary: 'List all tenants',
  description: 'By slug. Deleted ones only where asked for.',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({
    limit: pageInput.limit,
    offset: optional(integer({ minimum: 0, maximum: 100_000, default: 0 })),
    cursor: optional(text(63, { description: 'next_cursor of the page before' })),
    q: optional(text(100, { description: 'Part of slug or name' })),
    status: optional(oneOf(['active', 'suspended', 'deleted'])),
  }),
  output: page(Tenant),
  run: (ctx, { limit, offset, cursor, ...filter }) =>
    paged(
      { limit, offset },
      (window) => tenants.list(ctx, filter, { ...window, cursor }),
      (row) => view(ctx, row),
    ),
})

export const create = operation({
  id: 'tenants.create',
  summary: 'Create a new tenant',
  description: 'Ready at once: issuer, keys, roles and settings. Without a slug it is made from the name.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['CONFLICT', 'NOT_FOUND'],
  input: object({
    name: label(200),
    slug: optional(slug()),
    ...changeable,
  }),
  example: { name: 'Acme', slug: 'acme' },
  output: Tenant,
  prepare: () => makeKeys(),
  run: async (ctx, input, keys) =>
    view(ctx, await tenants.create(ctx, { ...input, branding: storedBranding(input.branding) }, keys)),
})

export const get = operation({
  id: 'tenants.get',
  summary: 'Get tenant details',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id }),
  output: Tenant,
  version: (ctx, input, lock) => tenants.versionOf(ctx, input.id, lock),
  run: async (ctx, input) => view(ctx, await tenants.find(ctx, input.id)),
})

export const update = operation({
  id: 'tenants.update',
  summary: 'Update tenant settings',
  description: 'A suspended tenant refuses everything at once. `active` also brings a deleted one back.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({
    id,
    name: optional(label(200)),
    status: optional(oneOf(['active', 'suspended'])),
    ...changeable,
  }),
  example: { name: 'Acme Inc.', branding: { primaryColor: '#0a7d4f' } },
  output: Tenant,
  version: (ctx, input, lock) => tenants.versionOf(ctx, input.id, lock),
  run: async (ctx, { id: key, ...change }) =>
    view(ctx, await tenants.update(ctx, key, { ...change, branding: storedBranding(change.branding) })),
})

export const remove = operation({
  id: 'tenants.delete',
  summary: 'Delete a tenant',
  description:
    'Nothing of it answers any more. For `grace_days` (30) its data and slug are kept, and an update to `active` brings it back; then all of it is erased.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id, graceDays: optional(integer({ minimum: 1, maximum: 365, default: 30 })) }),
  output: Done,
  version: (ctx, input, lock) => tenants.versionOf(ctx, input.id, lock),
  async run(ctx, input) {
    const until = await tenants.remove(ctx, input.id, input.graceDays ?? 30)
    return done(`The tenant is deleted. It can be brought back until ${until.toISOString()}`)
  },
})

export const getStats = operation({
  id: 'tenants.stats',
  summary: 'Get tenant statistics',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id, days }),
  output: TenantStats,
  async run(ctx, input) {
    const tenant = await tenants.find(ctx, input.id)
    return await tenants.inside(ctx, tenant, (inner) => stats.ofTenant(inner, input.days ?? 30))
  },
})

export const users = operation({
  id: 'tenants.list_users',
  summary: 'List users in a tenant',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({
    id,
    limit: pageInput.limit,
    offset: optional(integer({ minimum: 0, maximum: 100_000, default: 0 })),
    cursor: optional(text(2000)),
    q: optional(text(200, { description: 'Beginning of the address, the name or the family name' })),
  }),
  output: object(
    {
      items: array(ManagedUser),
      limit: integer(),
      offset: integer(),
      count: integer({ description: 'Items in this page' }),
      total: integer({ description: 'Items in all pages' }),
      totalEstimated: boolean(),
      nextCursor: optional(string({ description: 'Pass as cursor to read on' })),
    },
    { page: true },
  ),
  async run(ctx, { id: key, cursor, q, ...input }) {
    const tenant = await tenants.find(ctx, key)
    return tenants.inside(ctx, tenant, (inner) =>
      paged(
        input,
        (window) => listUsers(inner, { q, roleIds: [] }, { ...window, cursor, sort: '-created_at' }),
        managedView,
      ),
    )
  },
})

export const assignUser = operation({
  id: 'tenants.assign_user',
  summary: 'Assign user to tenant',
  description:
    'Moves the person there with password and factors. Roles, devices, API keys, backup codes and linked accounts stay behind; sessions end.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id, userId: uuid() }),
  output: Done,
  async run(ctx, input) {
    await moves.assign(ctx, input.id, input.userId)
    return done('The user belongs to this tenant')
  },
})

export const unassignUser = operation({
  id: 'tenants.unassign_user',
  summary: 'Remove user from tenant',
  description: 'Moves the person back to the default tenant, as assigning does.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id, userId: uuid() }),
  output: Done,
  async run(ctx, input) {
    await moves.unassign(ctx, input.id, input.userId)
    return done('The user belongs to the default tenant')
  },
})
