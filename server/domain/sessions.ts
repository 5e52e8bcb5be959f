/** Sessions: signed-in browsers and API logins in one list. Ending one ends its tokens, whichever way they were issued. */
import { agentLabel } from '../../adapters/agents.ts'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { type Page, readPage, type Window } from './pages.ts'

interface SessionRow {
  id: string
  kind: 'browser' | 'api'
  client_id: string | null
  payload: { authorizations?: Record<string, unknown> }
  ip: string | null
  user_agent: string | null
  device_id: string | null
  country: string | null
  city: string | null
  impersonator_id: string | null
  created_at: Date
  last_used_at: Date
  expires_at: Date
}
export interface SessionView {
  id: string
  kind: 'browser' | 'api'
  current: boolean
  clientId: string | null
  ip: string | null
  userAgent: string | null
  /** In words, such as "Firefox on Linux". */
  device: string
  deviceId: string | null
  country: string | null
  city: string | null
  /** Somebody from support acts as the person in it. */
  impersonated: boolean
  createdAt: Date
  lastUsedAt: Date
  expiresAt: Date
}

/** Live sessions of a person, the last used first. */
export async function list(ctx: Context, userId: string, page: Window): Promise<Page<SessionView>> {
  const live = ctx
    .db('sessions')
    .where({ tenant_id: ctx.tenant.id, user_id: userId, ended_at: null })
    .where('expires_at', '>', ctx.db.fn.now())
  const { items, total } = await readPage<SessionRow>(live, page, (q) =>
    q.orderBy('last_used_at', 'desc').orderBy('id'),
  )
  return { items: items.map((row) => view(row, ctx.actor?.sessionId)), total }
}

const view = (row: SessionRow, current: string | undefined): SessionView => ({
  id: row.id,
  kind: row.kind,
  current: row.id === current,
  clientId: row.client_id ?? Object.keys(row.payload.authorizations ?? {})[0] ?? null,
  ip: row.ip,
  userAgent: row.user_agent,
  device: agentLabel(row.user_agent),
  deviceId: row.device_id,
  country: row.country,
  city: row.city,
  impersonated: row.impersonator_id !== null,
  createdAt: row.created_at,
  lastUsedAt: row.last_used_at,
  expiresAt: row.expires_at,
})

/** Ends one session of the person. NOT_FOUND when it is not theirs, or over. */
export async function end(ctx: Context, userId: string, sessionId: string): Promise<void> {
  const ended = await endWhere(ctx, { id: sessionId, user_id: userId })
  if (ended.length === 0) throw fail('NOT_FOUND', 'No such session')
}

/** The same of one that may be over already. */
export const endIfLive = async (ctx: Context, userId: string, sessionId: string): Promise<void> =>
  void (await endWhere(ctx, { id: sessionId, user_id: userId }))

/** Ends all sessions of the person but one, and those in which they act as somebody else; answers how many. */
export async function endAll(ctx: Context, userId: string, exceptSession?: string): Promise<number> {
  const own = await endWhere(ctx, { user_id: userId }, exceptSession)
  const acting = await endWhere(ctx, { impersonator_id: userId })
  return own.length + acting.length
}

/** Ends the sessions on one device of the person. */
export async function endOfDevice(ctx: Context, userId: string, deviceId: string): Promise<number> {
  return (await endWhere(ctx, { user_id: userId, device_id: deviceId })).length
}

async function endWhere(
  ctx: Context,
  where: { id?: string; device_id?: string; user_id: string } | { impersonator_id: string },
  except?: string,
): Promise<{ id: string }[]> {
  const query = ctx
    .db('sessions')
    .where({ tenant_id: ctx.tenant.id, ...where, ended_at: null })
    .update({ ended_at: ctx.db.fn.now(), end_reason: 'revoked', cookie_hash: null })
    .returning(['id', 'user_id', 'payload', 'impersonator_id'])
  if (except) query.whereNot('id', except)
  const ended = await query
  if (ended.length === 0) return []
  await ctx
    .db('oidc_models')
    .where({ tenant_id: ctx.tenant.id })
    .whereIn(
      'session_id',
      ended.map((s) => s.id),
    )
    .delete()
  for (const { id, user_id: userId, payload, impersonator_id: impersonator } of ended) {
    ctx.event('session.ended', { userId, sessionId: id })
    if (impersonator) ctx.event('impersonation.ended', { userId, sessionId: id, data: { impersonator } })
    for (const clientId of Object.keys(payload.authorizations ?? {})) {
      ctx.job('backchannel-logout', { clientId, userId, sessionId: id })
    }
  }
  return ended
}
