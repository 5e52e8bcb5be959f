/** Schemas that administrative operations share, and rows as those shapes. */
import { RoleName, userView } from '../server/api/shapes.ts'
import type { Context } from '../server/domain/context.ts'
import * as roles from '../server/domain/roles.ts'
import type { ManagedRow } from '../server/domain/user-admin.ts'
import { fail } from '../server/kernel/errors.ts'
import {
  anything,
  array,
  boolean,
  email,
  instant,
  nullable,
  oneOf,
  optional,
  record,
  resource,
  string,
  text,
  uuid,
} from '../server/kernel/schema.ts'

export const ManagedUser = resource('ManagedUser', {
  id: uuid(),
  email: nullable(email()),
  emailVerified: boolean(),
  name: optional(string()),
  givenName: nullable(string()),
  familyName: nullable(string()),
  nickname: nullable(string()),
  picture: nullable(string()),
  phoneNumber: nullable(string()),
  phoneNumberVerified: boolean(),
  locale: nullable(string()),
  zoneinfo: nullable(string()),
  status: oneOf(['active', 'disabled', 'deleted']),
  enabled: boolean(),
  lockedUntil: nullable(instant({ description: 'In the past: locked no more' })),
  requiredActions: array(string(), { description: 'What the next sign-in asks for, such as enrol_mfa' }),
  attributes: record(anything()),
  lastLoginAt: nullable(instant()),
  createdAt: instant(),
  updatedAt: instant(),
})

export const managedView = (row: ManagedRow) => ({
  ...userView(row),
  enabled: row.status === 'active',
  lockedUntil: row.locked_until,
  requiredActions: row.required_actions,
  attributes: row.attributes,
})

const role = {
  id: uuid(),
  name: string(),
  description: nullable(string()),
  scope: oneOf(['tenant', 'client', 'organization']),
  ownerId: nullable(uuid({ description: 'The client or organization it belongs to' })),
  system: boolean({ description: 'Cannot be changed or deleted' }),
  composite: boolean({ description: 'Contains other roles' }),
  createdAt: instant(),
  updatedAt: instant(),
}
export const Role = resource('Role', role)
export const RoleDetails = resource('RoleDetails', {
  ...role,
  permissions: array(string(), { description: 'All it allows, by itself and by its parts' }),
})

export { RoleName }
export const Description = optional(nullable(text(500)))

export async function roleDetails(ctx: Context, view: roles.RoleView) {
  const held = await roles.permissionsOfRole(ctx, view.id)
  return { ...view, permissions: held.map(({ name }) => name) }
}

const permission = {
  id: uuid(),
  name: string({ description: 'resource:action' }),
  resource: string(),
  action: string(),
  description: nullable(string()),
  system: boolean({ description: 'Of the program: cannot be changed or deleted' }),
  createdAt: instant(),
}
export const Permission = resource('Permission', permission)
export const RolePermission = resource('RolePermission', {
  ...permission,
  inherited: boolean({ description: 'By a role it contains' }),
})

/** An id or a name. */
export const key = (what: string) => text(255, { description: `id or name of the ${what}` })
/** Ids or names. */
export const keys = (what: string) =>
  array(text(255), { minItems: 1, maxItems: 100, description: `ids or names of ${what}` })

/** Roles may be named in any of the documents' ways. */
export const givenRoles = {
  role: optional(key('role')),
  roleId: optional(key('role')),
  roles: optional(keys('roles')),
  roleIds: optional(keys('roles')),
}
interface GivenRoles {
  role?: string
  roleId?: string
  roles?: string[]
  roleIds?: string[]
}
export function roleKeysOf(input: GivenRoles): string[] {
  const all = [...(input.roles ?? []), ...(input.roleIds ?? [])]
  for (const one of [input.role, input.roleId]) if (one !== undefined) all.push(one)
  if (all.length === 0) throw fail('VALIDATION_ERROR', 'role_id is required')
  return all
}

/** A whole list as a page. */
export const wholePage = <T>(items: T[]) => ({
  items,
  limit: Math.max(items.length, 1),
  offset: 0,
  count: items.length,
  total: items.length,
})
