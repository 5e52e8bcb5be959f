/** Permissions of the tenant's own. */
import * as permissions from '../permissions.ts'
import { all, call, fieldsOf, type Section } from './section.ts'

export const permissionsSection: Section = {
  name: 'permissions',
  permission: 'permissions:read',
  async read(ctx) {
    const own = (await all(ctx, permissions.list)).filter((row) => !row.system)
    return new Map(own.map((row) => [row.name as string, { description: row.description }]))
  },
  normal: async (_, key, value) => ({ description: null, ...fieldsOf(value, key) }),
  async create(ctx, key, value) {
    await call(ctx, permissions.create, { name: key, ...fieldsOf(value, key) })
  },
  async update(ctx, key, value) {
    await call(ctx, permissions.update, { id: key, ...fieldsOf(value, key) })
  },
  async remove(ctx, key) {
    await call(ctx, permissions.remove, { id: key })
  },
}
