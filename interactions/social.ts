/** Signing in with an account elsewhere, within an authorization request. */

import { transact } from '../server/api/pipeline.ts'
import * as identities from '../server/domain/identities.ts'
import * as providers from '../server/domain/identity-providers.ts'
import * as social from '../server/domain/social-login.ts'
import type { Failure } from '../server/kernel/errors.ts'
import { showLogin } from './login-page.ts'
import { fieldErrors, seeOther, spend } from './page.ts'
import { prove } from './prove.ts'
import { providerAnswer } from './provider-answer.ts'
import type { Step, StepHandler } from './step.ts'

const slugOf = (s: Step) => String(s.koa.params.provider)

export const go: StepHandler = async (s) => {
  await spend(s.ctx, { name: 'social-authorize', count: 30, seconds: 900 })
  try {
    const { url } = await social.begin(s.ctx, slugOf(s), { interactionId: s.interaction.uid })
    seeOther(s.koa, url)
  } catch (error) {
    await refused(s, error)
  }
}

/** Back from the provider, by way of the callback: this address alone is sent the cookie of the sign-in that waits. */
export const back: StepHandler = async (s) => {
  await spend(s.ctx, { name: 'social-callback', count: 60, seconds: 900 })
  const answer = providerAnswer(s.koa)
  try {
    const { provider, profile } = await social.redeem(s.ctx, slugOf(s), answer, { interactionId: s.interaction.uid })
    await prove(s, await transact(s.ctx, (inner) => identities.arrive(inner, provider, profile)))
  } catch (error) {
    await refused(s, error)
  }
}

const messages: Partial<Record<Failure['code'], string>> = {
  CONFLICT: 'login.error.providerTaken',
  VALIDATION_ERROR: 'login.error.providerEmail',
  ACCESS_DENIED: 'login.error.provider',
  INVALID_TOKEN: 'login.error.provider',
  UNAVAILABLE: 'login.error.provider',
}

/** The login page again, with what went wrong. */
async function refused(s: Step, error: unknown): Promise<void> {
  const { code, status } = error as Failure
  const message = messages[code]
  const errors = message ? { _form: message } : fieldErrors(error)?.errors
  if (!errors) throw error
  const name = (await providers.enabled(s.ctx)).find((p) => p.slug === slugOf(s))?.name ?? slugOf(s)
  await showLogin(s, { errors, vars: { provider: name }, status })
}
