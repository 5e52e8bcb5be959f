/** Accounts elsewhere that the caller signs in with. */
import { operation } from '../domain/context.ts'
import * as identities from '../domain/identities.ts'
import { assertRecent } from '../domain/recent.ts'
import * as social from '../domain/social-login.ts'
import { array, instant, nothing, nullable, object, resource, string } from '../kernel/schema.ts'
import { Done, done } from './shapes.ts'
import { Slug, Start, started } from './social.ts'

const tag = 'Account'

export const list = operation({
  id: 'identities.list',
  summary: 'List linked accounts',
  tag,
  auth: 'user',
  effect: 'read',
  input: nothing,
  output: array(
    resource('FederatedIdentity', {
      provider: string(),
      subject: string({ description: 'Who the person is over there' }),
      email: nullable(string()),
      createdAt: instant(),
      lastUsedAt: instant(),
    }),
  ),
  run: (ctx) => identities.list(ctx, ctx.actor!.userId!),
})

export const link = operation({
  id: 'identities.link',
  summary: 'Connect an account elsewhere',
  description: 'Answers where to send the person. Needs a sign-in of the last 15 minutes; the owner is told by mail.',
  tag,
  auth: 'user',
  effect: 'read',
  errors: ['NOT_FOUND', 'INSUFFICIENT_AUTHENTICATION', 'UNAVAILABLE'],
  input: object({ provider: Slug }),
  output: Start,
  async prepare(ctx, { provider }) {
    await assertRecent(ctx)
    return social.begin(ctx, provider, { linkTo: ctx.actor!.userId! })
  },
  run: async (ctx, _input, begun) => started(ctx, begun),
})

export const unlink = operation({
  id: 'identities.unlink',
  summary: 'Unlink account',
  description: 'Not the last way of signing in. Needs a sign-in of the last 15 minutes; the owner is told by mail.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT', 'INSUFFICIENT_AUTHENTICATION'],
  input: object({ provider: Slug }),
  output: Done,
  async run(ctx, { provider }) {
    await assertRecent(ctx)
    await identities.unlink(ctx, ctx.actor!.userId!, provider)
    return done('The account is no longer connected')
  },
})
