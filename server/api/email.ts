/** Proving an e-mail address. */
import * as accounts from '../domain/accounts.ts'
import { operation } from '../domain/context.ts'
import { email, nothing, object, text } from '../kernel/schema.ts'
import { Done, done } from './shapes.ts'

const tag = 'Email verification'

export const sendVerification = operation({
  id: 'email.send_verification',
  summary: 'Send verification email',
  tag,
  auth: 'user',
  effect: 'write',
  limit: { name: 'verification', count: 5, seconds: 3600 },
  input: nothing,
  output: Done,
  async run(ctx) {
    accounts.sendVerification(ctx, ctx.actor!.user!)
    return done(ctx.actor!.user!.email_verified_at ? 'Your address is verified already' : 'Check your mail')
  },
})

export const resendVerification = operation({
  id: 'email.resend_verification',
  summary: 'Resend email verification link',
  description: 'Answers the same whether the address has an account or not.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'verification', count: 5, seconds: 3600 },
  input: object({ email: email() }),
  example: { email: 'user@example.com' },
  output: Done,
  async run(ctx, input) {
    await accounts.resendVerification(ctx, input.email)
    return done('If the address waits for verification, a mail is on its way')
  },
})

export const verify = operation({
  id: 'email.verify',
  summary: 'Verify email with token',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'verify-email', count: 30, seconds: 900 },
  errors: ['INVALID_TOKEN', 'RATE_LIMITED'],
  input: object({ token: text(512) }),
  example: { token: 'token-from-email' },
  output: Done,
  async run(ctx, input) {
    await accounts.verifyEmail(ctx, input.token)
    return done('Your address is verified')
  },
})
