/** Administering permissions: the program's are fixed, a tenant may add its own for its apps. */
import { Done, done, paged, pageInput } from '../server/api/shapes.ts'
import { operation } from '../server/domain/context.ts'
import * as permissions from '../server/domain/permissions.ts'
import { versionBy } from '../server/domain/versions.ts'
import { integer, nullable, object, optional, page, resource, string, text } from '../server/kernel/schema.ts'
import { key, Permission, wholePage } from './shapes.ts'

const tag = 'Permissions'
const half = text(60, { pattern: '^[a-z0-9_.*-]+$' })
const fields = {
  name: optional(text(120, { description: 'resource:action; or give the two by themselves' })),
  resource: optional(half),
  action: optional(half),
  description: optional(nullable(text(300))),
}

/** Also by its name, which is no other thing. */
const version = versionBy(
  'permission',
  ['id'],
  (ctx, { id }) => permissions.get(ctx, id),
  async (ctx, { id }) => (await permissions.find(ctx, id)).id,
)

export const list = operation({
  id: 'permissions.list',
  summary: 'List all available permissions',
  tag,
  auth: { permission: 'permissions:read' },
  effect: 'read',
  input: object({
    ...pageInput,
    q: optional(text(100, { description: 'Part of the name' })),
    resource: optional(half),
    action: optional(half),
  }),
  output: page(Permission),
  run: (ctx, input) => paged(input, (window) => permissions.list(ctx, window, input)),
})

export const get = operation({
  id: 'permissions.get',
  summary: 'Get permission',
  tag,
  auth: { permission: 'permissions:read' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id: key('permission') }),
  output: Permission,
  version,
  run: (ctx, { id }) => permissions.get(ctx, id),
})

export const create = operation({
  id: 'permissions.create',
  summary: 'Create a new permission',
  description: 'For the apps of this tenant. super_admin holds it at once.',
  tag,
  auth: { permission: 'permissions:write' },
  effect: 'write',
  errors: ['CONFLICT'],
  input: object(fields),
  example: { name: 'invoices:approve', description: 'Approve invoices' },
  output: Permission,
  run: (ctx, input) => permissions.create(ctx, input),
})

export const update = operation({
  id: 'permissions.update',
  summary: 'Update permission',
  description: 'Absent keys stay, null clears.',
  tag,
  auth: { permission: 'permissions:write' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id: key('permission'), ...fields }),
  example: { description: 'Approve invoices up to 10,000' },
  output: Permission,
  version,
  run: (ctx, { id, ...change }) => permissions.update(ctx, id, change),
})

export const remove = operation({
  id: 'permissions.delete',
  summary: 'Delete permission',
  description: 'Roles that hold it lose it.',
  tag,
  auth: { permission: 'permissions:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ id: key('permission') }),
  output: Done,
  version,
  async run(ctx, { id }) {
    await permissions.remove(ctx, id)
    return done('The permission is deleted')
  },
})

const halves = (which: 'resource' | 'action', summary: string) =>
  operation({
    id: `permissions.${which}s`,
    summary,
    tag,
    auth: { permission: 'permissions:read' },
    effect: 'read',
    input: object({}),
    output: page(resource('PermissionPart', { name: string(), permissions: integer() })),
    run: async (ctx) => wholePage(await permissions.halves(ctx, which)),
  })
export const resources = halves('resource', 'List resources')
export const actions = halves('action', 'List actions')
