/** Forgotten, reset and changed passwords. */
import * as accounts from '../domain/accounts.ts'
import { operation } from '../domain/context.ts'
import * as passwords from '../domain/passwords.ts'
import { email, object, text } from '../kernel/schema.ts'
import { Done, done, Password } from './shapes.ts'

const tag = 'Password'

export const forgot = operation({
  id: 'password.forgot',
  summary: 'Request password reset email',
  description: 'Answers the same whether the address has an account or not.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'forgot-password', count: 5, seconds: 3600 },
  input: object({ email: email() }),
  example: { email: 'user@example.com' },
  output: Done,
  async run(ctx, input) {
    await accounts.forgotPassword(ctx, input.email)
    return done('If there is an account with this address, a mail is on its way')
  },
})

export const reset = operation({
  id: 'password.reset',
  summary: 'Reset password with token',
  description: 'Ends all sessions. Never skips a second factor: sign in afterwards.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'reset-password', count: 20, seconds: 900 },
  errors: ['INVALID_TOKEN', 'WEAK_PASSWORD', 'RATE_LIMITED', 'UNAVAILABLE'],
  input: object({ token: text(512), newPassword: Password }),
  example: { token: 'reset-token-from-email', newPassword: 'NewSecurePassword123!' },
  output: Done,
  prepare: accounts.prepareReset,
  async run(ctx, input, hash) {
    await accounts.resetPassword(ctx, input.token, hash)
    return done('Your password is changed. Sign in with it')
  },
})

export const change = operation({
  id: 'password.change',
  summary: 'Change password',
  description: 'Ends all other sessions and tells the owner by mail.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['INVALID_CREDENTIALS', 'WEAK_PASSWORD', 'RATE_LIMITED', 'UNAVAILABLE'],
  input: object({ currentPassword: Password, newPassword: Password }),
  example: { currentPassword: 'OldPassword123!', newPassword: 'NewSecurePassword123!' },
  output: Done,
  prepare: (ctx, input) => accounts.prepareChange(ctx, ctx.actor!.user!, input),
  async run(ctx, _input, hash) {
    await passwords.change(ctx, ctx.actor!.user!, hash, { exceptSession: ctx.actor!.sessionId, how: 'change' })
    return done('Your password is changed. Other sessions are signed out')
  },
})
