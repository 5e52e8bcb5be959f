/** The second step of a sign-in over REST. */
import type { Attempt, Proof } from '../domain/attempts.ts'
import { type Context, operation } from '../domain/context.ts'
import * as second from '../domain/factors/second.ts'
import { fail } from '../kernel/errors.ts'
import { either, object, oneOf, optional, text, uuid } from '../kernel/schema.ts'
import { answerLogin, LoginAnswer } from './login-answer.ts'
import { Code, type Enabling, enableNow, keepSessions, MfaEnabled, prepareEnable } from './mfa.ts'
import { Done, done } from './shapes.ts'

const tag = 'Multi-factor authentication'
const description =
  'Name the sign-in by mfa_token; user_id alone is enough while exactly one sign-in of that person waits, asked for from the same address and user agent. Five tries.'

const attempt = {
  mfaToken: optional(text(128, { description: 'As the first step answered' })),
  userId: optional(uuid()),
}
const common = {
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'login-mfa', count: 30, seconds: 900 },
} as const
const codeErrors = [
  'VALIDATION_ERROR',
  'UNAUTHORIZED',
  'INVALID_CODE',
  'ACCOUNT_DISABLED',
  'ACCOUNT_LOCKED',
  'EMAIL_VERIFICATION_REQUIRED',
  'ACCESS_DENIED',
  'RATE_LIMITED',
] as const
const example = { userId: '018f3c1e-7a1b-7c3d-9e4f-5a6b7c8d9e0f', code: '123456' }

/** The tokens that the finished sign-in has earned. */
const answer = async (ctx: Context, { attempt: from }: { attempt: Attempt }, proof: Proof) =>
  answerLogin(ctx, { kind: 'done', proof }, from.clientId ?? undefined)

const byCode = (id: string, summary: string, factor: second.CodeFactor) =>
  operation({
    ...common,
    id,
    summary,
    description,
    errors: codeErrors,
    input: object({ ...attempt, code: Code }),
    example,
    output: LoginAnswer,
    prepare: (ctx, input) => second.check(ctx, input, input.code, factor),
    run: async (ctx, _input, checked) => answer(ctx, checked, await second.complete(ctx, checked)),
  })

const bySending = (id: string, summary: string, factor: 'email' | 'sms') =>
  operation({
    ...common,
    id,
    summary,
    description: `${description} Earlier codes are dead; three codes for one sign-in.`,
    limit: { name: 'mfa-send', count: 10, seconds: 900 },
    errors: ['VALIDATION_ERROR', 'UNAUTHORIZED', 'RATE_LIMITED'],
    input: object(attempt),
    example: { userId: example.userId },
    output: Done,
    async run(ctx, input) {
      await second.sendCode(ctx, input, factor)
      return done('A code is on its way. It works for ten minutes')
    },
  })

export const login = operation({
  ...common,
  id: 'auth.login_mfa',
  summary: 'Complete MFA verification',
  description: `${description} Without \`method\`: the authenticator app if the person has one, else the code sent last.`,
  errors: codeErrors,
  input: object({ ...attempt, code: Code, method: optional(oneOf(['totp', 'email', 'sms', 'backup_codes'])) }),
  example,
  output: LoginAnswer,
  prepare: (ctx, input) => second.check(ctx, input, input.code, input.method),
  run: async (ctx, _input, checked) => answer(ctx, checked, await second.complete(ctx, checked)),
})
export const loginByBackupCode = byCode('auth.login_mfa_backup', 'Login using a backup code', 'backup_codes')
export const loginByEmail = byCode('auth.login_mfa_email', 'Complete login with email MFA code', 'email')
export const loginBySms = byCode('auth.login_mfa_sms', 'Complete login with a texted code', 'sms')
export const sendEmail = bySending('auth.login_mfa_email_send', "Send MFA code to user's email", 'email')
export const sendSms = bySending('auth.login_mfa_sms_send', "Send MFA code to user's phone", 'sms')

/** Whether the caller names a sign-in; else it is about their own set-up. */
const isLogin = (input: { mfaToken?: string; userId?: string }) => Boolean(input.mfaToken ?? input.userId)

type Verified = { checked: second.Checked } | { enabling: Enabling }

export const verify = operation({
  ...common,
  id: 'mfa.verify',
  summary: 'Verify an MFA code, at login or at setup',
  description: `With mfa_token or user_id it completes that sign-in. Else it needs an access token and enables what was set up. ${description}`,
  errors: [...codeErrors, 'INSUFFICIENT_AUTHENTICATION', 'NOT_FOUND'],
  input: object({
    ...attempt,
    code: Code,
    method: optional(oneOf(['totp', 'email', 'sms', 'backup_codes'])),
    keepSessions,
    stepUpCode: optional(text(32)),
  }),
  example,
  output: either(MfaEnabled, LoginAnswer),
  async prepare(ctx, input): Promise<Verified> {
    if (isLogin(input)) return { checked: await second.check(ctx, input, input.code, input.method) }
    const { actor } = ctx
    if (!actor) throw fail('UNAUTHORIZED', 'Send mfa_token or user_id of the sign-in, or an access token for a set-up')
    if (actor.kind !== 'user' || (!actor.firstParty && !actor.scopes.has('account'))) {
      throw fail('ACCESS_DENIED', 'This access token was not given the account scope', {
        details: { scope: 'account' },
      })
    }
    const { code, method, stepUpCode } = input
    if (method === 'email' || method === 'backup_codes') {
      throw fail('VALIDATION_ERROR', 'method must be totp or sms to enable what was set up')
    }
    return { enabling: await prepareEnable(ctx, { code, method, stepUpCode }) }
  },
  async run(ctx, input, verified) {
    if ('enabling' in verified) return enableNow(ctx, input, verified.enabling)
    return answer(ctx, verified.checked, await second.complete(ctx, verified.checked))
  },
})
