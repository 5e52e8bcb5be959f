/** The OpenAPI 3.1 document of a surface, from the same values that serve it. */
import { rowInput, takesQuery } from './bind.ts'
import { type Code, fail, statusOf } from './errors.ts'
import { exampleOf } from './example.ts'
import { takesIdempotencyKey } from './idempotency.ts'
import { permissionOf } from './operation.ts'
import { type Json, type Row, type Surface, wire } from './surface.ts'

/** Keywords in schemas that only we know. */
const OURS = new Set(['page', 'secret', 'timeZone'])

export function openapi(
  surfaces: Surface[],
  info: { title: string; version: string; serverUrl: string; tokenUrl: string },
): Json {
  const schemas: Json = {}
  const examples = shelf()
  const paths: Json = {}
  for (const surface of surfaces) {
    for (const row of surface.rows) {
      const path = row.path.replace(/:(\w+)/g, '{$1}')
      paths[path] ??= {}
      paths[path][row.method.toLowerCase()] ??= described(surface, row, schemas, examples)
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: info.title, version: info.version, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: info.serverUrl }],
    security: [{ bearer: [] }],
    paths: Object.fromEntries(Object.entries(paths).sort(([a], [b]) => a.localeCompare(b))),
    components: {
      schemas,
      examples: examples.all,
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'An access token of POST /v1/auth/login or of the token endpoint',
        },
      },
    },
  }
}

function described(surface: Surface, row: Row, schemas: Json, examples: Shelf): Json {
  const { op } = row
  const prefix = surface.id === 'sso' ? 'Sso' : ''
  const refer = (json: any): any => {
    if (Array.isArray(json)) return json.map(refer)
    if (!json || typeof json !== 'object') return json
    const ours = ([key, value]: [string, unknown]) => OURS.has(key) && value === true
    const kept = Object.entries(json).filter((entry) => !ours(entry))
    const out = Object.fromEntries(kept.map(([k, v]) => [k, refer(v)]))
    if (json.type !== 'object' || typeof json.title !== 'string') return out
    const name = json.title.startsWith(prefix) ? json.title : prefix + json.title
    schemas[name] = out
    return { $ref: `#/components/schemas/${name}` }
  }
  const input = rowInput(surface, row)
  const inPath = [...row.path.matchAll(/:(\w+)/g)].map((m) => m[1]!)
  const wireName = (name: string) => row.names?.[name] ?? name
  const pathKeys = new Set(inPath.map(wireName))
  const rest = Object.entries<Json>(input.properties).filter(([key]) => !pathKeys.has(key))
  const required = (input.required ?? []).filter((key: string) => !pathKeys.has(key))
  const asQuery = takesQuery(row)
  const body = {
    type: 'object',
    properties: Object.fromEntries(rest),
    ...(required.length && { required }),
    additionalProperties: op.input.additionalProperties,
  }
  const status = row.status ?? 200
  const tagged = op.version !== undefined && row.method !== 'DELETE'
  const answer = {
    description: 'Success',
    ...((op.limit || tagged) && { headers: { ...(tagged && etagHeader), ...(op.limit && limitHeaders) } }),
    ...(row.status !== 204 && {
      content: {
        'application/json': {
          schema: refer(success(surface, row)),
          examples: examples.refer(`${surface.id}.${op.id}`, exampleOf(success(surface, row))),
        },
        ...Object.fromEntries((op.downloads ?? []).map((type) => [type, { schema: { type: 'string' } }])),
      },
    }),
  }
  return {
    operationId: `${surface.id}_${row.method.toLowerCase()}${row.path.replace(/[^A-Za-z0-9]+/g, '_')}`,
    summary: op.summary,
    ...(op.description && { description: op.description }),
    tags: [op.tag],
    ...(op.auth === 'anyone' && !row.permission && { security: [] }),
    'x-permission': row.permission ?? permissionOf(op.auth),
    parameters: [
      ...inPath.map((name) => ({
        name,
        in: 'path',
        required: true,
        schema: refer(input.properties[wireName(name)] ?? { type: 'string' }),
      })),
      ...(asQuery
        ? rest.map(([name, schema]) => ({
            name,
            in: 'query',
            required: required.includes(name),
            schema: refer(schema),
          }))
        : []),
      ...(isKept(row) ? [idempotencyKey] : []),
      ...(op.version ? [op.effect === 'write' ? ifMatch : ifNoneMatch] : []),
    ],
    ...(!asQuery &&
      rest.length > 0 && {
        requestBody: {
          required: required.length > 0,
          content: {
            'application/json': {
              schema: refer(body),
              example: requestExample(surface, row, body),
            },
          },
        },
      }),
    ...(op.upload && {
      requestBody: {
        required: true,
        content: Object.fromEntries(
          Object.entries(op.upload).map(([type, schema]) => [
            type,
            {
              schema: refer(wire(surface, schema as Json)),
              ...(type === 'application/json' && {
                example: requestExample(surface, row, wire(surface, schema as Json)),
              }),
            },
          ]),
        ),
      },
    }),
    responses: {
      [status]: answer,
      ...(op.mayTakeLong && { 202: { ...answer, description: 'Accepted: the work goes on as a job' } }),
      ...(op.version && row.method === 'GET' && { 304: { description: 'As in If-None-Match', headers: etagHeader } }),
      ...failures(surface, row, refer, examples),
    },
  }
}

function success(surface: Surface, row: Row): Json {
  const output = wire(surface, row.op.output)
  if (!(row.op.output as Json).page) return surface.okSchema(output)
  const { items, ...rest } = output.properties
  if (surface.id === 'sso') {
    const envelope = surface.okSchema(items)
    return { ...envelope, properties: { ...envelope.properties, pagination: { type: 'object', properties: rest } } }
  }
  const as = row.as ?? 'items'
  return {
    type: 'object',
    properties: { [as]: items, ...rest },
    required: [as, ...output.required.filter((key: string) => key !== 'items')],
  }
}

function failures(surface: Surface, row: Row, refer: (json: Json) => Json, examples: Shelf): Json {
  const { op } = row
  const codes = new Set<Code>(op.errors ?? [])
  codes.add('VALIDATION_ERROR')
  if (op.auth !== 'anyone' || row.permission) codes.add('UNAUTHORIZED').add('ACCESS_DENIED')
  if (op.limit) codes.add('RATE_LIMITED')
  if (op.version && op.effect === 'write') codes.add('PRECONDITION_FAILED')
  if (isKept(row)) codes.add('CONFLICT').add('IDEMPOTENCY_KEY_REUSED')
  codes.add('UNAVAILABLE')
  const byStatus: Record<number, Code[]> = {}
  for (const code of codes) {
    const list = byStatus[statusOf[code]] ?? []
    byStatus[statusOf[code]] = [...list, code]
  }
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, list]) => [
      status,
      {
        description: list.join(', '),
        content: {
          [surface.failType]: {
            schema: refer(surface.failSchema),
            examples: Object.assign({}, ...list.map((code) => failureExample(surface, row, code, examples))),
          },
        },
      },
    ]),
  )
}

const failureExample = (surface: Surface, row: Row, code: Code, examples: Shelf): Json => {
  const { body } = surface.fail(fail(code, 'What was wrong'), 'Xb3kq0Yz9aLm', row.method)
  return examples.refer(`${surface.failSchema.title}.${code}`, body, code)
}

/** The operation's own words, and what the schema makes where a row asks for more or less than they say. */
function requestExample(surface: Surface, { op }: Row, schema: Json): unknown {
  if (op.example === undefined) return exampleOf(schema)
  const own = spelled(surface, op.example, op.input.title) as Json
  if (!schema.properties) return own
  const kept = Object.entries(own).filter(([key]) => key in schema.properties)
  const due = (schema.required ?? []).filter((key: string) => !(key in own))
  return Object.fromEntries([...due.map((key: string) => [key, exampleOf(schema.properties[key], key)]), ...kept])
}

interface Shelf {
  all: Json
  refer(name: string, value: unknown, as?: string): Json
}

/** Examples each kept once, under the name it first had. */
function shelf(): Shelf {
  const all: Json = {}
  const known = new Map<string, string>()
  return {
    all,
    refer(name, value, as = 'example') {
      const text = JSON.stringify(value)
      let kept = known.get(text) ?? name
      for (let n = 2; all[kept] && known.get(text) !== kept; n += 1) kept = `${name}.${n}`
      known.set(text, kept)
      all[kept] ??= { value }
      return { [as]: { $ref: `#/components/examples/${kept}` } }
    },
  }
}

/** Answers to nobody in particular are not kept. */
const isKept = (row: Row) => takesIdempotencyKey(row) && (row.op.auth !== 'anyone' || row.permission !== undefined)

const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  schema: { type: 'string', minLength: 1, maxLength: 255 },
  description: 'Sent again within a day, it brings the same answer and makes nothing twice',
}

const etagHeader = { ETag: { schema: { type: 'string' }, description: 'Its version' } }
const tags = { in: 'header', required: false, schema: { type: 'string', maxLength: 2000 } }
const ifMatch = {
  name: 'If-Match',
  ...tags,
  description: 'The ETag that was read: refused with 412 if somebody else changed it meanwhile',
}
const ifNoneMatch = { name: 'If-None-Match', ...tags, description: 'The ETag that is known: 304 if nothing changed' }

const limitHeaders = {
  ...Object.fromEntries(
    ['X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset'].map((name) => [
      name,
      { schema: { type: 'integer' } },
    ]),
  ),
  'RateLimit-Policy': { schema: { type: 'string' }, description: '"name";q=hits;w=seconds' },
  RateLimit: { schema: { type: 'string' }, description: '"name";r=hits left;t=seconds until the window is over' },
}

function spelled(surface: Surface, example: unknown, title?: string): unknown {
  if (Array.isArray(example)) return example.map((value) => spelled(surface, value))
  if (!example || typeof example !== 'object') return example
  return Object.fromEntries(
    Object.entries(example).map(([key, value]) => [surface.name(title, key), spelled(surface, value)]),
  )
}
