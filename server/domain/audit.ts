/** The audit log of a tenant: its events, newest first, paged by the indexes that end in the id. */
import { agentLabel } from '../../adapters/agents.ts'
import type { Context } from './context.ts'
import { firstIdOf } from './history.ts'

export interface AuditFilter {
  userId?: string | undefined
  eventType?: string | undefined
  /** Inclusive. */
  from?: Date | undefined
  /** Exclusive. */
  to?: Date | undefined
}

export interface AuditView {
  id: string
  eventType: string
  /** Who did it. */
  actorId: string | null
  /** About whom. */
  userId: string | null
  clientId: string | null
  sessionId: string | null
  ip: string | null
  country: string | null
  userAgent: string | null
  device: string | null
  requestId: string | null
  data: Record<string, unknown>
  createdAt: Date
}

/** One page, and where the next begins. Not counted in all: that would read every event there is. */
export async function list(
  ctx: Context,
  { userId, eventType, from, to }: AuditFilter,
  { limit, offset, cursor }: { limit: number; offset: number; cursor?: string | undefined },
): Promise<{ items: AuditView[]; nextCursor: string | undefined }> {
  const query = ctx
    .db('events')
    .where({ tenant_id: ctx.tenant.id })
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .offset(offset)
  if (cursor) query.where('id', '<', cursor)
  if (userId) query.where('user_id', userId)
  if (eventType) query.where('type', eventType)
  // Ids are UUIDv7, so a time is an id and the index that orders also bounds.
  if (from) query.where('id', '>=', firstIdOf(from.getTime()))
  if (to) query.where('id', '<', firstIdOf(to.getTime()))
  const rows = await query
  return {
    items: rows.slice(0, limit).map((row) => view(ctx, row)),
    nextCursor: rows.length > limit ? rows[limit - 1].id : undefined,
  }
}

const view = (ctx: Context, row: any): AuditView => ({
  id: row.id,
  eventType: row.type,
  actorId: row.actor_id,
  userId: row.user_id,
  clientId: row.client_id,
  sessionId: row.session_id,
  ip: row.ip,
  country: row.ip ? ctx.out.geo.country(row.ip) : null,
  userAgent: row.user_agent,
  device: row.user_agent === null ? null : agentLabel(row.user_agent),
  requestId: row.request_id,
  data: row.data,
  createdAt: row.created_at,
})
