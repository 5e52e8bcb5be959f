/** One-time codes by mail or SMS, to sign in or to prove an address or a number. */

import { operation } from '../domain/context.ts'
import { SEND_LIMIT } from '../domain/magic-links.ts'
import * as otp from '../domain/otp.ts'
import { settle } from '../domain/sign-in.ts'
import { PHONE } from '../domain/users.ts'
import { boolean, either, email, object, oneOf, optional, resource, text } from '../kernel/schema.ts'
import { ActionsRequired, answerLogin, LoginResult, MfaRequired } from './login-answer.ts'
import { Done, done } from './shapes.ts'

const tag = 'One-time codes'
const target = {
  channel: optional(oneOf(['email', 'sms'])),
  email: optional(email()),
  phoneNumber: optional(text(32, { pattern: PHONE.source })),
  allowRegistration: optional(boolean({ description: 'false refuses to make an account' })),
}

export const send = operation({
  id: 'otp.send',
  summary: 'Create and send an OTP code (SMS or email)',
  description:
    'With an access token: to the own address or number, to verify it. Without: to sign in; by SMS only to a number that was verified before, or that somebody without an address registered. Answers the same whether there is an account or not.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: SEND_LIMIT,
  errors: ['ACCESS_DENIED', 'INSUFFICIENT_AUTHENTICATION', 'RATE_LIMITED', 'UNAVAILABLE'],
  input: object(target),
  example: { email: 'user@example.com' },
  output: Done,
  prepare: otp.prepareSend,
  async run(ctx, input, to) {
    await otp.send(ctx, to, input.allowRegistration)
    return done('If it can be used here, a code is on its way')
  },
})

const Verified = resource('Verified', { verified: boolean(), channel: oneOf(['email', 'sms']) })

export const verify = operation({
  id: 'otp.verify',
  summary: 'Validate the OTP, expire it, mark verified if needed',
  description:
    'With an access token: verifies the own address or number. Without: signs in, a second factor is still asked for.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'magic-link-verify', count: 30, seconds: 900 },
  errors: [
    'INVALID_CODE',
    'REGISTRATION_DISABLED',
    'ACCOUNT_DISABLED',
    'ACCOUNT_LOCKED',
    'EMAIL_VERIFICATION_REQUIRED',
    'ACCESS_DENIED',
    'RATE_LIMITED',
  ],
  input: object({ ...target, code: text(12) }),
  example: { email: 'user@example.com', code: '123456' },
  output: either(LoginResult, MfaRequired, ActionsRequired, Verified),
  prepare: otp.prepareVerify,
  async run(ctx, input, to) {
    const proof = await otp.verify(ctx, to, input.allowRegistration)
    if (!proof) return { verified: true, channel: to.channel }
    return answerLogin(ctx, await settle(ctx, proof))
  },
})
