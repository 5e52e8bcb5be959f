/** Deciding about apps that ask for approval. */
import { OrganizationSupport } from '../server/api/client-requests.ts'
import { paged, pageInput } from '../server/api/shapes.ts'
import * as requests from '../server/domain/client-requests.ts'
import { operation } from '../server/domain/context.ts'
import {
  email,
  instant,
  nullable,
  object,
  oneOf,
  optional,
  page,
  resource,
  string,
  text,
} from '../server/kernel/schema.ts'

const tag = 'Client requests'
const id = text(64, { description: 'As shown: req_…' })
const ClientRequest = resource('ClientRequest', {
  id: string(),
  clientKey: string({ description: 'client_id once it is approved' }),
  name: string(),
  description: nullable(string()),
  redirectUrl: nullable(string()),
  callbackUrl: string(),
  developerEmail: email(),
  developerName: nullable(string()),
  framework: nullable(string()),
  purpose: nullable(string()),
  organizationSupport: OrganizationSupport,
  status: oneOf(['pending', 'approved', 'rejected']),
  reason: nullable(string()),
  createdAt: instant(),
  decidedAt: nullable(instant()),
})
const Decided = object({ message: string(), request: ClientRequest })

export const list = operation({
  id: 'client_requests.list',
  summary: 'List pending requests',
  description: 'The oldest first; decided ones where asked for.',
  tag,
  auth: { permission: 'clients:read' },
  effect: 'read',
  input: object({ ...pageInput, status: optional(oneOf(['pending', 'approved', 'rejected', 'all'])) }),
  output: page(ClientRequest),
  run: (ctx, input) => paged(input, (window) => requests.list(ctx, window, input.status ?? 'pending')),
})

export const approve = operation({
  id: 'client_requests.approve',
  summary: 'Approve request',
  description: 'Makes the client, once. Its developer is mailed, with a link that shows the secret once.',
  tag,
  auth: { permission: 'clients:write' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({
    id,
    tokenEndpointAuthMethod: optional(
      oneOf(['client_secret_basic', 'client_secret_post', 'none'], { description: 'none for apps without a back end' }),
    ),
    scope: optional(text(4000)),
  }),
  example: { tokenEndpointAuthMethod: 'none' },
  output: Decided,
  async run(ctx, { id: request, ...approval }) {
    return { message: 'Client registration request approved', request: await requests.approve(ctx, request, approval) }
  },
})

export const reject = operation({
  id: 'client_requests.reject',
  summary: 'Reject request',
  description: 'The reason is mailed to the developer.',
  tag,
  auth: { permission: 'clients:write' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id, reason: optional(nullable(text(500))) }),
  example: { reason: 'We do not know you' },
  output: Decided,
  async run(ctx, input) {
    const request = await requests.reject(ctx, input.id, input.reason ?? null)
    return { message: 'Client registration request rejected', request }
  },
})
