/** Accepting invitations: by what was mailed, with or without an account, or as whose verified address was invited. */
import { type Context, operation } from '../domain/context.ts'
import * as accepting from '../domain/invitations/accept.ts'
import * as memberships from '../domain/memberships.ts'
import { settle } from '../domain/sign-in.ts'
import { fail } from '../kernel/errors.ts'
import {
  array,
  boolean,
  either,
  email,
  instant,
  nullable,
  object,
  optional,
  page,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { Invitation, tag, view } from './invitations.ts'
import { ActionsRequired, answerLogin, LoginResult, MfaRequired } from './login-answer.ts'
import { Password, paged, pageInput, personNames } from './shapes.ts'

/** All ways of accepting share it: secrets are guessed here. */
const limit = { name: 'invitation-accept', count: 20, seconds: 900 }
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
    roles: row.roles.map(({ name }) => name),
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

const Accepted = resource('AcceptedInvitation', {
  invitation: Invitation,
  organization: Place,
  workspace: Place,
  membership: nullable(object({ role: string({ description: 'In the organization' }) })),
})

async function accepted(ctx: Context, { row, where }: accepting.Accepted, userId = ctx.actor!.userId!) {
  const membership = where.organization && (await memberships.holding(ctx, where.organization.id, userId))
  return {
    invitation: view(row),
    ...where,
    membership: membership ? { role: membership.role } : null,
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
  limit,
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
  run: (ctx, input) => paged(input, (window) => accepting.received(ctx, window), view),
})

const joining = {
  tag,
  auth: 'user',
  effect: 'write',
  limit,
  output: Accepted,
} as const

const acceptErrors = [
  'INVITATION_EXPIRED',
  'EMAIL_VERIFICATION_REQUIRED',
  'SINGLE_ORGANIZATION_MODE',
  'ACCESS_DENIED',
  'CONFLICT',
  'RATE_LIMITED',
] as const

export const acceptReceived = operation({
  ...joining,
  id: 'invitations.accept_received',
  summary: 'Accept an invitation to your own address',
  errors: [...acceptErrors, 'NOT_FOUND'],
  input: object({ id: uuid() }),
  run: async (ctx, input) => accepted(ctx, await accepting.acceptPending(ctx, input.id)),
})

const secretErrors = [...acceptErrors, 'INVALID_TOKEN', 'EMAIL_MISMATCH'] as const

/** Codes are much shorter than tokens. */
const joinBy = async (ctx: Context, secret: string) =>
  accepted(ctx, await accepting.acceptAs(ctx, secret.length > 20 ? { token: secret } : { code: secret }))

export const join = operation({
  ...joining,
  id: 'invitations.join',
  summary: 'Join via invitation code',
  description: 'The code of the mail, or the token of its link.',
  errors: secretErrors,
  input: object({ invitationCode: text(512) }),
  example: { invitationCode: 'abc123def456' },
  run: (ctx, input) => joinBy(ctx, input.invitationCode),
})

export const acceptByToken = operation({
  ...joining,
  id: 'invitations.accept_by_token',
  summary: 'Accept invitation',
  errors: secretErrors,
  input: object({ token: text(512, { description: 'Of the mailed link, or the code of the mail' }) }),
  example: { token: '<invitation_token>' },
  run: (ctx, input) => joinBy(ctx, input.token),
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
