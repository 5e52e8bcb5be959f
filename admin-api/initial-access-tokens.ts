/** Tokens that let apps register themselves (RFC 7591 3). */
import { Done, done, paged, pageInput } from '../server/api/shapes.ts'
import { operation } from '../server/domain/context.ts'
import * as tokens from '../server/domain/registration/tokens.ts'
import { instant, integer, label, object, optional, page, resource, string, uuid } from '../server/kernel/schema.ts'

const tag = 'Client registration'
const shared = {
  id: uuid(),
  name: string(),
  uses: integer({ description: 'Clients registered with it' }),
  maxUses: integer(),
  createdAt: instant(),
  expiresAt: instant(),
}
const InitialAccessToken = resource('InitialAccessToken', shared)
const NewInitialAccessToken = resource('NewInitialAccessToken', {
  ...shared,
  token: string({ description: 'Shown this once' }),
})

export const list = operation({
  id: 'initial_access_tokens.list',
  summary: 'Tokens that let apps register themselves',
  tag,
  auth: { permission: 'clients:read' },
  effect: 'read',
  input: object(pageInput),
  output: page(InitialAccessToken),
  run: (ctx, input) => paged(input, (window) => tokens.list(ctx, window)),
})

export const create = operation({
  id: 'initial_access_tokens.create',
  summary: 'Make a token that lets apps register themselves',
  tag,
  auth: { permission: 'clients:write' },
  effect: 'write',
  input: object({
    name: label(100, { description: 'For whom or what it is' }),
    maxUses: optional(integer({ minimum: 1, maximum: 10_000, default: 1 })),
    expiresIn: optional(integer({ minimum: 60, maximum: 31_536_000, default: 86_400, description: 'Seconds' })),
  }),
  example: { name: 'Partner portal', maxUses: 10 },
  output: NewInitialAccessToken,
  run: (ctx, input) =>
    tokens.create(ctx, { name: input.name, maxUses: input.maxUses ?? 1, lifetime: input.expiresIn ?? 86_400 }),
})

export const remove = operation({
  id: 'initial_access_tokens.delete',
  summary: 'Revoke such a token',
  description: 'Apps that were registered with it stay.',
  tag,
  auth: { permission: 'clients:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ id: uuid() }),
  output: Done,
  async run(ctx, input) {
    await tokens.remove(ctx, input.id)
    return done('The token is revoked')
  },
})
