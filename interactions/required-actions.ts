/** What a sign-in asks for after its proofs: accepting the terms, choosing a new password. One page for all of it. */
import { transact } from '../server/api/pipeline.ts'
import * as actions from '../server/domain/required-actions.ts'
import { signInName } from '../server/domain/users.ts'
import type { Failure } from '../server/kernel/errors.ts'
import { startAgain } from './login-page.ts'
import { fieldErrors, passwordRules, readForm, seeOther, spend } from './page.ts'
import { prove } from './prove.ts'
import { render } from './render.ts'
import { type Again, clientView, type Step, type StepHandler } from './step.ts'
import { ifWaiting } from './waiting.ts'

type Waiting = Awaited<ReturnType<typeof actions.open>>

const waiting = (s: Step): Promise<Waiting | undefined> =>
  ifWaiting(actions.open(s.ctx, { interactionId: s.interaction.uid }))

export const showActions: StepHandler = async (s) => {
  const found = await waiting(s)
  if (!found) return seeOther(s.koa, s.at)
  actionsPage(s, found)
}

function actionsPage(s: Step, found: Waiting, again: Again = {}): void {
  const { koa, ctx, at } = s
  koa.status = again.status ?? 200
  render(koa, 'actions', {
    post: `${at}/actions`,
    client: clientView(s.client),
    account: { email: signInName(found.user) },
    terms: found.actions.includes('accept_terms') ? actions.termsOf(ctx.tenant.settings) : undefined,
    password: found.actions.includes('set_password'),
    rules: passwordRules(ctx.tenant),
    links: { back: at },
    errors: again.errors,
    vars: again.vars,
  })
}

export const act: StepHandler = async (s) => {
  const { ctx } = s
  const form = await readForm(s.koa)
  const found = await waiting(s)
  if (!found) return startAgain(s)
  const errors = {
    ...(found.actions.includes('accept_terms') && !form.accept_terms && { accept_terms: 'field.error.terms' }),
    ...(found.actions.includes('set_password') && !form.new_password && { new_password: 'field.error.required' }),
  }
  if (Object.keys(errors).length) return actionsPage(s, found, { errors, status: 400 })
  await spend(ctx, { name: 'login-mfa', count: 30, seconds: 900 })
  try {
    const given = { acceptTerms: form.accept_terms, newPassword: form.new_password }
    const checked = await actions.check(ctx, { interactionId: s.interaction.uid }, given)
    await prove(s, await transact(ctx, (inner) => actions.complete(inner, checked)))
  } catch (error) {
    const { code, status } = error as Failure
    if (code === 'UNAUTHORIZED') return startAgain(s)
    const isStale = code === 'VALIDATION_ERROR'
    const mendable = isStale ? { errors: { accept_terms: 'field.error.terms' } } : fieldErrors(error, 'new_password')
    if (!mendable) throw error
    actionsPage(s, found, { ...mendable, status })
  }
}
