/** Inviting people, and accepting. */
import { settle } from '../domain/sign-in.ts'
import { type Context, operation } from '../domain/context.ts'
import * as accepting from '../domain/invitations/accept.ts'
import * as invitations from '../domain/invitations.ts'
import * as memberships from '../domain/memberships.ts'
import { versionBy } from '../domain/versions.ts'
import { WORKSPACE_ROLES } from '../domain/workspaces.ts'
import { fail } from '../kernel/errors.ts'
import {
  array,
  boolean,
  either,
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
import { ActionsRequired, answerLogin, LoginResult, MfaRequired } from './login-answer.ts'
import { Done, done, Password, pageInput, pageOf, personNames } from './shapes.ts'

const tag = 'Invitations'

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

const rolesOf = (ctx: Context, ids: string[]) =>
  ids.flatMap((id) => {
    const role = ctx.tenant.roles.get(id)
    return role ? [{ id, name: role.name }] : []
  })

export const view = (ctx: Context, row: invitations.InvitationRow) => ({
  id: row.id,
  email: row.email,
  status: row.status,
  organizationId: row.organization_id,
  workspaceId: row.workspace_id,
  roles: rolesOf(ctx, row.role_ids),
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

export const listed = (
  ctx: Context,
  { items, total }: { items: invitations.InvitationRow[]; total: number },
  window: { limit: number; offset: number },
) => ({ items: items.map((row) => view(ctx, row)), count: items.length, total, ...window })

export const list = operation({
  id: 'invitations.list',
  summary: 'List all invitations',
  description: 'The newest first: all of the tenant with `invitations:read`, else those you sent.',
  tag,
  auth: 'user',
  effect: 'read',
  input: object({ ...pageInput, status: optional(oneOf(invitations.STATUSES)) }),
  output: page(Invitation),
  async run(ctx, input) {
    const window = pageOf(input)
    return listed(ctx, await invitations.list(ctx, input.status, window), window)
  },
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
  run: async (ctx, input) => view(ctx, await invitations.create(ctx, input)),
})

const version = versionBy('invitation', ['id'], async (ctx, { id }) => view(ctx, await invitations.get(ctx, id)))

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
  run: async (ctx, input) => view(ctx, await invitations.get(ctx, input.id)),
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
  run: async (ctx, input) => view(ctx, await invitations.resend(ctx, input.id)),
})

const token = text(512, { description: 'Of the mailed link' })

const Place = nullable(object({ id: uuid(), name: string() }))
const Offer = resource('InvitationOffer', {
  valid: boolean(),
  email: email({ description: 'The invited address' }),
  tenant: string({ description: 'Its name' }),
  organization: Place,
  workspace: Place,
  roles: array(string(), { description: 'Besides the default role' }),
  invitedBy: nullable(string({ description: 'In words' })),
  expiresAt: instant(),
  signInRequired: boolean({
    description: 'There is an account: accept with its access token. Else with a password, which makes the account',
  }),
})

async function look(ctx: Context, secret: string) {
  const { row, where, mustSignIn, invitedBy } = await accepting.offered(ctx, secret)
  return {
    valid: true,
    email: row.email,
    tenant: ctx.tenant.name,
    ...where,
    roles: rolesOf(ctx, row.role_ids).map(({ name }) => name),
    invitedBy: invitedBy ?? null,
    expiresAt: row.expires_at,
    signInRequired: mustSignIn,
  }
}

const looking = {
  tag,
  effect: 'read',
  limit: { name: 'invitation-look', count: 30, seconds: 900 },
  errors: ['INVALID_TOKEN', 'INVITATION_EXPIRED', 'RATE_LIMITED'],
  input: object({ token }),
  output: Offer,
  run: (ctx: Context, input: { token: string }) => look(ctx, input.token),
} as const

export const validate = operation({
  ...looking,
  id: 'invitations.validate',
  summary: 'Validate invitation token (public)',
  description: 'What the invitation offers, to whoever holds the mailed link. Changes nothing.',
  auth: 'anyone',
  example: { token: '<invitation_token>' },
})

export const preview = operation({
  ...looking,
  id: 'invitations.preview',
  summary: 'Preview invitation',
  auth: 'user',
})

export const Accepted = resource('AcceptedInvitation', {
  invitation: Invitation,
  organization: Place,
  workspace: Place,
  membership: nullable(object({ role: string({ description: 'In the organization' }) })),
})

export async function accepted(ctx: Context, { row, where }: accepting.Accepted, userId = ctx.actor!.userId!) {
  const membership = where.organization && (await memberships.find(ctx, where.organization.id, userId))
  return {
    invitation: view(ctx, row),
    ...where,
    membership: membership ? { role: ctx.tenant.roles.get(membership.role_id)?.name ?? membership.role_id } : null,
  }
}

/** Who shows a bearer token accepts as that person, who must have let that app act for them. */
function isPerson({ actor }: Context): boolean {
  if (!actor) return false
  if (actor.kind !== 'user') throw fail('ACCESS_DENIED', 'This needs a person, not a client by itself')
  if (!actor.firstParty && !actor.scopes.has('account'))
    throw fail('ACCESS_DENIED', 'This access token was not given the account scope', { details: { scope: 'account' } })
  return true
}

export const accept = operation({
  id: 'invitations.accept',
  summary: 'Accept invitation & create account (public)',
  description:
    'Without a bearer token: makes the account with this password and signs in; the link has proven the address. Where links are no way to sign in, it answers without tokens. Where the address has an account, send its access token instead.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'invitation-accept', count: 20, seconds: 900 },
  errors: [
    'INVALID_TOKEN',
    'INVITATION_EXPIRED',
    'WEAK_PASSWORD',
    'UNAUTHORIZED',
    'EMAIL_MISMATCH',
    'EMAIL_VERIFICATION_REQUIRED',
    'ACCOUNT_DISABLED',
    'ACCOUNT_LOCKED',
    'ACCESS_DENIED',
    'CONFLICT',
    'SINGLE_ORGANIZATION_MODE',
    'RATE_LIMITED',
  ],
  input: object({ token, password: optional(Password), ...personNames }),
  example: { token: '<invitation_token>', password: 'SecurePassword123!', givenName: 'Ada', familyName: 'Lovelace' },
  output: either(LoginResult, MfaRequired, ActionsRequired, Accepted),
  prepare: async (ctx, input) => (isPerson(ctx) ? undefined : accepting.prepare(ctx, input)),
  async run(ctx, input, hash) {
    if (hash === undefined) return accepted(ctx, await accepting.acceptAs(ctx, { token: input.token }))
    const { proof, signsIn, ...done } = await accepting.accept(ctx, input, hash)
    return signsIn ? answerLogin(ctx, await settle(ctx, proof)) : accepted(ctx, done, proof.user.id)
  },
})

export const received = operation({
  id: 'invitations.received',
  summary: 'List the invitations to your own address',
  description: 'Once your address is verified, they are accepted without the link.',
  tag,
  auth: 'user',
  effect: 'read',
  input: object(pageInput),
  output: page(Invitation),
  async run(ctx, input) {
    const window = pageOf(input)
    return listed(ctx, await accepting.received(ctx, window), window)
  },
})

export const acceptErrors = [
  'INVITATION_EXPIRED',
  'EMAIL_VERIFICATION_REQUIRED',
  'SINGLE_ORGANIZATION_MODE',
  'ACCESS_DENIED',
  'CONFLICT',
  'RATE_LIMITED',
] as const

export const acceptReceived = operation({
  id: 'invitations.accept_received',
  summary: 'Accept an invitation to your own address',
  tag,
  auth: 'user',
  effect: 'write',
  limit: { name: 'invitation-accept', count: 20, seconds: 900 },
  errors: [
    'NOT_FOUND',
    'INVITATION_EXPIRED',
    'EMAIL_VERIFICATION_REQUIRED',
    'ACCESS_DENIED',
    'CONFLICT',
    'RATE_LIMITED',
  ],
  input: object({ id: uuid() }),
  output: Accepted,
  run: async (ctx, input) => accepted(ctx, await accepting.acceptPending(ctx, input.id)),
})
