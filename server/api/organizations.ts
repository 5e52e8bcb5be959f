/** Organizations: made, seen and changed by their own people, and by administrators of the tenant. */

import { operation } from '../domain/context.ts'
import { handOver } from '../domain/memberships/leaving.ts'
import * as onboarding from '../domain/onboarding.ts'
import * as organizations from '../domain/organizations.ts'
import { versionBy } from '../domain/versions.ts'
import {
  anything,
  array,
  boolean,
  email,
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
} from '../kernel/schema.ts'
import { cursorInput, Done, done, paged, slug } from './shapes.ts'

const tag = 'Organizations'
/** Organizations made by one address; more are made by administrators or by another one. */
const making = { name: 'organizations', count: 60, seconds: 3600 }

const Organization = resource('Organization', {
  id: uuid(),
  name: string(),
  tenantId: string({ description: 'The slug: unique, for addresses' }),
  description: nullable(string()),
  status: oneOf(['active', 'suspended']),
  settings: record(anything()),
  memberCount: integer(),
  owner: nullable(object({ id: uuid(), email: nullable(email()) })),
  createdAt: instant(),
  updatedAt: instant(),
})

const view = (row: organizations.OrganizationView) => ({
  id: row.id,
  name: row.name,
  tenantId: row.slug,
  description: row.description,
  status: row.status,
  settings: row.settings,
  memberCount: row.memberCount,
  owner: row.owner,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

const about = {
  description: optional(nullable(text(2000))),
  settings: optional(record(anything(), { maxProperties: 100, description: 'Merged key by key; null removes' })),
  tenantId: optional(slug()),
}

const version = versionBy('organization', ['id'], async (ctx, { id }) => organizations.enter(ctx, id))

export const list = operation({
  id: 'organizations.list',
  summary: 'List all organizations',
  description: 'People see their own, newest first; holders of `organizations:read` see all, or with `mine` their own.',
  tag,
  auth: { permission: 'organizations:read', orUser: true },
  effect: 'read',
  input: resource('OrganizationInput', {
    ...cursorInput,
    q: optional(text(100, { description: 'Beginning of the name or slug' })),
    status: optional(oneOf(['active', 'suspended'])),
    mine: optional(boolean()),
  }),
  output: page(Organization),
  async run(ctx, { mine, q, status, cursor, ...input }) {
    const actor = ctx.actor!
    const seesAll = actor.permissions.has('organizations:read') && !mine
    const filter = { q, status, ...(!seesAll && { memberId: actor.userId! }) }
    return paged(input, (window) => organizations.list(ctx, filter, { ...window, cursor }), view)
  },
})

export const get = operation({
  id: 'organizations.get',
  summary: 'Get organization details',
  tag,
  auth: { permission: 'organizations:read', orUser: true },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: resource('OrganizationInput', { id: uuid() }),
  output: Organization,
  version,
  run: async (ctx, { id }) => view(await organizations.describe(ctx, await organizations.enter(ctx, id))),
})

export const create = operation({
  id: 'organizations.create',
  summary: 'Create organization',
  description:
    'Whoever makes it is its Owner. Administrators of the tenant may always; others by `organization_creation`.',
  tag,
  auth: { permission: 'organizations:write', orUser: true },
  effect: 'write',
  limit: making,
  errors: ['CONFLICT', 'SINGLE_ORGANIZATION_MODE', 'EMAIL_VERIFICATION_REQUIRED'],
  input: resource('OrganizationInput', { name: label(200), ...about }),
  example: { name: 'New Company', description: 'Company description', settings: {} },
  output: Organization,
  async run(ctx, { tenantId, ...input }) {
    const row = await onboarding.create(ctx, { ...input, slug: tenantId })
    return view(await organizations.describe(ctx, row))
  },
})

export const update = operation({
  id: 'organizations.update',
  summary: 'Update organization',
  description: 'Absent keys stay, null clears. Only administrators of the tenant suspend.',
  tag,
  auth: { inside: 'organization:manage' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: resource('OrganizationInput', {
    id: uuid(),
    name: optional(label(200)),
    ...about,
    status: optional(oneOf(['active', 'suspended'])),
  }),
  example: { name: 'Acme Corporation' },
  output: Organization,
  version,
  async run(ctx, { id, tenantId, ...change }) {
    const row = await organizations.update(ctx, id, { ...change, slug: tenantId })
    return view(await organizations.describe(ctx, row))
  },
})

export const remove = operation({
  id: 'organizations.delete',
  summary: 'Delete organization',
  description: 'Its memberships, workspaces and own roles end with it.',
  tag,
  auth: { inside: 'organization:delete' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: resource('OrganizationInput', { id: uuid() }),
  output: Done,
  version,
  async run(ctx, { id }) {
    await organizations.remove(ctx, id)
    return done('The organization is deleted')
  },
})

export const stats = operation({
  id: 'organizations.stats',
  summary: 'Get organization stats',
  tag,
  auth: { permission: 'organizations:read', orUser: true },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: resource('OrganizationInput', { id: uuid() }),
  output: resource('OrganizationStats', {
    members: integer(),
    workspaces: integer(),
    roles: array(object({ role: string(), members: integer() })),
    joinedLast30Days: integer(),
  }),
  run: (ctx, { id }) => organizations.statistics(ctx, id),
})

export const transfer = operation({
  id: 'organizations.transfer',
  summary: 'Hand the organization over to another member',
  description: 'They become Owner; the caller, if Owner, becomes Admin.',
  tag,
  auth: { inside: 'organization:delete' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: resource('OrganizationInput', { id: uuid(), userId: uuid() }),
  output: Organization,
  async run(ctx, { id, userId }) {
    const row = await organizations.enter(ctx, id, true)
    await handOver(ctx, id, userId)
    return view(await organizations.describe(ctx, row))
  },
})

const Onboarded = resource('Onboarded', {
  organization: resource('OrganizationName', { id: uuid(), name: string(), tenantId: string() }),
  membership: nullable(object({ role: string() })),
  tenantMapping: resource('TenantMapping', { tenantId: string(), clientKey: nullable(string()) }),
})

const onboarded = (row: organizations.OrganizationRow, role: string | null) => ({
  organization: { id: row.id, name: row.name, tenantId: row.slug },
  membership: role === null ? null : { role },
  tenantMapping: { tenantId: row.slug, clientKey: row.client_id },
})

export const onboard = operation({
  id: 'onboarding.create',
  summary: 'Self-service org creation',
  description: 'As creating an organization, from an app: `client_key` is its client_id.',
  tag: 'Onboarding',
  auth: 'user',
  effect: 'write',
  limit: making,
  errors: ['NOT_FOUND', 'CONFLICT', 'SINGLE_ORGANIZATION_MODE', 'EMAIL_VERIFICATION_REQUIRED'],
  input: resource('OrganizationInput', {
    name: label(200),
    clientKey: optional(text(255)),
    description: optional(nullable(text(2000))),
  }),
  example: { name: 'My Company', clientKey: 'my-app', description: 'Optional description' },
  output: Onboarded,
  run: async (ctx, input) => onboarded(await onboarding.create(ctx, input), 'Owner'),
})

export const provision = operation({
  id: 'onboarding.provision',
  summary: 'Admin provision org',
  description: 'For somebody else, who becomes its Owner; or for nobody yet.',
  tag: 'Onboarding',
  auth: { permission: 'organizations:write' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT', 'SINGLE_ORGANIZATION_MODE'],
  input: resource('OrganizationInput', {
    name: label(200),
    ...about,
    clientKey: optional(text(255)),
    ownerId: optional(uuid({ description: 'A person of the tenant; or name their address' })),
    ownerEmail: optional(email()),
  }),
  example: { name: 'Acme Corp', ownerEmail: 'owner@acme.com', clientKey: 'my-app' },
  output: Onboarded,
  async run(ctx, { tenantId, ...input }) {
    const { row, ownerId } = await onboarding.provision(ctx, { ...input, slug: tenantId })
    return onboarded(row, ownerId ? 'Owner' : null)
  },
})
