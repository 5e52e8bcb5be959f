/**
 * What a tenant's configuration is made of, section by section in the order in which one builds on another. Entries have
 * natural keys and change by the operations of the admin API, whose permissions and schemas hold here as well.
 */
import { type Context, operation } from '../../server/domain/context.ts'
import { secretOf } from '../../server/domain/identity-providers.ts'
import * as composites from '../../server/domain/roles/composites.ts'
import * as roles from '../../server/domain/roles.ts'
import { settle } from '../../server/domain/settings.ts'
import { inputOf } from '../../server/kernel/bind.ts'
import { fail } from '../../server/kernel/errors.ts'
import type { Operation } from '../../server/kernel/operation.ts'
import { array, nullable, object, optional, text } from '../../server/kernel/schema.ts'
import { encoder, snake } from '../../server/kernel/surface.ts'
import * as branding from '../branding.ts'
import * as clients from '../clients.ts'
import * as identityProviders from '../identity-providers.ts'
import * as permissions from '../permissions.ts'
import * as resources from '../resources.ts'
import * as roleOperations from '../roles.ts'
import * as settings from '../settings.ts'

export type Entry = unknown
type Fields = Record<string, unknown>
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
async function call(ctx: Context, op: Operation, raw: Fields): Promise<any> {
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
async function all(ctx: Context, op: Operation, extra: Fields = {}): Promise<Fields[]> {
  const found: Fields[] = []
  for (;;) {
    const { items, total } = await call(ctx, op, { ...extra, limit: 100, offset: found.length })
    found.push(...items)
    if (items.length === 0 || found.length >= total) return found
  }
}

const fieldsOf = (value: Entry, where: string): Fields => {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw fail('VALIDATION_ERROR', `${where} must be an object`)
}
const without = (value: Fields, ...names: string[]): Fields =>
  Object.fromEntries(Object.entries(value).filter(([name, v]) => !names.includes(name) && v !== null))

/** An entry is all it says: what was there and is not named is cleared where the operation can do that, and stays else. */
function unnamed(op: Operation, value: Fields, before: Fields): { cleared: string[]; kept: Fields } {
  const allowsNull = (name: string) => {
    const camel = name.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase())
    const schema = (op.input as { properties: Record<string, { anyOf?: { type?: string }[] }> }).properties[camel]
    return schema?.anyOf?.some((one) => one.type === 'null') ?? false
  }
  const absent = Object.keys(before).filter((name) => !Object.hasOwn(value, name))
  const kept = absent.filter((name) => !allowsNull(name)).map((name) => [name, before[name]])
  return { cleared: absent.filter(allowsNull), kept: Object.fromEntries(kept) }
}
const filledUp = (op: Operation, key: string, value: Entry, before: Entry): Fields => {
  const fields = fieldsOf(value, key)
  return { ...unnamed(op, fields, (before ?? {}) as Fields).kept, ...fields }
}

const settingsSection: Section = {
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

const permissionsSection: Section = {
  name: 'permissions',
  permission: 'permissions:read',
  async read(ctx) {
    const own = (await all(ctx, permissions.list)).filter((row) => !row.system)
    return new Map(own.map((row) => [row.name as string, { description: row.description }]))
  },
  async create(ctx, key, value) {
    await call(ctx, permissions.create, { name: key, ...fieldsOf(value, key) })
  },
  async update(ctx, key, value) {
    await call(ctx, permissions.update, { id: key, description: null, ...fieldsOf(value, key) })
  },
  async remove(ctx, key) {
    await call(ctx, permissions.remove, { id: key })
  },
}

const idOfResource = async (ctx: Context, identifier: string) =>
  (await ctx.db('resources').where({ tenant_id: ctx.tenant.id, identifier }).first('id')).id

const resourcesSection: Section = {
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

const ofTenant = { scopes: ['tenant' as const] }
const names = () => optional(array(text(255), { maxItems: 500, uniqueItems: true }))
/** Only for its schema and permission: a role with all it is made of. */
const role = operation({
  id: 'configuration.role',
  summary: 'A role',
  tag: 'Configuration',
  auth: { permission: 'roles:write' },
  effect: 'write',
  input: object({
    name: text(100, { pattern: '^[^\\s/][^/]*$' }),
    description: optional(nullable(text(500))),
    permissions: names(),
    parts: names(),
  }),
  output: object({}),
  async run(ctx, { name, description = null, permissions: held = [], parts = [] }) {
    const known = await rolesOf(ctx)
    const before = known.get(name)
    if (!before) await roles.create(ctx, { name, description })
    else if (before.description !== (description ?? undefined)) await roles.update(ctx, name, { description }, ofTenant)
    const added = held.filter((one) => !before?.permissions.includes(one))
    if (added.length > 0) await roles.allow(ctx, name, added, ofTenant)
    for (const one of before?.permissions ?? []) if (!held.includes(one)) await roles.disallow(ctx, name, one, ofTenant)
    const news = parts.filter((one) => !before?.parts.includes(one))
    if (news.length > 0) await composites.add(ctx, name, news, ofTenant)
    const gone = (before?.parts ?? []).filter((one) => !parts.includes(one))
    if (gone.length > 0) await composites.take(ctx, name, gone, ofTenant)
    return {}
  },
})

interface RoleEntry {
  description?: string
  permissions: string[]
  parts: string[]
}
async function rolesOf(ctx: Context): Promise<Map<string, RoleEntry>> {
  const { rows } = await ctx.db.raw(
    `select r.name, r.description,
       array(select p.name from role_permissions rp join permissions p on p.tenant_id = rp.tenant_id and p.id = rp.permission_id
         where rp.tenant_id = r.tenant_id and rp.role_id = r.id order by p.name) as permissions,
       array(select p.name from role_parts rp join roles p on p.tenant_id = rp.tenant_id and p.id = rp.part_id
         where rp.tenant_id = r.tenant_id and rp.role_id = r.id and p.scope = 'tenant' order by p.name) as parts
     from roles r where r.tenant_id = ? and r.scope = 'tenant' and not r.system order by r.name`,
    [ctx.tenant.id],
  )
  return new Map(rows.map(({ name, ...rest }: any) => [name, without(rest) as unknown as RoleEntry]))
}

const rolesSection: Section = {
  name: 'roles',
  permission: 'roles:read',
  read: rolesOf,
  begin: (ctx, key) => call(ctx, role, { name: key }),
  create: (ctx, key, value) => call(ctx, role, { ...fieldsOf(value, key), name: key }),
  update: (ctx, key, value) => call(ctx, role, { ...fieldsOf(value, key), name: key }),
  async remove(ctx, key) {
    await call(ctx, roleOperations.remove, { role: key, scope: 'tenant' })
  },
}

const POLICIES = ['login_policy', 'branding', 'lifetimes']
const clientsSection: Section = {
  name: 'clients',
  permission: 'clients:read',
  async read(ctx) {
    const rows = (await all(ctx, clients.list)).filter((row) => !row.system)
    return new Map(
      rows.map((row) => {
        const entry = without(row, 'id', 'client_id', 'system', 'created_at', 'updated_at')
        for (const name of POLICIES) if (Object.keys((entry[name] ?? {}) as Fields).length === 0) delete entry[name]
        return [row.client_id as string, entry]
      }),
    )
  },
  normal: async (_, key, value, before) => filledUp(clients.update, key, value, before),
  async create(ctx, key, value, notes) {
    const made = await call(ctx, clients.create, { ...fieldsOf(value, key), client_id: key })
    if (made.client_secret) notes.secrets.push({ clientId: key, clientSecret: made.client_secret })
  },
  async update(ctx, key, value, before) {
    const [wanted, was] = [fieldsOf(value, key), before as Fields]
    const gone = unnamed(clients.update, wanted, was).cleared
    const input: Fields = { ...Object.fromEntries(gone.map((name) => [name, null])), ...wanted }
    for (const name of POLICIES) {
      const old = (was[name] ?? {}) as Fields
      const surplus = Object.keys(old).filter((one) => !Object.hasOwn((wanted[name] ?? {}) as Fields, one))
      if (surplus.length > 0)
        input[name] = { ...Object.fromEntries(surplus.map((one) => [one, null])), ...(wanted[name] ?? {}) }
    }
    await call(ctx, clients.update, { ...input, id: key })
  },
  async remove(ctx, key) {
    await call(ctx, clients.remove, { id: key })
  },
}

/** What stands in a document in place of a secret. */
const REFERENCE = /^\$\{env:[A-Z0-9_]+\}$/
const placeholder = (slug: string) => `\${env:${slug.toUpperCase().replaceAll('-', '_')}_CLIENT_SECRET}`
const providersSection: Section = {
  name: 'identity_providers',
  permission: 'settings:read',
  async read(ctx) {
    const rows = await ctx.db('identity_providers').where({ tenant_id: ctx.tenant.id }).orderBy('slug')
    return new Map(
      rows.map((row) => [
        row.slug,
        without({
          name: row.name,
          protocol: row.protocol,
          client_id: row.client_id,
          enabled: row.enabled,
          ...row.config,
          parameters: null,
          client_secret: row.client_secret_encrypted ? placeholder(row.slug) : null,
        }),
      ]),
    )
  },
  /** Nothing of a provider is cleared by not naming it: links of people hang on it. */
  async normal(ctx, key, value, before) {
    const fields = { ...(before as Fields | undefined), ...fieldsOf(value, key) }
    const { client_secret: secret } = fields
    const stored = typeof secret === 'string' && (await secretOf(ctx, key))
    const isIt = stored && (REFERENCE.test(secret) || stored === secret)
    return isIt ? { ...fields, client_secret: placeholder(key) } : fields
  },
  async create(ctx, key, value) {
    const fields = fieldsOf(value, key)
    if (REFERENCE.test(String(fields.client_secret)))
      throw fail('VALIDATION_ERROR', `identity_providers.${key}: client_secret is a reference: give the secret itself`)
    await call(ctx, identityProviders.create, { ...fields, slug: key })
  },
  async update(ctx, key, value, before) {
    const [{ client_secret: secret, ...fields }, was] = [fieldsOf(value, key), before as Fields]
    const may = ['name', 'client_id', 'scopes', 'trust_email', 'enabled']
    const fixed = [...new Set([...Object.keys(fields), ...Object.keys(was)])].find(
      (name) => !may.includes(name) && name !== 'client_secret' && !same(fields[name], was[name]),
    )
    if (fixed)
      throw fail('CONFLICT', `identity_providers.${key}: ${fixed} cannot be changed, since links of people hang on it`)
    const change = Object.fromEntries(
      may.filter((name) => Object.hasOwn(fields, name)).map((name) => [name, fields[name]]),
    )
    // A reference that nobody filled in means the secret that is stored.
    const given = REFERENCE.test(String(secret)) ? undefined : (secret ?? null)
    await call(ctx, identityProviders.update, {
      ...change,
      slug: key,
      ...(given !== undefined && { client_secret: given }),
    })
  },
  async remove(ctx, key) {
    await call(ctx, identityProviders.remove, { slug: key })
  },
}

const brandingSection: Section = {
  name: 'branding',
  permission: 'settings:read',
  async read(ctx) {
    const row = await ctx.db('tenants').where({ id: ctx.tenant.id }).first('branding')
    // An uploaded picture is no text: it stays where it is.
    return new Map(Object.entries(without(row.branding, 'logo')))
  },
  create: (ctx, key, value) => call(ctx, branding.update, { [key]: value }),
  update: (ctx, key, value) => call(ctx, branding.update, { [key]: value }),
  remove: (ctx, key) => call(ctx, branding.update, { [key]: null }),
}

const changeText = (ctx: Context, key: string, value: Entry) => {
  const [locale, ...rest] = key.split('/')
  return call(ctx, branding.changeTexts, { locale, texts: { [rest.join('/')]: value } })
}
const textsSection: Section = {
  name: 'texts',
  permission: 'settings:read',
  async read(ctx) {
    const rows = await ctx.db('tenant_texts').where({ tenant_id: ctx.tenant.id }).orderBy(['locale', 'key'])
    return new Map(rows.map((row) => [`${row.locale}/${row.key}`, row.value]))
  },
  create: changeText,
  update: changeText,
  remove: (ctx, key) => changeText(ctx, key, null),
}

/** Built up in this order, taken down in the reverse. */
export const sections: Section[] = [
  settingsSection,
  permissionsSection,
  resourcesSection,
  rolesSection,
  clientsSection,
  providersSection,
  brandingSection,
  textsSection,
]

/** Keys sorted, so that equal values have equal texts. */
export const stable = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(stable)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, one]) => [key, stable(one)]))
}
export const same = (a: unknown, b: unknown): boolean => JSON.stringify(stable(a)) === JSON.stringify(stable(b))
