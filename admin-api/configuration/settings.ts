/** Settings that are not the default. */
import type { Context } from '../../server/domain/context.ts'
import { settle } from '../../server/domain/settings.ts'
import * as settings from '../settings.ts'
import { call, type Fields, type Section } from './section.ts'

export const settingsSection: Section = {
  name: 'settings',
  permission: 'settings:read',
  async read(ctx) {
    const { items } = await call(ctx, settings.list, {})
    const changed = items.filter((item: Fields) => item.changed)
    return new Map(changed.map((item: Fields) => [item.key as string, item.value]))
  },
  create: (ctx, key, value) => changeSetting(ctx, key, value),
  update: (ctx, key, value) => changeSetting(ctx, key, value),
  remove: (ctx, key) => changeSetting(ctx, key, null),
}

/** What follows in the same run is held to the new settings. */
async function changeSetting(ctx: Context, key: string, value: unknown): Promise<void> {
  await call(ctx, settings.change, { key, value })
  const { items } = await call(ctx, settings.list, {})
  const stored = Object.fromEntries(items.map((item: Fields) => [item.key, item.value]))
  ctx.tenant = { ...ctx.tenant, settings: settle(stored) }
}
