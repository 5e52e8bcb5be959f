/** Inviting to organizations and workspaces, and accepting as who is signed in. */
import { operation } from '../domain/context.ts'
import * as accepting from '../domain/invitations/accept.ts'
import * as invitations from '../domain/invitations.ts'
import { WORKSPACE_ROLES } from '../domain/workspaces.ts'
import { email, object, oneOf, optional, page, text, uuid } from '../kernel/schema.ts'
import { Accepted, acceptErrors, accepted, Invitation, listed, view } from './invitations.ts'
import { Done, done, pageInput, pageOf } from './shapes.ts'

const tag = 'Invitations'
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
    view(
      ctx,
      await invitations.createInside(ctx, { organizationId: input.orgId, email: input.email, role: input.roleId }),
    ),
})

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
  async run(ctx, input) {
    const window = pageOf(input)
    return listed(ctx, await invitations.pendingInside(ctx, { organizationId: input.orgId }, window), window)
  },
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
    await invitations.revokeInside(ctx, input.id)
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
  run: async (ctx, { id, ...input }) =>
    view(ctx, await invitations.createInWorkspace(ctx, { ...input, workspaceId: id })),
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
  async run(ctx, input) {
    const window = pageOf(input)
    return listed(ctx, await invitations.pendingInside(ctx, { workspaceId: input.id }, window), window)
  },
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
    await invitations.revokeInside(ctx, input.invId, { workspaceId: input.id })
    return done('The invitation is revoked')
  },
})

const joining = {
  tag,
  auth: 'user',
  effect: 'write',
  limit: { name: 'invitation-accept', count: 20, seconds: 900 },
  output: Accepted,
} as const

export const join = operation({
  ...joining,
  id: 'invitations.join',
  summary: 'Join via invitation code',
  description: 'The code of the mail, or the token of its link.',
  errors: [...acceptErrors, 'INVALID_TOKEN', 'EMAIL_MISMATCH'],
  input: object({ invitationCode: text(512) }),
  example: { invitationCode: 'abc123def456' },
  run: async (ctx, input) => accepted(ctx, await accepting.acceptAs(ctx, secretOf(input.invitationCode))),
})

/** Codes are much shorter than tokens. */
const secretOf = (given: string) => (given.length > 20 ? { token: given } : { code: given })

export const accept = operation({
  ...joining,
  id: 'invitations.accept_by_token',
  summary: 'Accept invitation',
  errors: [...acceptErrors, 'INVALID_TOKEN', 'EMAIL_MISMATCH'],
  input: object({ token: text(512, { description: 'Of the mailed link, or the code of the mail' }) }),
  example: { token: '<invitation_token>' },
  run: async (ctx, input) => accepted(ctx, await accepting.acceptAs(ctx, secretOf(input.token))),
})

export const acceptPending = operation({
  ...joining,
  id: 'invitations.accept_pending',
  summary: 'Accept pending invitation',
  description: 'To your own verified address: the one of invitation_id, or the only one there is.',
  errors: [...acceptErrors, 'NOT_FOUND'],
  input: object({ invitationId: optional(uuid()) }),
  example: {},
  run: async (ctx, input) => accepted(ctx, await accepting.acceptPending(ctx, input.invitationId)),
})
