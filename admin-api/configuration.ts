/** A tenant's configuration as one document: exported, compared, applied. For review in a repository. */
import { type Context, operation } from '../server/domain/context.ts'
import { versionOf } from '../server/domain/settings-admin.ts'
import { Failure, fail } from '../server/kernel/errors.ts'
import {
  anything,
  array,
  boolean,
  integer,
  object,
  oneOf,
  optional,
  record,
  resource,
  string,
} from '../server/kernel/schema.ts'
import { type Notes, type Section, same, stable } from './configuration/section.ts'
import { groups } from './configuration/sections.ts'

const tag = 'Configuration'
const FORMAT = 1

const entries = record(anything(), { maxProperties: 5000 })
const Document = {
  gatehouse: integer({ minimum: FORMAT, maximum: FORMAT, description: 'Version of this format' }),
  settings: optional(entries),
  permissions: optional(entries),
  resources: optional(entries),
  clients: optional(entries),
  roles: optional(entries),
  organization_roles: optional(entries),
  client_roles: optional(entries),
  identity_providers: optional(entries),
  branding: optional(entries),
  texts: optional(entries),
}

export const exportAll = operation({
  id: 'configuration.export',
  summary: 'Export the configuration of the tenant',
  description:
    'Settings, permissions and roles of its own (of the tenant, of organizations, of clients), API resources, clients, identity providers, branding and texts, as far as the caller may see them. In a stable order, by natural keys, without secrets.',
  tag,
  auth: { permission: 'settings:read' },
  effect: 'read',
  input: object({}),
  output: object(Document),
  async run(ctx) {
    const document: Record<string, unknown> = { gatehouse: FORMAT }
    for (const section of groups.flat())
      if (ctx.actor!.permissions.has(section.permission))
        document[section.name] = stable(Object.fromEntries(await section.read(ctx)))
    return document as any
  },
})

interface Change {
  section: string
  key: string
  action: 'create' | 'update' | 'delete'
  old?: unknown
  new?: unknown
}

const Planned = resource('ConfigurationChange', {
  section: string(),
  key: string(),
  action: oneOf(['create', 'update', 'delete']),
  old: optional(anything({ description: 'Of an update: the fields that differ' })),
  new: optional(anything()),
})

export const apply = operation({
  id: 'configuration.apply',
  summary: 'Apply a configuration to the tenant',
  description:
    'Makes the tenant as the document says: all of it or nothing, by the rules and permissions of each part. Sections that it leaves out stay; entries that it leaves out of a section stay unless `prune`. With `dry_run` everything is tried and taken back, and the answer says what would change.',
  tag,
  auth: { permission: 'settings:write' },
  effect: 'write',
  errors: ['CONFLICT', 'NOT_FOUND'],
  input: object({ configuration: object(Document), dryRun: optional(boolean()), prune: optional(boolean()) }),
  example: { configuration: { gatehouse: 1, settings: { mfa_policy: 'required' } }, dryRun: true },
  output: resource('ConfigurationPlan', {
    applied: boolean(),
    changes: array(Planned),
    secrets: array(object({ clientId: string(), clientSecret: string() }), {
      description: 'Of clients made just now; shown this once',
    }),
  }),
  async run(ctx, { configuration, dryRun = false, prune = false }) {
    await versionOf(ctx, true)
    const wanted = configuration as unknown as Record<string, Record<string, unknown> | undefined>
    if (!dryRun) return { applied: true, ...(await carryOut(ctx, wanted, prune)) }
    const { changes } = await tried(ctx, (inner) => carryOut(inner, wanted, prune))
    return { applied: false, changes, secrets: [] }
  },
})

/** Runs fn and takes back what it wrote. */
async function tried<T>(ctx: Context, fn: (inner: Context) => Promise<T>): Promise<T> {
  const done = Symbol('done')
  let result: T
  await ctx.db
    .transaction(async (trx) => {
      result = await fn({ ...ctx, db: trx, event: () => {}, job: () => {} })
      throw done
    })
    .catch((error) => {
      if (error !== done) throw error
    })
  return result!
}

async function carryOut(ctx: Context, wanted: Record<string, Record<string, unknown> | undefined>, prune: boolean) {
  // Settings that change hold for what follows.
  const inner: Context = { ...ctx }
  const [changes, notes]: [Change[], Notes] = [[], { secrets: [] }]
  const surplus: [Section, string, unknown][] = []
  for (const group of groups) {
    const given = group.flatMap((section) =>
      wanted[section.name] ? [{ section, entries: wanted[section.name]! }] : [],
    )
    const befores = await begun(inner, given)
    for (const [i, { section, entries }] of given.entries()) {
      const before = befores[i]!
      for (const [key, value] of Object.entries(entries)) {
        const change = await carryOutOne(inner, { section, key, value, before: before.get(key) }, notes)
        if (change) changes.push(change)
      }
      if (prune) for (const [key, old] of before) if (!Object.hasOwn(entries, key)) surplus.push([section, key, old])
    }
  }
  for (const [section, key, old] of surplus.reverse()) {
    await named(section, key, () => section.remove(inner, key))
    changes.push({ section: section.name, key, action: 'delete', old })
  }
  if (changes.length > 0) {
    const count = (action: Change['action']) => changes.filter((change) => change.action === action).length
    const [created, updated, deleted] = (['create', 'update', 'delete'] as const).map(count)
    ctx.event('configuration.applied', { data: { created, updated, deleted } })
  }
  return { changes, secrets: notes.secrets }
}

/** What there is of each section, before all that is missing is begun. */
async function begun(
  ctx: Context,
  given: { section: Section; entries: Record<string, unknown> }[],
): Promise<Map<string, unknown>[]> {
  const befores: Map<string, unknown>[] = []
  for (const { section } of given) befores.push(await section.read(ctx))
  for (const [i, { section, entries }] of given.entries())
    for (const key of Object.keys(entries))
      if (!befores[i]!.has(key)) await named(section, key, async () => section.begin?.(ctx, key))
  return befores
}

async function carryOutOne(
  ctx: Context,
  entry: { section: Section; key: string; value: unknown; before: unknown },
  notes: Notes,
): Promise<Change | undefined> {
  const { section, key, before } = entry
  const value = (await section.normal?.(ctx, key, entry.value, before)) ?? entry.value
  const change = compare(section, key, before, stable(value))
  if (change)
    await named(section, key, () =>
      change.action === 'create' ? section.create(ctx, key, value, notes) : section.update(ctx, key, value, before),
    )
  return change
}

/** Undefined where nothing is to be done. */
function compare(section: Section, key: string, before: unknown, value: unknown): Change | undefined {
  if (before === undefined) return { section: section.name, key, action: 'create', new: mask(value) }
  if (same(before, value)) return undefined
  const isObject = (one: unknown): one is Record<string, unknown> =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
  if (!isObject(before) || !isObject(value))
    return { section: section.name, key, action: 'update', old: before, new: value }
  const fields = [...new Set([...Object.keys(before), ...Object.keys(value)])].filter((f) => !same(before[f], value[f]))
  const pick = (from: Record<string, unknown>) =>
    Object.fromEntries(fields.map((field) => [field, from[field] ?? null]))
  return { section: section.name, key, action: 'update', old: pick(before), new: mask(pick(value)) }
}
/** A plan is read by others. */
const mask = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && 'client_secret' in value
    ? { ...value, client_secret: '********' }
    : value

/** Which entry a failure is about. */
async function named(section: Section, key: string, fn: () => Promise<void>): Promise<void> {
  try {
    await fn()
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw fail(error.code, `${section.name}.${key}: ${error.message}`, { details: error.details })
  }
}
