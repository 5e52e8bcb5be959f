/** Apps that register themselves (RFC 7591) and manage themselves (RFC 7592). */
import { operation } from '../domain/context.ts'
import * as registration from '../domain/registration.ts'
import { integer, nothing, object, optional, resource, string, text, uri } from '../kernel/schema.ts'
import { registrable } from './client-metadata.ts'

const tag = 'Client registration'
const limit = { name: 'client-registration', count: 60, seconds: 3600 }
/** RFC 7591 2: metadata that the server does not understand is ignored. */
const ignoring = { additionalProperties: true }

const Registered = resource('RegisteredClient', {
  clientId: string(),
  clientSecret: optional(string({ description: 'Shown this once' })),
  clientIdIssuedAt: integer({ description: 'Unix seconds' }),
  clientSecretExpiresAt: optional(integer({ description: '0: does not expire' })),
  registrationAccessToken: string({ description: 'By which the app manages itself' }),
  registrationClientUri: uri(),
  ...registrable,
})

function answer(ctx: Parameters<typeof registration.register>[0], { client, token }: registration.Registered): any {
  return {
    ...client,
    clientIdIssuedAt: Math.floor((client.createdAt as Date).getTime() / 1000),
    registrationAccessToken: token,
    registrationClientUri: `${registration.registrationEndpoint(ctx.tenant)}/${encodeURIComponent(client.clientId)}`,
  }
}

export const register = operation({
  id: 'registration.register',
  summary: 'Register an app (RFC 7591)',
  description:
    'Where the tenant allows it: with an initial access token as bearer, or by anybody. What the app may not have is narrowed; the answer says what it got.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'client-register', count: 20, seconds: 3600 },
  errors: ['UNAUTHORIZED', 'ACCESS_DENIED', 'NOT_FOUND'],
  input: object(registrable, ignoring),
  example: { clientName: 'My App', redirectUris: ['https://app.example.com/callback'] },
  output: Registered,
  run: async (ctx, input) => answer(ctx, await registration.register(ctx, input)),
})

const id = text(255, { description: 'client_id' })
const errors = ['UNAUTHORIZED', 'ACCESS_DENIED'] as const

export const read = operation({
  id: 'registration.read',
  summary: 'Read one’s own registration (RFC 7592)',
  description: 'With the registration access token as bearer. Secrets are not shown again.',
  tag,
  auth: 'anyone',
  effect: 'read',
  limit,
  errors,
  input: object({ id }),
  output: Registered,
  run: async (ctx, input) => answer(ctx, await registration.read(ctx, input.id)),
})

export const replace = operation({
  id: 'registration.replace',
  summary: 'Replace one’s own metadata (RFC 7592)',
  description: 'What is not sent goes back to its default.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit,
  errors,
  input: object(
    { id, clientId: text(255), clientSecret: optional(text(255, { secret: true })), ...registrable },
    ignoring,
  ),
  example: { clientId: 'a1b2c3', clientName: 'My App', redirectUris: ['https://app.example.com/callback'] },
  output: Registered,
  async run(ctx, { id, clientId, clientSecret, ...input }) {
    const said: Record<string, unknown> = input
    const metadata = Object.fromEntries(Object.keys(registrable).map((key) => [key, said[key] ?? null]))
    return answer(ctx, await registration.replace(ctx, id, { clientId, clientSecret, metadata }))
  },
})

export const remove = operation({
  id: 'registration.remove',
  summary: 'Delete oneself (RFC 7592)',
  description: 'Grants and tokens of the app end with it.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit,
  errors,
  input: object({ id }),
  output: nothing,
  async run(ctx, input) {
    await registration.remove(ctx, input.id)
    return {}
  },
})
