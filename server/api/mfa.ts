/** Second factors of the caller: which they have, setting one up, turning it on and off, backup codes. */
import { qrSvg } from '../../adapters/qr.ts'
import { type Context, operation, type UserRow } from '../domain/context.ts'
import * as backup from '../domain/factors/backup.ts'
import * as sms from '../domain/factors/sms.ts'
import * as totp from '../domain/factors/totp.ts'
import * as factors from '../domain/factors.ts'
import * as sessions from '../domain/sessions.ts'
import {
  array,
  boolean,
  instant,
  integer,
  nothing,
  nullable,
  object,
  oneOf,
  optional,
  resource,
  string,
  text,
} from '../kernel/schema.ts'

const tag = 'Multi-factor authentication'

export const Code = text(32, { description: 'As shown by the app, or as sent' })
const Method = oneOf(factors.FACTORS)
const setUpMethod = optional(oneOf(['totp', 'sms'], { default: 'totp', description: 'An authenticator app, or SMS' }))
export const keepSessions = optional(
  boolean({ default: false, description: 'Leaves your other sessions signed in; else they end' }),
)
const stepUp = optional(
  text(32, { description: 'A code of the authenticator app or a backup code, in place of a recent sign-in' }),
)

export const MfaStatus = resource('MfaStatus', {
  enabled: boolean(),
  methods: array(Method),
  preferredMethod: nullable(Method),
  factors: array(
    object({ type: Method, name: nullable(string()), createdAt: instant(), lastUsedAt: nullable(instant()) }),
  ),
  backupCodesRemaining: integer(),
  policy: oneOf(['off', 'optional', 'required']),
})
export const MfaEnabled = resource('MfaEnabled', {
  enabled: boolean(),
  method: Method,
  backupCodes: optional(
    array(string(), { description: 'Ten, each good for one sign-in. Shown this once, to who has none yet' }),
  ),
})
export const setupFields = {
  secret: optional(string({ description: 'Base32, for typing by hand' })),
  url: optional(string({ description: 'otpauth:// address for the authenticator app' })),
  qrSvg: optional(string({ description: 'The address as a QR code', maxLength: 200_000 })),
  message: string(),
}
const MfaSetup = resource('MfaSetup', { ...setupFields, method: oneOf(['totp', 'sms']) })
const off = resource('MfaDisabled', { disabled: array(Method), methods: array(Method) })

const me = (ctx: Context): UserRow => ctx.actor!.user!

export const status = operation({
  id: 'mfa.status',
  summary: 'Get MFA status and enabled methods',
  tag,
  auth: 'user',
  evenIfWeak: true,
  effect: 'read',
  input: nothing,
  output: MfaStatus,
  run: (ctx) => factors.status(ctx, me(ctx).id),
})

export const setUp = operation({
  id: 'mfa.setup',
  summary: 'Set up a second factor: an authenticator app (TOTP) or SMS',
  description:
    'Not active before a code proves it; what was active stays so until then. SMS sends a code to the verified phone.',
  tag,
  auth: 'user',
  evenIfWeak: true,
  effect: 'write',
  limit: { name: 'mfa-setup', count: 20, seconds: 3600 },
  errors: ['VALIDATION_ERROR', 'INSUFFICIENT_AUTHENTICATION', 'RATE_LIMITED'],
  input: object({ method: setUpMethod, stepUpCode: stepUp }),
  example: { method: 'totp' },
  output: MfaSetup,
  prepare: (ctx, input) => factors.assertMayChange(ctx, input.stepUpCode),
  async run(ctx, input, allowed) {
    await allowed(ctx)
    if (input.method === 'sms') {
      await sms.setUp(ctx, me(ctx))
      return { method: 'sms' as const, message: 'Send back the code we have texted you' }
    }
    return appSetup(await totp.setUp(ctx, me(ctx)))
  },
})

export const appSetup = ({ secret, url }: totp.TotpSetup) => ({
  method: 'totp' as const,
  secret,
  url,
  qrSvg: qrSvg(url),
  message: 'Scan the code with an authenticator app and send back what it shows',
})

/** What enabling needs besides the code: shared with the row that also completes sign-ins. */
export interface Enabling {
  allowed: factors.Allowed
  smsId: string | undefined
}
export async function prepareEnable(
  ctx: Context,
  input: { code: string; method?: 'totp' | 'sms' | undefined; stepUpCode?: string | undefined },
): Promise<Enabling> {
  const allowed = await factors.assertMayChange(ctx, input.stepUpCode)
  const smsId = input.method === 'sms' ? await sms.checkSetUp(ctx, me(ctx).id, input.code.trim()) : undefined
  return { allowed, smsId }
}
export async function enableNow(
  ctx: Context,
  input: { code: string; keepSessions?: boolean | undefined },
  { allowed, smsId }: Enabling,
) {
  await allowed(ctx)
  const options = { keepSessions: input.keepSessions }
  const codes = smsId
    ? await factors.enableSms(ctx, me(ctx).id, smsId, options)
    : await factors.enableTotp(ctx, me(ctx).id, input.code, options)
  return { enabled: true, method: smsId ? ('sms' as const) : ('totp' as const), ...(codes && { backupCodes: codes }) }
}

export const enable = operation({
  id: 'mfa.enable',
  summary: 'Enable the second factor that was set up, by a code of it',
  description: 'Ends your other sessions and tells you by mail.',
  tag,
  auth: 'user',
  evenIfWeak: true,
  effect: 'write',
  limit: { name: 'mfa-enable', count: 30, seconds: 900 },
  errors: ['VALIDATION_ERROR', 'INVALID_CODE', 'INSUFFICIENT_AUTHENTICATION', 'NOT_FOUND', 'RATE_LIMITED'],
  input: object({ code: Code, method: setUpMethod, keepSessions, stepUpCode: stepUp }),
  example: { code: '123456' },
  output: MfaEnabled,
  prepare: prepareEnable,
  run: enableNow,
})

export const enableEmail = operation({
  id: 'mfa.email_enable',
  summary: 'Enable email-based MFA',
  description: 'Needs a verified address.',
  tag,
  auth: 'user',
  evenIfWeak: true,
  effect: 'write',
  errors: ['EMAIL_VERIFICATION_REQUIRED', 'INVALID_CODE', 'INSUFFICIENT_AUTHENTICATION'],
  input: object({ keepSessions, stepUpCode: stepUp }),
  example: {},
  output: MfaEnabled,
  prepare: (ctx, input) => factors.assertMayChange(ctx, input.stepUpCode),
  async run(ctx, input, allowed) {
    await allowed(ctx)
    const codes = await factors.enableEmail(ctx, me(ctx), { keepSessions: input.keepSessions })
    return { enabled: true, method: 'email' as const, ...(codes && { backupCodes: codes }) }
  },
})

/** Passkeys are more than a second factor and have their own rows. */
const removable = { totp: ['totp'], sms: ['sms'], email: ['email'], all: ['totp', 'sms', 'email'] } as const

export const disable = operation({
  id: 'mfa.disable',
  summary: 'Disable a second factor',
  description:
    'Needs a recent sign-in, or a code. With the last factor the backup codes go. `all` leaves passkeys, which are removed one by one.',
  tag,
  auth: 'user',
  effect: 'write',
  limit: { name: 'mfa-enable', count: 30, seconds: 900 },
  errors: ['INVALID_CODE', 'INSUFFICIENT_AUTHENTICATION', 'NOT_FOUND', 'CONFLICT', 'RATE_LIMITED'],
  input: object({
    method: optional(oneOf(['totp', 'sms', 'email', 'all'], { default: 'totp' })),
    code: stepUp,
    keepSessions,
  }),
  example: { code: '123456' },
  output: off,
  prepare: (ctx, input) => factors.assertMayChange(ctx, input.code),
  async run(ctx, input, allowed) {
    await allowed(ctx)
    const wanted = removable[input.method ?? 'totp']
    const before = (await factors.status(ctx, me(ctx).id)).methods
    await factors.disable(ctx, me(ctx).id, wanted, { keepSessions: input.keepSessions })
    const { methods } = await factors.status(ctx, me(ctx).id)
    return { disabled: before.filter((f) => !methods.includes(f)), methods }
  },
})

export const newBackupCodes = operation({
  id: 'mfa.backup_codes',
  summary: 'Generate new backup codes',
  description: 'All earlier ones are dead. They are shown this once.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['INVALID_CODE', 'INSUFFICIENT_AUTHENTICATION', 'CONFLICT'],
  input: object({
    code: stepUp,
    endOtherSessions: optional(boolean({ default: false, description: 'Signs you out everywhere else' })),
  }),
  output: object({ backupCodes: array(string()) }),
  prepare: (ctx, input) => factors.assertMayChange(ctx, input.code),
  async run(ctx, input, allowed) {
    await allowed(ctx)
    const backupCodes = await factors.newBackupCodes(ctx, me(ctx).id)
    if (input.endOtherSessions) await sessions.endAll(ctx, me(ctx).id, ctx.actor!.sessionId)
    return { backupCodes }
  },
})

export const countBackupCodes = operation({
  id: 'mfa.backup_codes_count',
  summary: 'Get remaining backup code count',
  tag,
  auth: 'user',
  effect: 'read',
  input: nothing,
  output: object({ count: integer() }),
  run: async (ctx) => ({ count: await backup.remaining(ctx, me(ctx).id) }),
})

export const prefer = operation({
  id: 'mfa.preferred',
  summary: 'Set preferred MFA method',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['VALIDATION_ERROR'],
  input: object({ method: Method }),
  example: { method: 'totp' },
  output: MfaStatus,
  async run(ctx, input) {
    await factors.prefer(ctx, me(ctx).id, input.method)
    return factors.status(ctx, me(ctx).id)
  },
})

export const updateSecurity = operation({
  id: 'mfa.update_security',
  summary: 'Update security settings',
  description: 'Absent keys stay. Turning a factor on or off needs a recent sign-in, or a code.',
  tag,
  auth: 'user',
  effect: 'write',
  limit: { name: 'mfa-enable', count: 30, seconds: 900 },
  errors: [
    'VALIDATION_ERROR',
    'EMAIL_VERIFICATION_REQUIRED',
    'INVALID_CODE',
    'INSUFFICIENT_AUTHENTICATION',
    'CONFLICT',
  ],
  input: object({
    preferredMethod: optional(Method),
    emailMfa: optional(boolean({ description: 'Codes by mail as a second factor' })),
    code: stepUp,
    keepSessions,
  }),
  example: { preferredMethod: 'totp', emailMfa: true },
  output: MfaStatus,
  prepare: async (ctx, input) => (input.emailMfa === undefined ? undefined : factors.assertMayChange(ctx, input.code)),
  async run(ctx, input, allowed) {
    await allowed?.(ctx)
    const userId = me(ctx).id
    const { methods } = await factors.status(ctx, userId)
    const has = methods.includes('email')
    const options = { keepSessions: input.keepSessions }
    if (input.emailMfa === true && !has) await factors.enableEmail(ctx, me(ctx), options)
    if (input.emailMfa === false && has) await factors.disable(ctx, userId, ['email'], options)
    if (input.preferredMethod) await factors.prefer(ctx, userId, input.preferredMethod)
    return factors.status(ctx, userId)
  },
})
