/** Creating an account with a telephone number alone: the number, then the texted code, which signs in. */
import { transact } from '../server/api/pipeline.ts'
import * as accounts from '../server/domain/accounts.ts'
import { termsOf } from '../server/domain/required-actions.ts'
import { PHONE } from '../server/domain/users.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import { type Form, readForm, spend, typedPhone } from './page.ts'
import { render } from './render.ts'
import { type Again, clientView, offersTexts, type Step, type StepHandler } from './step.ts'
import { sentPage } from './texted.ts'

export const offersPhone = (s: Pick<Step, 'ctx' | 'client'>): boolean =>
  offersTexts(s) && s.ctx.tenant.settings.phone_registration_enabled

export const showByPhone: StepHandler = async (s) => byPhonePage(s)

function byPhonePage(s: Step, again: Again = {}): void {
  const { koa, ctx, at } = s
  if (!offersPhone(s)) throw fail('NOT_FOUND', 'Registering with a number is not offered here')
  koa.status = again.status ?? 200
  const closed = !ctx.tenant.settings.registration_enabled
  render(koa, 'register', {
    post: `${at}/register/phone`,
    client: clientView(s.client),
    byPhone: true,
    links: { login: at, other: `${at}/register` },
    terms: termsOf(ctx.tenant.settings),
    form: again.form,
    errors: again.errors ?? (closed ? { _form: 'register.error.closed' } : undefined),
  })
}

export const registerByPhone: StepHandler = async (s) => {
  const { ctx } = s
  const form = await readForm(s.koa)
  const terms = termsOf(ctx.tenant.settings)
  const phoneNumber = typedPhone(form.phone_number ?? '')
  const errors = { ...mistakes(form), ...(terms && !form.accept_terms && { accept_terms: 'field.error.terms' }) }
  if (!offersPhone(s) || Object.keys(errors).length) return byPhonePage(s, { form, errors, status: 400 })
  await spend(ctx, { name: 'register', count: 5, seconds: 3600 })
  const input = {
    phoneNumber,
    givenName: form.given_name || null,
    familyName: form.family_name || null,
    ...(terms && { acceptTerms: form.accept_terms! }),
  }
  try {
    const hash = await accounts.prepareRegistration(ctx, input)
    await transact(ctx, (inner) => accounts.register(inner, input, hash))
  } catch (error) {
    const { code, status } = error as Failure
    const mendable = mends[code]
    if (!mendable) throw error
    return byPhonePage(s, { form, errors: mendable, status })
  }
  sentPage(s, phoneNumber)
}

const mends: Partial<Record<Failure['code'], Record<string, string>>> = {
  CONFLICT: { phone_number: 'register.error.numberTaken' },
  VALIDATION_ERROR: { accept_terms: 'field.error.terms' },
  REGISTRATION_DISABLED: { _form: 'register.error.closed' },
}

function mistakes(form: Form): Record<string, string> {
  const errors: Record<string, string> = {}
  if (!PHONE.test(typedPhone(form.phone_number ?? ''))) errors.phone_number = 'account.error.phone'
  for (const name of ['given_name', 'family_name'])
    if ((form[name] ?? '').length > 100) errors[name] = 'field.error.tooLong'
  return errors
}
