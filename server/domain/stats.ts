/** Numbers about a tenant, counted when asked for, and whether the services around us answer. */
import { reach } from '../../adapters/probe.ts'
import type { Context } from './context.ts'
import { firstIdOf } from './history.ts'

const DAY_MS = 86_400_000
const FACTORS = ['totp', 'webauthn', 'sms', 'email']

export interface TenantStats {
  users: {
    total: number
    active: number
    disabled: number
    locked: number
    unverified: number
    created: number
    /** Who has set up a second factor or a passkey. */
    secondFactor: number
    /** Gone, and not erased yet. */
    deleted: number
  }
  sessions: { active: number; browser: number; api: number; people: number }
  clients: number
  /** Waiting for approval. */
  clientRequests: number
  roles: number
  organizations: number
  /** Neither accepted nor revoked nor over. */
  invitations: number
  logins: LoginStats
}
type Counts = Omit<TenantStats, 'sessions' | 'logins'>

export async function ofTenant(ctx: Context, days: number): Promise<TenantStats> {
  const [counted, sessions, logins] = await Promise.all([counts(ctx, days), ofSessions(ctx, days), ofLogins(ctx, days)])
  const { active, browser, api, people } = sessions
  return { ...counted, sessions: { active, browser, api, people }, logins }
}

async function counts(ctx: Context, days: number): Promise<Counts> {
  const { rows } = await ctx.db.raw(
    `select
       (select json_build_object(
          'total', count(*),
          'active', count(*) filter (where status = 'active'),
          'disabled', count(*) filter (where status = 'disabled'),
          'locked', count(*) filter (where locked_until > now()),
          'unverified', count(*) filter (where email_verified_at is null),
          'created', count(*) filter (where created_at >= now() - make_interval(days => :days)))
        from users where tenant_id = :tenant and deleted_at is null) as users,
       (select count(*) from users where tenant_id = :tenant and deleted_at is not null)::int as deleted,
       (select count(distinct c.user_id) from credentials c
          join users u on u.tenant_id = c.tenant_id and u.id = c.user_id and u.deleted_at is null
          where c.tenant_id = :tenant and c.type = any(:factors) and c.verified_at is not null)::int as "secondFactor",
       (select count(*) from clients where tenant_id = :tenant)::int as clients,
       (select count(*) from client_requests where tenant_id = :tenant and status = 'pending')::int as "clientRequests",
       (select count(*) from roles where tenant_id = :tenant)::int as roles,
       (select count(*) from organizations where tenant_id = :tenant)::int as organizations,
       (select count(*) from invitations where tenant_id = :tenant and accepted_at is null and revoked_at is null
          and expires_at > now())::int as invitations`,
    { tenant: ctx.tenant.id, days, factors: FACTORS },
  )
  const { users, deleted, secondFactor, ...counted } = rows[0]
  return { ...counted, users: { ...users, deleted, secondFactor } }
}

export interface SessionStats {
  active: number
  browser: number
  api: number
  /** Who has any. */
  people: number
  /** Opened within the days asked for. */
  opened: number
  countries: { country: string; active: number }[]
}

export async function ofSessions(ctx: Context, days: number): Promise<SessionStats> {
  const { rows } = await ctx.db.raw(
    `with live as materialized (
       select kind, user_id, country from sessions
       where tenant_id = :tenant and ended_at is null and expires_at > now() and user_id is not null)
     select count(*)::int as active,
       (count(*) filter (where kind = 'browser'))::int as browser,
       (count(*) filter (where kind = 'api'))::int as api,
       count(distinct user_id)::int as people,
       (select count(*) from sessions where tenant_id = :tenant and user_id is not null
          and created_at >= now() - make_interval(days => :days))::int as opened,
       coalesce((select json_agg(c order by c.active desc, c.country) from
         (select country, count(*) as active from live where country is not null group by country) c), '[]') as countries
     from live`,
    { tenant: ctx.tenant.id, days },
  )
  return rows[0]
}

export interface LoginStats {
  succeeded: number
  failed: number
  /** Who signed in. */
  people: number
  registered: number
  /** The oldest first, in UTC, also days on which nothing happened. */
  perDay: { date: string; succeeded: number; failed: number; registered: number }[]
}

/** Of the last `days` days, today included. The index of event types ends in the id, which is a time. */
export async function ofLogins(ctx: Context, days: number): Promise<LoginStats> {
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS
  const since = today - (days - 1) * DAY_MS
  const { rows } = await ctx.db.raw(
    `with seen as materialized (
       select (created_at at time zone 'UTC')::date as day, type, user_id from events
       where tenant_id = :tenant and id >= :since and type in ('login.success', 'login.failed', 'user.registered')),
     daily as (
       select day, count(*) filter (where type = 'login.success') as succeeded,
         count(*) filter (where type = 'login.failed') as failed,
         count(*) filter (where type = 'user.registered') as registered from seen group by day)
     select (select count(distinct user_id) from seen where type = 'login.success')::int as people,
       json_agg(json_build_object('date', d::date, 'succeeded', coalesce(succeeded, 0), 'failed', coalesce(failed, 0),
         'registered', coalesce(registered, 0)) order by d) as "perDay"
     from generate_series(:first::date, :last::date, interval '1 day') d left join daily on daily.day = d::date`,
    { tenant: ctx.tenant.id, since: firstIdOf(since), first: dateOf(since), last: dateOf(today) },
  )
  const { people, perDay } = rows[0] as Pick<LoginStats, 'people' | 'perDay'>
  const sum = (key: 'succeeded' | 'failed' | 'registered') => perDay.reduce((total, day) => total + day[key], 0)
  return { succeeded: sum('succeeded'), failed: sum('failed'), registered: sum('registered'), people, perDay }
}

const dateOf = (ms: number) => new Date(ms).toISOString().slice(0, 10)

export interface ServiceView {
  name: 'database' | 'mail' | 'sms' | 'redis'
  status: 'up' | 'down' | 'not_configured'
  /** Milliseconds. */
  latency: number | null
}
export interface QueueView {
  /** Due, and taken by nobody yet. */
  waiting: number
  /** For later, retries among them. */
  scheduled: number
  running: number
  /** Tried to the end. */
  failed: number
  /** Seconds that the one waiting longest is overdue; null where none waits. */
  oldest: number | null
}
export interface WebhookQueueView {
  due: number
  /** For their next try. */
  waiting: number
}

const PATIENCE_MS = 1000

/** Asked all at once, each at most a second. Names of hosts stay inside. */
export async function services(
  ctx: Context,
): Promise<{ services: ServiceView[]; queue: QueueView | null; webhooks: WebhookQueueView | null }> {
  const { smtpUrl, smsUrl, redisUrl } = ctx.out.config
  const started = performance.now()
  const [queue, webhooks, ...around] = await Promise.all([
    queueDepth(ctx).catch(() => undefined),
    webhookDepth(ctx).catch(() => null),
    outside('mail', smtpUrl),
    outside('sms', smsUrl),
    outside('redis', redisUrl),
  ])
  const latency = queue && queue.answered - started
  const database: ServiceView = {
    name: 'database',
    status: queue ? 'up' : 'down',
    latency: latency === undefined ? null : Math.round(latency),
  }
  return { services: [database, ...around], queue: queue?.depth ?? null, webhooks }
}

/** Of this tenant, counted up to 10,000. */
async function webhookDepth(ctx: Context): Promise<WebhookQueueView> {
  const { rows } = await ctx.db.raw(
    `select (count(*) filter (where due_at <= now()))::int as due, (count(*) filter (where due_at > now()))::int as waiting
     from (select due_at from webhook_deliveries where tenant_id = ? and due_at is not null limit 10000) d`,
    [ctx.tenant.id],
  )
  return rows[0]
}

async function outside(name: ServiceView['name'], url: string | undefined): Promise<ServiceView> {
  if (!url) return { name, status: 'not_configured', latency: null }
  const took = await reach(url, PATIENCE_MS)
  return { name, status: took === undefined ? 'down' : 'up', latency: took ?? null }
}

async function queueDepth(ctx: Context): Promise<{ depth: QueueView; answered: number }> {
  const { rows } = await ctx.db.raw(
    `select (count(*) filter (where attempts < max_attempts and locked_at is null and run_at <= now()))::int as waiting,
       (count(*) filter (where attempts < max_attempts and locked_at is null and run_at > now()))::int as scheduled,
       (count(*) filter (where locked_at is not null))::int as running,
       (count(*) filter (where attempts >= max_attempts and locked_at is null))::int as failed,
       extract(epoch from now() - min(run_at) filter
         (where attempts < max_attempts and locked_at is null and run_at <= now()))::int as oldest
     from graphile_worker._private_jobs`,
  )
  return { depth: rows[0], answered: performance.now() }
}
