/** The second step of a sign-in over REST. */
import type { Attempt } from '../domain/attempts.ts'
import { type Context, operation } from '../domain/context.ts'
import * as enrolment from '../domain/factors/enrolment.ts'
import * as second from '../domain/factors/second.ts'
import type { Proof } from '../domain/proofs.ts'
import * as actions from '../domain/required-actions.ts'
import { settle } from '../domain/sign-in.ts'
import { PHONE } from '../domain/users.ts'
import { fail } from '../kernel/errors.ts'
import {
  anything,
  array,
  either,
  integer,
  label,
  object,
  oneOf,
  optional,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { answerLogin, LoginAnswer } from './login-answer.ts'
import {
  appSetup,
  Code,
  type Enabling,
  enableNow,
  keepSessions,
  MfaEnabled,
  prepareEnable,
  setupFields,
} from './mfa.ts'
import { Done, done, Password } from './shapes.ts'

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

/** The tokens that the finished sign-in has earned, or what is still owed. */
const answer = async (ctx: Context, { attempt: from }: { attempt: Attempt }, proof: Proof) => {
  const clientId = from.clientId ?? undefined
  return answerLogin(ctx, await settle(ctx, proof, { clientId }), clientId)
}

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

const mfaToken = text(128, { description: 'As the answer that asked for it said' })

const Enrolment = resource('Enrolment', {
  ...setupFields,
  method: oneOf(enrolment.ENROLLED),
  options: optional(
    anything({ type: 'object', description: 'Of a passkey, for parseCreationOptionsFromJSON() of the browser' }),
  ),
  expiresIn: optional(integer({ description: 'Seconds to answer the options in' })),
})

export const beginEnrolment = operation({
  ...common,
  id: 'auth.login_enrol',
  summary: 'Set up a first second factor within a sign-in',
  description:
    'Where a sign-in answered enrolment_required. The token does this and nothing else. What is set up is active once a code proves it.',
  limit: { name: 'mfa-setup', count: 20, seconds: 3600 },
  errors: ['VALIDATION_ERROR', 'UNAUTHORIZED', 'CONFLICT', 'RATE_LIMITED', 'UNAVAILABLE'],
  input: object({
    mfaToken,
    method: optional(oneOf(enrolment.ENROLLED, { description: 'One of enrolment_methods; the first where absent' })),
    phoneNumber: optional(text(32, { description: 'For sms, of who has verified none yet', pattern: PHONE.source })),
  }),
  example: { mfaToken: 'Oqso5b_q', method: 'totp' },
  output: Enrolment,
  prepare: (ctx, { mfaToken, ...wish }) => enrolment.plan(ctx, { mfaToken }, wish),
  async run(ctx, _input, plan) {
    const { setup, passkey } = await enrolment.begin(ctx, plan)
    if (setup) return appSetup(setup)
    if (passkey) return { method: plan.method, ...passkey, message: 'Send back what the browser answers' }
    return { method: plan.method, message: 'Send back the code that is on its way' }
  },
})

export const finishEnrolment = operation({
  ...common,
  id: 'auth.login_enrolled',
  summary: 'Prove the new second factor and complete the sign-in',
  description: 'By a code of it, or the answer about a passkey. Five tries. The backup codes are shown this once.',
  errors: [...codeErrors, 'INVALID_TOKEN', 'NOT_FOUND', 'CONFLICT'],
  input: object({
    mfaToken,
    code: optional(Code),
    credential: optional(anything({ type: 'object', description: "The browser's answer as toJSON() gives it" })),
    name: optional(label(100, { description: 'Of the passkey' })),
  }),
  example: { mfaToken: 'Oqso5b_q', code: '123456' },
  output: object({ backupCodes: optional(array(string())), login: LoginAnswer }),
  prepare: (ctx, { mfaToken, ...given }) => enrolment.check(ctx, { mfaToken }, given),
  async run(ctx, _input, checked) {
    const { backupCodes, proof } = await enrolment.complete(ctx, checked)
    return { ...(backupCodes && { backupCodes }), login: await answer(ctx, checked, proof) }
  },
})

export const act = operation({
  ...common,
  id: 'auth.login_actions',
  summary: 'Do what a sign-in still asks for: accept the terms, choose a new password',
  description: 'Where a sign-in answered actions_required. All of them at once.',
  errors: [...codeErrors, 'WEAK_PASSWORD', 'UNAVAILABLE'],
  input: object({
    mfaToken,
    acceptTerms: optional(text(64, { description: 'The version of the terms that the person accepts' })),
    newPassword: optional(Password),
  }),
  example: { mfaToken: 'Oqso5b_q', acceptTerms: '2026-01' },
  output: LoginAnswer,
  prepare: (ctx, { mfaToken, ...given }) => actions.check(ctx, { mfaToken }, given),
  run: async (ctx, _input, checked) => answer(ctx, checked, await actions.complete(ctx, checked)),
})

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
