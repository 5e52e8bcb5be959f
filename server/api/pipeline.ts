/** The kernel's view of our application: who is asking, what they may do, and the transaction around what they did. */
import type { Context as KoaContext } from 'koa'
import { isOutage, sqlState } from '../../adapters/knex.ts'
import { forgetStandings } from '../../adapters/oidc.ts'
import { Overloaded } from '../../adapters/passwords.ts'
import { networkOf } from '../domain/callers.ts'
import type { Context, OidcPort, Outside } from '../domain/context.ts'
import { deviceToken } from '../domain/devices.ts'
import type { Tenant } from '../domain/directory.ts'
import { type Pending, writeEvents, writeJobs } from '../domain/events.ts'
import * as idempotency from '../domain/idempotency.ts'
import { DEFAULT_TENANT } from '../domain/ids.ts'
import * as organizations from '../domain/organizations.ts'
import { tooWeak } from '../domain/recent.ts'
import { registrationTokenOf } from '../domain/registration/tokens.ts'
import * as tokenCookies from '../domain/token-cookies.ts'
import * as workspaces from '../domain/workspaces.ts'
import type { Kernel } from '../kernel/bind.ts'
import { Failure, fail, OUTAGE } from '../kernel/errors.ts'
import type { Auth } from '../kernel/operation.ts'
import type { Authenticate } from '../oidc/authenticate.ts'

/** The context of one request, before anybody is known. */
export function openContext(out: Outside, oidc: OidcPort, koa: KoaContext): Context & Pending {
  const { tenant, ip, requestId } = koa.req.gatehouse
  const ctx: Context & Pending = {
    out,
    oidc,
    tenant,
    actor: null,
    db: out.db,
    request: {
      id: requestId,
      ip,
      userAgent: koa.get('user-agent').slice(0, 400),
      locales: (koa.acceptsLanguages() || []).filter((tag) => /^[A-Za-z0-9-]{1,35}$/.test(tag)),
      deviceToken: deviceToken(out, tenant, koa.req),
      registrationToken: registrationTokenOf(koa.get('authorization')),
      cookie: (name) => koa.cookies.get(name),
      ownPage: tokenCookies.isOwnPage(out, koa.req),
    },
    reply: { cookies: [] },
    events: [],
    jobs: [],
    event: (type, fields = {}) => void ctx.events.push({ type, ...fields }),
    job: (task, payload, runAt) => void ctx.jobs.push({ task, payload, ...(runAt && { runAt }) }),
  }
  return ctx
}

/** Events after which some token no longer stands. */
const TAKES_AWAY = new Set([
  'session.ended',
  'consent.revoked',
  'token.revoked',
  'user.deleted',
  'tenant.user_moved',
  'client.deleted',
  'membership.deleted',
  'organization.updated',
  'organization.deleted',
])

/** Runs fn in a transaction; events and jobs are committed with what it wrote. */
export async function transact<T>(ctx: Context & Pending, fn: (ctx: Context & Pending) => Promise<T>): Promise<T> {
  let kept: Failure | undefined
  let ended = false
  const result = await ctx.out.db.transaction(async (trx) => {
    const inner = inTransaction(ctx, trx)
    try {
      const value = await fn(inner)
      ended = inner.events.some(({ type }) => TAKES_AWAY.has(type))
      await writePending(inner)
      return value
    } catch (error) {
      if (!(error instanceof Failure) || !error.keepWrites) throw error
      await writePending(inner)
      kept = error
      return undefined
    }
  })
  if (ended) forgetStandings()
  if (kept) throw kept
  return result as T
}

function inTransaction(ctx: Context & Pending, trx: Context['db']): Context & Pending {
  const inner: Context & Pending = { ...ctx, db: trx, events: ctx.events.splice(0), jobs: ctx.jobs.splice(0) }
  inner.event = (type, fields = {}) => void inner.events.push({ type, ...fields })
  inner.job = (task, payload, runAt) => void inner.jobs.push({ task, payload, ...(runAt && { runAt }) })
  return inner
}

async function writePending(ctx: Context & Pending): Promise<void> {
  await writeEvents(ctx)
  await writeJobs(ctx)
}

export function createKernel(out: Outside, oidc: OidcPort, authenticate: Authenticate): Kernel<Context & Pending> {
  return {
    async authenticate(koa) {
      const ctx = openContext(out, oidc, koa)
      ctx.actor = await authenticate(ctx, koa)
      if (koa.params?.realm !== undefined) await findRealm(ctx, koa.params.realm)
      return ctx
    },
    permit(ctx, auth, row, input) {
      permit(ctx, auth, row.permission, input)
      if (auth !== 'anyone' && ctx.actor?.lacks && !row.op.evenIfWeak) throw tooWeak(ctx.actor.lacks)
      if (input.realm !== undefined) enterRealm(ctx)
    },
    limit: (ctx, limit) => out.limits.hit(`${ctx.tenant.id}:${limit.name}:${networkOf(ctx.request.ip)}`, limit),
    unhurried: (koa) => koa.req.gatehouse.unhurried?.(),
    self: (ctx) => ctx.actor?.userId,
    async within(ctx, effect, fn) {
      const entered = async (inner: Context & Pending) => {
        const value = await fn(inner)
        if (inner.inside && !inner.inside.entered) throw new Error(`nobody asked for ${inner.inside.permission}`)
        return value
      }
      if (effect !== 'write') return entered(ctx)
      const result = await transact(ctx, entered)
      authenticate.forget(ctx)
      return result
    },
    async recall(ctx, use) {
      const kept = ctx.actor ? await idempotency.recall(ctx, use) : undefined
      // What they held inside an organization when it was made may be lost by now.
      if (kept) await enterAgain(ctx, kept.place)
      return kept
    },
    remember: async (ctx, use, kept) => {
      if (ctx.actor && ctx.reply.cookies.length === 0) await idempotency.remember(ctx, use, kept)
    },
    reply: (ctx) => ctx.reply,
    failure: (error, koa) => toFailure(out, error, koa),
  }
}

async function enterAgain(ctx: Context, place: Context['place']): Promise<void> {
  if (place)
    await ('workspaceId' in place
      ? workspaces.enter(ctx, place.workspaceId)
      : organizations.enter(ctx, place.organizationId))
  else if (ctx.inside) throw fail('ACCESS_DENIED', `This needs ${ctx.inside.permission} in the organization`)
}

const realms = new WeakMap<Context, Tenant>()

async function findRealm(ctx: Context, slug: string): Promise<void> {
  const tenant = slug === ctx.tenant.slug ? ctx.tenant : await ctx.out.directory.bySlug(slug)
  if (tenant) realms.set(ctx, tenant)
}

/**
 * The rest of the request happens in the tenant that the path names: the caller's own, or any for who manages tenants from
 * the default one. After permit(), so that nobody without the permission learns which tenants there are.
 */
function enterRealm(ctx: Context): void {
  const tenant = realms.get(ctx)
  const mayLeave = ctx.tenant.id === DEFAULT_TENANT && ctx.actor?.permissions.has('tenants:write')
  if (!tenant || (tenant.id !== ctx.tenant.id && !mayLeave)) throw fail('NOT_FOUND', 'No such realm')
  ctx.tenant = tenant
}

/** 401 before 403; permissions only, never role names. */
function permit(ctx: Context, auth: Auth, extra: string | undefined, input: Record<string, unknown>): void {
  if (auth === 'anyone' && !extra) return
  const { actor } = ctx
  if (!actor) throw fail('UNAUTHORIZED', 'Sign in first: send Authorization: Bearer <access token>')
  if (typeof auth === 'object' && !('orSelf' in auth)) {
    if ('inside' in auth) ctx.inside = { permission: auth.inside, entered: false }
    const enough = 'inside' in auth ? 'organizations:write' : auth.permission
    const orUser = 'inside' in auth || auth.orUser
    if (orUser && !actor.permissions.has(enough)) {
      permit(ctx, 'user', extra, input)
      return
    }
  }
  const needed = [extra, typeof auth === 'object' && !('inside' in auth) ? auth.permission : undefined].filter(
    (p) => p !== undefined,
  )
  const own =
    typeof auth === 'object' && 'orSelf' in auth && actor.kind === 'user' && input[auth.orSelf!] === actor.userId
  if ((auth === 'user' || own) && actor.kind !== 'user')
    throw fail('ACCESS_DENIED', 'This needs a person, not a client by itself')
  if ((auth === 'user' || own) && !actor.firstParty && !actor.scopes.has('account')) {
    throw fail('ACCESS_DENIED', 'This access token was not given the account scope', { details: { scope: 'account' } })
  }
  if (own && !extra) return
  for (const permission of needed) {
    if (!actor.permissions.has(permission))
      throw fail('ACCESS_DENIED', `This needs the permission ${permission}`, { details: { permission } })
  }
}

/** Any thrown value as a Failure; database and library texts never leave. */
export function toFailure(out: Outside, error: unknown, koa: KoaContext): Failure {
  if (error instanceof Failure) return error
  if (error instanceof Overloaded)
    return fail('UNAVAILABLE', 'Too many sign-ins at once. Try again shortly', { retryAfter: error.retryAfter })
  if (isOutage(error)) return fail('UNAVAILABLE', OUTAGE, { retryAfter: 2 })
  const state = sqlState(error)
  if (state === '23505') return fail('CONFLICT', 'Something with these values exists already')
  if (state === '23503') return fail('NOT_FOUND', 'Something this refers to does not exist')
  if (state?.startsWith('22') || state === '23514')
    return fail('VALIDATION_ERROR', 'A field holds a value that cannot be stored')
  if (state === '40001' || state === '40P01' || state === '55P03')
    return fail('UNAVAILABLE', 'Somebody changed the same at the same moment. Try again', { retryAfter: 1 })
  out.log.error({ err: error, requestId: koa.req.gatehouse.requestId }, 'operation failed')
  return fail('INTERNAL_ERROR', 'Something went wrong on our side')
}
