/** Schemas as checks: ajv by one set of rules, and its findings in our words. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'

export interface Problem {
  field: string
  message: string
}
/** What is wrong with the value, or undefined. Fills in defaults. */
export type Check = (value: unknown) => Problem[] | undefined

function isTimeZone(name: string): boolean {
  try {
    return Intl.DateTimeFormat('en', { timeZone: name }).format(0) !== ''
  } catch {
    return false
  }
}

const formats = (ajv: Ajv) => {
  addFormats.default(ajv)
  // The library lets leap seconds pass, which no Date is.
  const { validate: isDateTime } = ajv.formats['date-time'] as { validate(text: string): boolean }
  ajv.addFormat('date-time', (text) => isDateTime(text) && !Number.isNaN(Date.parse(text)))
  for (const keyword of ['page', 'secret']) ajv.addKeyword(keyword)
  ajv.addKeyword({
    keyword: 'timeZone',
    type: 'string',
    validate: (_: true, name: string) => isTimeZone(name),
    error: { message: 'must be the name of a time zone, such as Europe/Berlin' },
  })
  return ajv
}
const bodies = formats(new Ajv({ allErrors: false, strict: false, useDefaults: true }))
const queries = formats(
  new Ajv({ allErrors: false, strict: false, useDefaults: true, coerceTypes: 'array', removeAdditional: true }),
)

const matches = bodies.compile({ type: 'string', format: 'email', maxLength: 254 })
/** An e-mail address as the API takes it, for forms. */
export const isEmail = (value: string): boolean => matches(value)

/** Compiled at the first use: all rows at once would hold up the start for seconds. */
const compiled = (ajv: Ajv, schema: object): Check => {
  let valid: ValidateFunction | undefined
  return (value) => {
    valid ??= ajv.compile(schema)
    return valid(value) ? undefined : telling(valid.errors ?? []).map(describe)
  }
}

/** Of what may be null as well, ajv tells too that it is not null. */
function telling(errors: ErrorObject[]): ErrorObject[] {
  const kept = errors.filter(({ keyword, params }) => keyword !== 'anyOf' && params.type !== 'null')
  return kept.length > 0 ? kept : errors
}

/** Of values that have types: unknown fields are refused. */
export const bodyCheck = (schema: object): Check => compiled(bodies, schema)
/** Of text, such as queries and forms: types are made of it, and unknown fields dropped. */
export const queryCheck = (schema: object): Check => compiled(queries, schema)

function describe(error: ErrorObject): Problem {
  const path = error.instancePath.slice(1).replaceAll('/', '.')
  if (error.keyword === 'required') return { field: join(path, error.params.missingProperty), message: 'is required' }
  if (error.keyword === 'additionalProperties') {
    return { field: join(path, error.params.additionalProperty), message: 'is not a known field' }
  }
  if (error.keyword === 'enum')
    return { field: path, message: `must be one of ${error.params.allowedValues.join(', ')}` }
  return { field: path, message: error.message ?? 'is invalid' }
}
const join = (path: string, key: string) => (path ? `${path}.${key}` : key)
