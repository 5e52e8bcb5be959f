/**
 * The tenant's JSON Schema for attributes of people: a small, safe part of draft 2020-12 (no references, no combinations,
 * bounded depth), patterns in RE2 so that none takes exponential time, and one keyword of ours, `access`: who of the
 * person themselves may see and change it.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import { lazily } from '../../adapters/lazily.ts'

/** write: the person sees and changes it (default); read: sees it; admin: neither. Administrators always do both. */
type Access = 'write' | 'read' | 'admin'
export type AttributeSchema = {
  properties?: Record<string, { access?: Access; [keyword: string]: unknown }>
  required?: string[]
  additionalProperties?: boolean
  [keyword: string]: unknown
}
/** Who gives attributes; a creator, to somebody who is new, has to give what is required. */
export type Changer = 'self' | 'administrator' | 'creator'
export interface Problem {
  field: string
  message: string
}

const FORMATS = ['email', 'uri', 'date', 'time', 'date-time', 'uuid', 'ipv4', 'ipv6', 'hostname'] as const
const MAX_BYTES = 16 * 1024
const NAME = '^[A-Za-z][A-Za-z0-9_.-]{0,63}$'
const count = { type: 'integer', minimum: 0, maximum: 10_000 }
const words = { type: 'string', maxLength: 500 }
const scalar = { type: ['string', 'number', 'boolean', 'null'], maxLength: 500 }

/** What a schema of an attribute may say; objects and lists nest `depth` deep. */
const grammar = (depth: number, own: object = {}): object => ({
  type: 'object',
  additionalProperties: false,
  properties: {
    type: { enum: ['string', 'number', 'integer', 'boolean', ...(depth > 0 ? ['array', 'object'] : [])] },
    title: words,
    description: words,
    enum: { type: 'array', minItems: 1, maxItems: 200, items: scalar },
    const: scalar,
    minLength: count,
    maxLength: count,
    pattern: { type: 'string', maxLength: 200 },
    format: { enum: FORMATS },
    minimum: { type: 'number' },
    maximum: { type: 'number' },
    ...(depth > 0 && {
      items: grammar(depth - 1),
      minItems: count,
      maxItems: count,
      uniqueItems: { type: 'boolean' },
      ...members(depth - 1),
    }),
    ...own,
  },
})
const members = (depth: number, own?: object) => ({
  properties: {
    type: 'object',
    maxProperties: 100,
    propertyNames: { pattern: NAME },
    additionalProperties: grammar(depth, own),
  },
  required: { type: 'array', maxItems: 100, uniqueItems: true, items: { type: 'string', maxLength: 64 } },
  additionalProperties: { type: 'boolean' },
})
const top = {
  type: 'object',
  additionalProperties: false,
  properties: {
    type: { const: 'object' },
    title: words,
    description: words,
    ...members(2, { access: { enum: ['write', 'read', 'admin'] } }),
  },
}

// Linear time, whatever the pattern and the value; it has no look-around and no back-references, and says so.
const re2js = lazily<typeof import('re2js')>('re2js')
const re2 = (pattern: string) => {
  const compiled = re2js().RE2JS.compile(pattern)
  return { test: (value: string) => compiled.matcher(value).find() }
}
const ajv = () => {
  const made = new Ajv({ strict: false, code: { regExp: Object.assign(re2, { code: 're2' }) } })
  addFormats.default(made, { mode: 'fast', formats: [...FORMATS] })
  return made.addKeyword('access')
}
let isSchema: ValidateFunction | undefined

/** Why this cannot be a tenant's schema, or undefined. {} allows anything. */
export function schemaProblem(value: unknown): string | undefined {
  if (JSON.stringify(value).length > MAX_BYTES) return 'is larger than 16 KiB'
  isSchema ??= new Ajv({ strict: false }).compile(top)
  if (!isSchema(value)) return describe(isSchema.errors![0]!, 'uses something that is not allowed in attribute schemas')
  try {
    ajv().compile(value as AttributeSchema)
  } catch (error) {
    return `is no schema: ${(error as Error).message.slice(0, 300)}`
  }
  const { properties = {}, required = [] } = value as AttributeSchema
  const unknown = required.find((name) => !Object.hasOwn(properties, name))
  return unknown === undefined ? undefined : `requires ${unknown}, which it does not describe`
}

const describe = (error: ErrorObject, otherwise: string): string => {
  const at = error.instancePath.slice(1).replaceAll('/', '.')
  const { additionalProperty: name, allowedValues: values } = error.params
  if (name !== undefined) return `${at ? `${at}: ` : ''}${name} is not allowed`
  if (values !== undefined) return `${at} must be one of ${values.join(', ')}`
  return `${at} ${error.message ?? otherwise}`.trim()
}

/** Compiled once for each tenant object that is kept. */
const compiled = new WeakMap<object, ValidateFunction>()
function validatorOf(schema: AttributeSchema): ValidateFunction {
  const known = compiled.get(schema)
  if (known) return known
  const made = ajv().compile(schema)
  compiled.set(schema, made)
  return made
}

const accessOf = (schema: AttributeSchema, name: string): Access =>
  (Object.hasOwn(schema.properties ?? {}, name) ? schema.properties![name]!.access : undefined) ?? 'write'

/** What the person themselves may see. */
export const visible = (schema: AttributeSchema, attributes: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(attributes).filter(([name]) => accessOf(schema, name) !== 'admin'))

/**
 * The first thing wrong with these attributes, of which `changed` were given. People are told nothing of attributes they
 * cannot change: neither that they must be there, nor that they are wrong already.
 */
export function attributeProblem(
  schema: AttributeSchema,
  attributes: Record<string, unknown>,
  changed: string[],
  by: Changer,
): Problem | undefined {
  if ((changed.length === 0 && by !== 'creator') || Object.keys(schema).length === 0) return undefined
  const closed = by === 'self' ? changed.find((name) => accessOf(schema, name) !== 'write') : undefined
  if (closed !== undefined) return { field: closed, message: 'is not for you to change' }
  const mine = by === 'self' ? seenBySelf(schema, attributes) : { schema, attributes }
  const validate = validatorOf(mine.schema)
  if (validate(mine.attributes)) return undefined
  const error = validate.errors![0]!
  const { missingProperty: missing, additionalProperty: extra, allowedValues: values } = error.params
  const path = error.instancePath.slice(1).replaceAll('/', '.')
  if (missing !== undefined) return { field: [path, missing].filter(Boolean).join('.'), message: 'is required' }
  if (extra !== undefined)
    return { field: [path, extra].filter(Boolean).join('.'), message: 'is not an attribute here' }
  if (values !== undefined) return { field: path, message: `must be one of ${values.join(', ')}` }
  return { field: path, message: error.message ?? 'is not allowed' }
}

const own = new WeakMap<object, AttributeSchema>()
/** Schema and attributes without those the person cannot change. */
function seenBySelf(schema: AttributeSchema, attributes: Record<string, unknown>) {
  let mine = own.get(schema)
  if (!mine) {
    const properties = Object.entries(schema.properties ?? {}).filter(([name]) => accessOf(schema, name) === 'write')
    const names = properties.map(([name]) => name)
    mine = {
      ...schema,
      properties: Object.fromEntries(properties),
      required: (schema.required ?? []).filter((name) => names.includes(name)),
    }
    own.set(schema, mine)
  }
  const theirs = Object.entries(attributes).filter(([name]) => accessOf(schema, name) === 'write')
  return { schema: mine, attributes: Object.fromEntries(theirs) }
}
