/** Permissions as rows: those of the program, which are fixed, and the tenant's own for its apps. */
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { newId, ROLE } from './ids.ts'
import { type Page, readPage, type Window } from './pages.ts'
import { permissions as program } from './policy.ts'

export interface PermissionView {
  id: string
  name: string
  resource: string
  action: string
  description: string | null
  system: boolean
  createdAt: Date
}

export const isUuid = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
export const like = (text: string) => text.replace(/[\\%_]/g, '\\$&')

interface PermissionRow {
  id: string
  name: string
  description: string | null
  system: boolean
  created_at: Date
}

export const permissionView = (row: PermissionRow): PermissionView => ({
  id: row.id,
  name: row.name,
  resource: row.name.split(':')[0]!,
  action: row.name.split(':')[1]!,
  description: row.description,
  system: row.system,
  createdAt: row.created_at,
})

const all = (ctx: Context) => ctx.db('permissions').where({ 'permissions.tenant_id': ctx.tenant.id })

export async function list(
  ctx: Context,
  page: Window,
  filter: { q?: string | undefined; resource?: string | undefined; action?: string | undefined },
): Promise<Page<PermissionView>> {
  const found = all(ctx)
  if (filter.q) found.whereILike('name', `%${like(filter.q)}%`)
  if (filter.resource) found.whereLike('name', `${like(filter.resource)}:%`)
  if (filter.action) found.whereLike('name', `%:${like(filter.action)}`)
  const { items, total } = await readPage<PermissionRow>(found, page, (q) => q.orderBy('name'))
  return { items: items.map(permissionView), total }
}

/** By id or by name. NOT_FOUND. */
export async function find(ctx: Context, key: string): Promise<PermissionRow> {
  const row = await all(ctx)
    .where(isUuid(key) ? { id: key } : { name: key })
    .first()
  if (!row) throw fail('NOT_FOUND', `No such permission: ${key}`)
  return row
}

export const get = async (ctx: Context, key: string) => permissionView(await find(ctx, key))

const NAME = /^[a-z0-9_.-]+:[a-z0-9_.*-]+$/

export interface NewPermission {
  name?: string | undefined
  resource?: string | undefined
  action?: string | undefined
  description?: string | null | undefined
}

function nameOf(input: NewPermission, before = ''): string {
  const [resource, action] = (input.name ?? before).split(':')
  const name = `${input.resource ?? resource ?? ''}:${input.action ?? action ?? ''}`
  if (!NAME.test(name) || (input.name !== undefined && input.name.split(':').length !== 2))
    throw fail('VALIDATION_ERROR', 'name: give resource:action, in lower case', {
      details: [{ field: 'name', message: 'must be resource:action' }],
    })
  // Also where an older tenant has not got it yet.
  if (name !== before && Object.hasOwn(program, name))
    throw fail('CONFLICT', 'There is a permission with this name already')
  return name
}

/** A permission of the tenant's own; super_admin holds it at once. CONFLICT when the name is taken. */
export async function create(ctx: Context, input: NewPermission): Promise<PermissionView> {
  const name = nameOf(input)
  const [row] = await ctx
    .db('permissions')
    .insert({ tenant_id: ctx.tenant.id, id: newId(), name, description: input.description ?? null, system: false })
    .onConflict(['tenant_id', 'name'])
    .ignore()
    .returning('*')
  if (!row) throw fail('CONFLICT', 'There is a permission with this name already')
  await ctx.db('role_permissions').insert({ tenant_id: ctx.tenant.id, role_id: ROLE.superAdmin, permission_id: row.id })
  ctx.event('permission.created', { data: { name } })
  return permissionView(row)
}

/** Absent keys stay, null clears. */
export async function update(ctx: Context, key: string, change: NewPermission): Promise<PermissionView> {
  const row = await own(ctx, key)
  const name = nameOf(change, row.name)
  if (name !== row.name && (await all(ctx).where({ name }).first('id')))
    throw fail('CONFLICT', 'There is a permission with this name already')
  const [updated] = await all(ctx)
    .where({ id: row.id })
    .update({ name, ...(change.description !== undefined && { description: change.description }) })
    .returning('*')
  ctx.event('permission.updated', { data: { name, before: row.name } })
  return permissionView(updated)
}

/** Roles that hold it lose it. */
export async function remove(ctx: Context, key: string): Promise<void> {
  const row = await own(ctx, key)
  await all(ctx).where({ id: row.id }).delete()
  ctx.event('permission.deleted', { data: { name: row.name } })
}

async function own(ctx: Context, key: string): Promise<PermissionRow> {
  const row = await find(ctx, key)
  if (row.system) throw fail('ACCESS_DENIED', 'Permissions of the program cannot be changed or deleted')
  return row
}

/** The first or second halves of all names, with how many permissions have them. */
export async function halves(
  ctx: Context,
  half: 'resource' | 'action',
): Promise<{ name: string; permissions: number }[]> {
  const place = half === 'resource' ? 1 : 2
  const rows: { half: string; permissions: number }[] = await all(ctx)
    .select(ctx.db.raw(`split_part(name, ':', ?) as half, count(*)::int as permissions`, [place]))
    .groupBy('half')
    .orderBy('half')
  return rows.map(({ half: name, permissions }) => ({ name, permissions }))
}
