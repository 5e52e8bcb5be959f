/** Roles of a tenant, of a client or for organizations: one table, addressed by id or name. System roles are fixed. */
import { fail } from '../kernel/errors.ts'
import { assertHolds, permissionsOf } from './authority.ts'
import type { Context } from './context.ts'
import { NIL, newId } from './ids.ts'
import { type Page, readPage, type Window } from './pages.ts'
import * as permissions from './permissions.ts'

export type Scope = 'tenant' | 'client' | 'organization'

export interface RoleRow {
  id: string
  name: string
  description: string | null
  scope: Scope
  owner_id: string
  system: boolean
  composite: boolean
  created_at: Date
  updated_at: Date
}

export interface RoleView {
  id: string
  name: string
  description: string | null
  scope: Scope
  /** The client or organization the role belongs to. */
  ownerId: string | null
  system: boolean
  composite: boolean
  createdAt: Date
  updatedAt: Date
}

/** Which roles an address is about. `owner` is a client's or organization's id, or the nil UUID for the tenant's own. */
export interface Where {
  scopes?: readonly Scope[]
  owner?: string | readonly string[] | undefined
}

export const roleView = (row: RoleRow): RoleView => ({
  id: row.id,
  name: row.name,
  description: row.description,
  scope: row.scope,
  ownerId: row.owner_id === NIL ? null : row.owner_id,
  system: row.system,
  composite: row.composite,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

export const COMPOSITE = `exists (select 1 from role_parts p where p.tenant_id = roles.tenant_id and p.role_id = roles.id) as composite`

export function all(ctx: Context, { scopes, owner }: Where = {}) {
  const query = ctx.db('roles').where({ 'roles.tenant_id': ctx.tenant.id })
  if (scopes) query.whereIn('roles.scope', scopes)
  if (typeof owner === 'string') query.where('roles.owner_id', owner)
  else if (owner) query.whereIn('roles.owner_id', owner)
  return query
}

export async function list(
  ctx: Context,
  page: Window,
  filter: Where & { q?: string | undefined } = {},
): Promise<Page<RoleView>> {
  const found = all(ctx, filter)
  if (filter.q) found.whereILike('name', `%${permissions.like(filter.q)}%`)
  const { items, total } = await readPage<RoleRow>(found, page, (q) =>
    q.select('roles.*', ctx.db.raw(COMPOSITE)).orderBy(['name', 'id']),
  )
  return { items: items.map(roleView), total }
}

/** By id or, within `where`, by name, which may look like an id. NOT_FOUND. A name that several have is the tenant's, or else of one owner. */
export async function find(ctx: Context, key: string, where: Where = {}): Promise<RoleRow> {
  const row = await all(ctx, where)
    .where((q) => {
      q.where({ name: key })
      if (permissions.isUuid(key)) q.orWhere({ id: key })
    })
    .orderByRaw(`(id::text = ?) desc, (scope = 'tenant') desc, (owner_id = '${NIL}'), created_at`, [key.toLowerCase()])
    .first('roles.*', ctx.db.raw(COMPOSITE))
  if (!row) throw fail('NOT_FOUND', `No such role: ${key}`)
  return row
}

export const get = async (ctx: Context, key: string, where?: Where) => roleView(await find(ctx, key, where))

export async function findMany(ctx: Context, keys: string[], where?: Where): Promise<RoleRow[]> {
  const found = new Map<string, RoleRow>()
  for (const key of keys) {
    const row = await find(ctx, key, where)
    found.set(row.id, row)
  }
  return [...found.values()]
}

export interface NewRole {
  name: string
  description?: string | null | undefined
  scope?: Scope | undefined
  owner?: string | undefined
  /** Ids or names. */
  permissions?: string[] | undefined
}

/** Refuses to give, take or manage what these permissions allow. */
export type Bound = (names: string[]) => void
/** In the tenant. */
const bySelf =
  (ctx: Context): Bound =>
  (names) =>
    assertHolds(ctx, names)

/** CONFLICT when its scope has a role of that name; ACCESS_DENIED for more than the caller holds. */
export async function create(ctx: Context, input: NewRole, bound: Bound = bySelf(ctx)): Promise<RoleView> {
  const scope = input.scope ?? 'tenant'
  const held = await resolve(ctx, input.permissions ?? [])
  bound(held.map((p) => p.name))
  const [row] = await ctx
    .db('roles')
    .insert({
      tenant_id: ctx.tenant.id,
      id: newId(),
      name: input.name,
      description: input.description ?? null,
      scope,
      owner_id: input.owner ?? NIL,
    })
    .onConflict(['tenant_id', 'scope', 'owner_id', 'name'])
    .ignore()
    .returning('*')
  if (!row) throw fail('CONFLICT', 'There is a role with this name already')
  if (held.length > 0)
    await ctx
      .db('role_permissions')
      .insert(held.map((p) => ({ tenant_id: ctx.tenant.id, role_id: row.id, permission_id: p.id })))
  ctx.event('role.created', { data: { id: row.id, name: row.name, scope } })
  return roleView({ ...row, composite: false })
}

/** A role that may be changed by the caller: not one of the system's, and not one that allows more than they may. */
export async function changeable(
  ctx: Context,
  key: string,
  where?: Where,
  bound: Bound = bySelf(ctx),
): Promise<RoleRow> {
  const row = await find(ctx, key, where)
  if (row.system) throw fail('ACCESS_DENIED', `${row.name} is a system role, which cannot be changed or deleted`)
  bound(await permissionsOf(ctx, [row.id]))
  return row
}

/** Absent keys stay, null clears. */
export async function update(
  ctx: Context,
  key: string,
  change: { name?: string | undefined; description?: string | null | undefined },
  where?: Where,
  bound?: Bound,
): Promise<RoleView> {
  const row = await changeable(ctx, key, where, bound)
  if (change.name !== undefined && change.name !== row.name) {
    const taken = await all(ctx, { scopes: [row.scope], owner: row.owner_id })
      .where({ name: change.name })
      .first('id')
    if (taken) throw fail('CONFLICT', 'There is a role with this name already')
  }
  const values = {
    ...(change.name !== undefined && { name: change.name }),
    ...(change.description !== undefined && { description: change.description }),
  }
  const [updated] = await all(ctx)
    .where({ id: row.id })
    .update({ ...values, updated_at: ctx.db.fn.now() })
    .returning('*')
  ctx.event('role.updated', { data: { id: row.id, name: updated.name, fields: Object.keys(values) } })
  return roleView({ ...updated, composite: row.composite })
}

/** Whoever holds it loses it. CONFLICT while members of an organization do: they need another role first. */
export async function remove(ctx: Context, key: string, where?: Where, bound?: Bound): Promise<void> {
  const row = await changeable(ctx, key, where, bound)
  const member = await ctx.db('memberships').where({ tenant_id: ctx.tenant.id, role_id: row.id }).first('id')
  if (member) throw fail('CONFLICT', 'Members of an organization hold this role: give them another one first')
  await all(ctx).where({ id: row.id }).delete()
  ctx.event('role.deleted', { data: { id: row.id, name: row.name } })
}

async function resolve(ctx: Context, keys: string[]): Promise<{ id: string; name: string }[]> {
  const found = new Map<string, { id: string; name: string }>()
  for (const key of keys) {
    const row = await permissions.find(ctx, key)
    found.set(row.id, row)
  }
  return [...found.values()]
}

/** The role's own permissions and those of its parts; `inherited` tells them apart. */
export async function permissionsOfRole(ctx: Context, key: string, where?: Where) {
  const row = await find(ctx, key, where)
  const own = await ctx
    .db('permissions')
    .join('role_permissions as rp', (on) =>
      on.on('rp.tenant_id', 'permissions.tenant_id').on('rp.permission_id', 'permissions.id'),
    )
    .where({ 'rp.tenant_id': ctx.tenant.id, 'rp.role_id': row.id })
    .pluck('name')
  const names = await permissionsOf(ctx, [row.id])
  const rows = await ctx.db('permissions').where({ tenant_id: ctx.tenant.id }).whereIn('name', names).orderBy('name')
  return rows.map((p) => ({ ...permissions.permissionView(p), inherited: !own.includes(p.name) }))
}

/** Adds permissions (ids or names); those it has already stay. */
export async function allow(
  ctx: Context,
  key: string,
  names: string[],
  where?: Where,
  bound: Bound = bySelf(ctx),
): Promise<RoleRow> {
  const row = await changeable(ctx, key, where, bound)
  const added = await resolve(ctx, names)
  bound(added.map((p) => p.name))
  await ctx
    .db('role_permissions')
    .insert(added.map((p) => ({ tenant_id: ctx.tenant.id, role_id: row.id, permission_id: p.id })))
    .onConflict(['tenant_id', 'role_id', 'permission_id'])
    .ignore()
  ctx.event('role.permissions_added', { data: { id: row.id, name: row.name, permissions: added.map((p) => p.name) } })
  return row
}

/** NOT_FOUND when the role does not hold it itself. */
export async function disallow(
  ctx: Context,
  key: string,
  permission: string,
  where?: Where,
  bound?: Bound,
): Promise<void> {
  const row = await changeable(ctx, key, where, bound)
  const { id, name } = await permissions.find(ctx, permission)
  const gone = await ctx
    .db('role_permissions')
    .where({ tenant_id: ctx.tenant.id, role_id: row.id, permission_id: id })
    .delete()
  if (gone === 0) throw fail('NOT_FOUND', 'The role does not hold this permission')
  ctx.event('role.permissions_removed', { data: { id: row.id, name: row.name, permissions: [name] } })
}

/** Of the row and of all that it allows. `lock` holds off other changes until the transaction ends. */
export async function versionOf(ctx: Context, key: string, where: Where, lock: boolean): Promise<string> {
  const row = await find(ctx, key, where)
  if (lock) await all(ctx).where({ id: row.id }).forUpdate().first('id')
  const { name, description, updated_at } = lock ? await find(ctx, row.id) : row
  return JSON.stringify([row.id, name, description, updated_at, await permissionsOf(ctx, [row.id])])
}
