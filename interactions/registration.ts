/** Creating an account within an authorization request. */

import { transact } from '../server/api/pipeline.ts'
import * as accounts from '../server/domain/accounts.ts'
import { person } from '../server/domain/proofs.ts'
import { termsOf } from '../server/domain/required-actions.ts'
import type { Failure } from '../server/kernel/errors.ts'
import { isEmail } from '../server/kernel/validate.ts'
import { type Form, fieldErrors, passwordRules, readForm, spend } from './page.ts'
import { offersPhone } from './phone-registration.ts'
import { prove } from './prove.ts'
import { render } from './render.ts'
import { type Again, clientView, mailboxLink, type Step, type StepHandler } from './step.ts'

export const showRegister: StepHandler = async (s) => registerPage(s)

async function registerPage(s: Step, again: Again = {}): Promise<void> {
  const { koa, ctx } = s
  koa.status = again.status ?? 200
  const closed = !ctx.tenant.settings.registration_enabled
  render(koa, 'register', {
    post: `${s.at}/register`,
    client: clientView(s.client),
    links: { login: s.at, ...(offersPhone(s) && { other: `${s.at}/register/phone` }) },
    rules: passwordRules(ctx.tenant),
    terms: termsOf(ctx.tenant.settings),
    form: again.form ?? { email: s.interaction.params.login_hint ?? '' },
    errors: again.errors ?? (closed ? { _form: 'register.error.closed' } : undefined),
    vars: again.vars,
  })
}

/** Registers and, unless the address must be verified first, signs in at once. */
export const register: StepHandler = async (s) => {
  const { koa, ctx } = s
  const form = await readForm(koa)
  const terms = termsOf(ctx.tenant.settings)
  const errors = { ...mistakes(form), ...(terms && !form.accept_terms && { accept_terms: 'field.error.terms' }) }
  if (Object.keys(errors).length) return registerPage(s, { form, errors, status: 400 })
  await spend(ctx, { name: 'register', count: 5, seconds: 3600 })
  const input = {
    email: form.email!,
    password: form.password!,
    givenName: form.given_name || null,
    familyName: form.family_name || null,
    ...(terms && { acceptTerms: form.accept_terms! }),
  }
  const { settings } = ctx.tenant
  try {
    const hash = await accounts.prepareRegistration(ctx, input)
    const user = await transact(ctx, (inner) => accounts.register(inner, input, hash))
    if (!user || settings.enumeration_protection || settings.require_verified_email) return showMailSent(s, input.email)
    await prove(s, { user: (await person(ctx, user.id))!, amr: ['pwd'], also: [] })
  } catch (error) {
    const isStale = (error as Failure).code === 'VALIDATION_ERROR'
    const mendable = isStale ? { errors: { accept_terms: 'field.error.terms' } } : fieldErrors(error)
    if (!mendable) throw error
    await registerPage(s, { form, ...mendable, status: (error as Failure).status })
  }
}

function mistakes(form: Form): Record<string, string> {
  const errors: Record<string, string> = {}
  if (!isEmail(form.email ?? '')) errors.email = 'field.error.email'
  if (!form.password) errors.password = 'field.error.required'
  for (const name of ['given_name', 'family_name'])
    if ((form[name] ?? '').length > 100) errors[name] = 'field.error.tooLong'
  return errors
}

/** A confirmation link is on its way; nothing goes on before it is used. */
export function showMailSent({ koa, ctx, at, client, interaction }: Step, email: string): void {
  render(koa, 'verify-email-sent', {
    email,
    expires: ctx.tenant.settings.email_link_lifetime,
    resend: `${ctx.tenant.mountPath}/resend-verification?interaction=${interaction.uid}`,
    links: { next: at, ...mailboxLink(ctx) },
    client: clientView(client),
  })
}
