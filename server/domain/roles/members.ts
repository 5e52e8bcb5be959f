/** Who holds which role. Giving and taking asks for all that the role allows, and that the person may do. */
import { fail } from '../../kernel/errors.ts'
import { assertHolds, assertMayManage, keepingSuperAdmin, permissionsOf, rolesOf } from '../authority.ts'
import type { Context, UserRow } from '../context.ts'
import { all, findMany, type RoleRow, type RoleView, roleView, type Where } from '../roles.ts'
import { list, type UserPage } from '../user-admin/list.ts'
import * as users from '../users.ts'

/** A person of this tenant, or NOT_FOUND. */
export async function personOf(ctx: Context, userId: string): Promise<UserRow> {
  const user = await users.byId(ctx.db, ctx.tenant.id, userId)
  if (!user) throw fail('NOT_FOUND', 'No such user')
  return user
}

/** Roles given to the person directly. */
export async function rolesOfUser(ctx: Context, userId: string, where: Where = {}): Promise<RoleView[]> {
  await personOf(ctx, userId)
  const rows = await all(ctx, where)
    .join('user_roles as ur', (on) => on.on('ur.tenant_id', 'roles.tenant_id').on('ur.role_id', 'roles.id'))
    .where('ur.user_id', userId)
    .orderBy('roles.name')
    .select(
      'roles.*',
      ctx.db.raw(
        `exists (select 1 from role_parts p where p.tenant_id = roles.tenant_id and p.role_id = roles.id) as composite`,
      ),
    )
  return rows.map(roleView)
}

const bound = async (ctx: Context, keys: string[], where?: Where): Promise<RoleRow[]> => {
  const roles = await findMany(ctx, keys, where)
  const inside = roles.find(({ scope }) => scope === 'organization')
  if (inside) throw fail('VALIDATION_ERROR', `${inside.name} is held by members of an organization, not by itself`)
  assertHolds(
    ctx,
    await permissionsOf(
      ctx,
      roles.map(({ id }) => id),
    ),
  )
  return roles
}

/** Gives roles; those the person has already stay. Takes effect within a second. */
export async function assign(ctx: Context, userId: string, keys: string[], where?: Where): Promise<RoleView[]> {
  await personOf(ctx, userId)
  await assertMayManage(ctx, userId)
  const roles = await bound(ctx, keys, where)
  const given = await ctx
    .db('user_roles')
    .insert(
      roles.map(({ id }) => ({
        tenant_id: ctx.tenant.id,
        user_id: userId,
        role_id: id,
        created_by: ctx.actor?.userId ?? null,
      })),
    )
    .onConflict(['tenant_id', 'user_id', 'role_id'])
    .ignore()
    .returning('role_id')
  const ids = given.map(({ role_id }) => role_id)
  const names = roles.filter(({ id }) => ids.includes(id)).map(({ name }) => name)
  if (names.length > 0) ctx.event('role.assigned', { userId, data: { roles: names } })
  return rolesOfUser(ctx, userId)
}

/** Takes roles. NOT_FOUND when the person holds none of them; CONFLICT for the last super administrator. */
export async function unassign(ctx: Context, userId: string, keys: string[], where?: Where): Promise<void> {
  await personOf(ctx, userId)
  await assertMayManage(ctx, userId)
  const roles = await bound(ctx, keys, where)
  await keepingSuperAdmin(ctx, async () => {
    const taken = await ctx
      .db('user_roles')
      .where({ tenant_id: ctx.tenant.id, user_id: userId })
      .whereIn(
        'role_id',
        roles.map(({ id }) => id),
      )
      .delete()
      .returning('role_id')
    if (taken.length === 0) throw fail('NOT_FOUND', 'The user does not hold this role')
    const ids = taken.map(({ role_id }) => role_id)
    const names = roles.filter(({ id }) => ids.includes(id)).map(({ name }) => name)
    ctx.event('role.unassigned', { userId, data: { roles: names } })
  })
}

/** Everything the person may do, by all their roles. */
export async function effective(ctx: Context, userId: string): Promise<{ roles: string[]; permissions: string[] }> {
  const roles = await rolesOfUser(ctx, userId)
  return {
    roles: roles.map(({ name }) => name),
    permissions: await permissionsOf(ctx, await rolesOf(ctx, userId)),
  }
}

/** People who hold the role directly, the oldest account first. */
export const holders = (ctx: Context, roleId: string, page: { limit: number; offset: number }): Promise<UserPage> =>
  list(ctx, { roleIds: [roleId] }, { ...page, sort: 'created_at' })

interface RoleUse {
  id: string
  name: string
  system: boolean
  composite: boolean
  /** Who hold it directly. */
  users: number
  permissions: number
}

export async function statistics(ctx: Context, where: Where = {}) {
  const rows: RoleUse[] = await all(ctx, where)
    .leftJoin(
      ctx
        .db('user_roles')
        .where({ tenant_id: ctx.tenant.id })
        .groupBy('role_id')
        .select('role_id')
        .count({ users: '*' })
        .as('held'),
      'held.role_id',
      'roles.id',
    )
    .leftJoin(
      ctx
        .db('user_roles as r')
        .join('users as u', (on) => on.on('u.tenant_id', 'r.tenant_id').on('u.id', 'r.user_id'))
        .where({ 'r.tenant_id': ctx.tenant.id })
        .whereNotNull('u.deleted_at')
        .groupBy('r.role_id')
        .select('r.role_id')
        .count({ users: '*' })
        .as('gone'),
      'gone.role_id',
      'roles.id',
    )
    .orderBy('roles.name')
    .select(
      'roles.id',
      'roles.name',
      'roles.system',
      ctx.db.raw('(coalesce(held.users, 0) - coalesce(gone.users, 0))::int as users'),
      ctx.db.raw(
        `(select count(*) from role_permissions p where p.tenant_id = roles.tenant_id and p.role_id = roles.id)::int as permissions`,
      ),
      ctx.db.raw(
        `exists (select 1 from role_parts p where p.tenant_id = roles.tenant_id and p.role_id = roles.id) as composite`,
      ),
    )
  return {
    total: rows.length,
    system: rows.filter(({ system }) => system).length,
    custom: rows.filter(({ system }) => !system).length,
    composite: rows.filter(({ composite }) => composite).length,
    roles: rows,
  }
}
