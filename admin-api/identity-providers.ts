/** Administration of the other identity providers people may sign in with. */
import { Done, done, paged, pageInput } from '../server/api/shapes.ts'
import { Slug } from '../server/api/social.ts'
import { operation } from '../server/domain/context.ts'
import * as providers from '../server/domain/identity-providers.ts'
import { versionBy } from '../server/domain/versions.ts'
import {
  array,
  boolean,
  instant,
  label,
  nullable,
  object,
  oneOf,
  optional,
  page,
  record,
  resource,
  string,
  text,
  uri,
  uuid,
} from '../server/kernel/schema.ts'

const tag = 'Identity providers'
const IdentityProvider = resource('IdentityProvider', {
  id: uuid(),
  slug: string(),
  name: string(),
  protocol: oneOf(providers.PROTOCOLS),
  clientId: string(),
  hasSecret: boolean(),
  enabled: boolean(),
  issuer: nullable(string()),
  authorizationEndpoint: nullable(string()),
  tokenEndpoint: nullable(string()),
  userinfoEndpoint: nullable(string()),
  scopes: array(string()),
  trustEmail: boolean({
    description: 'Whether its word that an address is verified joins it to the local account of that address',
  }),
  createdAt: instant(),
  updatedAt: instant(),
})
const write = { permission: 'settings:write' }
const scopes = optional(array(text(200), { maxItems: 50 }))
const secret = text(4096, { secret: true })

const version = versionBy('identity provider', ['slug'], (ctx, { slug }) => providers.get(ctx, slug))

export const create = operation({
  id: 'identity_providers.create',
  summary: 'Add an identity provider',
  description:
    'By preset (google, github, microsoft, apple, gitlab), any OpenID provider by issuer, or OAuth 2.0 by its endpoints. Register PUBLIC_URL/v1/oauth/{slug}/callback there.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['CONFLICT'],
  input: object({
    slug: Slug,
    preset: optional(oneOf(Object.keys(providers.presets))),
    name: optional(label(100)),
    protocol: optional(oneOf(providers.PROTOCOLS)),
    clientId: text(500),
    clientSecret: optional(secret),
    issuer: optional(uri()),
    authorizationEndpoint: optional(uri()),
    tokenEndpoint: optional(uri()),
    userinfoEndpoint: optional(uri()),
    emailsEndpoint: optional(uri()),
    scopes,
    claims: optional(record(text(100), { description: 'Our claim → theirs', maxProperties: 20 })),
    trustEmail: optional(boolean()),
    teamId: optional(text(100, { description: 'Apple' })),
    keyId: optional(text(100, { description: 'Apple; client_secret is then the private key in PEM' })),
    enabled: optional(boolean()),
  }),
  example: { slug: 'google', preset: 'google', clientId: '1234.apps.example', clientSecret: 'from-their-console' },
  output: IdentityProvider,
  run: (ctx, input) => providers.create(ctx, input),
})

export const list = operation({
  id: 'identity_providers.list',
  summary: 'List identity providers',
  tag,
  auth: { permission: 'settings:read' },
  effect: 'read',
  input: object(pageInput),
  output: page(IdentityProvider),
  run: (ctx, input) => paged(input, (window) => providers.list(ctx, window)),
})

export const get = operation({
  id: 'identity_providers.get',
  summary: 'Get an identity provider',
  tag,
  auth: { permission: 'settings:read' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ slug: Slug }),
  output: IdentityProvider,
  version,
  run: (ctx, { slug }) => providers.get(ctx, slug),
})

export const update = operation({
  id: 'identity_providers.update',
  summary: 'Update an identity provider',
  description: 'Absent keys stay. Issuer and endpoints never change: they decide whom a link is to.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({
    slug: Slug,
    name: optional(label(100)),
    clientId: optional(text(500)),
    clientSecret: optional(nullable(secret)),
    scopes,
    trustEmail: optional(boolean()),
    enabled: optional(boolean()),
  }),
  example: { name: 'Google', trustEmail: true },
  output: IdentityProvider,
  version,
  run: (ctx, { slug, ...change }) => providers.update(ctx, slug, change),
})

export const remove = operation({
  id: 'identity_providers.delete',
  summary: 'Delete an identity provider',
  description: 'The links people made to it go with it.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ slug: Slug }),
  output: Done,
  version,
  async run(ctx, { slug }) {
    await providers.remove(ctx, slug)
    return done('The provider is deleted')
  },
})
