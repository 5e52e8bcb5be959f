/**
 * The audit log of a tenant: its events, newest first, paged by the indexes that end in the id. Filters without an index look
 * through so many events a page and say where to go on, so that no page costs more than that.
 */
import { isIP } from 'node:net'
import type { Knex } from 'knex'
import { agentLabel } from '../../adapters/agents.ts'
import { fail } from '../kernel/errors.ts'
import type { EventRecord } from './audit/leaf.ts'
import type { Context } from './context.ts'
import { firstIdOf } from './history.ts'
import { type CursorWindow, cut } from './pages.ts'
import { like } from './permissions.ts'

export interface AuditFilter {
  userId?: string | undefined
  /** A type, or the beginning of types with `*` at the end. */
  eventType?: string | undefined
  actorId?: string | undefined
  clientId?: string | undefined
  sessionId?: string | undefined
  /** An address or a network. */
  ip?: string | undefined
  /** Part of the type, the data or the user agent, in any case. */
  q?: string | undefined
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

/** So many events are looked through for a page, where no index has what is asked for. */
const LOOKED_THROUGH = 50_000
/** The same for a text, since every one is read for it. */
const READ_THROUGH = 10_000

/**
 * One page, and where the next begins; it may hold fewer than `limit` although there are more. Not counted in all: that
 * would read every event there is.
 */
export async function list(
  ctx: Context,
  filter: AuditFilter,
  window: CursorWindow,
): Promise<{ items: AuditView[]; nextCursor: string | undefined }> {
  const { rows, nextCursor } = await page(ctx, filter, window)
  return { items: rows.map((row) => view(ctx, row)), nextCursor }
}

/** The rows of a page. VALIDATION_ERROR for an ip that is none. */
export async function page(
  ctx: Context,
  filter: AuditFilter,
  { limit, offset, cursor }: CursorWindow,
): Promise<{ rows: EventRecord[]; nextCursor: string | undefined }> {
  assertNetwork(filter.ip)
  const query = indexed(ctx, filter, cursor)
  const isSifted = ['actorId', 'clientId', 'sessionId', 'ip', 'q'].some(
    (key) => filter[key as keyof AuditFilter] !== undefined,
  )
  if (!isSifted && !isPrefix(filter.eventType)) {
    const rows = await query.limit(limit + 1).offset(offset)
    const { items, nextCursor } = cut<EventRecord>(rows, limit, (last) => last.id)
    return { rows: items, nextCursor }
  }
  const most = filter.q === undefined ? LOOKED_THROUGH : READ_THROUGH
  const found = await sift(ctx.db.from(query.limit(most).as('events')), filter)
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .offset(offset)
  if (found.length > limit) return { rows: found.slice(0, limit), nextCursor: found[limit - 1].id }
  const last = await indexed(ctx, filter, cursor)
    .offset(most - 1)
    .first('id')
  return { rows: found, nextCursor: last?.id }
}

/** What the indexes answer, newest first. Ids are UUIDv7, so a time is an id and the index that orders also bounds. */
function indexed(ctx: Context, { userId, eventType, from, to }: AuditFilter, cursor: string | undefined) {
  const query = ctx.db('events').where({ tenant_id: ctx.tenant.id }).orderBy('id', 'desc')
  if (cursor) query.where('id', '<', cursor)
  if (userId) query.where('user_id', userId)
  if (eventType && !isPrefix(eventType)) query.where('type', eventType)
  if (from) query.where('id', '>=', firstIdOf(from.getTime()))
  if (to) query.where('id', '<', firstIdOf(to.getTime()))
  return query
}

function sift(query: Knex.QueryBuilder, { eventType, actorId, clientId, sessionId, ip, q }: AuditFilter) {
  if (isPrefix(eventType)) query.whereLike('type', `${like(eventType!.slice(0, -1))}%`)
  if (actorId) query.where('actor_id', actorId)
  if (clientId) query.where('client_id', clientId)
  if (sessionId) query.where('session_id', sessionId)
  if (ip) query.whereRaw('ip <<= ?::inet', [ip])
  if (q) {
    const part = `%${like(q)}%`
    // As it stands in JSON, where quotes and line ends are escaped.
    const inData = `%${like(JSON.stringify(q).slice(1, -1))}%`
    query.where((either) =>
      either.whereILike('type', part).orWhereILike('user_agent', part).orWhereRaw('data::text ilike ?', [inData]),
    )
  }
  return query
}

const isPrefix = (eventType: string | undefined) => eventType?.endsWith('*') === true

function assertNetwork(ip: string | undefined): void {
  if (ip === undefined) return
  const [address, bits] = ip.split('/')
  const most = isIP(address!) === 4 ? 32 : 128
  if (
    isIP(address!) !== 0 &&
    !ip.includes('%') &&
    (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most))
  )
    return
  throw fail('VALIDATION_ERROR', 'ip: must be an address or a network such as 203.0.113.0/24')
}

export const view = (ctx: Context, row: EventRecord): AuditView => ({
  id: row.id,
  eventType: row.type,
  actorId: row.actor_id,
  userId: row.user_id,
  clientId: row.client_id,
  sessionId: row.session_id,
  ip: row.ip,
  country: row.ip ? ctx.out.geo.place(row.ip).country : null,
  userAgent: row.user_agent,
  device: row.user_agent === null ? null : agentLabel(row.user_agent),
  requestId: row.request_id,
  data: row.data,
  createdAt: row.created_at,
})
