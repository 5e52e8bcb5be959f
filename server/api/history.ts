/** What a person may read about their own account: sign-ins, security events, the audit log, live tokens. */
import { type Context, operation } from '../domain/context.ts'
import * as history from '../domain/history.ts'
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
  record,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { Done, done, paged, pageInput } from './shapes.ts'

const tag = 'History'

const fields = {
  id: uuid(),
  ip: nullable(string()),
  country: nullable(string({ description: 'ISO 3166-1 alpha-2' })),
  city: nullable(string({ description: 'Where the operator has a database of cities' })),
  device: string({ description: 'In words, such as Firefox on Linux' }),
  userAgent: nullable(string()),
  clientId: nullable(string()),
  sessionId: nullable(string()),
  createdAt: instant(),
}
const Login = resource('Login', {
  ...fields,
  eventType: string({ description: 'login.success, login.failed, login.mfa_failed' }),
  success: boolean(),
  reason: nullable(string({ description: 'Why it failed' })),
  methods: array(string(), { description: 'How it was proven (RFC 8176 names)' }),
})
const Entry = resource('AuditEntry', {
  ...fields,
  eventType: string(),
  userId: uuid(),
  actorId: nullable(uuid({ description: 'Who did it, where it was not the person' })),
  data: record(anything()),
})

const login = ({ type, data, ...event }: history.EventView) => ({
  ...event,
  eventType: type,
  success: event.success ?? false,
  reason:
    typeof data.reason === 'string' ? data.reason : typeof data.factor === 'string' ? `wrong_${data.factor}` : null,
  methods: Array.isArray(data.amr) ? (data.amr as string[]) : [],
})
const entry = ({ type, ...event }: history.EventView) => ({ ...event, eventType: type })

const readOn = object({
  ...pageInput,
  cursor: optional(uuid({ description: 'next_cursor of the page before; faster than offset' })),
})

const read = <T>(
  ctx: Context,
  kind: history.Kind,
  { cursor, ...input }: { limit?: number; offset?: number; cursor?: string },
  shape: (event: history.EventView) => T,
) => paged(input, (window) => history.list(ctx, ctx.actor!.userId!, kind, { ...window, cursor }), shape)

export const logins = operation({
  id: 'history.logins',
  summary: 'Get login history for current user',
  tag,
  auth: 'user',
  effect: 'read',
  input: readOn,
  output: page(Login),
  run: (ctx, input) => read(ctx, 'logins', input, login),
})

export const securityEvents = operation({
  id: 'history.security_events',
  summary: 'Security events',
  tag,
  auth: 'user',
  effect: 'read',
  input: readOn,
  output: page(Entry),
  run: (ctx, input) => read(ctx, 'security', input, entry),
})

export const auditLogs = operation({
  id: 'history.audit_logs',
  summary: 'User audit logs',
  description: 'Everything written down about your account.',
  tag,
  auth: 'user',
  effect: 'read',
  input: readOn,
  output: page(Entry),
  run: (ctx, input) => read(ctx, 'all', input, entry),
})

export const stats = operation({
  id: 'history.session_stats',
  summary: 'Session stats',
  tag,
  auth: 'user',
  effect: 'read',
  input: nothing,
  output: object({
    activeSessions: integer(),
    browserSessions: integer(),
    apiSessions: integer(),
    devices: integer(),
    logins: integer({ description: 'In the last 30 days' }),
    failedLogins: integer({ description: 'In the last 30 days' }),
    countries: array(string(), { description: 'Of live sessions' }),
    lastLoginAt: nullable(instant()),
  }),
  run: (ctx) => history.stats(ctx, ctx.actor!.userId!),
})

const RefreshToken = resource('RefreshTokenSession', {
  id: string({ description: 'Stays the same while the token rotates' }),
  clientId: string(),
  sessionId: nullable(string()),
  scope: nullable(string()),
  current: boolean({ description: 'The one this request stands on' }),
  ip: nullable(string()),
  device: nullable(string()),
  country: nullable(string()),
  createdAt: instant(),
  lastUsedAt: nullable(instant()),
  expiresAt: instant(),
})

export const tokens = operation({
  id: 'history.tokens',
  summary: 'Active refresh-token sessions',
  tag,
  auth: 'user',
  effect: 'read',
  input: object(pageInput),
  output: page(RefreshToken),
  run: (ctx, input) => paged(input, (window) => history.tokens(ctx, ctx.actor!.userId!, window)),
})

export const revokeToken = operation({
  id: 'history.revoke_token',
  summary: 'Revoke one refresh token (log out one device)',
  description: 'Its access tokens end with it, and so does the session of an API login.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ tokenId: text(128) }),
  output: Done,
  async run(ctx, input) {
    await history.revokeToken(ctx, ctx.actor!.userId!, input.tokenId)
    return done('The token is revoked')
  },
})
