/** Roles of an organization: those that all have, and its own, made by those who manage it. */
import { operation } from '../domain/context.ts'
import * as own from '../domain/organization-roles.ts'
import { array, boolean, instant, nullable, optional, page, resource, string, text, uuid } from '../kernel/schema.ts'
import { Done, done, pageInput, pageOf, RoleName } from './shapes.ts'

const tag = 'Organizations'
const manage = { inside: 'organization:manage' } as const
const making = { name: 'organization-roles', count: 60, seconds: 3600 }

const OrganizationRole = resource('OrganizationRole', {
  id: uuid(),
  name: string(),
  description: nullable(string()),
  own: boolean({ description: 'Of this organization alone' }),
  permissions: array(string()),
  createdAt: instant(),
})
const view = ({ id, name, description, ownerId, permissions, createdAt }: own.OrganizationRole) => ({
  ...{ id, name, description, permissions, createdAt },
  own: ownerId !== null,
})

const organization = { id: uuid({ description: 'The organization' }) }
const one = { ...organization, roleId: text(255, { description: 'id or name of a role of its own' }) }
const rest = {
  description: optional(nullable(text(500))),
  permissions: optional(array(text(255), { maxItems: 200, uniqueItems: true, description: 'Names' })),
}

export const list = operation({
  id: 'organization_roles.list',
  summary: 'List roles of an organization',
  description: 'All that its members may hold.',
  tag,
  auth: { permission: 'organizations:read', orUser: true },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: resource('OrganizationInput', { ...organization, ...pageInput }),
  output: page(OrganizationRole),
  async run(ctx, { id, ...input }) {
    const window = pageOf(input)
    const { items, total } = await own.list(ctx, id, window)
    return { items: items.map(view), total, count: items.length, ...window }
  },
})

export const create = operation({
  id: 'organization_roles.create',
  summary: 'Create a role of an organization',
  description: 'Nobody gives it more than they hold in the organization.',
  tag,
  auth: manage,
  effect: 'write',
  limit: making,
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: resource('OrganizationInput', { ...organization, name: RoleName, ...rest }),
  example: { name: 'Recruiter', description: 'Brings people in', permissions: ['members:manage'] },
  output: OrganizationRole,
  run: async (ctx, { id, ...input }) => view(await own.create(ctx, id, input)),
})

export const update = operation({
  id: 'organization_roles.update',
  summary: 'Update a role of an organization',
  description: 'Absent keys stay, null clears; `permissions` are replaced as a whole. Only roles of its own.',
  tag,
  auth: manage,
  effect: 'write',
  limit: making,
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: resource('OrganizationInput', { ...one, name: optional(RoleName), ...rest }),
  example: { permissions: ['members:manage', 'workspaces:manage'] },
  output: OrganizationRole,
  run: async (ctx, { id, roleId, ...change }) => view(await own.update(ctx, id, roleId, change)),
})

export const remove = operation({
  id: 'organization_roles.delete',
  summary: 'Delete a role of an organization',
  description: 'Not while members hold it.',
  tag,
  auth: manage,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: resource('OrganizationInput', one),
  output: Done,
  async run(ctx, { id, roleId }) {
    await own.remove(ctx, id, roleId)
    return done('The role is deleted')
  },
})
