/** Administering OAuth clients. */
import { registrable } from '../server/api/client-metadata.ts'
import { Done, done, paged, pageInput } from '../server/api/shapes.ts'
import * as secrets from '../server/domain/clients/secrets.ts'
import * as clients from '../server/domain/clients.ts'
import { type Context, operation } from '../server/domain/context.ts'
import { ORIGIN } from '../server/domain/settings.ts'
import {
  array,
  boolean,
  instant,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  page,
  record,
  resource,
  type Schema,
  string,
  text,
  uri,
  uuid,
} from '../server/kernel/schema.ts'

const tag = 'Clients'
const metadata = {
  ...registrable,
  callbackMode: optional(
    oneOf(['json', 'cookies'], {
      description: 'How GET /api/auth/callback/{client} hands over tokens: as JSON (default), or as HttpOnly cookies',
    }),
  ),
  callbackRedirectUri: optional(
    nullable(
      uri({ description: 'Where the callback leads with callback_mode cookies: a page at the origin of this server' }),
    ),
  ),
  allowedOrigins: optional(nullable(array(text(300, { pattern: ORIGIN }), { maxItems: 100 }))),
}
const loginPolicy = {
  mfa: oneOf(['off', 'optional', 'required'], { description: 'Whether signing in asks for a second factor' }),
  factors: array(oneOf(['totp', 'email', 'sms', 'webauthn']), {
    minItems: 1,
    uniqueItems: true,
    description: 'Second factors that count; all where absent',
  }),
  methods: array(oneOf(['password', 'magic_link', 'otp', 'passkey', 'social']), {
    minItems: 1,
    uniqueItems: true,
    description: 'Ways to sign in that are offered; all where absent',
  }),
  requireVerifiedEmail: boolean({ description: 'Signing in asks for a verified e-mail address' }),
  organization: oneOf(['optional', 'required'], {
    description:
      'required: only members of an organization sign in, as members of one, which tokens name as org_id. optional, as where absent: where the authorization request names one',
  }),
}
const branding = {
  logoUri: uri({ pattern: '^https://' }),
  primaryColor: text(7, { pattern: '^#[0-9a-fA-F]{6}$' }),
  texts: record(
    object({
      title: optional(text(80)),
      text: optional(text(500)),
      messages: optional(
        record(text(2000), {
          maxProperties: 200,
          description:
            'By key, as in /v1/admin/texts: any text of the pages on which people sign in to it, and of the mails that this causes',
        }),
      ),
    }),
    {
      maxProperties: 20,
      propertyNames: { pattern: '^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$' },
      description: 'By language: the heading of the sign-in page, a line under it, and other texts',
    },
  ),
}
const lifetimes = {
  accessToken: integer({ minimum: 60, maximum: 86_400 }),
  idToken: integer({ minimum: 60, maximum: 86_400 }),
  refreshToken: integer({ minimum: 300, maximum: 31_536_000 }),
  session: integer({
    minimum: 300,
    maximum: 31_536_000,
    description: 'Seconds after signing in, however often tokens were refreshed since',
  }),
}
const each = <T extends Schema, R extends Schema>(keys: Record<string, T>, wrap: (schema: T) => R) =>
  Object.fromEntries(Object.entries(keys).map(([key, schema]) => [key, wrap(schema)]))
const mergedInput = (keys: Record<string, Schema>, description: string) =>
  optional(
    nullable(
      object(
        each<Schema, Schema>(keys, (schema) => optional(nullable(schema))),
        { description: `${description} Merged key by key; null removes` },
      ),
    ),
  )
const policy = {
  firstParty: optional(boolean({ description: 'Our own app: people are not asked for consent' })),
  requirePkce: optional(boolean({ description: 'PKCE S256; only a confidential client may be exempt' })),
  accessTokenFormat: optional(oneOf(['jwt', 'opaque'])),
  loginPolicy: mergedInput(loginPolicy, 'What signing in to it asks for.'),
  branding: mergedInput(branding, 'How hosted pages look to people who come from it.'),
  lifetimes: mergedInput(lifetimes, 'Seconds, at most those of the tenant.'),
}

const shared = {
  id: uuid(),
  clientId: string(),
  ...metadata,
  firstParty: boolean(),
  requirePkce: boolean(),
  accessTokenFormat: oneOf(['jwt', 'opaque']),
  loginPolicy: object(each<Schema, Schema>(loginPolicy, optional)),
  branding: object(each<Schema, Schema>(branding, optional)),
  lifetimes: object(each<Schema, Schema>(lifetimes, optional)),
  system: boolean({ description: 'Built in: cannot be changed or deleted' }),
  createdAt: instant(),
  updatedAt: instant(),
}
const Client = resource('Client', shared)
const NewClient = resource('NewClient', {
  ...shared,
  clientSecret: optional(string({ description: 'Shown this once' })),
  clientSecretExpiresAt: optional(integer({ description: '0: does not expire' })),
})
const clientKey = { id: text(255, { description: 'id or client_id' }) }
const version = (ctx: Context, input: { id: string }, lock: boolean) => clients.versionOf(ctx, input.id, lock)

function split(input: Record<string, unknown>): { policy: clients.ClientPolicy; metadata: clients.ClientMetadata } {
  const pick = (keys: object) =>
    Object.fromEntries(
      Object.keys(keys)
        .filter((k) => input[k] !== undefined)
        .map((k) => [k, input[k]]),
    )
  return { policy: pick(policy), metadata: pick(metadata) }
}

export const create = operation({
  id: 'clients.create',
  summary: 'Register a new client (App ID, secret, redirect URIs)',
  tag,
  auth: { permission: 'clients:write' },
  effect: 'write',
  errors: ['CONFLICT'],
  input: object({
    clientId: optional(
      text(255, {
        pattern: '^[A-Za-z0-9._~-]+$',
        description: 'Chosen by the administrator, such as when moving a client here',
      }),
    ),
    clientSecret: optional(
      text(255, {
        minLength: 16,
        pattern: '^[\\x21-\\x7e]+$',
        secret: true,
        description: 'An existing secret to bring along',
      }),
    ),
    ...metadata,
    ...policy,
  }),
  example: { clientName: 'My App', redirectUris: ['https://app.example.com/callback'] },
  output: NewClient,
  run: (ctx, input) =>
    clients.create(ctx, { clientId: input.clientId, clientSecret: input.clientSecret, ...split(input) }) as any,
})

export const list = operation({
  id: 'clients.list',
  summary: 'Get all registered client apps',
  tag,
  auth: { permission: 'clients:read' },
  effect: 'read',
  input: object({ ...pageInput, q: optional(text(100, { description: 'Part of the name or client_id' })) }),
  output: page(Client),
  run: (ctx, input) => paged(input, (window) => clients.list(ctx, window, input.q)) as any,
})

export const get = operation({
  id: 'clients.get',
  summary: 'Get details of a client',
  tag,
  auth: { permission: 'clients:read' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object(clientKey),
  output: Client,
  version,
  run: (ctx, input) => clients.get(ctx, input.id) as any,
})

export const update = operation({
  id: 'clients.update',
  summary: 'Update client configuration',
  description: 'Absent keys stay, null clears.',
  tag,
  auth: { permission: 'clients:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ ...clientKey, ...metadata, ...policy }),
  example: { clientName: 'My App', logoUri: 'https://app.example.com/logo.png' },
  output: Client,
  version,
  run: (ctx, { id, ...change }) => clients.update(ctx, id, split(change)) as any,
})

export const remove = operation({
  id: 'clients.delete',
  summary: 'Delete a client',
  description: 'Its grants, tokens and roles end with it.',
  tag,
  auth: { permission: 'clients:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object(clientKey),
  output: Done,
  version,
  async run(ctx, input) {
    await clients.remove(ctx, input.id)
    return done('The client is deleted')
  },
})

export const secret = operation({
  id: 'clients.secret',
  summary: 'What is known of the client secrets; never a secret',
  tag,
  auth: { permission: 'clients:write' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object(clientKey),
  output: object({
    clientId: string(),
    secrets: array(object({ id: uuid(), createdAt: instant(), expiresAt: nullable(instant()) })),
  }),
  run: (ctx, input) => secrets.metadata(ctx, input.id),
})

export const regenerateSecret = operation({
  id: 'clients.regenerate_secret',
  summary: 'Regenerate secret',
  description: 'The new secret is shown this once. The one before works for `overlap` more seconds.',
  tag,
  auth: { permission: 'clients:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ ...clientKey, overlap: optional(integer({ minimum: 0, maximum: 2_592_000, default: 86_400 })) }),
  output: object({ clientId: string(), clientSecret: string(), previousExpiresAt: nullable(instant()) }),
  run: (ctx, input) => secrets.regenerate(ctx, input.id, input.overlap ?? 86_400),
})
