/**
 * Acting as somebody else, for support: a token that says so (`act`, RFC 8693 4.1), for at most an hour, without refresh,
 * never as somebody with more rights, never able to change how the person signs in; and the person is told.
 */
import { fail } from '../kernel/errors.ts'
import { assertMayManage, missingOf } from './authority.ts'
import type { Context, TokenSet } from './context.ts'
import type { Tenant } from './directory.ts'
import { type Page, readPage, type Window } from './pages.ts'
import { person } from './proofs.ts'
import * as sessions from './sessions.ts'
import * as users from './users.ts'

/** Seconds. */
const LIFETIME = 3600

export interface ImpersonationView {
  id: string
  impersonatorId: string
  userId: string
  reason: string
  startedAt: Date
  expiresAt: Date
  endedAt: Date | null
  active: boolean
}

export async function start(
  ctx: Context,
  userId: string,
  reason: string,
): Promise<{ tokens: TokenSet; session: ImpersonationView }> {
  const { actor } = ctx
  if (actor?.kind !== 'user' || !actor.userId)
    throw fail('ACCESS_DENIED', 'This needs a person, not a client by itself')
  if (actor.impersonatorId) throw fail('ACCESS_DENIED', 'You are acting as somebody else already')
  if (userId === actor.userId) throw fail('VALIDATION_ERROR', 'You are this person')
  const user = await person(ctx, userId)
  if (!user) throw fail('NOT_FOUND', 'No such user')
  if (user.status !== 'active') throw fail('CONFLICT', 'This account is disabled')
  if (user.locked_until && user.locked_until > new Date()) throw fail('CONFLICT', 'This account is locked')
  await assertMayManage(ctx, userId)
  const { tokens, sessionId } = await ctx.oidc.impersonate(ctx, user, {
    impersonatorId: actor.userId,
    lifetime: LIFETIME,
  })
  const [row] = await ctx
    .db('sessions')
    .where({ tenant_id: ctx.tenant.id, id: sessionId })
    .update({ impersonator_id: actor.userId, impersonation_reason: reason })
    .returning('*')
  ctx.event('impersonation.started', { userId, sessionId, data: { reason } })
  ctx.job('mail', { template: 'impersonated', userId, locales: ctx.request.locales })
  return { tokens, session: view(row) }
}

/** Whether it could still be started, by the roles that both have now. */
export function isStillAllowed(tenant: Tenant, impersonatorRoles: string[], personRoles: string[]): boolean {
  const permissionsOf = (ids: string[]) => ids.flatMap((id) => tenant.roles.get(id)?.permissions ?? [])
  const held = new Set(permissionsOf(impersonatorRoles))
  return held.has('users:impersonate') && missingOf(held, permissionsOf(personRoles)) === undefined
}

/** The impersonation in which the caller acts, if it is one. */
export async function current(
  ctx: Context,
): Promise<(ImpersonationView & { impersonatorEmail: string | null }) | undefined> {
  const { actor } = ctx
  if (!actor?.impersonatorId || !actor.sessionId) return undefined
  const row = await ctx.db('sessions').where({ tenant_id: ctx.tenant.id, id: actor.sessionId }).first()
  if (!row?.impersonator_id) return undefined
  const impersonator = await users.byId(ctx.db, ctx.tenant.id, row.impersonator_id)
  return { ...view(row), impersonatorEmail: impersonator?.email ?? null }
}

/** Ended by who acts; the person ends it like any session of theirs. Their own ones are untouched. */
export async function end(ctx: Context): Promise<void> {
  const { actor } = ctx
  if (!actor?.impersonatorId || !actor.sessionId) throw fail('CONFLICT', 'This session is no impersonation')
  await sessions.end(ctx, actor.userId!, actor.sessionId)
}

/** All impersonations of the tenant, the latest first. */
export async function list(ctx: Context, page: Window): Promise<Page<ImpersonationView>> {
  const all = ctx.db('sessions').where({ tenant_id: ctx.tenant.id }).whereNotNull('impersonator_id')
  const { items, total } = await readPage<SessionRow>(all, page, (q) => q.orderBy('created_at', 'desc'))
  return { items: items.map(view), total }
}

interface SessionRow {
  id: string
  impersonator_id: string
  user_id: string
  impersonation_reason: string
  created_at: Date
  expires_at: Date
  ended_at: Date | null
}
const view = (row: SessionRow): ImpersonationView => ({
  id: row.id,
  impersonatorId: row.impersonator_id,
  userId: row.user_id,
  reason: row.impersonation_reason,
  startedAt: row.created_at,
  expiresAt: row.expires_at,
  endedAt: row.ended_at,
  active: row.ended_at === null && row.expires_at > new Date(),
})
