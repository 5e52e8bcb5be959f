/** The vocabulary of schemas: TypeBox values that serve ajv, OpenAPI and the compiler alike. */
import Type, { type Static, type TObject, type TProperties, type TSchema } from 'typebox'

export type { Static, TSchema }
export type Schema = TSchema
/** JSON Schema keywords. */
export type Rules = Record<string, unknown>
export type ObjectSchema = TObject

export const string = (rules: Rules = {}) => Type.String({ maxLength: 2000, ...rules })
export const text = (maxLength: number, rules: Rules = {}) => Type.String({ minLength: 1, maxLength, ...rules })
/** A name people give something: with at least one character that shows. */
export const label = (maxLength: number, rules: Rules = {}) => text(maxLength, { pattern: '[^\\p{C}\\p{Z}]', ...rules })
/** An IANA time zone. */
export const timeZone = () => text(64, { timeZone: true, description: 'Name of an IANA time zone' })
export const integer = (rules: Rules = {}) => Type.Integer(rules)
export const number = (rules: Rules = {}) => Type.Number(rules)
export const boolean = (rules: Rules = {}) => Type.Boolean(rules)
export const uuid = (rules: Rules = {}) => Type.String({ format: 'uuid', ...rules })
export const email = (rules: Rules = {}) => Type.String({ format: 'email', maxLength: 254, ...rules })
export const uri = (rules: Rules = {}) => Type.String({ format: 'uri', maxLength: 2000, ...rules })
/** A point in time: a Date inside, RFC 3339 on the wire. */
export const instant = (rules: Rules = {}) => Type.Unsafe<Date>({ type: 'string', format: 'date-time', ...rules })
export const oneOf = <const V extends readonly string[]>(values: V, rules: Rules = {}) =>
  Type.Unsafe<V[number]>({ type: 'string', enum: values, ...rules })
export const array = <T extends TSchema>(items: T, rules: Rules = {}) => Type.Array(items, rules)
export const record = <T extends TSchema>(values: T, rules: Rules = {}) =>
  Type.Unsafe<Record<string, Static<T>>>({ type: 'object', additionalProperties: values, ...rules })
export const anything = (rules: Rules = {}) => Type.Unsafe<unknown>(rules)
export const nullable = <T extends TSchema>(schema: T) =>
  Type.Unsafe<Static<T> | null>({ anyOf: [schema, { type: 'null' }] })
export const optional = Type.Optional
export const either = <T extends TSchema[]>(...all: T) => Type.Unsafe<Static<T[number]>>({ anyOf: all })
export const object = <P extends TProperties>(properties: P, rules: Rules = {}) =>
  Type.Object(properties, { additionalProperties: false, ...rules })
/** An object with a public name: surfaces spell its keys by that name, OpenAPI refers to it by that name. */
export const resource = <P extends TProperties>(title: string, properties: P, rules: Rules = {}) =>
  object(properties, { title, ...rules })
export const nothing = object({})
/** A list as it leaves: surfaces decide under which name and with which envelope. */
export const page = <T extends TSchema>(item: T) =>
  object(
    {
      items: array(item),
      limit: integer(),
      offset: integer(),
      count: integer({ description: 'Items in this page' }),
      total: optional(integer({ description: 'Items in all pages' })),
      nextCursor: optional(string({ description: 'Pass as cursor to read on' })),
    },
    { page: true },
  )
