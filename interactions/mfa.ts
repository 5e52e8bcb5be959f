/** The second factor within an authorization request: asking for it, sending codes, another way, a backup code. */
import { transact } from '../server/api/pipeline.ts'
import { maskedEmail, maskedPhone, smsNumber } from '../server/domain/factors/codes.ts'
import * as second from '../server/domain/factors/second.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import { startAgain } from './login-page.ts'
import { showCodes, showEnrol } from './mfa-enrol.ts'
import { readForm, seeOther, spend } from './page.ts'
import { prove } from './prove.ts'
import { render } from './render.ts'
import { type Again, clientView, mailboxLink, passkeyView, type Step, type StepHandler } from './step.ts'
import { type Waiting, waiting } from './waiting.ts'

export const showMfa: StepHandler = async (s) => {
  const found = await waiting(s)
  if (!found) return seeOther(s.koa, s.at)
  if (found.attempt.data.proven) return showCodes(s)
  if (found.methods.length === 0) return showEnrol(s, String(s.koa.query.method ?? ''))
  await challenge(s, found, String(s.koa.query.method ?? ''))
}

/** Factors proven by a code on this page; a passkey has a button of its own. */
const typed: readonly string[] = ['totp', 'sms', 'email', 'backup_codes']

async function challenge(s: Step, { attempt, user, methods }: Waiting, wish: string, again: Again = {}): Promise<void> {
  const { koa, ctx, at } = s
  const codes = methods.filter((m) => typed.includes(m))
  const method = [wish, user.preferred_factor].find((m) => m && codes.includes(m)) ?? codes[0]
  const sends = method === 'email' || method === 'sms'
  koa.status = again.status ?? 200
  render(koa, 'mfa', {
    post: `${at}/mfa`,
    client: clientView(s.client),
    method,
    others: codes.filter((m) => m !== method).map((m) => ({ method: m, href: `${at}/mfa?method=${m}` })),
    passkey: methods.includes('webauthn') ? passkeyView(s, 'mfa/passkey') : undefined,
    trustDays: ctx.tenant.settings.device_trust_days,
    links: { back: at, ...(method === 'email' && mailboxLink(ctx)) },
    ...(sends && {
      send: `${at}/mfa/send`,
      to: method === 'email' ? maskedEmail(user.email ?? '') : maskedPhone((await smsNumber(ctx, user.id)) ?? ''),
      sent: attempt.codeFactor === method,
    }),
    ...(attempt.data.carried && { notice: 'mfa.notice.carried' }),
    errors: again.errors,
    vars: again.vars,
  })
}

/** The same page, with what went wrong with something that is no code. */
export async function showMfaAgain(s: Step, reason: string, status: number): Promise<void> {
  const found = await waiting(s)
  if (!found) return startAgain(s)
  await challenge(s, found, '', { errors: { _form: reason }, status })
}

const methodOf = (value: string | undefined): second.CodeFactor => {
  if (!value || !typed.includes(value)) throw fail('VALIDATION_ERROR', 'No such way to confirm a sign-in')
  return value as second.CodeFactor
}

/** A code, posted. */
export const mfa: StepHandler = async (s) => {
  const { ctx } = s
  const form = await readForm(s.koa)
  const method = methodOf(form.method)
  const found = await waiting(s)
  if (!found || found.attempt.data.proven) return startAgain(s)
  if (!form.code?.trim()) return challenge(s, found, method, { errors: { code: 'field.error.required' }, status: 400 })
  await spend(ctx, { name: 'login-mfa', count: 30, seconds: 900 })
  try {
    const checked = await second.check(ctx, { interactionId: s.interaction.uid }, form.code, method)
    const proof = await transact(ctx, (inner) => second.complete(inner, checked))
    await prove(s, { ...proof, trustDevice: form.trust_device === '1' })
  } catch (error) {
    await refuse(s, method, error as Failure)
  }
}

/** Wrong codes may be mended while tries are left; everything else ends this sign-in. */
async function refuse(s: Step, method: string, failure: Failure): Promise<void> {
  if (failure.code === 'UNAUTHORIZED') return startAgain(s)
  if (failure.code === 'ACCOUNT_DISABLED' || failure.code === 'ACCOUNT_LOCKED')
    return startAgain(s, 'login.error.disabled')
  if (failure.code !== 'INVALID_CODE') throw failure
  const left = await waiting(s)
  if (!left) return startAgain(s, 'mfa.error.tooMany')
  await challenge(s, left, method, { errors: { code: 'mfa.error.code' }, status: 400 })
}

/** Sends a code by mail or SMS. */
export const send: StepHandler = async (s) => {
  const { ctx } = s
  const form = await readForm(s.koa)
  const method = methodOf(form.method)
  const found = await waiting(s)
  if (!found || (method !== 'email' && method !== 'sms')) return startAgain(s)
  await spend(ctx, { name: 'mfa-send', count: 10, seconds: 900 })
  try {
    await transact(ctx, (inner) => second.sendCode(inner, { interactionId: s.interaction.uid }, method))
  } catch (error) {
    if ((error as Failure).code !== 'RATE_LIMITED') throw error
    return challenge(s, found, method, { errors: { _form: 'mfa.error.noMoreCodes' }, status: 429 })
  }
  seeOther(s.koa, `${s.at}/mfa?method=${method}`)
}
