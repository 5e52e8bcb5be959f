/** Inviting to organizations and workspaces. */
import { type Context, operation } from '../domain/context.ts'
import * as inside from '../domain/invitations/inside.ts'
import * as invitations from '../domain/invitations.ts'
import { WORKSPACE_ROLES } from '../domain/workspaces.ts'
import { email, object, oneOf, optional, page, text, uuid } from '../kernel/schema.ts'
import { Invitation, tag, view } from './invitations.ts'
import { Done, done, paged, pageInput } from './shapes.ts'

const members = { inside: 'members:manage' }
const workspaces = { inside: 'workspaces:manage' }
const createErrors = ['NOT_FOUND', 'ACCESS_DENIED', 'CONFLICT', 'VALIDATION_ERROR', 'RATE_LIMITED'] as const

export const create = operation({
  id: 'organizations.invite',
  summary: 'Create invitation',
  description: 'To an organization, with a role of it that allows no more than you may there.',
  tag,
  auth: members,
  effect: 'write',
  errors: createErrors,
  input: object({ orgId: uuid(), email: email(), roleId: optional(text(255, { description: 'id or name; Member' })) }),
  example: { orgId: '01a1fc02-0000-7000-8000-000000000000', email: 'new.colleague@example.com' },
  output: Invitation,
  prepare: (ctx, input) => invitations.prepare(ctx, input.email),
  run: async (ctx, input) =>
    view(await inside.create(ctx, { organizationId: input.orgId, email: input.email, role: input.roleId })),
})

const pending = (ctx: Context, where: inside.Inside, input: { limit?: number; offset?: number }) =>
  paged(input, (window) => inside.pending(ctx, where, window), view)

export const list = operation({
  id: 'organizations.invitations',
  summary: 'List pending invitations',
  description: 'Of an organization; without org_id of all whose members you manage.',
  tag,
  auth: members,
  effect: 'read',
  errors: ['NOT_FOUND', 'ACCESS_DENIED'],
  input: object({ ...pageInput, orgId: optional(uuid()) }),
  output: page(Invitation),
  run: (ctx, input) => pending(ctx, { organizationId: input.orgId }, input),
})

export const revoke = operation({
  id: 'organizations.revoke_invitation',
  summary: 'Revoke invitation',
  tag,
  auth: members,
  effect: 'write',
  errors: ['NOT_FOUND', 'ACCESS_DENIED'],
  input: object({ id: uuid() }),
  output: Done,
  async run(ctx, input) {
    await inside.revoke(ctx, input.id)
    return done('The invitation is revoked')
  },
})

export const createInWorkspace = operation({
  id: 'workspaces.invite',
  summary: 'Send workspace invitation',
  description: 'People from outside the organization become Members of it, which only who manages members may offer.',
  tag,
  auth: workspaces,
  effect: 'write',
  errors: createErrors,
  input: object({ id: uuid(), email: email(), role: optional(oneOf(WORKSPACE_ROLES, { default: 'member' })) }),
  example: { email: 'new.colleague@example.com', role: 'member' },
  output: Invitation,
  prepare: (ctx, input) => invitations.prepare(ctx, input.email),
  run: async (ctx, { id, ...input }) => view(await inside.createInWorkspace(ctx, { ...input, workspaceId: id })),
})

export const listInWorkspace = operation({
  id: 'workspaces.invitations',
  summary: 'List invitations',
  tag,
  auth: workspaces,
  effect: 'read',
  errors: ['NOT_FOUND', 'ACCESS_DENIED'],
  input: object({ ...pageInput, id: uuid() }),
  output: page(Invitation),
  run: (ctx, input) => pending(ctx, { workspaceId: input.id }, input),
})

export const revokeInWorkspace = operation({
  id: 'workspaces.revoke_invitation',
  summary: 'Revoke invitation',
  tag,
  auth: workspaces,
  effect: 'write',
  errors: ['NOT_FOUND', 'ACCESS_DENIED'],
  input: object({ id: uuid(), invId: uuid() }),
  output: Done,
  async run(ctx, input) {
    await inside.revoke(ctx, input.invId, { workspaceId: input.id })
    return done('The invitation is revoked')
  },
})
