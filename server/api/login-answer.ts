/** How every way of signing in answers over REST: tokens, or what is still owed. */
import type { Outcome } from '../domain/attempts.ts'
import type { Context } from '../domain/context.ts'
import { array, boolean, either, integer, resource, string, uuid } from '../kernel/schema.ts'
import { Tokens, User, userView } from './shapes.ts'

export const LoginResult = resource('LoginResult', { user: User, tokens: Tokens })
export const MfaRequired = resource('MfaRequired', {
  mfaRequired: boolean(),
  userId: uuid(),
  mfaToken: string({ description: 'Send it with the code: it binds the rest of this sign-in to you' }),
  methods: array(string(), { description: 'Factors this person may use now' }),
  preferredMethod: string(),
  enrolmentRequired: boolean({
    description: 'The person has no second factor yet and must set one up on the hosted pages',
  }),
  expiresIn: integer({ description: 'Seconds' }),
})
export const LoginAnswer = either(LoginResult, MfaRequired)

export async function answerLogin(ctx: Context, outcome: Outcome, clientId?: string) {
  if (outcome.kind === 'mfa_required') {
    const { userId, mfaToken, methods, preferred, enrol, expiresIn } = outcome
    return {
      mfaRequired: true,
      userId,
      mfaToken,
      methods,
      preferredMethod: preferred,
      enrolmentRequired: enrol,
      expiresIn,
    }
  }
  const { user } = outcome.proof
  const tokens = await ctx.oidc.signIn(ctx, outcome.proof, { clientId })
  return {
    user: userView(user),
    tokens: { ...tokens, refreshToken: tokens.refreshToken!, tokenType: 'Bearer' as const },
  }
}
