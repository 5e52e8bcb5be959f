/** A value that fits a schema, for readers of documents: what an operation gives no example of by itself. */
import { type Json, snake } from './surface.ts'

const ID = '00000000-0000-4000-8000-000000000001'
const formats: Record<string, string> = {
  uuid: ID,
  email: 'ada@example.com',
  uri: 'https://app.example.com/',
  date: '2027-01-10',
  'date-time': '2027-01-10T09:30:00Z',
}
/** What is usually meant by a name. */
const names: Record<string, string> = {
  name: 'Example',
  given_name: 'Ada',
  first_name: 'Ada',
  family_name: 'Lovelace',
  last_name: 'Lovelace',
  locale: 'en',
  zoneinfo: 'Europe/London',
  phone_number: '+442071838750',
  client_name: 'My App',
  redirect_uris: 'https://app.example.com/callback',
  post_logout_redirect_uris: 'https://app.example.com/',
  scope: 'openid profile email',
  contacts: 'ada@example.com',
  identifier: 'https://api.example.com',
  ip: '192.0.2.1',
  country: 'GB',
  user_agent: 'Mozilla/5.0',
  password: 'SecurePassword123!',
  new_password: 'SecurePassword123!',
  code: '123456',
  access_token: 'eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl',
  refresh_token: 'rt_example',
  token_type: 'Bearer',
  message: 'Done',
  permissions: 'users:read',
  scopes: 'users:read',
  roles: 'user',
  role: 'user',
}
/** For patterns; the first that fits. */
const words = [
  'example',
  'https://app.example.com',
  'users:read',
  '+442071838750',
  '#0a7d4f',
  'R0lGODlh',
  'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
]

/** Of a schema as a surface spells it; `name` is the key it stands under. */
export function exampleOf(schema: Json, name = ''): unknown {
  if (schema.examples) return schema.examples[0]
  if (schema.const !== undefined) return schema.const
  if (schema.enum) return schema.default ?? schema.enum[0]
  if (schema.anyOf) return exampleOf(schema.anyOf.find((one: Json) => one.type !== 'null') ?? schema.anyOf[0], name)
  if (schema.type === 'object') return objectOf(schema)
  if (schema.type === 'array') return schema.maxItems === 0 ? [] : [exampleOf(schema.items ?? {}, name)]
  if (schema.type === 'string') return textOf(schema, snake(name))
  if (schema.default !== undefined) return schema.default
  if (schema.type === 'boolean') return true
  if (schema.type === 'integer' || schema.type === 'number') return Math.max(schema.minimum ?? 1, 1)
  return schema.type === 'null' ? null : 'example'
}

const objectOf = ({ properties = {} }: Json): Json =>
  Object.fromEntries(Object.entries<Json>(properties).map(([key, schema]) => [key, exampleOf(schema, key)]))

function textOf(schema: Json, name: string): string {
  const byFormat = formats[schema.format]
  if (byFormat && !schema.pattern) return byFormat
  if (/(^|_)id$/.test(name) && !schema.pattern) return ID
  const fits = (text: string) =>
    (!schema.pattern || new RegExp(schema.pattern, 'u').test(text)) &&
    text.length >= (schema.minLength ?? 0) &&
    text.length <= (schema.maxLength ?? Number.POSITIVE_INFINITY)
  const candidates = [names[name], schema.default, /_?ur[il]$/.test(name) ? words[1] : undefined, ...words]
  return candidates.find((text) => text !== undefined && fits(text)) ?? ''
}
