/** A person's own account as a whole: its address, the apps that may use it, all that is known of it, and its end. */
import * as consents from '../domain/consents.ts'
import { operation } from '../domain/context.ts'
import { exportOf } from '../domain/data-export.ts'
import * as deletion from '../domain/deletion.ts'
import * as emailChange from '../domain/email-change.ts'
import {
  anything,
  array,
  email,
  instant,
  nullable,
  object,
  optional,
  record,
  resource,
  string,
  text,
} from '../kernel/schema.ts'
import { Done, done, Password } from './shapes.ts'

const tag = 'Account'

export const changeEmail = operation({
  id: 'account.change_email',
  summary: 'Ask for another e-mail address',
  description:
    'Needs a sign-in of the last 15 minutes (RFC 9470). The new address gets a link that proves it; the present one stays until then, is told, and can undo it for 14 days.',
  tag,
  auth: 'user',
  effect: 'write',
  limit: { name: 'change-email', count: 5, seconds: 3600 },
  errors: ['INSUFFICIENT_AUTHENTICATION', 'CONFLICT'],
  input: object({ email: email() }),
  example: { email: 'new@example.com' },
  output: Done,
  async run(ctx, input) {
    await emailChange.request(ctx, ctx.actor!.user!, input.email)
    return done('A link is on its way to the new address')
  },
})

export const confirmEmail = operation({
  id: 'account.confirm_email',
  summary: 'Prove the new e-mail address with the token mailed to it',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'verify-email', count: 30, seconds: 900 },
  errors: ['INVALID_TOKEN', 'CONFLICT'],
  input: object({ token: text(512) }),
  example: { token: 'token-from-email' },
  output: Done,
  async run(ctx, input) {
    await emailChange.confirm(ctx, input.token)
    return done('The account has the new address now')
  },
})

export const undoEmail = operation({
  id: 'account.undo_email',
  summary: 'Take a change of the e-mail address back with the token mailed to the former one',
  description: 'Ends all sessions and mails a link to choose a new password.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'verify-email', count: 30, seconds: 900 },
  errors: ['INVALID_TOKEN', 'CONFLICT'],
  input: object({ token: text(512) }),
  example: { token: 'token-from-email' },
  output: Done,
  async run(ctx, input) {
    await emailChange.undo(ctx, input.token)
    return done('The account keeps its former address. Choose a new password by the link in your mail')
  },
})

const Consent = resource('Consent', {
  clientId: string(),
  name: string(),
  uri: nullable(string()),
  logoUri: nullable(string()),
  scopes: array(string()),
  resources: array(
    object({
      name: string(),
      scopes: array(object({ name: string(), description: nullable(string()) })),
    }),
  ),
  createdAt: instant(),
  updatedAt: instant(),
})

export const listConsents = operation({
  id: 'account.consents',
  summary: 'List the apps that may use the account',
  tag,
  auth: 'user',
  effect: 'read',
  input: object({}),
  output: object({ consents: array(Consent) }),
  run: async (ctx) => ({ consents: await consents.list(ctx, ctx.actor!.userId!) }),
})

export const revokeConsent = operation({
  id: 'account.revoke_consent',
  summary: 'Take back what an app was allowed; its tokens are dead at once',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ clientId: text(255) }),
  output: Done,
  async run(ctx, input) {
    await consents.revoke(ctx, ctx.actor!.userId!, input.clientId)
    return done('The app may no longer use your account')
  },
})

export const exportData = operation({
  id: 'account.export',
  summary: 'Download everything that is known about the account',
  description: 'Without what proves who somebody is: hashes and keys stay here.',
  tag,
  auth: 'user',
  effect: 'read',
  limit: { name: 'export', count: 10, seconds: 3600 },
  input: object({}),
  output: record(anything(), { title: 'AccountExport' }),
  run: async (ctx): Promise<any> => exportOf(ctx, ctx.actor!.userId!),
})

export const remove = operation({
  id: 'account.delete',
  summary: 'Delete the account',
  description:
    'Confirm with the e-mail address, and with the password or a sign-in of the last 15 minutes. Sessions and tokens end at once; personal data is erased after 30 days.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['INVALID_CREDENTIALS', 'INSUFFICIENT_AUTHENTICATION', 'CONFLICT', 'RATE_LIMITED', 'UNAVAILABLE'],
  input: object({
    confirmation: text(254, { description: 'The address of the account, or its number where it has none' }),
    password: optional(Password),
  }),
  output: Done,
  prepare: (ctx, input) => deletion.prepare(ctx, ctx.actor!.user!, input),
  async run(ctx) {
    await deletion.remove(ctx, ctx.actor!.user!)
    return done('Your account is deleted')
  },
})
