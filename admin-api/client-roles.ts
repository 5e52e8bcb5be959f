/** Roles of a client. What they contain and allow is changed as of any role, by id. */
import { Done, done, paged, pageInput } from '../server/api/shapes.ts'
import * as clientRoles from '../server/domain/clients/roles.ts'
import { type Context, operation } from '../server/domain/context.ts'
import * as roles from '../server/domain/roles.ts'
import { array, object, optional, page, text } from '../server/kernel/schema.ts'
import { Description, key, keys, Role, RoleDetails, RoleName, roleDetails } from './shapes.ts'

const tag = 'Client roles'
const read = { permission: 'roles:read' }
const write = { permission: 'roles:write' }
const { ofClient } = clientRoles
const client = text(255, { description: 'id or client_id' })
const one = { client, role: key('role') }
const version = async (ctx: Context, input: { client: string; role: string }, lock: boolean) =>
  roles.versionOf(ctx, input.role, await ofClient(ctx, input.client), lock)

export const list = operation({
  id: 'client_roles.list',
  summary: 'Get client roles',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ client, ...pageInput, q: optional(text(100, { description: 'Part of the name' })) }),
  output: page(Role),
  async run(ctx, input) {
    const where = await ofClient(ctx, input.client)
    return paged(input, (window) => roles.list(ctx, window, { ...where, q: input.q }))
  },
})

export const get = operation({
  id: 'client_roles.get',
  summary: 'Get client role',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object(one),
  output: RoleDetails,
  version,
  run: async (ctx, input) => roleDetails(ctx, await roles.get(ctx, input.role, await ofClient(ctx, input.client))),
})

export const create = operation({
  id: 'client_roles.create',
  summary: 'Create client role',
  description: 'It counts in tokens of this client only. Nobody gives a role permissions they do not hold.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({
    client,
    name: RoleName,
    description: Description,
    permissions: optional(array(text(255), { maxItems: 200, description: 'ids or names' })),
    roles: optional(keys('roles it contains')),
  }),
  example: { name: 'editor', description: 'May edit' },
  output: RoleDetails,
  run: async (ctx, { client: id, roles: parts, ...input }) =>
    roleDetails(ctx, await clientRoles.create(ctx, id, { ...input, parts })),
})

export const update = operation({
  id: 'client_roles.update',
  summary: 'Update client role',
  description: 'Absent keys stay, null clears.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ ...one, name: optional(RoleName), description: Description }),
  example: { description: 'May edit and publish' },
  output: RoleDetails,
  version,
  run: async (ctx, { client: id, role, ...change }) =>
    roleDetails(ctx, await roles.update(ctx, role, change, await ofClient(ctx, id))),
})

export const remove = operation({
  id: 'client_roles.delete',
  summary: 'Delete client role',
  description: 'Whoever holds it loses it.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object(one),
  output: Done,
  version,
  async run(ctx, input) {
    await roles.remove(ctx, input.role, await ofClient(ctx, input.client))
    return done('The role is deleted')
  },
})
