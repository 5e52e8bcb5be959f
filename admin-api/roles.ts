/** Administering roles. The same operations serve roles of the tenant and, by fixed `scope`, sso-api's database roles. */
import { Done, done, paged, pageInput } from '../server/api/shapes.ts'
import { type Context, operation } from '../server/domain/context.ts'
import * as composites from '../server/domain/roles/composites.ts'
import * as members from '../server/domain/roles/members.ts'
import * as roles from '../server/domain/roles.ts'
import { inside } from '../server/domain/tenant-admin.ts'
import { fail } from '../server/kernel/errors.ts'
import {
  array,
  boolean,
  integer,
  object,
  oneOf,
  optional,
  page,
  resource,
  string,
  text,
  uuid,
} from '../server/kernel/schema.ts'
import {
  Description,
  key,
  keys,
  ManagedUser,
  managedView,
  Role,
  RoleDetails,
  RoleName,
  RolePermission,
  roleDetails,
  wholePage,
} from './shapes.ts'

const tag = 'Roles'
const read = { permission: 'roles:read' }
const write = { permission: 'roles:write' }
/** `database` is set by rows: what sso-api calls database roles. */
const scope = optional(oneOf(['tenant', 'client', 'organization', 'all']))
const scopesOf = (which: string | undefined): roles.Where => {
  if (which === 'all') return {}
  if (which === 'database') return { scopes: ['tenant', 'organization'] }
  return which === undefined ? {} : { scopes: [which as roles.Scope] }
}

/** v1-api's tenant_id: the caller's own, or any for who manages all tenants. What happens there is that tenant's event. */
async function inTenant<T>(ctx: Context, tenantId: string | undefined, fn: (inner: Context) => Promise<T>): Promise<T> {
  if (tenantId === undefined || tenantId === ctx.tenant.id) return fn(ctx)
  const isRoot = ctx.tenant.mountPath === '' && ctx.actor?.permissions.has('tenants:write')
  const tenant = isRoot ? await ctx.out.directory.byId(tenantId) : undefined
  if (!tenant) throw fail('NOT_FOUND', 'No such tenant')
  return inside(ctx, tenant, fn)
}

export const list = operation({
  id: 'roles.list',
  summary: 'Get all roles',
  tag,
  auth: read,
  effect: 'read',
  input: object({ ...pageInput, q: optional(text(100, { description: 'Part of the name' })), scope }),
  output: page(Role),
  run: (ctx, input) =>
    paged(input, (window) => roles.list(ctx, window, { ...scopesOf(input.scope ?? 'tenant'), q: input.q })),
})

export const get = operation({
  id: 'roles.get',
  summary: 'Get role details',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ role: key('role'), scope }),
  output: RoleDetails,
  version: (ctx, input, lock) => roles.versionOf(ctx, input.role, scopesOf(input.scope), lock),
  run: async (ctx, input) => roleDetails(ctx, await roles.get(ctx, input.role, scopesOf(input.scope))),
})

export const create = operation({
  id: 'roles.create',
  summary: 'Create a new role',
  description: 'Nobody gives a role permissions they do not hold.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['CONFLICT'],
  input: object({
    name: RoleName,
    description: Description,
    permissions: optional(array(text(255), { maxItems: 200, description: 'ids or names' })),
    scope: optional(oneOf(['tenant', 'organization'], { default: 'tenant' })),
    tenantId: optional(uuid({ description: 'Another tenant, for who manages all of them' })),
  }),
  example: { name: 'manager', description: 'Team manager with elevated permissions' },
  output: RoleDetails,
  run: (ctx, { tenantId, ...input }) =>
    inTenant(ctx, tenantId, async (inner) => roleDetails(inner, await roles.create(inner, input))),
})

export const update = operation({
  id: 'roles.update',
  summary: 'Update role (system roles cannot be modified)',
  description: 'Absent keys stay, null clears.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ role: key('role'), name: optional(RoleName), description: Description, scope }),
  example: { description: 'Updated description' },
  output: RoleDetails,
  version: (ctx, input, lock) => roles.versionOf(ctx, input.role, scopesOf(input.scope), lock),
  run: async (ctx, { role, scope: which, ...change }) =>
    roleDetails(ctx, await roles.update(ctx, role, change, scopesOf(which))),
})

export const remove = operation({
  id: 'roles.delete',
  summary: 'Delete role (system roles cannot be deleted)',
  description: 'Whoever holds it loses it.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ role: key('role'), scope }),
  output: Done,
  version: (ctx, input, lock) => roles.versionOf(ctx, input.role, scopesOf(input.scope), lock),
  async run(ctx, input) {
    await roles.remove(ctx, input.role, scopesOf(input.scope))
    return done('The role is deleted')
  },
})

export const listPermissions = operation({
  id: 'roles.permissions',
  summary: 'Get permissions assigned to a role',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ role: key('role') }),
  output: page(RolePermission),
  run: async (ctx, input) => wholePage(await roles.permissionsOfRole(ctx, input.role)),
})

export const allow = operation({
  id: 'roles.allow',
  summary: 'Assign permissions to a role',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({
    role: key('role'),
    scope,
    permissionId: optional(key('permission')),
    permissionIds: optional(keys('permissions')),
    permissions: optional(keys('permissions')),
  }),
  example: { permissionId: 'users:read' },
  output: RoleDetails,
  version: (ctx, input, lock) => roles.versionOf(ctx, input.role, scopesOf(input.scope), lock),
  async run(ctx, input) {
    const given = [...(input.permissionIds ?? []), ...(input.permissions ?? [])]
    if (input.permissionId !== undefined) given.push(input.permissionId)
    if (given.length === 0) throw fail('VALIDATION_ERROR', 'permission_id is required')
    const row = await roles.allow(ctx, input.role, given, scopesOf(input.scope))
    return roleDetails(ctx, roles.roleView(row))
  },
})

export const disallow = operation({
  id: 'roles.disallow',
  summary: 'Remove a permission from a role',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ role: key('role'), permission: key('permission'), scope }),
  output: Done,
  version: (ctx, input, lock) => roles.versionOf(ctx, input.role, scopesOf(input.scope), lock),
  async run(ctx, input) {
    await roles.disallow(ctx, input.role, input.permission, scopesOf(input.scope))
    return done('The role does not hold this permission any more')
  },
})

export const holders = operation({
  id: 'roles.users',
  summary: 'Users in role',
  description: 'Who holds it directly, the oldest account first; by offset up to 10,000.',
  tag,
  auth: { permission: 'users:read' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ role: key('role'), ...pageInput }),
  output: page(ManagedUser),
  async run(ctx, input) {
    const { id } = await roles.find(ctx, input.role)
    return paged(input, (window) => members.holders(ctx, id, window), managedView)
  },
})

export const stats = operation({
  id: 'roles.stats',
  summary: 'Role statistics',
  tag,
  auth: read,
  effect: 'read',
  input: object({}),
  output: resource('RoleStatistics', {
    total: integer(),
    system: integer(),
    custom: integer(),
    composite: integer(),
    roles: array(
      object({
        id: uuid(),
        name: string(),
        system: boolean(),
        composite: boolean(),
        users: integer(),
        permissions: integer(),
      }),
    ),
  }),
  run: (ctx) => members.statistics(ctx, { scopes: ['tenant'] }),
})

export const createComposite = operation({
  id: 'roles.create_composite',
  summary: 'Create composite role',
  tag,
  auth: write,
  effect: 'write',
  errors: ['CONFLICT', 'NOT_FOUND'],
  input: object({
    name: RoleName,
    description: Description,
    roles: optional(keys('roles it contains')),
    childRoles: optional(keys('roles it contains')),
    permissions: optional(array(text(255), { maxItems: 200 })),
  }),
  example: { name: 'lead', roles: ['user'] },
  output: RoleDetails,
  async run(ctx, { roles: some, childRoles, ...input }) {
    const parts = [...(some ?? []), ...(childRoles ?? [])]
    if (parts.length === 0) throw fail('VALIDATION_ERROR', 'roles is required')
    return roleDetails(ctx, await composites.createComposite(ctx, { ...input, parts }))
  },
})

export const parts = operation({
  id: 'roles.parts',
  summary: 'Get composite roles',
  description: 'The roles it contains directly.',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ role: key('role') }),
  output: page(Role),
  run: async (ctx, input) => wholePage(await composites.parts(ctx, input.role)),
})

const partsInput = object({ role: key('role'), roles: keys('roles') })
export const addParts = operation({
  id: 'roles.add_parts',
  summary: 'Add to composite',
  description: 'A role cannot contain itself, however far down: CONFLICT.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: partsInput,
  example: { roles: ['user'] },
  output: RoleDetails,
  run: async (ctx, input) => roleDetails(ctx, await composites.add(ctx, input.role, input.roles)),
})
export const removeParts = operation({
  id: 'roles.remove_parts',
  summary: 'Remove from composite',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: partsInput,
  example: { roles: ['user'] },
  output: RoleDetails,
  run: async (ctx, input) => roleDetails(ctx, await composites.take(ctx, input.role, input.roles)),
})
