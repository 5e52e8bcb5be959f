/** Settings as administrators see and change them: each value checked against its definition, each change told as old and new. */
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { checks as closer, definitions, type SettingKey } from './settings.ts'

export interface SettingView {
  key: string
  value: unknown
  default: unknown
  description: string
  public: boolean
  /** JSON Schema of the value. */
  schema: Record<string, unknown>
  /** False while the default holds. */
  changed: boolean
  updatedAt: Date | null
  updatedBy: string | null
}

const ajv = new Ajv({ allErrors: false, strict: false })
addFormats.default(ajv)
ajv.addKeyword('secret')
const MASK = '********'

export const settingKeys = Object.keys(definitions) as SettingKey[]
const isKey = (key: string): key is SettingKey => Object.hasOwn(definitions, key)
const isSecret = (key: SettingKey) => (definitions[key].schema as { secret?: boolean }).secret === true

/** Secrets never leave, only whether there is one. */
const shown = (key: SettingKey, value: unknown) => (isSecret(key) && value !== '' && value !== null ? MASK : value)

const rowsOf = async (ctx: Context) =>
  new Map(
    (await ctx.db('settings').where({ tenant_id: ctx.tenant.id })).map((row): [string, any] => [
      row.key as string,
      row,
    ]),
  )

/** All settings of the tenant, in the order of their definitions. */
export async function list(ctx: Context): Promise<SettingView[]> {
  const stored = await rowsOf(ctx)
  return settingKeys.map((key) => {
    const { schema, fallback, description, isPublic } = definitions[key]
    const row = stored.get(key)
    return {
      key,
      value: shown(key, row ? row.value : fallback),
      default: fallback,
      description,
      public: isPublic,
      schema: { ...schema },
      changed: row !== undefined,
      updatedAt: row?.updated_at ?? null,
      updatedBy: row?.updated_by ?? null,
    }
  })
}

/** NOT_FOUND for a key that there is not. */
export async function get(ctx: Context, key: string): Promise<SettingView> {
  const found = (await list(ctx)).find((setting) => setting.key === key)
  if (!found) throw fail('NOT_FOUND', 'No such setting')
  return found
}

/** Values by key. */
export async function values(ctx: Context): Promise<Record<string, unknown>> {
  return Object.fromEntries((await list(ctx)).map(({ key, value }) => [key, value]))
}

/** Grows with each change of anything that processes keep of the tenant. `lock` makes other changes wait. */
export async function versionOf(ctx: Context, lock: boolean): Promise<string> {
  const query = ctx.db('tenants').where({ id: ctx.tenant.id }).first('version')
  const found = await (lock ? query.forNoKeyUpdate() : query)
  return `settings ${ctx.tenant.id} ${found?.version}`
}

/**
 * Stores these values; null goes back to the default. All or none: NOT_FOUND for an unknown key, VALIDATION_ERROR for a
 * value its definition does not allow. What stays the same writes nothing.
 */
export async function change(ctx: Context, wanted: Record<string, unknown>): Promise<void> {
  const details = Object.entries(wanted).flatMap(([key, value]) => problem(key, value))
  if (details[0]) throw fail('VALIDATION_ERROR', `${details[0].field} ${details[0].message}`, { details })
  const tenant_id = ctx.tenant.id
  await versionOf(ctx, true)
  const stored = await rowsOf(ctx)
  for (const [name, value] of Object.entries(wanted)) {
    const key = name as SettingKey
    const before = stored.has(key) ? stored.get(key).value : definitions[key].fallback
    const after = value === null ? definitions[key].fallback : value
    if (value === null) await ctx.db('settings').where({ tenant_id, key }).delete()
    else if (JSON.stringify(before) !== JSON.stringify(after))
      await ctx
        .db('settings')
        .insert({ tenant_id, key, value: JSON.stringify(value), updated_by: ctx.actor?.userId ?? null })
        .onConflict(['tenant_id', 'key'])
        .merge({ value: JSON.stringify(value), updated_by: ctx.actor?.userId ?? null, updated_at: ctx.db.fn.now() })
    if (JSON.stringify(before) !== JSON.stringify(after))
      ctx.event('setting.changed', { data: { key, old: shown(key, before), new: shown(key, after) } })
  }
}

function problem(key: string, value: unknown): { field: string; message: string }[] {
  if (!isKey(key)) throw fail('NOT_FOUND', `No such setting: ${key}`)
  // Compiled at the first use, and kept by ajv.
  const check = ajv.compile(definitions[key].schema)
  if (value === null) return []
  if (check(value)) {
    const message = closer[key]?.(value)
    return message === undefined ? [] : [{ field: key, message }]
  }
  const error = check.errors?.[0]
  const field = `${key}${error?.instancePath.replaceAll('/', '.') ?? ''}`
  const allowed = error?.keyword === 'enum' ? `must be one of ${error.params.allowedValues.join(', ')}` : error?.message
  return [{ field, message: allowed ?? 'is invalid' }]
}
