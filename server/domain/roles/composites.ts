/** Composite roles: roles made of roles. A role cannot contain itself, however far down. */
import { fail } from '../../kernel/errors.ts'
import { assertHolds, permissionsOf } from '../authority.ts'
import type { Context } from '../context.ts'
import { changeable, create, find, findMany, type NewRole, type RoleView, roleView, type Where } from '../roles.ts'

/** The roles this one contains directly. */
export async function parts(ctx: Context, key: string, where?: Where): Promise<RoleView[]> {
  const role = await find(ctx, key, where)
  const rows = await ctx
    .db('roles')
    .join('role_parts as rp', (on) => on.on('rp.tenant_id', 'roles.tenant_id').on('rp.part_id', 'roles.id'))
    .where({ 'rp.tenant_id': ctx.tenant.id, 'rp.role_id': role.id })
    .orderBy('roles.name')
    .select(
      'roles.*',
      ctx.db.raw(
        `exists (select 1 from role_parts p where p.tenant_id = roles.tenant_id and p.role_id = roles.id) as composite`,
      ),
    )
  return rows.map(roleView)
}

/** CONFLICT when a cycle would arise; ACCESS_DENIED for parts that allow more than the caller may. */
export async function add(ctx: Context, key: string, keys: string[], where?: Where): Promise<RoleView> {
  // Two additions at once could each be fine and close a cycle together.
  await ctx.db.raw('select pg_advisory_xact_lock(hashtext(?))', [`role parts ${ctx.tenant.id}`])
  const role = await changeable(ctx, key, where)
  const added = await findMany(ctx, keys)
  for (const part of added) {
    if (part.scope === 'organization' && role.scope !== 'organization')
      throw fail('VALIDATION_ERROR', `${part.name} counts within an organization only`)
    if (await contains(ctx, part.id, role.id))
      throw fail('CONFLICT', `${part.name} contains ${role.name} already: a role cannot contain itself`)
  }
  const ids = added.map(({ id }) => id)
  assertHolds(ctx, await permissionsOf(ctx, ids))
  await ctx
    .db('role_parts')
    .insert(ids.map((part_id) => ({ tenant_id: ctx.tenant.id, role_id: role.id, part_id })))
    .onConflict(['tenant_id', 'role_id', 'part_id'])
    .ignore()
  ctx.event('role.parts_added', { data: { id: role.id, name: role.name, parts: added.map(({ name }) => name) } })
  return roleView({ ...role, composite: true })
}

/** NOT_FOUND when the role contains none of them. */
export async function take(ctx: Context, key: string, keys: string[], where?: Where): Promise<RoleView> {
  const role = await changeable(ctx, key, where)
  const taken = await findMany(ctx, keys)
  const gone = await ctx
    .db('role_parts')
    .where({ tenant_id: ctx.tenant.id, role_id: role.id })
    .whereIn(
      'part_id',
      taken.map(({ id }) => id),
    )
    .delete()
  if (gone === 0) throw fail('NOT_FOUND', 'The role contains none of these')
  ctx.event('role.parts_removed', { data: { id: role.id, name: role.name, parts: taken.map(({ name }) => name) } })
  return roleView(await find(ctx, role.id))
}

export async function createComposite(ctx: Context, input: NewRole & { parts: string[] }): Promise<RoleView> {
  const role = await create(ctx, input)
  return add(ctx, role.id, input.parts)
}

async function contains(ctx: Context, outer: string, inner: string): Promise<boolean> {
  const { rows } = await ctx.db.raw(
    `with recursive down (id) as (
       select ?::uuid union select p.part_id from role_parts p join down on p.role_id = down.id where p.tenant_id = ?
     ) select 1 from down where id = ?`,
    [outer, ctx.tenant.id, inner],
  )
  return rows.length > 0
}
