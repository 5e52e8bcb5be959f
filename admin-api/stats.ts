/** Statistics of the tenant, and the health of the services around it. */
import { operation } from '../server/domain/context.ts'
import * as stats from '../server/domain/stats.ts'
import { array, integer, nullable, object, oneOf, optional, resource, string } from '../server/kernel/schema.ts'

const tag = 'Statistics'
const auth = { permission: 'stats:read' }

export const days = optional(integer({ minimum: 1, maximum: 90, default: 30, description: 'How far to look back' }))

const logins = {
  succeeded: integer(),
  failed: integer(),
  registered: integer(),
  people: integer({ description: 'Who signed in' }),
  perDay: array(
    object({
      date: string({ format: 'date', description: 'In UTC' }),
      succeeded: integer(),
      failed: integer(),
      registered: integer(),
    }),
  ),
}
const LoginStats = resource('LoginStats', logins)
const sessions = {
  active: integer(),
  browser: integer(),
  api: integer(),
  people: integer({ description: 'Who has any' }),
}
export const TenantStats = resource('TenantStats', {
  users: object({
    total: integer(),
    active: integer(),
    disabled: integer(),
    locked: integer(),
    unverified: integer(),
    created: integer({ description: 'Within the days asked for' }),
    secondFactor: integer({ description: 'Who has set up a second factor or a passkey' }),
    deleted: integer({ description: 'Gone, and not erased yet' }),
  }),
  sessions: object(sessions),
  clients: integer(),
  clientRequests: integer({ description: 'Waiting for approval' }),
  roles: integer(),
  organizations: integer(),
  invitations: integer({ description: 'Neither accepted nor revoked nor over' }),
  logins: LoginStats,
})

export const get = operation({
  id: 'stats.get',
  summary: 'Get system statistics',
  description: 'Users, active sessions, clients, roles, organizations, invitations; sign-ins by day.',
  tag,
  auth,
  effect: 'read',
  input: object({ days }),
  output: TenantStats,
  run: async (ctx, input) => await stats.ofTenant(ctx, input.days ?? 30),
})

export const sessionStats = operation({
  id: 'stats.sessions',
  summary: 'Session statistics',
  tag,
  auth,
  effect: 'read',
  input: object({ days }),
  output: resource('SessionStats', {
    ...sessions,
    opened: integer({ description: 'Within the days asked for' }),
    countries: array(object({ country: string(), active: integer() })),
  }),
  run: async (ctx, input) => await stats.ofSessions(ctx, input.days ?? 30),
})

export const loginStats = operation({
  id: 'stats.logins',
  summary: 'Login statistics',
  tag,
  auth,
  effect: 'read',
  input: object({ days }),
  output: LoginStats,
  run: async (ctx, input) => await stats.ofLogins(ctx, input.days ?? 30),
})

export const services = operation({
  id: 'stats.services',
  summary: 'Get service health status',
  description: 'Database, mail, SMS and Redis as seen from here, and how much waits in the job queue and for webhooks.',
  tag,
  auth,
  effect: 'read',
  input: object({}),
  output: resource('ServiceHealth', {
    services: array(
      object({
        name: oneOf(['database', 'mail', 'sms', 'redis']),
        status: oneOf(['up', 'down', 'not_configured']),
        latency: nullable(integer({ description: 'Milliseconds' })),
      }),
    ),
    queue: nullable(
      object({
        waiting: integer({ description: 'Due, and taken by nobody yet' }),
        scheduled: integer({ description: 'For later, retries among them' }),
        running: integer(),
        failed: integer({ description: 'Tried to the end' }),
        oldest: nullable(integer({ description: 'Seconds that the one waiting longest is overdue' })),
      }),
    ),
    webhooks: nullable(
      object({
        due: integer({ description: 'Deliveries of this tenant to be tried now' }),
        waiting: integer({ description: 'For their next try; both counted up to 10,000' }),
      }),
    ),
  }),
  run: async (ctx) => await stats.services(ctx),
})
