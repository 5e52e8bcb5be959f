/** Signing in by a texted code on the hosted pages: the number, then the code. Only a number that was proven, or is all that somebody has, lets them in. */
import { transact } from '../server/api/pipeline.ts'
import { LIFETIME, SEND_LIMIT } from '../server/domain/magic-links.ts'
import * as otp from '../server/domain/otp.ts'
import { PHONE } from '../server/domain/users.ts'
import type { Failure } from '../server/kernel/errors.ts'
import { fieldErrors, readForm, spend, typedPhone } from './page.ts'
import { prove } from './prove.ts'
import { render } from './render.ts'
import { type Again, clientView, mailboxLink, type Step, type StepHandler } from './step.ts'

const channel = 'sms'

export const showTexted: StepHandler = async (s) => askPage(s)

function askPage(s: Step, again: Again = {}): void {
  s.koa.status = again.status ?? 200
  render(s.koa, 'texted', {
    post: `${s.at}/texted`,
    client: clientView(s.client),
    links: { login: s.at },
    form: again.form,
    errors: again.errors,
  })
}

/** The same answer whether the number is somebody's or not. */
export const ask: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  const phoneNumber = typedPhone(form.phone_number ?? '')
  if (!PHONE.test(phoneNumber))
    return askPage(s, { form, errors: { phone_number: 'account.error.phone' }, status: 400 })
  await spend(s.ctx, SEND_LIMIT)
  const to = await otp.prepareSend(s.ctx, { channel, phoneNumber })
  await transact(s.ctx, (inner) => otp.send(inner, to, false))
  sentPage(s, phoneNumber)
}

export function sentPage(s: Step, phone: string, again: Again = {}): void {
  s.koa.status = again.status ?? 200
  render(s.koa, 'texted-sent', {
    phone,
    post: `${s.at}/texted/code`,
    expires: LIFETIME,
    links: { login: s.at, again: `${s.at}/texted`, ...mailboxLink(s.ctx) },
    errors: again.errors,
    vars: again.vars,
  })
}

export const enterCode: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  const phoneNumber = typedPhone(form.phone_number ?? '')
  if (!PHONE.test(phoneNumber))
    return askPage(s, { form, errors: { phone_number: 'account.error.phone' }, status: 400 })
  await spend(s.ctx, { name: 'magic-link-verify', count: 30, seconds: 900 })
  try {
    const to = await otp.prepareVerify(s.ctx, { channel, phoneNumber, code: form.code ?? '' })
    await prove(s, (await transact(s.ctx, (inner) => otp.verify(inner, to, false)))!)
  } catch (error) {
    const { code, status } = error as Failure
    const mendable = code === 'INVALID_CODE' ? { errors: { code: 'field.error.code' } } : fieldErrors(error)
    if (!mendable) throw error
    sentPage(s, phoneNumber, { ...mendable, status })
  }
}
