/** The caller's own sessions. */
import { operation } from '../domain/context.ts'
import * as sessions from '../domain/sessions.ts'
import { boolean, object, optional, page, text } from '../kernel/schema.ts'
import { Done, done, paged, pageInput, Session } from './shapes.ts'

const tag = 'Sessions'

export const list = operation({
  id: 'sessions.list',
  summary: 'List active sessions for the current user',
  tag,
  auth: 'user',
  effect: 'read',
  input: object(pageInput),
  output: page(Session),
  run: (ctx, input) => paged(input, (window) => sessions.list(ctx, ctx.actor!.userId!, window)),
})

export const end = operation({
  id: 'sessions.end',
  summary: 'Terminate a specific session',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ sessionId: text(128) }),
  output: Done,
  async run(ctx, input) {
    await sessions.end(ctx, ctx.actor!.userId!, input.sessionId)
    return done('The session is over')
  },
})

export const endAll = operation({
  id: 'sessions.end_all',
  summary: 'Revoke all user sessions',
  tag,
  auth: 'user',
  effect: 'write',
  input: object({ exceptCurrent: optional(boolean({ default: false })) }),
  example: { exceptCurrent: true },
  output: Done,
  async run(ctx, input) {
    const count = await sessions.endAll(ctx, ctx.actor!.userId!, input.exceptCurrent ? ctx.actor!.sessionId : undefined)
    return done(`${count} session${count === 1 ? '' : 's'} signed out`)
  },
})
