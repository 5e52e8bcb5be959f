/**
 * Roles of one organization's own, made by those who manage it from what they hold there. Its members may hold them beside the
 * roles that all organizations have.
 */
import { fail } from '../kernel/errors.ts'
import { permissionsOf, permissionsOfEach } from './authority.ts'
import type { Context } from './context.ts'
import { NIL } from './ids.ts'
import { assertWithin } from './memberships/giving.ts'
import * as organizations from './organizations.ts'
import * as roles from './roles.ts'

export interface OrganizationRole extends roles.RoleView {
  permissions: string[]
}

const ownOf = (id: string): roles.Where => ({ scopes: ['organization'], owner: id })

const whole = async (ctx: Context, view: roles.RoleView): Promise<OrganizationRole> => ({
  ...view,
  permissions: await permissionsOf(ctx, [view.id]),
})

/** All that its members may hold, by name. NOT_FOUND to outsiders. */
export async function list(
  ctx: Context,
  id: string,
  page: { limit: number; offset: number },
): Promise<{ items: OrganizationRole[]; total: number }> {
  await organizations.enter(ctx, id)
  const { items, total } = await roles.list(ctx, page, { scopes: ['organization'], owner: [id, NIL] })
  const names = await permissionsOfEach(
    ctx,
    items.map((item) => item.id),
  )
  return { items: items.map((item) => ({ ...item, permissions: names.get(item.id)! })), total }
}

/** Locks the organization: what the caller holds there, and how many roles it has, stays so until the transaction ends. */
async function managing(ctx: Context, id: string): Promise<roles.Bound> {
  await organizations.enter(ctx, id, true)
  const held = (await organizations.permissionsIn(ctx, id)) ?? new Set<string>()
  return (names) => assertWithin(names, held, ctx.actor!.permissions)
}

export interface NewOrganizationRole {
  name: string
  description?: string | null | undefined
  permissions?: string[] | undefined
}

/** CONFLICT for a name that members of all organizations have a role by, or where there are too many. */
export async function create(ctx: Context, id: string, input: NewOrganizationRole): Promise<OrganizationRole> {
  const bound = await managing(ctx, id)
  const most = ctx.tenant.settings.organization_roles
  const [own] = await roles.all(ctx, ownOf(id)).count({ total: '*' })
  if (Number(own!.total) >= most) throw fail('CONFLICT', `An organization has ${most} roles of its own at most`)
  await assertFree(ctx, input.name)
  return whole(ctx, await roles.create(ctx, { ...input, scope: 'organization', owner: id }, bound))
}

async function assertFree(ctx: Context, name: string): Promise<void> {
  const taken = await roles
    .all(ctx, { scopes: ['organization'], owner: NIL })
    .where({ name })
    .first('id')
  if (taken) throw fail('CONFLICT', 'All organizations have a role with this name already')
}

/** Absent keys stay, null clears; permissions are replaced as a whole. NOT_FOUND for what is not its own. */
export async function update(
  ctx: Context,
  id: string,
  key: string,
  { permissions, ...change }: Partial<NewOrganizationRole>,
): Promise<OrganizationRole> {
  const bound = await managing(ctx, id)
  const own = ownOf(id)
  const { id: roleId, name } = await roles.changeable(ctx, key, own, bound)
  if (change.name !== undefined && change.name !== name) await assertFree(ctx, change.name)
  if (Object.values(change).some((value) => value !== undefined)) await roles.update(ctx, roleId, change, own, bound)
  if (permissions) {
    const before = await permissionsOf(ctx, [roleId])
    const added = permissions.filter((one) => !before.includes(one))
    if (added.length > 0) await roles.allow(ctx, roleId, added, own, bound)
    for (const one of before) if (!permissions.includes(one)) await roles.disallow(ctx, roleId, one, own, bound)
  }
  return whole(ctx, await roles.get(ctx, roleId, own))
}

/** CONFLICT while members hold it. */
export async function remove(ctx: Context, id: string, key: string): Promise<void> {
  const bound = await managing(ctx, id)
  await roles.remove(ctx, key, ownOf(id), bound)
}
