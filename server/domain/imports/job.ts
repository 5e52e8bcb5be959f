/**
 * The job of an import: takes the rows that wait, some hundred in a transaction with all that follows from them, so that
 * after a crash it goes on exactly behind the last ones. It gives way to others every few seconds.
 */
import { isOutage } from '../../../adapters/knex.ts'
import type { Actor, Context, OidcPort, Outside } from '../context.ts'
import type { Pending } from '../events.ts'
import { apply } from './batch.ts'
import { hashesOf } from './hashes.ts'
import * as store from './store.ts'

export interface ImportJob {
  tenantId: string
  importId: string
}
/** Runs fn in a transaction and commits events and jobs with it. */
export type Within = <T>(ctx: Context & Pending, fn: (ctx: Context & Pending) => Promise<T>) => Promise<T>

/** How long (ms) until another import that waits has a turn. */
const SLICE_MS = 10_000
/** graphile-worker takes a job that runs for hours for one whose process is gone. */
const LONGEST_MS = 600_000
/** A fault that is no outage ends the import when it came back so often. */
const TRIES = 5

export interface Worker {
  out: Outside
  oidc: OidcPort
  within: Within
}

export async function work(
  { out, oidc, within }: Worker,
  { tenantId, importId }: ImportJob,
  { attempt, stopping }: { attempt: number; stopping: AbortSignal },
): Promise<void> {
  const tenant = await out.directory.byId(tenantId)
  const row = tenant && (await store.all({ db: out.db, tenant }).where({ id: importId }).first())
  if (!row) return
  const ctx = contextOf(out, oidc, tenant, row.asked_by)
  const started = Date.now()
  const isLast = async (inner: Context) => {
    const took = Date.now() - started
    return stopping.aborted || took > LONGEST_MS || (took > SLICE_MS && (await store.othersWait(inner, importId)))
  }
  try {
    let more = true
    while (more) more = await step(ctx, within, importId, isLast)
    await refreshStatistics(ctx, importId)
  } catch (error) {
    if (attempt < TRIES || isOutage(error)) throw error
    out.log.error({ err: error, importId }, 'an import failed')
    await within(ctx, (inner) => end(inner, importId, 'failed', 'Something went wrong on our side'))
  }
}

/** One chunk. False when there is no more to do now: all are done, it was ended, or a job that is queued goes on. */
async function step(
  ctx: Context & Pending,
  within: Within,
  id: string,
  isLast: (inner: Context) => Promise<boolean>,
): Promise<boolean> {
  const chunk = await store.next(ctx, id)
  const hashes = chunk && (await hashesOf(ctx, chunk.entries))
  return within(ctx, async (inner) => {
    // Cancelling waits for this chunk, and the next one for cancelling.
    const row = await store.all(inner).where({ id }).forUpdate().first()
    if (!row || (row.status !== 'queued' && row.status !== 'running')) return false
    if (!chunk) {
      await end(inner, id, 'done')
      return false
    }
    if (!(await store.isWaiting(inner, id, chunk.first))) return true
    inner.actor = await actorOf(inner, row.asked_by)
    if (!inner.actor.permissions.has('users:write')) {
      await end(inner, id, 'failed', 'Whoever started it may no longer create users')
      return false
    }
    const results = await tryOut(inner, row.options, (tried) => apply(tried, id, chunk.entries, row.options, hashes))
    await store.settle(inner, id, chunk.first, results)
    if (!(await isLast(inner))) return true
    await store.later(inner, id)
    return false
  })
}

/** So many new people make the planner's idea of the table a wrong one. */
const MANY = 10_000

/** PostgreSQL would do it within a minute or so; until then lists would be slow. */
async function refreshStatistics(ctx: Context, id: string): Promise<void> {
  const row = await store.all(ctx).where({ id, status: 'done' }).where('created', '>=', MANY).first('id')
  if (!row) return
  await ctx.db.raw('analyze users, user_roles').catch((error) => {
    ctx.out.log.warn({ err: error, importId: id }, 'statistics were not refreshed')
  })
}

/** A dry run does everything, and takes it back. */
export async function tryOut<T>(
  ctx: Context,
  { dryRun }: store.Options,
  fn: (inner: Context) => Promise<T>,
): Promise<T> {
  if (!dryRun) return fn(ctx)
  const tried = new Error('dry run')
  let value: T
  await ctx.db
    .transaction(async (trx) => {
      value = await fn({ ...ctx, db: trx, event: () => {}, job: () => {} })
      throw tried
    })
    .catch((error) => {
      if (error !== tried) throw error
    })
  return value!
}

export async function end(
  ctx: Context,
  id: string,
  status: 'done' | 'failed' | 'cancelled',
  error?: string,
): Promise<boolean> {
  if (!(await store.finish(ctx, id, status, error))) return false
  const row = await store.all(ctx).where({ id }).first()
  announce(ctx, row)
  return true
}

/** The fact that an import is over, with its numbers. */
export function announce(ctx: Context, row: store.ImportRow): void {
  const { id, format, status, total, created, updated, skipped, failed, options } = row
  ctx.event('users.imported', {
    data: { import: id, format, status, dry_run: options.dryRun, total, created, updated, skipped, failed },
  })
}

function contextOf(out: Outside, oidc: OidcPort, tenant: Context['tenant'], asked: store.AskedBy): Context & Pending {
  const ctx: Context & Pending = {
    out,
    oidc,
    // An import takes long: somebody may begin to listen meanwhile.
    tenant: { ...tenant, hasWebhooks: true },
    actor: actorWith(asked, asked.permissions),
    db: out.db,
    request: {
      id: asked.requestId,
      ip: asked.ip,
      userAgent: asked.userAgent,
      locales: asked.locales,
      cookie: () => undefined,
      ownPage: false,
    },
    reply: { cookies: [] },
    events: [],
    jobs: [],
    event: (type, fields = {}) => void ctx.events.push({ type, ...fields }),
    job: (task, payload) => void ctx.jobs.push({ task, payload }),
  }
  return ctx
}

/** Whoever asked, with what they might do then and may do still. */
async function actorOf(ctx: Context, asked: store.AskedBy): Promise<Actor> {
  if (asked.userId === undefined) return actorWith(asked, asked.permissions)
  const { rows } = await ctx.db.raw(
    `select effective_permissions(u.tenant_id, array(
         select role_id from user_roles r where r.tenant_id = u.tenant_id and r.user_id = u.id)) as names
     from users u where u.tenant_id = ? and u.id = ? and u.status = 'active' and u.deleted_at is null`,
    [ctx.tenant.id, asked.userId],
  )
  const held = new Set<string>(rows[0]?.names ?? [])
  return actorWith(
    asked,
    asked.permissions.filter((name) => held.has(name)),
  )
}

const actorWith = (asked: store.AskedBy, permissions: string[]): Actor => ({
  kind: asked.kind,
  userId: asked.userId,
  clientId: asked.clientId,
  impersonatorId: asked.impersonatorId,
  sessionId: undefined,
  grantId: undefined,
  tokenId: '',
  scopes: new Set(),
  roles: [],
  permissions: new Set(permissions),
  firstParty: false,
  emailVerified: false,
  authTime: undefined,
  expiresAt: 0,
  user: undefined,
})
