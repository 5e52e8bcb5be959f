/** What happened to an account: reads of its events, newest first, paged by the index (tenant, person, id). */
import { agentLabel } from '../../adapters/agents.ts'
import { fail } from '../kernel/errors.ts'
import type { EventRecord } from './audit/leaf.ts'
import type { Context } from './context.ts'
import { type CursorWindow, cut, type Page, type Window } from './pages.ts'
import * as sessions from './sessions.ts'

export type Kind = 'all' | 'logins' | 'security'

/** What a login history shows. */
const LOGINS = ['login.success', 'login.failed', 'login.mfa_failed', 'login.locked']
/** Everything that bears on who can get in; reading one's profile or signing in as always does not. */
const SECURITY = [
  'login.failed',
  'login.mfa\\_failed',
  'login.new\\_country',
  'login.locked',
  'password.%',
  'email.verified',
  'email.change%',
  'phone.%',
  'mfa.%',
  'factor.%',
  'passkey.%',
  'device.%',
  'api\\_key.%',
  'identity.%',
  'session.ended',
  'token.reuse\\_detected',
  'consent.%',
  'impersonation.%',
  'user.locked',
  'user.unlocked',
  'user.disabled',
]

export interface EventView {
  id: string
  type: string
  actorId: string | null
  userId: string
  clientId: string | null
  sessionId: string | null
  ip: string | null
  country: string | null
  city: string | null
  device: string
  userAgent: string | null
  /** Of a sign-in. */
  success: boolean | null
  data: Record<string, unknown>
  createdAt: Date
}

/** One page, and where the next begins. Not counted in all: that would read every event of the person. */
export async function list(
  ctx: Context,
  userId: string,
  kind: Kind,
  { limit, offset, cursor }: CursorWindow,
): Promise<{ items: EventView[]; nextCursor: string | undefined }> {
  const query = ctx
    .db('events')
    .where({ tenant_id: ctx.tenant.id, user_id: userId })
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .offset(offset)
  if (cursor) query.where('id', '<', cursor)
  if (kind === 'logins') query.whereIn('type', LOGINS)
  if (kind === 'security') query.whereRaw('type like any(?::text[])', [SECURITY])
  const { items, nextCursor } = cut<OwnEvent>(await query, limit, (last) => last.id)
  return { items: items.map((row) => view(ctx, row)), nextCursor }
}

type OwnEvent = EventRecord & { user_id: string }

function view(ctx: Context, row: OwnEvent): EventView {
  return {
    id: row.id,
    type: row.type,
    actorId: row.actor_id,
    userId: row.user_id,
    clientId: row.client_id,
    sessionId: row.session_id,
    ip: row.ip,
    ...(row.ip ? ctx.out.geo.place(row.ip) : { country: null, city: null }),
    device: agentLabel(row.user_agent),
    userAgent: row.user_agent,
    success: row.type.startsWith('login.') ? row.type === 'login.success' : null,
    data: row.data,
    createdAt: row.created_at,
  }
}

export interface Stats {
  activeSessions: number
  browserSessions: number
  apiSessions: number
  devices: number
  /** Of the last 30 days. */
  logins: number
  failedLogins: number
  countries: string[]
  lastLoginAt: Date | null
}

/** Numbers about a person's sessions. */
export async function stats(ctx: Context, userId: string): Promise<Stats> {
  const { rows } = await ctx.db.raw(
    `with live as (
       select kind, country from sessions where tenant_id = :tenant and user_id = :user and ended_at is null and expires_at > now()),
     seen as (
       select type from events where tenant_id = :tenant and user_id = :user and id >= :since and type in ('login.success', 'login.failed'))
     select (select count(*) from live)::int as "activeSessions",
       (select count(*) from live where kind = 'browser')::int as "browserSessions",
       (select count(*) from live where kind = 'api')::int as "apiSessions",
       array(select distinct country from live where country is not null order by 1) as countries,
       (select count(*) from devices where tenant_id = :tenant and user_id = :user)::int as devices,
       (select count(*) from seen where type = 'login.success')::int as logins,
       (select count(*) from seen where type = 'login.failed')::int as "failedLogins",
       (select last_login_at from users where tenant_id = :tenant and id = :user) as "lastLoginAt"`,
    { tenant: ctx.tenant.id, user: userId, since: firstIdOf(Date.now() - 30 * 86_400_000) },
  )
  return rows[0]
}

/** The smallest UUIDv7 of a moment (RFC 9562 5.7): ids sort by time, so the index that pages also finds "since". */
export function firstIdOf(ms: number): string {
  // None is older than the epoch.
  const hex = Math.max(0, ms).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`
}

export interface TokenView {
  /** Of the grant the tokens stand on: it stays the same while refresh tokens rotate. */
  id: string
  clientId: string
  sessionId: string | null
  scope: string | null
  current: boolean
  ip: string | null
  device: string | null
  country: string | null
  createdAt: Date
  lastUsedAt: Date | null
  expiresAt: Date
}

interface TokenRow {
  id: string
  client_id: string
  session_id: string | null
  scope: string | null
  last_used_at: Date | null
  expires_at: Date
  created_at: Date
  ip: string | null
  user_agent: string | null
  country: string | null
  /** On all pages. */
  total: number
}

/** Live refresh tokens of a person, the newest first; one a grant, since using one replaces it. */
export async function tokens(ctx: Context, userId: string, page: Window): Promise<Page<TokenView>> {
  const { rows }: { rows: TokenRow[] } = await ctx.db.raw(
    `select g.id, g.client_id, t.session_id, t.payload ->> 'scope' as scope, t.created_at as last_used_at, t.expires_at,
       g.created_at, s.ip, s.user_agent, s.country, count(*) over ()::int as total
     from oidc_models g
     join lateral (select * from oidc_models r where r.tenant_id = g.tenant_id and r.grant_id = g.id and r.model = 'RefreshToken'
       and r.consumed_at is null and r.expires_at > now() order by r.created_at desc limit 1) t on true
     left join sessions s on s.tenant_id = g.tenant_id and s.id = t.session_id
     where g.tenant_id = :tenant and g.model = 'Grant' and g.user_id = :user and g.expires_at > now()
       and (s.id is null or s.end_reason is distinct from 'revoked')
       and (s.id is null or (s.ended_at is null and s.expires_at > now()) or t.payload ->> 'scope' ~ '(^| )offline_access( |$)')
     order by g.created_at desc, g.id limit :limit offset :offset`,
    { tenant: ctx.tenant.id, user: userId, ...page },
  )
  return {
    total: rows[0]?.total ?? 0,
    items: rows.map((row) => ({
      id: row.id,
      clientId: row.client_id,
      sessionId: row.session_id,
      scope: row.scope,
      current: row.id === ctx.actor?.grantId,
      ip: row.ip,
      device: row.user_agent === null ? null : agentLabel(row.user_agent),
      country: row.country,
      createdAt: row.created_at,
      lastUsedAt: row.last_used_at,
      expiresAt: row.expires_at,
    })),
  }
}

/**
 * Ends the tokens of one grant at once, access tokens too; a login over the API has nothing else, so its session ends with
 * it. NOT_FOUND when it is not the person's, or over.
 */
export async function revokeToken(ctx: Context, userId: string, id: string): Promise<void> {
  const gone = await ctx
    .db('oidc_models')
    .where({ tenant_id: ctx.tenant.id, grant_id: id })
    .whereExists(
      ctx
        .db('oidc_models as g')
        .where({ 'g.tenant_id': ctx.tenant.id, 'g.model': 'Grant', 'g.id': id, 'g.user_id': userId })
        .select(ctx.db.raw('1')),
    )
    .delete()
    .returning(['model', 'session_id', 'client_id'])
  const grant = gone.find((row) => row.model === 'Grant')
  if (!grant) throw fail('NOT_FOUND', 'No such token')
  ctx.event('token.revoked', { userId, clientId: grant.client_id, sessionId: grant.session_id ?? undefined })
  const session =
    grant.session_id &&
    (await ctx
      .db('sessions')
      .where({ tenant_id: ctx.tenant.id, id: grant.session_id, user_id: userId, kind: 'api', ended_at: null })
      .first('id'))
  if (session) await sessions.end(ctx, userId, session.id)
}
