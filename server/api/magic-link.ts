/** Passwordless sign-in: a mailed link and code. */

import { operation } from '../domain/context.ts'
import * as magicLinks from '../domain/magic-links.ts'
import { settle } from '../domain/sign-in.ts'
import { fail } from '../kernel/errors.ts'
import { boolean, email, object, optional, text } from '../kernel/schema.ts'
import { answerLogin, LoginAnswer } from './login-answer.ts'
import { Done, done } from './shapes.ts'

const tag = 'Magic link'
const allowRegistration = optional(
  boolean({ description: 'false refuses to make an account; true cannot allow what the tenant forbids' }),
)

export const send = operation({
  id: 'magic_link.send',
  summary: 'Request a magic link email for passwordless login',
  description: 'Answers the same whether the address has an account or not. Link and code work for 10 minutes, once.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: magicLinks.SEND_LIMIT,
  errors: ['ACCESS_DENIED', 'RATE_LIMITED'],
  input: object({ email: email(), allowRegistration }),
  example: { email: 'user@example.com' },
  output: Done,
  prepare: magicLinks.prepare,
  async run(ctx, input) {
    await magicLinks.request(ctx, input)
    return done('If the address can be used here, a mail with a link and a code is on its way')
  },
})

export const verify = operation({
  id: 'magic_link.verify',
  summary: 'Verify magic link token and create session',
  description:
    'Send the token of the link, or email and code. A second factor, where there is one, is still asked for.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'magic-link-verify', count: 30, seconds: 900 },
  errors: [
    'INVALID_TOKEN',
    'INVALID_CODE',
    'REGISTRATION_DISABLED',
    'ACCOUNT_DISABLED',
    'ACCOUNT_LOCKED',
    'ACCESS_DENIED',
    'RATE_LIMITED',
  ],
  input: object({
    token: optional(text(512)),
    email: optional(email()),
    code: optional(text(12)),
    allowRegistration,
  }),
  example: { token: '<magic_link_token>', allowRegistration: false },
  output: LoginAnswer,
  async prepare(ctx, { token, email: address, code }) {
    if (token) return { token }
    if (!address || !code) throw fail('VALIDATION_ERROR', 'Send token, or email and code')
    return { hash: await magicLinks.prepareCode(ctx, { email: address, code }) }
  },
  async run(ctx, input, by) {
    return answerLogin(ctx, await settle(ctx, await magicLinks.take(ctx, by, input)))
  },
})
