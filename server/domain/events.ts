/** Events: one append-only row per fact; audit log, login history, statistics and webhooks are reads of them. */

import { addJobs, type Job } from '../../adapters/jobs.ts'
import type { EventRow } from '../../adapters/oidc.ts'
import type { Context, EventFields } from './context.ts'
import { newId } from './ids.ts'

/** What an operation leaves to be written with its transaction. */
export interface Pending {
  events: ({ type: string } & EventFields)[]
  jobs: Job[]
}

/** The pending events as rows; the list is emptied. */
export function takeEvents(ctx: Context & Pending): EventRow[] {
  return ctx.events.splice(0).map((event) => ({
    id: newId(),
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

export async function writeEvents(ctx: Context & Pending): Promise<void> {
  const rows = takeEvents(ctx)
  if (rows.length === 0) return
  await ctx.db('events').insert(
    rows.map((e) => ({
      tenant_id: ctx.tenant.id,
      id: e.id,
      type: e.type,
      actor_id: e.actorId ?? null,
      user_id: e.userId ?? null,
      client_id: e.clientId ?? null,
      session_id: e.sessionId ?? null,
      ip: e.ip,
      user_agent: e.userAgent,
      request_id: e.requestId,
      data: JSON.stringify(e.data ?? {}),
    })),
  )
}

export async function writeJobs(ctx: Context & Pending): Promise<void> {
  await addJobs(
    ctx.db,
    ctx.jobs.splice(0).map((job) => ({ ...job, payload: { tenantId: ctx.tenant.id, ...job.payload } })),
  )
}
