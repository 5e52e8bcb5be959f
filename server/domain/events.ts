/** Events: one append-only row per fact; audit log, login history, statistics and webhooks are reads of them. */

import { addJobs, type Job } from '../../adapters/jobs.ts'
import type { Db } from '../../adapters/knex.ts'
import type { EventRow } from '../../adapters/oidc.ts'
import { queueDeliveries, RETURNING_EVENT } from '../../adapters/webhook-events.ts'
import type { Context, EventFields } from './context.ts'
import type { Tenant } from './directory.ts'
import { newId } from './ids.ts'

/** What an operation leaves to be written with its transaction. */
export interface Pending {
  events: ({ type: string } & EventFields)[]
  jobs: Job[]
}

/** The pending events as rows; the list is emptied. */
export function takeEvents(ctx: Context & Pending): EventRow[] {
  return ctx.events.splice(0).map((event) => ({
    id: event.id ?? newId(),
    type: event.type,
    actorId: ctx.actor?.impersonatorId ?? ctx.actor?.userId ?? event.userId,
    userId: event.userId,
    clientId: event.clientId ?? ctx.actor?.clientId,
    sessionId: event.sessionId ?? ctx.actor?.sessionId,
    ip: ctx.request.ip,
    userAgent: ctx.request.userAgent,
    requestId: ctx.request.id,
    data: ctx.actor?.impersonatorId ? { ...event.data, impersonated: true } : event.data,
  }))
}

export const writeEvents = (ctx: Context & Pending): Promise<void> => insertEvents(ctx.db, ctx.tenant, takeEvents(ctx))

const INSERT = `insert into events (tenant_id, id, type, actor_id, user_id, client_id, session_id, ip, user_agent, request_id, data)
  select ?::uuid, e.id, e.type, e."actorId", e."userId", e."clientId", e."sessionId", e.ip, e."userAgent", e."requestId",
    coalesce(e.data, '{}')
  from jsonb_to_recordset(?::jsonb) as e (id uuid, type text, "actorId" uuid, "userId" uuid, "clientId" text,
    "sessionId" text, ip inet, "userAgent" text, "requestId" text, data jsonb)`

/** One statement, and where somebody may listen, what is to be delivered of them with it. */
export async function insertEvents(
  db: Db,
  tenant: Pick<Tenant, 'id' | 'hasWebhooks'>,
  rows: EventRow[],
): Promise<void> {
  if (rows.length === 0) return
  const sql = tenant.hasWebhooks ? `with e as (${INSERT} ${RETURNING_EVENT}) ${queueDeliveries(['e'])}` : INSERT
  await db.raw(sql, [tenant.id, JSON.stringify(rows)])
}

/** One event outside any request. */
export const insertEvent = (db: Db, tenantId: string, event: Omit<EventRow, 'id'>): Promise<void> =>
  // What is known of the tenant there may be old; the statement finds out whether anybody listens.
  insertEvents(db, { id: tenantId, hasWebhooks: true }, [{ id: newId(), ...event }])

/** One event of each of many tenants, by one statement. */
export async function insertOfMany(
  db: Db,
  type: string,
  rows: { tenantId: string; data: Record<string, unknown> }[],
): Promise<void> {
  if (rows.length === 0) return
  await db.raw(
    `with e as (
       insert into events (tenant_id, id, type, data)
         select r."tenantId", r.id, :type, r.data from jsonb_to_recordset(:rows::jsonb) as r ("tenantId" uuid, id uuid, data jsonb)
         ${RETURNING_EVENT})
     ${queueDeliveries(['e'])}`,
    { type, rows: JSON.stringify(rows.map((row) => ({ ...row, id: newId() }))) },
  )
}

/** What a mail is told of the app that people come from. */
export const looksOf = ({ cameFrom }: Pick<Context, 'cameFrom'>) => cameFrom !== undefined && { clientId: cameFrom }

export async function writeJobs(ctx: Context & Pending): Promise<void> {
  await addJobs(
    ctx.db,
    ctx.jobs.splice(0).map((job) => ({
      ...job,
      payload: { tenantId: ctx.tenant.id, ...(job.task === 'mail' && looksOf(ctx)), ...job.payload },
    })),
  )
}
