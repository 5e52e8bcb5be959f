/** How every way of signing in answers over REST: tokens, or what is still owed. */

import type { Context } from '../domain/context.ts'
import { termsOf } from '../domain/required-actions.ts'
import type { Outcome } from '../domain/sign-in.ts'
import { array, boolean, either, integer, object, oneOf, optional, resource, string, uuid } from '../kernel/schema.ts'
import { Tokens, User, userView } from './shapes.ts'

export const LoginResult = resource('LoginResult', { user: User, tokens: Tokens })
export const MfaRequired = resource('MfaRequired', {
  mfaRequired: boolean(),
  userId: uuid(),
  mfaToken: string({ description: 'Send it with the code: it binds the rest of this sign-in to you' }),
  methods: array(string(), { description: 'Factors this person may use now' }),
  preferredMethod: string(),
  enrolmentRequired: boolean({
    description:
      'The person has no second factor that counts and must set one up. Where there are no enrolment_methods, nothing can be: sign in another way',
  }),
  enrolmentMethods: array(string(), { description: 'What can be set up within this sign-in' }),
  expiresIn: integer({ description: 'Seconds' }),
})
export const ActionsRequired = resource('ActionsRequired', {
  actionsRequired: array(oneOf(['accept_terms', 'set_password'])),
  userId: uuid(),
  mfaToken: string({ description: 'Send it with what is asked for: it binds the rest of this sign-in to you' }),
  terms: optional(
    object({ version: string(), url: string(), privacyUrl: string() }, { description: 'What has to be accepted' }),
  ),
  expiresIn: integer({ description: 'Seconds' }),
})
export const LoginAnswer = either(LoginResult, MfaRequired, ActionsRequired)

export async function answerLogin(ctx: Context, outcome: Outcome, clientId?: string) {
  if (outcome.kind === 'mfa_required') {
    const { userId, mfaToken, methods, preferred, enrol, enrolments, expiresIn } = outcome
    return {
      mfaRequired: true,
      userId,
      mfaToken,
      methods,
      preferredMethod: preferred,
      enrolmentRequired: enrol,
      enrolmentMethods: enrolments,
      expiresIn,
    }
  }
  if (outcome.kind === 'actions_required') {
    const { userId, mfaToken, actions, expiresIn } = outcome
    const terms = actions.includes('accept_terms') ? termsOf(ctx.tenant.settings) : undefined
    return { actionsRequired: actions, userId, mfaToken, ...(terms && { terms }), expiresIn }
  }
  const { user } = outcome.proof
  const tokens = await ctx.oidc.signIn(ctx, outcome.proof, { clientId })
  return {
    user: userView(user),
    tokens: { ...tokens, refreshToken: tokens.refreshToken!, tokenType: 'Bearer' as const },
  }
}
