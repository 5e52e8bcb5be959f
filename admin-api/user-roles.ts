/** Giving roles to people and taking them. */
import { Done, done } from '../server/api/shapes.ts'
import { ofClient } from '../server/domain/clients/roles.ts'
import { operation } from '../server/domain/context.ts'
import * as members from '../server/domain/roles/members.ts'
import type { Where } from '../server/domain/roles.ts'
import { array, object, page, resource, string, text, uuid } from '../server/kernel/schema.ts'
import { givenRoles, key, Role, roleKeysOf, wholePage } from './shapes.ts'

const tag = 'User roles'
const read = { permission: 'roles:read' }
const write = { permission: 'roles:write' }
const userId = uuid()
const clientId = text(255, { description: 'id or client_id' })

const ofTenant: Where = { scopes: ['tenant'] }

export const list = operation({
  id: 'user_roles.list',
  summary: 'Get all roles assigned to a user',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ userId }),
  output: page(Role),
  run: async (ctx, input) => wholePage(await members.rolesOfUser(ctx, input.userId)),
})

export const listRealm = operation({
  id: 'user_roles.list_realm',
  summary: 'Get realm roles',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ userId }),
  output: page(Role),
  run: async (ctx, input) => wholePage(await members.rolesOfUser(ctx, input.userId, ofTenant)),
})

export const listClient = operation({
  id: 'user_roles.list_client',
  summary: 'Get client roles',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ userId, clientId }),
  output: page(Role),
  run: async (ctx, input) =>
    wholePage(await members.rolesOfUser(ctx, input.userId, await ofClient(ctx, input.clientId))),
})

export const assign = operation({
  id: 'user_roles.assign',
  summary: 'Assign role to user',
  description: 'Takes effect within a second. Nobody gives more than they hold.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ userId, ...givenRoles }),
  example: { role: 'admin' },
  output: page(Role),
  run: async (ctx, input) => wholePage(await members.assign(ctx, input.userId, roleKeysOf(input))),
})

export const assignRealm = operation({
  id: 'user_roles.assign_realm',
  summary: 'Assign realm roles',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ userId, ...givenRoles }),
  example: { roles: ['admin'] },
  output: page(Role),
  run: async (ctx, input) => wholePage(await members.assign(ctx, input.userId, roleKeysOf(input), ofTenant)),
})

export const assignClient = operation({
  id: 'user_roles.assign_client',
  summary: 'Assign client roles',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ userId, clientId, ...givenRoles }),
  example: { roles: ['editor'] },
  output: page(Role),
  run: async (ctx, input) =>
    wholePage(await members.assign(ctx, input.userId, roleKeysOf(input), await ofClient(ctx, input.clientId))),
})

export const unassign = operation({
  id: 'user_roles.unassign',
  summary: 'Remove role from user',
  description: 'Takes effect within a second. The default tenant keeps its last super administrator.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ userId, role: key('role') }),
  output: Done,
  async run(ctx, input) {
    await members.unassign(ctx, input.userId, [input.role])
    return done('The role is taken back')
  },
})

export const unassignClient = operation({
  id: 'user_roles.unassign_client',
  summary: 'Remove client roles',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ userId, clientId, ...givenRoles }),
  example: { roles: ['editor'] },
  output: Done,
  async run(ctx, input) {
    await members.unassign(ctx, input.userId, roleKeysOf(input), await ofClient(ctx, input.clientId))
    return done('The roles are taken back')
  },
})

export const unassignRealm = operation({
  id: 'user_roles.unassign_realm',
  summary: 'Remove realm roles',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ userId, ...givenRoles }),
  example: { roles: ['admin'] },
  output: Done,
  async run(ctx, input) {
    await members.unassign(ctx, input.userId, roleKeysOf(input), ofTenant)
    return done('The roles are taken back')
  },
})

/** sso-api's database roles name the role by the path and the person in the body. */
export const assignHere = operation({
  id: 'user_roles.assign_here',
  summary: 'Assign to user',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ role: key('role'), userId }),
  example: { userId: '01a1fba7-0000-7000-8000-000000000001' },
  output: page(Role),
  run: async (ctx, input) => wholePage(await members.assign(ctx, input.userId, [input.role])),
})

export const effective = operation({
  id: 'users.permissions',
  summary: 'Fetch all effective permissions',
  tag,
  auth: { permission: 'users:read', orSelf: 'id' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id: uuid() }),
  output: resource('EffectivePermissions', { userId: uuid(), roles: array(string()), permissions: array(string()) }),
  run: async (ctx, { id }) => ({ userId: id, ...(await members.effective(ctx, id)) }),
})
