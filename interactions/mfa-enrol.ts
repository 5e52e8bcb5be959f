/** Setting up a first second factor within a sign-in that demands one: which, its proof, and backup codes shown once. */
import { qrSvg } from '../adapters/qr.ts'
import { transact } from '../server/api/pipeline.ts'
import { finish as finishAttempt } from '../server/domain/attempts.ts'
import { maskedEmail, maskedPhone } from '../server/domain/factors/codes.ts'
import * as enrolment from '../server/domain/factors/enrolment.ts'
import * as totp from '../server/domain/factors/totp.ts'
import type { Factor } from '../server/domain/login-policy.ts'
import type { Failure } from '../server/kernel/errors.ts'
import { startAgain } from './login-page.ts'
import { readForm, seeOther, spend, typedPhone } from './page.ts'
import { credentialOf, mendable } from './passkey-answer.ts'
import { prove } from './prove.ts'
import { render } from './render.ts'
import { type Again, clientView, mailboxLink, passkeyView, type Step, type StepHandler } from './step.ts'
import { waiting } from './waiting.ts'

const by = (s: Step) => ({ interactionId: s.interaction.uid })
const SETUP = { name: 'mfa-setup', count: 20, seconds: 3600 }
const PROOF = { name: 'mfa-enable', count: 30, seconds: 900 }

/** The sign-in of this interaction that waits for enrolment. Undefined after an answer: a person with a factor is led to use it. */
async function enrolling(s: Step, otherwise?: string): Promise<enrolment.Waiting | undefined> {
  try {
    return await enrolment.open(s.ctx, by(s))
  } catch (error) {
    const { code } = error as Failure
    if (code === 'UNAUTHORIZED') await startAgain(s, otherwise)
    else if (code === 'CONFLICT') seeOther(s.koa, `${s.at}/mfa`)
    else throw error
  }
}

/** The wished way, else the one begun last, else the first that is possible. */
export async function showEnrol(s: Step, wish = '', again: Again = {}, otherwise?: string): Promise<void> {
  const { koa, at } = s
  const found = await enrolling(s, otherwise)
  if (!found) return
  const { attempt, choices, begun } = found
  const method = [wish, begun?.method].find((m) => choices.some((c) => c === m)) ?? choices[0]
  koa.status = again.status ?? 200
  render(koa, 'mfa-enrol', {
    post: `${at}/mfa/enrol`,
    begin: `${at}/mfa/enrol/begin`,
    client: clientView(s.client),
    method,
    others: choices.filter((m) => m !== method).map((m) => ({ method: m, href: `${at}/mfa?method=${m}` })),
    ...(await detailsOf(s, found, method as Factor | undefined)),
    links: { back: at, ...(method === 'email' && mailboxLink(s.ctx)) },
    ...(attempt.data.carried && { notice: 'mfa.notice.carried' }),
    form: again.form,
    errors: again.errors,
    vars: again.vars,
  })
}

async function detailsOf(s: Step, found: enrolment.Waiting, method: Factor | undefined): Promise<object> {
  const { user, begun } = found
  const sent = begun?.method === method
  switch (method) {
    case 'totp':
      return { app: appView(await secretOf(s, found)) }
    case 'webauthn':
      return { passkey: { ...passkeyView(s, 'mfa/enrol/passkey'), make: true } }
    case 'sms':
      return user.phone_verified_at
        ? { sent, to: maskedPhone(user.phone_number ?? '') }
        : { sent, to: sent ? begun?.to : undefined, asks: true }
    case 'email':
      return { sent, to: maskedEmail(user.email ?? '') }
    default:
      return {}
  }
}

const appView = ({ url, secret }: totp.TotpSetup) => ({
  url,
  qr: `data:image/svg+xml;base64,${Buffer.from(qrSvg(url)).toString('base64')}`,
  secret: secret.replace(/(.{4})(?=.)/g, '$1 '),
})

/** The secret belongs to this sign-in: one that somebody else began before must never be the one that is proven. */
async function secretOf(s: Step, { user, begun }: enrolment.Waiting): Promise<totp.TotpSetup> {
  const known = begun?.method === 'totp' && begun.id ? await totp.waiting(s.ctx, user, begun.id) : undefined
  if (known) return known
  const plan = await enrolment.plan(s.ctx, by(s), { method: 'totp' })
  return (await transact(s.ctx, (inner) => enrolment.begin(inner, plan))).setup!
}

/** Sends a code by mail or SMS. */
export const begin: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  if (!(await enrolling(s))) return
  const method = form.method === 'sms' ? 'sms' : 'email'
  await spend(s.ctx, SETUP)
  const phoneNumber = form.phone_number === undefined ? undefined : typedPhone(form.phone_number)
  try {
    const plan = await enrolment.plan(s.ctx, by(s), { method, phoneNumber })
    await transact(s.ctx, (inner) => enrolment.begin(inner, plan))
  } catch (error) {
    const { code, status } = error as Failure
    const errors =
      code === 'RATE_LIMITED'
        ? { _form: 'mfa.error.noMoreCodes' }
        : code === 'VALIDATION_ERROR' && method === 'sms' && { phone_number: 'account.error.phone' }
    if (!errors) throw error
    return showEnrol(s, method, { form, errors, status })
  }
  seeOther(s.koa, `${s.at}/mfa?method=${method}`)
}

/** Options of a passkey, as JSON for the page's script. */
export const beginPasskey: StepHandler = async (s) => {
  await readForm(s.koa)
  await spend(s.ctx, SETUP)
  const plan = await enrolment.plan(s.ctx, by(s), { method: 'webauthn' })
  s.koa.set('Cache-Control', 'no-store')
  s.koa.body = (await transact(s.ctx, (inner) => enrolment.begin(inner, plan))).passkey
}

/** A code of the new factor, posted, or the new passkey. */
export const enrol: StepHandler = async (s) => {
  const { ctx, interaction } = s
  const form = await readForm(s.koa)
  const found = await enrolling(s)
  if (!found) return
  if (!found.begun) return seeOther(s.koa, `${s.at}/mfa`)
  if (form.credential === undefined && !form.code?.trim())
    return showEnrol(s, '', { errors: { code: 'field.error.required' }, status: 400 })
  await spend(ctx, PROOF)
  const exceptSession: string | undefined = interaction.session?.uid
  try {
    const given = form.credential === undefined ? { code: form.code } : { credential: credentialOf(form.credential) }
    const checked = await enrolment.check(ctx, by(s), given, { exceptSession })
    const { backupCodes, proof } = await transact(ctx, (inner) => enrolment.enable(inner, checked))
    if (proof) return prove(s, proof)
    showCodes(s, backupCodes)
  } catch (error) {
    await refuse(s, error as Failure, form.credential !== undefined)
  }
}

/** What the person can mend is shown again while tries are left. */
async function refuse(s: Step, failure: Failure, isPasskey: boolean): Promise<void> {
  const { code } = failure
  const isStale = code === 'NOT_FOUND'
  if (code === 'UNAUTHORIZED') return startAgain(s)
  if (!isStale && code !== 'CONFLICT' && !mendable.has(code)) throw failure
  const errors = isPasskey
    ? { _form: 'account.error.passkey' }
    : { code: isStale ? 'mfa.error.stale' : 'mfa.error.code' }
  await showEnrol(s, '', { errors, status: 400 }, 'mfa.error.tooMany')
}

/** The codes are in no other answer than that to the proof. */
export function showCodes(s: Step, codes?: string[]): void {
  render(s.koa, 'mfa-codes', { post: `${s.at}/mfa/continue`, codes, client: clientView(s.client) })
}

/** The person has seen the codes: the sign-in is complete. */
export const goOn: StepHandler = async (s) => {
  await readForm(s.koa)
  const found = await waiting(s)
  if (!found?.attempt.data.proven) return startAgain(s)
  const { attempt } = found
  const proof = await transact(s.ctx, (inner) => finishAttempt(inner, attempt, { amr: attempt.data.proven }))
  await prove(s, proof)
}
