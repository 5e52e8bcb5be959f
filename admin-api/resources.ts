/** Administering API resources. */
import { Done, done, paged, pageInput } from '../server/api/shapes.ts'
import { operation } from '../server/domain/context.ts'
import * as resources from '../server/domain/resources.ts'
import { versionBy } from '../server/domain/versions.ts'
import {
  array,
  instant,
  integer,
  label,
  object,
  oneOf,
  optional,
  page,
  resource,
  text,
  uri,
  uuid,
} from '../server/kernel/schema.ts'

const tag = 'API resources'
const scope = object({
  name: text(100, { pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]+$' }),
  description: optional(text(300)),
})
const fields = {
  name: label(200),
  scopes: array(scope, { maxItems: 200 }),
  tokenFormat: oneOf(['jwt', 'opaque']),
  tokenLifetime: integer({ minimum: 60, maximum: 86_400, description: 'Seconds an access token for it lives' }),
  signingAlg: oneOf(['ES256', 'RS256']),
}
const Resource = resource('ApiResource', {
  id: uuid(),
  identifier: uri(),
  ...fields,
  createdAt: instant(),
  updatedAt: instant(),
})
const key = { id: uuid() }

const version = versionBy('resource', ['id'], (ctx, { id }) => resources.get(ctx, id))

export const create = operation({
  id: 'resources.create',
  summary: 'Register an API resource (RFC 8707)',
  tag,
  auth: { permission: 'resources:write' },
  effect: 'write',
  errors: ['CONFLICT'],
  input: object({
    identifier: uri({ description: 'What clients send as resource; becomes the audience of its tokens' }),
    name: fields.name,
    scopes: optional(array(scope, { maxItems: 200, default: [] })),
    tokenFormat: optional(oneOf(['jwt', 'opaque'], { default: 'jwt' })),
    tokenLifetime: optional(integer({ minimum: 60, maximum: 86_400, default: 900 })),
    signingAlg: optional(oneOf(['ES256', 'RS256'], { default: 'ES256' })),
  }),
  example: {
    identifier: 'https://api.example.com',
    name: 'Orders API',
    scopes: [{ name: 'orders:read', description: 'See orders' }],
  },
  output: Resource,
  run: (ctx, input) =>
    resources.create(ctx, { scopes: [], tokenFormat: 'jwt', tokenLifetime: 900, signingAlg: 'ES256', ...input }),
})

export const list = operation({
  id: 'resources.list',
  summary: 'List API resources',
  tag,
  auth: { permission: 'resources:read' },
  effect: 'read',
  input: object(pageInput),
  output: page(Resource),
  run: (ctx, input) => paged(input, (window) => resources.list(ctx, window)),
})

export const get = operation({
  id: 'resources.get',
  summary: 'Get an API resource',
  tag,
  auth: { permission: 'resources:read' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object(key),
  output: Resource,
  version,
  run: (ctx, input) => resources.get(ctx, input.id),
})

export const update = operation({
  id: 'resources.update',
  summary: 'Update an API resource',
  tag,
  auth: { permission: 'resources:write' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({
    ...key,
    identifier: optional(uri()),
    name: optional(fields.name),
    scopes: optional(fields.scopes),
    tokenFormat: optional(fields.tokenFormat),
    tokenLifetime: optional(fields.tokenLifetime),
    signingAlg: optional(fields.signingAlg),
  }),
  example: { name: 'Orders API', tokenLifetime: 600 },
  output: Resource,
  version,
  run: (ctx, { id, ...change }) => resources.update(ctx, id, change),
})

export const remove = operation({
  id: 'resources.delete',
  summary: 'Delete an API resource',
  description: 'No new tokens for it; those it has run out.',
  tag,
  auth: { permission: 'resources:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object(key),
  output: Done,
  version,
  async run(ctx, input) {
    await resources.remove(ctx, input.id)
    return done('The resource is deleted')
  },
})
