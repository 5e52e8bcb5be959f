/** Passkeys on the hosted pages: passwordless from the sign-in page (button and autofill), and as the second factor. */
import { transact } from '../server/api/pipeline.ts'
import * as attempts from '../server/domain/attempts.ts'
import * as passkeys from '../server/domain/passkeys.ts'
import type { Failure } from '../server/kernel/errors.ts'
import { showLogin, startAgain } from './login-page.ts'
import { showMfaAgain } from './mfa.ts'
import { readForm, spend } from './page.ts'
import { credentialOf, mendable } from './passkey-answer.ts'
import { prove } from './prove.ts'
import type { Step, StepHandler } from './step.ts'

const waitingAttempt = (s: Step) => attempts.find(s.ctx, { interactionId: s.interaction.uid })

/** Options as JSON for the page's script. */
function answer({ koa }: Step, begun: passkeys.Begun): void {
  koa.set('Cache-Control', 'no-store')
  koa.body = begun
}

/** The challenge of a sign-in with nothing proven yet. */
export const begin: StepHandler = async (s) => {
  await readForm(s.koa)
  await spend(s.ctx, { name: 'webauthn-begin', count: 60, seconds: 900 })
  answer(s, await transact(s.ctx, (inner) => passkeys.beginSignIn(inner, { interactionId: s.interaction.uid })))
}

/** The challenge of the sign-in that waits for its second factor. */
export const beginSecond: StepHandler = async (s) => {
  await readForm(s.koa)
  await spend(s.ctx, { name: 'webauthn-begin', count: 60, seconds: 900 })
  const attempt = await waitingAttempt(s)
  answer(s, await transact(s.ctx, (inner) => passkeys.beginSignIn(inner, { attempt })))
}

const said: Partial<Record<Failure['code'], string>> = {
  ACCOUNT_DISABLED: 'login.error.disabled',
  ACCOUNT_LOCKED: 'login.error.disabled',
  EMAIL_VERIFICATION_REQUIRED: 'login.error.unverified',
}

/** A passkey in place of a password. */
export const signIn: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  await spend(s.ctx, { name: 'webauthn-finish', count: 60, seconds: 900 })
  try {
    const where = { interactionId: s.interaction.uid }
    const used = await passkeys.checkSignIn(s.ctx, credentialOf(form.credential), where)
    await prove(s, await passkeys.proofOf(s.ctx, used))
  } catch (error) {
    const { code, status } = error as Failure
    const reason = said[code] ?? (mendable.has(code) ? 'passkey.error' : undefined)
    if (!reason) throw error
    await showLogin(s, { form: { email: '' }, errors: { _form: reason }, status })
  }
}

/** A passkey after the password. */
export const second: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  await spend(s.ctx, { name: 'webauthn-finish', count: 60, seconds: 900 })
  try {
    const findAttempt = () => waitingAttempt(s)
    const used = await passkeys.checkSignIn(s.ctx, credentialOf(form.credential), { findAttempt })
    const proof = await transact(s.ctx, (inner) => passkeys.proofOf(inner, used))
    await prove(s, proof)
  } catch (error) {
    const { code, status } = error as Failure
    if (code === 'UNAUTHORIZED') return startAgain(s)
    if (code === 'ACCOUNT_DISABLED' || code === 'ACCOUNT_LOCKED') return startAgain(s, 'login.error.disabled')
    if (!mendable.has(code)) throw error
    await showMfaAgain(s, 'passkey.error', status)
  }
}
