/** API resources, by their identifier. */
import type { Context } from '../../server/domain/context.ts'
import * as resources from '../resources.ts'
import { all, call, fieldsOf, filledUp, type Section, without } from './section.ts'

const idOfResource = async (ctx: Context, identifier: string) =>
  (await ctx.db('resources').where({ tenant_id: ctx.tenant.id, identifier }).first('id')).id

export const resourcesSection: Section = {
  name: 'resources',
  permission: 'resources:read',
  async read(ctx) {
    const rows = await all(ctx, resources.list)
    return new Map(
      rows.map((r) => [r.identifier as string, without(r, 'id', 'identifier', 'created_at', 'updated_at')]),
    )
  },
  normal: async (_, key, value, before) => filledUp(resources.update, key, value, before),
  async create(ctx, key, value) {
    await call(ctx, resources.create, { ...fieldsOf(value, key), identifier: key })
  },
  async update(ctx, key, value) {
    await call(ctx, resources.update, { ...fieldsOf(value, key), id: await idOfResource(ctx, key) })
  },
  async remove(ctx, key) {
    await call(ctx, resources.remove, { id: await idOfResource(ctx, key) })
  },
}
