/** Settings of the tenant: with their descriptions, one by one, and as one document (core-api, sso-api). */
import { operation } from '../server/domain/context.ts'
import { definitions } from '../server/domain/settings.ts'
import * as settings from '../server/domain/settings-admin.ts'
import {
  anything,
  boolean,
  instant,
  nullable,
  object,
  optional,
  page,
  record,
  resource,
  type Schema,
  string,
  text,
  uuid,
} from '../server/kernel/schema.ts'
import { wholePage } from './shapes.ts'

const tag = 'Settings'

const Setting = resource('Setting', {
  key: string(),
  value: anything(),
  default: anything({ description: 'What holds while nobody says otherwise' }),
  description: string(),
  public: boolean({ description: 'Anybody may read it' }),
  schema: record(anything(), { description: 'JSON Schema of the value' }),
  changed: boolean({ description: 'False while the default holds' }),
  updatedAt: nullable(instant()),
  updatedBy: nullable(uuid()),
})

export const list = operation({
  id: 'settings.list',
  summary: 'List system settings',
  tag,
  auth: { permission: 'settings:read' },
  effect: 'read',
  input: object({}),
  output: page(Setting),
  version: (ctx, _, lock) => settings.versionOf(ctx, lock),
  run: async (ctx) => wholePage(await settings.list(ctx)),
})

export const change = operation({
  id: 'settings.change',
  summary: 'Update system setting',
  description: 'null goes back to the default. Holds at once, in all processes.',
  tag,
  auth: { permission: 'settings:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ key: text(100), value: anything({ description: 'As the schema of the setting says' }) }),
  example: { value: true },
  output: Setting,
  version: (ctx, _, lock) => settings.versionOf(ctx, lock),
  async run(ctx, { key, value }) {
    await settings.change(ctx, { [key]: value })
    return await settings.get(ctx, key)
  },
})

/** Operations speak camelCase; surfaces spell it as their document does. */
const camel = (key: string) => key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase())
const keyOf = new Map(settings.settingKeys.map((key) => [camel(key), key]))
const fields = (wrap: (schema: Schema) => Schema) =>
  Object.fromEntries(
    settings.settingKeys.map((key) => {
      const { schema, description } = definitions[key]
      return [camel(key), wrap({ ...schema, description } as Schema)]
    }),
  )
const Configuration = resource(
  'Configuration',
  fields((schema) => schema),
)
const configuration = async (ctx: Parameters<typeof settings.values>[0]) =>
  Object.fromEntries(Object.entries(await settings.values(ctx)).map(([key, value]) => [camel(key), value]))

export const getConfiguration = operation({
  id: 'settings.get_configuration',
  summary: 'Get authentication configuration',
  description: 'All settings by key: token lifetimes, password policy, second factors, registration.',
  tag,
  auth: { permission: 'settings:read' },
  effect: 'read',
  input: object({}),
  output: Configuration,
  version: (ctx, _, lock) => settings.versionOf(ctx, lock),
  run: async (ctx) => await configuration(ctx),
})

export const putConfiguration = operation({
  id: 'settings.put_configuration',
  summary: 'Update configuration (token expiry, MFA, etc.)',
  description: 'Absent keys stay, null goes back to the default. All of it, or nothing where one value is not allowed.',
  tag,
  auth: { permission: 'settings:write' },
  effect: 'write',
  input: object(fields((schema) => optional(nullable(schema)))),
  example: { accessTokenLifetime: 600, mfaPolicy: 'required' },
  output: Configuration,
  version: (ctx, _, lock) => settings.versionOf(ctx, lock),
  async run(ctx, input) {
    const wanted = Object.entries(input as Record<string, unknown>).map(([name, value]) => [keyOf.get(name)!, value])
    await settings.change(ctx, Object.fromEntries(wanted))
    return await configuration(ctx)
  },
})
