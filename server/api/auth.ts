/** Registering, signing in and out, refreshing: the direct-login API. */
import * as accounts from '../domain/accounts.ts'
import { operation } from '../domain/context.ts'
import * as login from '../domain/login.ts'
import * as sessions from '../domain/sessions.ts'
import { definitions } from '../domain/settings.ts'
import { settle } from '../domain/sign-in.ts'
import * as tokenCookies from '../domain/token-cookies.ts'
import { PHONE } from '../domain/users.ts'
import { fail } from '../kernel/errors.ts'
import {
  anything,
  either,
  email,
  integer,
  nothing,
  object,
  optional,
  record,
  resource,
  string,
  text,
} from '../kernel/schema.ts'
import { answerLogin, LoginAnswer } from './login-answer.ts'
import { Done, done, Password, personNames, Tokens, User, userView } from './shapes.ts'

const tag = 'Authentication'
const phoneNumber = optional(text(32, { pattern: PHONE.source, description: 'E.164, such as +4915112345678' }))

export const register = operation({
  id: 'auth.register',
  summary: 'Register a new user',
  description:
    'With `email` and `password`: makes the account and mails a link that verifies the address. With `phone_number` alone (the password is optional then): makes the account and texts a code, which proves the number and signs in at `otp/verify`. With `enumeration_protection` the answer is the same for a known address or number.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'register', count: 5, seconds: 3600 },
  errors: ['VALIDATION_ERROR', 'WEAK_PASSWORD', 'REGISTRATION_DISABLED', 'CONFLICT', 'RATE_LIMITED', 'UNAVAILABLE'],
  input: object({
    email: optional(email()),
    password: optional(text(1024, { secret: true, description: 'Needed with an address' })),
    ...personNames,
    phoneNumber,
    acceptTerms: optional(
      text(64, { description: 'terms_version of the settings, where the person accepts; else signing in asks for it' }),
    ),
  }),
  example: { email: 'user@example.com', password: 'SecurePassword123!' },
  output: object({ user: optional(User), message: string() }),
  prepare: accounts.prepareRegistration,
  async run(ctx, input, hash) {
    const user = await accounts.register(ctx, input, hash)
    const message =
      input.email === undefined ? 'A code is on its way to your number' : 'Check your mail to verify your address'
    const hidden = ctx.tenant.settings.enumeration_protection
    return { ...(user && !hidden && { user: userView(user) }), message }
  },
})

export const signIn = operation({
  id: 'auth.login',
  summary: 'Login with email and password',
  description:
    'Who has no address sends `phone_number` in place of `email`; before the number is proven by a texted code, that is EMAIL_VERIFICATION_REQUIRED.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'login', count: 10, seconds: 900 },
  errors: [
    'ACCOUNT_LOCKED',
    'VALIDATION_ERROR',
    'INVALID_CREDENTIALS',
    'ACCOUNT_DISABLED',
    'ACCESS_DENIED',
    'EMAIL_VERIFICATION_REQUIRED',
    'RATE_LIMITED',
    'UNAVAILABLE',
  ],
  input: object({ email: optional(email()), phoneNumber, password: Password }),
  example: { email: 'user@example.com', password: 'SecurePassword123!' },
  output: LoginAnswer,
  async prepare(ctx, { email: address, phoneNumber: number, password }) {
    const name = address ?? number
    if (name === undefined || (address !== undefined && number !== undefined))
      throw fail('VALIDATION_ERROR', 'Send either email or phone_number')
    return login.provePassword(ctx, { name, password })
  },
  run: async (ctx, _input, proven) => answerLogin(ctx, await settle(ctx, login.proofOf(proven))),
})

const CookiesRenewed = resource('CookiesRenewed', {
  message: string(),
  expiresIn: integer({ description: 'Seconds the access token lives' }),
})

export const refresh = operation({
  id: 'auth.refresh',
  summary: 'Rotate refresh token',
  description:
    'The refresh_token grant of the token endpoint. Tokens of confidential clients need client_id and client_secret. Without a refresh_token, a page of this origin that sends `X-Token-Cookies: 1` has its cookies renewed (`/api/auth/refresh`).',
  tag,
  auth: 'anyone',
  effect: 'delegated',
  limit: { name: 'refresh', count: 100, seconds: 900 },
  errors: ['VALIDATION_ERROR', 'UNAUTHORIZED', 'RATE_LIMITED'],
  input: object({
    refreshToken: optional(text(4096)),
    clientId: optional(text(255)),
    clientSecret: optional(text(1024, { secret: true })),
  }),
  example: { refreshToken: 'rt_abc123...' },
  output: either(Tokens, CookiesRenewed),
  async run(ctx, input) {
    const inCookie = input.refreshToken === undefined
    const refreshToken = input.refreshToken ?? tokenCookies.read(ctx, 'refresh_token')
    if (refreshToken === undefined) throw fail('VALIDATION_ERROR', 'refresh_token is required')
    const tokens = await ctx.oidc.refresh(ctx, { ...input, refreshToken })
    if (inCookie) {
      tokenCookies.keep(ctx, tokens)
      return { message: 'The cookies are renewed', expiresIn: tokens.expiresIn }
    }
    return { ...tokens, refreshToken: tokens.refreshToken!, tokenType: 'Bearer' as const }
  },
})

export const signOut = operation({
  id: 'auth.logout',
  summary: 'Revoke session & tokens',
  tag,
  auth: 'user',
  evenIfWeak: true,
  effect: 'write',
  input: object({
    refreshToken: optional(text(4096, { description: 'Accepted and not needed: the whole session ends' })),
  }),
  example: { refreshToken: 'rt_…' },
  output: Done,
  async run(ctx) {
    if (ctx.actor!.sessionId) await sessions.end(ctx, ctx.actor!.userId!, ctx.actor!.sessionId)
    tokenCookies.forget(ctx)
    return done('Signed out')
  },
})

export const me = operation({
  id: 'auth.me',
  summary: 'Get current user profile',
  tag,
  auth: 'user',
  effect: 'read',
  input: nothing,
  output: User,
  run: async (ctx) => userView(ctx.actor!.user!),
})

export const settings = operation({
  id: 'auth.settings',
  summary: 'Get public authentication settings (registration, MFA flags, etc.)',
  tag,
  auth: 'anyone',
  effect: 'read',
  input: nothing,
  output: record(anything()),
  async run(ctx) {
    const open = Object.entries(definitions).filter(([, d]) => d.isPublic)
    return Object.fromEntries(open.map(([key]) => [key, ctx.tenant.settings[key as keyof typeof definitions]]))
  },
})
