/** Inviting people to the tenant, and what has become of all invitations. */
import { operation } from '../domain/context.ts'
import * as invitations from '../domain/invitations.ts'
import { versionBy } from '../domain/versions.ts'
import { WORKSPACE_ROLES } from '../domain/workspaces.ts'
import {
  array,
  email,
  instant,
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
import { Done, done, paged, pageInput } from './shapes.ts'

export const tag = 'Invitations'

export const Invitation = resource('Invitation', {
  id: uuid(),
  email: email(),
  status: oneOf(invitations.STATUSES),
  organizationId: nullable(uuid()),
  workspaceId: nullable(uuid()),
  roles: array(object({ id: uuid(), name: string() }), { description: 'Besides the default role' }),
  workspaceRole: nullable(oneOf(WORKSPACE_ROLES)),
  userId: nullable(uuid({ description: 'The account that waits for its owner, where one was made' })),
  invitedBy: nullable(uuid()),
  createdAt: instant(),
  sentAt: nullable(instant()),
  expiresAt: instant(),
  acceptedAt: nullable(instant()),
  acceptedBy: nullable(uuid()),
  revokedAt: nullable(instant()),
})

export const view = (row: invitations.InvitationRow) => ({
  id: row.id,
  email: row.email,
  status: row.status,
  organizationId: row.organization_id,
  workspaceId: row.workspace_id,
  roles: row.roles,
  workspaceRole: row.workspace_role,
  userId: row.user_id,
  invitedBy: row.invited_by,
  createdAt: row.created_at,
  sentAt: row.sent_at,
  expiresAt: row.expires_at,
  acceptedAt: row.accepted_at,
  acceptedBy: row.accepted_by,
  revokedAt: row.revoked_at,
})

export const list = operation({
  id: 'invitations.list',
  summary: 'List all invitations',
  description: 'The newest first: all of the tenant with `invitations:read`, else those you sent.',
  tag,
  auth: 'user',
  effect: 'read',
  input: object({ ...pageInput, status: optional(oneOf(invitations.STATUSES)) }),
  output: page(Invitation),
  run: (ctx, input) => paged(input, (window) => invitations.list(ctx, input.status, window), view),
})

export const create = operation({
  id: 'invitations.create',
  summary: 'Create and send a new invitation',
  description:
    'Everybody may invite with the default role where `user_invitations` allows it; other roles need `invitations:write`, and all that they allow. An earlier invitation of yours to the address ends. Answers the same whether the address has an account or not.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['ACCESS_DENIED', 'NOT_FOUND', 'EMAIL_VERIFICATION_REQUIRED', 'RATE_LIMITED'],
  input: object({
    email: email(),
    roles: optional(array(text(255), { maxItems: 50, description: 'ids or names, besides the default role' })),
  }),
  example: { email: 'new.colleague@example.com' },
  output: Invitation,
  prepare: (ctx, input) => invitations.prepare(ctx, input.email),
  run: async (ctx, input) => view(await invitations.create(ctx, input)),
})

const version = versionBy('invitation', ['id'], async (ctx, { id }) => view(await invitations.get(ctx, id)))

export const get = operation({
  id: 'invitations.get',
  summary: 'Get invitation details',
  tag,
  auth: 'user',
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id: uuid() }),
  output: Invitation,
  version,
  run: async (ctx, input) => view(await invitations.get(ctx, input.id)),
})

export const revoke = operation({
  id: 'invitations.revoke',
  summary: 'Revoke an invitation',
  description: 'Its link is dead at once.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND', 'ACCESS_DENIED', 'CONFLICT'],
  input: object({ id: uuid() }),
  output: Done,
  version,
  async run(ctx, input) {
    await invitations.revoke(ctx, input.id)
    return done('The invitation is revoked')
  },
})

export const resend = operation({
  id: 'invitations.resend',
  summary: 'Resend invitation email',
  description: 'A new link, which lives as long as the first one did; the old one is dead at once.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND', 'ACCESS_DENIED', 'CONFLICT', 'EMAIL_VERIFICATION_REQUIRED', 'RATE_LIMITED'],
  input: object({ id: uuid() }),
  output: Invitation,
  prepare: async (ctx, input) => invitations.prepare(ctx, (await invitations.get(ctx, input.id)).email),
  run: async (ctx, input) => view(await invitations.resend(ctx, input.id)),
})
