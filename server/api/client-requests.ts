/** Apps that ask for approval, as sso-api's command-line client does: ask, look how it stands, read what was approved. */
import * as requests from '../domain/client-requests.ts'
import * as handover from '../domain/clients/handover.ts'
import { operation } from '../domain/context.ts'
import {
  array,
  boolean,
  email,
  instant,
  label,
  nullable,
  object,
  oneOf,
  optional,
  resource,
  string,
  text,
  uri,
} from '../kernel/schema.ts'
import { slug } from './shapes.ts'

const tag = 'Client requests'
const looking = { name: 'client-request-status', count: 120, seconds: 60 }
const clientKey = slug('Becomes the client_id')
const word = text(50, { pattern: '^[a-z][a-z0-9_-]*$' })
const status = oneOf(['pending', 'approved', 'rejected'])
export const OrganizationSupport = object({
  enabled: boolean(),
  model: nullable(string()),
  features: array(string()),
  onboardingFlow: nullable(string()),
})
const known = { id: string(), clientKey: string(), status, organizationSupport: OrganizationSupport }

export const submit = operation({
  id: 'client_requests.submit',
  summary: 'Register new client',
  description: 'An administrator decides; the developer is mailed.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: requests.LIMIT,
  errors: ['CONFLICT', 'ACCESS_DENIED'],
  input: object({
    name: label(100),
    clientKey,
    redirectUrl: optional(nullable(uri({ description: 'Where the app is' }))),
    callbackUrl: uri({ description: 'Its redirect_uri' }),
    description: optional(nullable(text(1000))),
    developerEmail: email(),
    developerName: optional(nullable(text(100))),
    framework: optional(nullable(text(100))),
    purpose: optional(nullable(text(200))),
    requiresOrganization: optional(boolean({ default: false })),
    organizationModel: optional(nullable(word)),
    organizationFeatures: optional(array(word, { maxItems: 20, uniqueItems: true })),
    onboardingFlow: optional(nullable(word)),
  }),
  example: {
    name: 'My App',
    clientKey: 'my-app',
    redirectUrl: 'https://my-app.local.test',
    callbackUrl: 'https://my-app.local.test/callback',
    developerEmail: 'dev@example.com',
  },
  output: object({ message: string(), request: resource('SubmittedClientRequest', known) }),
  prepare: requests.prepare,
  async run(ctx, input) {
    const { requiresOrganization, organizationModel, organizationFeatures, onboardingFlow, ...rest } = input
    const request = await requests.submit(ctx, {
      ...rest,
      organizationSupport: {
        enabled: requiresOrganization ?? false,
        model: organizationModel ?? null,
        features: organizationFeatures ?? [],
        onboardingFlow: onboardingFlow ?? null,
      },
    })
    return { message: 'Client registration request submitted successfully', request }
  },
})

export const look = operation({
  id: 'client_requests.status',
  summary: 'Check request status',
  description: 'Of the newest request for this key. Says nothing of the developer.',
  tag,
  auth: 'anyone',
  effect: 'read',
  limit: looking,
  errors: ['NOT_FOUND'],
  input: object({ clientKey: text(63) }),
  output: resource('ClientRequestStatus', { ...known, createdAt: instant(), decidedAt: nullable(instant()) }),
  run: (ctx, input) => requests.byKey(ctx, input.clientKey),
})

export const config = operation({
  id: 'client_requests.config',
  summary: 'Get client config',
  description: 'What an approved app needs to know of itself. Nothing secret.',
  tag,
  auth: 'anyone',
  effect: 'read',
  limit: looking,
  errors: ['NOT_FOUND'],
  input: object({ clientKey: text(63) }),
  output: resource('ClientConfig', {
    clientKey: string(),
    clientId: string(),
    name: string(),
    issuer: string({ description: 'Where discovery starts' }),
    redirectUris: array(string()),
    postLogoutRedirectUris: array(string()),
    scope: string(),
    tokenEndpointAuthMethod: string(),
    logoUri: nullable(string()),
    organizationSupport: OrganizationSupport,
  }),
  run: (ctx, input) => requests.configOf(ctx, input.clientKey),
})

export const takeSecret = operation({
  id: 'client_requests.take_secret',
  summary: 'Fetch the secret of an approved app',
  description: 'By the token of the mailed link, once. The secret is made now, and never shown again.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: handover.LIMIT,
  errors: ['INVALID_TOKEN', 'ACCESS_DENIED'],
  input: object({ token: text(512, { secret: true }) }),
  output: object({ clientId: string(), clientSecret: string() }),
  run: (ctx, input) => handover.take(ctx, input.token),
})
