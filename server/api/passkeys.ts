/** Passkeys over REST: registering and managing one's own, and signing in with one. */
import * as attempts from '../domain/attempts.ts'
import { type Context, operation } from '../domain/context.ts'
import { assertMayChange } from '../domain/factors.ts'
import * as passkeys from '../domain/passkeys.ts'
import * as sessions from '../domain/sessions.ts'
import { settle } from '../domain/sign-in.ts'
import {
  anything,
  array,
  boolean,
  instant,
  integer,
  nothing,
  nullable,
  object,
  optional,
  page,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { answerLogin, LoginAnswer } from './login-answer.ts'
import { Done, done } from './shapes.ts'

const tag = 'Passkeys'

const Passkey = resource('Passkey', {
  id: uuid(),
  credentialId: string({ description: "The authenticator's own id, base64url" }),
  name: nullable(string()),
  transports: array(string()),
  backupEligible: boolean({ description: 'May be kept in step between devices' }),
  backedUp: boolean(),
  aaguid: string({ description: 'Make of the authenticator; zeros where it does not say' }),
  createdAt: instant(),
  lastUsedAt: nullable(instant()),
})
const view = (row: passkeys.PasskeyRow) => ({
  id: row.id,
  credentialId: row.external_id,
  name: row.name,
  transports: row.data.transports,
  backupEligible: row.data.backupEligible,
  backedUp: row.data.backedUp,
  aaguid: row.data.aaguid,
  createdAt: row.created_at,
  lastUsedAt: row.last_used_at,
})

const Begun = object({
  options: anything({
    type: 'object',
    description: 'For navigator.credentials, by parseCreationOptionsFromJSON() or parseRequestOptionsFromJSON()',
  }),
  expiresIn: integer({ description: 'Seconds' }),
})
const answer = anything({ type: 'object', description: "The browser's answer as toJSON() gives it" })
const name = text(100)
const endOtherSessions = optional(boolean({ default: false, description: 'Signs you out everywhere else' }))
/** Ours, or the authenticator's own. */
const id = text(1400, { description: 'id or credential_id of the passkey' })

export const beginRegistration = operation({
  id: 'passkeys.register_begin',
  summary: 'Begin WebAuthn credential registration',
  description: 'Asks for a sign-in within the last 15 minutes, with a second factor of who has one.',
  tag,
  auth: 'user',
  evenIfWeak: true,
  effect: 'write',
  limit: { name: 'webauthn-register', count: 30, seconds: 900 },
  errors: ['INSUFFICIENT_AUTHENTICATION', 'CONFLICT', 'RATE_LIMITED'],
  input: nothing,
  output: Begun,
  prepare: (ctx) => assertMayChange(ctx),
  async run(ctx) {
    return passkeys.beginRegistration(ctx, ctx.actor!.user!)
  },
})

export const finishRegistration = operation({
  id: 'passkeys.register_finish',
  summary: 'Complete WebAuthn credential registration',
  tag,
  auth: 'user',
  evenIfWeak: true,
  effect: 'write',
  limit: { name: 'webauthn-register', count: 30, seconds: 900 },
  errors: ['VALIDATION_ERROR', 'INVALID_TOKEN', 'INSUFFICIENT_AUTHENTICATION', 'CONFLICT', 'RATE_LIMITED'],
  input: object({
    credential: answer,
    name: optional(name),
    endOtherSessions,
  }),
  example: { credential: {}, name: 'Phone' },
  output: object({ credential: Passkey, message: string() }),
  async prepare(ctx, input) {
    await assertMayChange(ctx)
    return passkeys.checkRegistration(ctx, ctx.actor!.userId!, input.credential)
  },
  async run(ctx, input, made) {
    const { user, userId, sessionId } = ctx.actor!
    const row = await passkeys.add(ctx, user!, made, input.name)
    if (input.endOtherSessions) await sessions.endAll(ctx, userId!, sessionId)
    return { credential: view(row), message: 'The passkey is registered' }
  },
})

export const list = operation({
  id: 'passkeys.list',
  summary: 'List registered WebAuthn credentials',
  tag,
  auth: 'user',
  evenIfWeak: true,
  effect: 'read',
  input: nothing,
  output: page(Passkey),
  async run(ctx) {
    const items = (await passkeys.list(ctx, ctx.actor!.userId!)).map(view)
    return { items, limit: items.length, offset: 0, count: items.length, total: items.length }
  },
})

export const rename = operation({
  id: 'passkeys.rename',
  summary: 'Rename a WebAuthn credential',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['VALIDATION_ERROR', 'NOT_FOUND'],
  input: object({ id, name }),
  example: { name: 'Old phone' },
  output: Passkey,
  run: async (ctx, input) => view(await passkeys.rename(ctx, ctx.actor!.userId!, input.id, input.name)),
})

export const remove = operation({
  id: 'passkeys.remove',
  summary: 'Delete a WebAuthn credential',
  description:
    'Asks for a sign-in within the last 15 minutes, with a second factor of who has one. The owner is told by mail.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['VALIDATION_ERROR', 'NOT_FOUND', 'INSUFFICIENT_AUTHENTICATION'],
  input: object({ id, endOtherSessions }),
  output: Done,
  prepare: (ctx) => assertMayChange(ctx),
  async run(ctx, input) {
    const { userId, sessionId } = ctx.actor!
    await passkeys.remove(ctx, userId!, input.id)
    if (input.endOtherSessions) await sessions.endAll(ctx, userId!, sessionId)
    return done('The passkey is removed')
  },
})

const attemptKeys = {
  mfaToken: optional(text(512, { description: 'From the answer of the first factor' })),
  userId: optional(uuid({ description: 'In place of mfa_token, from the same address and user agent' })),
}
const findAttempt = (ctx: Context, { mfaToken, userId }: { mfaToken?: string; userId?: string }) =>
  attempts.find(ctx, { mfaToken, userId })

export const beginSignIn = operation({
  id: 'passkeys.login_begin',
  summary: 'Begin WebAuthn login',
  description:
    'With `mfa_token` (or `user_id`) of a waiting sign-in: its second factor. With neither: passwordless, by any discoverable passkey.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'webauthn-begin', count: 60, seconds: 900 },
  errors: ['UNAUTHORIZED', 'NOT_FOUND', 'RATE_LIMITED'],
  input: object(attemptKeys),
  example: {},
  output: Begun,
  async run(ctx, input) {
    const waiting = input.mfaToken || input.userId
    return passkeys.beginSignIn(ctx, { attempt: waiting ? await findAttempt(ctx, input) : undefined })
  },
})

export const finishSignIn = operation({
  id: 'passkeys.login_finish',
  summary: 'Complete WebAuthn login',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'webauthn-finish', count: 60, seconds: 900 },
  errors: [
    'VALIDATION_ERROR',
    'INVALID_TOKEN',
    'INVALID_CODE',
    'INVALID_CREDENTIALS',
    'UNAUTHORIZED',
    'ACCOUNT_DISABLED',
    'ACCOUNT_LOCKED',
    'EMAIL_VERIFICATION_REQUIRED',
    'ACCESS_DENIED',
    'RATE_LIMITED',
  ],
  input: object({ ...attemptKeys, credential: answer }),
  example: { credential: {} },
  output: LoginAnswer,
  prepare: (ctx, input) => passkeys.checkSignIn(ctx, input.credential, { findAttempt: () => findAttempt(ctx, input) }),
  async run(ctx, _input, used) {
    const proof = await passkeys.proofOf(ctx, used)
    return answerLogin(ctx, await settle(ctx, proof), used.attempt?.clientId ?? undefined)
  },
})
