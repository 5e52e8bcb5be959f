/** The caller's own profile. */
import { operation } from '../domain/context.ts'
import * as users from '../domain/users.ts'
import { nullable, object, optional, text, uri } from '../kernel/schema.ts'
import { personNames, User, userView } from './shapes.ts'

export const update = operation({
  id: 'profile.update',
  summary: 'Update profile',
  description: 'Absent keys stay, null clears. A new phone number is unverified.',
  tag: 'Account',
  auth: 'user',
  effect: 'write',
  input: object({
    ...personNames,
    nickname: optional(nullable(text(100))),
    phoneNumber: optional(nullable(text(32, { pattern: '^\\+[1-9][0-9]{6,14}$' }))),
    picture: optional(nullable(uri({ pattern: '^https://' }))),
    locale: optional(nullable(text(35, { pattern: '^[A-Za-z0-9-]+$' }))),
    zoneinfo: optional(nullable(text(64))),
  }),
  example: { givenName: 'John', familyName: 'Doe' },
  output: User,
  run: async (ctx, input) => userView(await users.updateProfile(ctx, ctx.actor!.userId!, input)),
})
