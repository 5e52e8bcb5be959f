/** Acting as somebody else: starting and listing it for support, seeing and ending it for whoever holds the token. */
import { operation } from '../domain/context.ts'
import * as impersonation from '../domain/impersonation.ts'
import {
  boolean,
  instant,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  page,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { Done, done, paged, pageInput } from './shapes.ts'

const tag = 'Impersonation'
const Impersonation = resource('Impersonation', {
  id: string(),
  impersonatorId: uuid(),
  userId: uuid(),
  reason: string(),
  startedAt: instant(),
  expiresAt: instant(),
  endedAt: nullable(instant()),
  active: boolean(),
})

export const start = operation({
  id: 'impersonation.start',
  summary: 'Start impersonation session as another user',
  description:
    'A token with `act`, for at most an hour, without refresh. It cannot change how the person signs in; the person is told by mail.',
  tag,
  auth: { permission: 'users:impersonate' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ userId: uuid(), reason: text(500, { pattern: '\\S' }) }),
  example: { reason: 'Support ticket #12345' },
  output: object({
    accessToken: string(),
    tokenType: oneOf(['Bearer']),
    expiresIn: integer({ description: 'Seconds' }),
    impersonation: Impersonation,
  }),
  async run(ctx, input) {
    const { tokens, session } = await impersonation.start(ctx, input.userId, input.reason)
    return {
      accessToken: tokens.accessToken,
      tokenType: 'Bearer' as const,
      expiresIn: tokens.expiresIn,
      impersonation: session,
    }
  },
})

export const list = operation({
  id: 'impersonation.list',
  summary: 'List impersonation sessions (for audit)',
  tag,
  auth: { permission: 'users:impersonate' },
  effect: 'read',
  input: object(pageInput),
  output: page(Impersonation),
  run: (ctx, input) => paged(input, (window) => impersonation.list(ctx, window)),
})

export const status = operation({
  id: 'impersonation.status',
  summary: 'Check if current session is an impersonation session',
  tag,
  auth: 'user',
  effect: 'read',
  input: object({}),
  output: object({
    isImpersonation: boolean(),
    impersonatorId: optional(uuid()),
    impersonatorEmail: optional(nullable(string())),
    reason: optional(string()),
    startedAt: optional(instant()),
    expiresAt: optional(instant()),
  }),
  async run(ctx) {
    const now = await impersonation.current(ctx)
    return now ? { isImpersonation: true, ...now } : { isImpersonation: false }
  },
})

export const end = operation({
  id: 'impersonation.end',
  summary: 'End the current impersonation session',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['CONFLICT'],
  input: object({}),
  output: Done,
  async run(ctx) {
    await impersonation.end(ctx)
    return done('The impersonation is over')
  },
})
