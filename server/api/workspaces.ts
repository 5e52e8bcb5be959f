/** Workspaces: teams inside an organization. */

import { operation } from '../domain/context.ts'
import { versionBy } from '../domain/versions.ts'
import * as workspaces from '../domain/workspaces.ts'
import { instant, label, nullable, oneOf, optional, page, resource, string, text, uuid } from '../kernel/schema.ts'
import { Done, done, Member, paged, pageInput, slug } from './shapes.ts'

const tag = 'Workspaces'

const Workspace = resource('Workspace', {
  id: uuid(),
  name: string(),
  slug: string(),
  orgId: uuid(),
  description: nullable(string()),
  createdAt: instant(),
  updatedAt: instant(),
})
const view = (row: workspaces.WorkspaceRow) => ({
  id: row.id,
  name: row.name,
  slug: row.slug,
  orgId: row.organization_id,
  description: row.description,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})
const role = oneOf(workspaces.WORKSPACE_ROLES)
const WorkspaceMember = resource('WorkspaceMember', {
  user: Member,
  role,
  createdAt: instant(),
})

const changeable = { slug: optional(slug()), description: optional(nullable(text(2000))) }
const key = { id: uuid() }

const version = versionBy('workspace', ['id'], async (ctx, { id }) => workspaces.enter(ctx, id))

export const list = operation({
  id: 'workspaces.list',
  summary: 'List workspaces',
  description: 'Those one is in, and all of organizations whose workspaces one manages; all with `organizations:read`.',
  tag,
  auth: { permission: 'organizations:read', orUser: true },
  effect: 'read',
  input: resource('WorkspaceInput', { ...pageInput, orgId: optional(uuid()), q: optional(text(100)) }),
  output: page(Workspace),
  async run(ctx, { orgId, q, ...input }) {
    return paged(input, (window) => workspaces.list(ctx, { organizationId: orgId, q }, window), view)
  },
})

export const create = operation({
  id: 'workspaces.create',
  summary: 'Create workspace',
  tag,
  auth: { inside: 'workspaces:manage' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: resource('WorkspaceInput', { name: label(200), orgId: uuid(), ...changeable }),
  example: {
    name: 'Engineering',
    orgId: '00000000-0000-4000-8000-000000000002',
    description: 'Engineering team',
  },
  output: Workspace,
  run: async (ctx, { orgId, ...input }) => view(await workspaces.create(ctx, { ...input, organizationId: orgId })),
})

export const get = operation({
  id: 'workspaces.get',
  summary: 'Get workspace details',
  tag,
  auth: { permission: 'organizations:read', orUser: true },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: resource('WorkspaceInput', key),
  output: Workspace,
  version,
  run: async (ctx, { id }) => view(await workspaces.enter(ctx, id)),
})

export const update = operation({
  id: 'workspaces.update',
  summary: 'Update workspace',
  description: 'Absent keys stay, null clears.',
  tag,
  auth: { inside: 'workspaces:manage' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: resource('WorkspaceInput', { ...key, name: optional(label(200)), ...changeable }),
  example: { name: 'Research' },
  output: Workspace,
  version,
  run: async (ctx, { id, ...change }) => view(await workspaces.update(ctx, id, change)),
})

export const remove = operation({
  id: 'workspaces.delete',
  summary: 'Delete workspace',
  tag,
  auth: { inside: 'workspaces:manage' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: resource('WorkspaceInput', key),
  output: Done,
  version,
  async run(ctx, { id }) {
    await workspaces.remove(ctx, id)
    return done('The workspace is deleted')
  },
})

export const members = operation({
  id: 'workspaces.members',
  summary: 'List workspace members',
  tag,
  auth: { permission: 'organizations:read', orUser: true },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: resource('WorkspaceInput', { ...pageInput, ...key }),
  output: page(WorkspaceMember),
  async run(ctx, { id, ...input }) {
    return paged(input, (window) => workspaces.listMembers(ctx, id, window))
  },
})

export const addMember = operation({
  id: 'workspaces.add_member',
  summary: 'Add member to workspace',
  description: 'A member of the organization.',
  tag,
  auth: { inside: 'workspaces:manage' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: resource('WorkspaceInput', { ...key, userId: uuid(), role: optional(role) }),
  example: { userId: '00000000-0000-4000-8000-000000000001', role: 'member' },
  output: WorkspaceMember,
  async run(ctx, { id, userId, role }) {
    await workspaces.addMember(ctx, await workspaces.enter(ctx, id), userId, role ?? 'member')
    return workspaces.member(ctx, id, userId)
  },
})

export const changeMember = operation({
  id: 'workspaces.change_member',
  summary: 'Update member role',
  tag,
  auth: { inside: 'workspaces:manage' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: resource('WorkspaceInput', { ...key, userId: uuid(), role }),
  example: { role: 'admin' },
  output: WorkspaceMember,
  async run(ctx, { id, userId, role }) {
    await workspaces.changeMember(ctx, id, userId, role)
    return workspaces.member(ctx, id, userId)
  },
})

export const removeMember = operation({
  id: 'workspaces.remove_member',
  summary: 'Remove member',
  description: 'Everybody may leave.',
  tag,
  auth: { inside: 'workspaces:manage' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: resource('WorkspaceInput', { ...key, userId: uuid() }),
  output: Done,
  async run(ctx, { id, userId }) {
    await workspaces.removeMember(ctx, id, userId)
    return done('No longer a member of the workspace')
  },
})
