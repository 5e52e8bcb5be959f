/** What every section of the configuration is made with: operations of the admin API, run as their rows would run them. */
import type { Context } from '../../server/domain/context.ts'
import { inputOf } from '../../server/kernel/bind.ts'
import { fail } from '../../server/kernel/errors.ts'
import type { Operation } from '../../server/kernel/operation.ts'
import { encoder, snake } from '../../server/kernel/surface.ts'

export type Entry = unknown
export type Fields = Record<string, unknown>
export interface Section {
  name: string
  /** What seeing it asks for. */
  permission: string
  read(ctx: Context): Promise<Map<string, Entry>>
  /** For each entry that is not there yet, before the first is made whole: entries may refer to later ones. */
  begin?(ctx: Context, key: string): Promise<void>
  /** The entry as read() would answer it once it is stored: with what stays although it is not named. */
  normal?(ctx: Context, key: string, value: Entry, before: Entry): Promise<Entry>
  create(ctx: Context, key: string, value: Entry, notes: Notes): Promise<void>
  update(ctx: Context, key: string, value: Entry, before: Entry): Promise<void>
  remove(ctx: Context, key: string): Promise<void>
}
/** What was made and is shown this once. */
export interface Notes {
  secrets: { clientId: string; clientSecret: string }[]
}

const speller = { name: (_: string | undefined, key: string) => snake(key) }
const inputs = new Map<Operation, (raw: Fields) => any>()

/** Runs the operation as its row would: its permission, its schema, its rule. Keys are those of the wire. */
export async function call(ctx: Context, op: Operation, raw: Fields): Promise<any> {
  const { permission } = op.auth as { permission: string }
  if (!ctx.actor?.permissions.has(permission))
    throw fail('ACCESS_DENIED', `This needs the permission ${permission}`, { details: { permission } })
  const input = inputs.get(op) ?? inputOf(speller, op)
  inputs.set(op, input)
  const decoded = input(structuredClone(raw))
  const prepared = await op.prepare?.(ctx, decoded, undefined as never)
  return encoder(speller, op.output)(await op.run(ctx, decoded, prepared))
}

/** All pages of a list. */
export async function all(ctx: Context, op: Operation, extra: Fields = {}): Promise<Fields[]> {
  const found: Fields[] = []
  for (;;) {
    const { items, total } = await call(ctx, op, { ...extra, limit: 100, offset: found.length })
    found.push(...items)
    if (items.length === 0 || found.length >= total) return found
  }
}

export const fieldsOf = (value: Entry, where: string): Fields => {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw fail('VALIDATION_ERROR', `${where} must be an object`)
}
export const without = (value: Fields, ...names: string[]): Fields =>
  Object.fromEntries(Object.entries(value).filter(([name, v]) => !names.includes(name) && v !== null))

const allowsNull = (op: Operation) => (name: string) => {
  const camel = name.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase())
  const schema = (op.input as { properties: Record<string, { anyOf?: { type?: string }[] }> }).properties[camel]
  return schema?.anyOf?.some((one) => one.type === 'null') ?? false
}

/** An entry is all it says: what was there and is not named is cleared where the operation can do that, and stays else. */
export function unnamed(op: Operation, value: Fields, before: Fields): { cleared: string[]; kept: Fields } {
  const absent = Object.keys(before).filter((name) => !Object.hasOwn(value, name))
  const clears = allowsNull(op)
  const kept = absent.filter((name) => !clears(name)).map((name) => [name, before[name]])
  return { cleared: absent.filter(clears), kept: Object.fromEntries(kept) }
}
/** Null clears, which says nothing of what is not there. */
export const filledUp = (op: Operation, key: string, value: Entry, before: Entry): Fields => {
  const was = (before ?? {}) as Fields
  const clears = allowsNull(op)
  const says = ([name, one]: [string, unknown]) => one !== null || Object.hasOwn(was, name) || !clears(name)
  const fields = Object.fromEntries(Object.entries(fieldsOf(value, key)).filter(says))
  return { ...unnamed(op, fields, was).kept, ...fields }
}

/** Keys sorted, so that equal values have equal texts. */
export const stable = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(stable)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, one]) => [key, stable(one)]))
}
export const same = (a: unknown, b: unknown): boolean => JSON.stringify(stable(a)) === JSON.stringify(stable(b))
