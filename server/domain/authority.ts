/**
 * Who may hand out or change what: nobody gives, takes or manages more than they hold, and the default tenant never
 * loses its last super administrator. Read from the tables, not from the cached tenant, so that it holds under races.
 */
import { fail } from '../kernel/errors.ts'
import type { Actor, Context } from './context.ts'
import { DEFAULT_TENANT, ROLE } from './ids.ts'
import { permissions } from './policy.ts'

/** Names of the permissions that these roles and their parts give. */
export async function permissionsOf(ctx: Pick<Context, 'db' | 'tenant'>, roleIds: string[]): Promise<string[]> {
  if (roleIds.length === 0) return []
  const { rows } = await ctx.db.raw('select effective_permissions(?, ?::uuid[]) as names', [ctx.tenant.id, roleIds])
  return rows[0].names
}

/** Whether these roles allow anything of ours, beyond what is everybody's own. */
export const administers = async (ctx: Pick<Context, 'db' | 'tenant'>, roleIds: string[]): Promise<boolean> =>
  (await permissionsOf(ctx, roleIds)).some((name) => Object.hasOwn(permissions, name))

/** The permissions of each role by itself, by its id. */
export async function permissionsOfEach(
  ctx: Pick<Context, 'db' | 'tenant'>,
  roleIds: string[],
): Promise<Map<string, string[]>> {
  const { rows } = await ctx.db.raw(
    'select id, effective_permissions(?, array[id]) as names from unnest(?::uuid[]) as id',
    [ctx.tenant.id, roleIds],
  )
  return new Map(rows.map(({ id, names }: { id: string; names: string[] }) => [id, names]))
}

/**
 * ACCESS_DENIED unless the caller holds all of these permissions. The tenant's own permissions, which mean nothing to
 * us, may be handed out by whoever may define them.
 */
export function assertHolds(ctx: { actor: Pick<Actor, 'permissions'> | null }, names: string[]): void {
  const missing = missingOf(ctx.actor?.permissions ?? new Set(), names)
  if (missing)
    throw fail('ACCESS_DENIED', `This needs the permission ${missing}, which you do not hold yourself`, {
      details: { permission: missing },
    })
}

/** The first that somebody who holds these permissions may not hand out. */
export const missingOf = (held: Set<string>, names: string[]): string | undefined =>
  names.find((name) => !held.has(name) && !(held.has('permissions:write') && !Object.hasOwn(permissions, name)))

export async function rolesOf(ctx: Pick<Context, 'db' | 'tenant'>, userId: string): Promise<string[]> {
  return ctx.db('user_roles').where({ tenant_id: ctx.tenant.id, user_id: userId }).pluck('role_id')
}

/** Whoever manages a person could act as that person: ACCESS_DENIED for people who may do more than the caller. */
export async function assertMayManage(ctx: Context, userId: string): Promise<void> {
  if (ctx.actor?.userId === userId) return
  assertHolds(ctx, await permissionsOf(ctx, await rolesOf(ctx, userId)))
}

/** Changes that may cost the tenant its last super administrator wait for each other, until the transaction ends. */
export const takeTurns = (ctx: Pick<Context, 'db' | 'tenant'>) =>
  ctx.db.raw('select pg_advisory_xact_lock(hashtext(?))', [`super administrators ${ctx.tenant.id}`])

/**
 * Runs a change that may cost the default tenant its last super administrator who can sign in, and refuses it with
 * CONFLICT if it did. Such changes take turns, so that of two at once one sees the other.
 */
export async function keepingSuperAdmin<T>(ctx: Context, change: () => Promise<T>): Promise<T> {
  if (ctx.tenant.id !== DEFAULT_TENANT) return change()
  const { db, tenant } = ctx
  await takeTurns(ctx)
  const result = await change()
  const left = await db('user_roles')
    .join('users', (on) => on.on('users.tenant_id', 'user_roles.tenant_id').on('users.id', 'user_roles.user_id'))
    .where({ 'user_roles.tenant_id': tenant.id, role_id: ROLE.superAdmin, status: 'active' })
    .whereNull('deleted_at')
    .where((q) => q.whereNull('locked_until').orWhere('locked_until', '<=', db.fn.now()))
    .first('users.id')
  if (!left) throw fail('CONFLICT', 'This would leave nobody as super administrator')
  return result
}
