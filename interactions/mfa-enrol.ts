/** Setting up a first second factor within a sign-in, where the tenant demands one: an app, then backup codes shown once. */
import { qrSvg } from '../adapters/qr.ts'
import { transact } from '../server/api/pipeline.ts'
import { finish as finishAttempt, note } from '../server/domain/attempts.ts'
import * as totp from '../server/domain/factors/totp.ts'
import * as factors from '../server/domain/factors.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import { prove } from './flow.ts'
import { seeOther, startAgain, type Waiting, waiting } from './mfa.ts'
import { readForm, spend } from './page.ts'
import { render } from './render.ts'
import { type Again, clientView, type Step, type StepHandler } from './step.ts'

/** The secret belongs to this sign-in: one that somebody else began before must never be the one that is proven. */
export async function showEnrol(s: Step, { attempt, user, policy }: Waiting, again: Again = {}): Promise<void> {
  // Passkeys, mail and SMS are set up in the account, or over the API.
  if (!policy.factors.includes('totp'))
    throw fail(
      'CONFLICT',
      'A second factor of another kind is asked for here. Set it up in your account, or ask for help',
    )
  const { koa, ctx, at } = s
  const known = attempt.data.enrol ? await totp.waiting(ctx, user, attempt.data.enrol) : undefined
  const setup =
    known ??
    (await transact(ctx, async (inner) => {
      const made = await totp.setUp(inner, user)
      await note(inner, attempt, { enrol: made.id })
      return made
    }))
  koa.status = again.status ?? 200
  render(koa, 'mfa-enrol', {
    post: `${at}/mfa/enrol`,
    client: clientView(s.client),
    qr: `data:image/svg+xml;base64,${Buffer.from(qrSvg(setup.url)).toString('base64')}`,
    secret: setup.secret.replace(/(.{4})(?=.)/g, '$1 '),
    url: setup.url,
    links: { back: at },
    ...(attempt.data.carried && { notice: 'mfa.notice.carried' }),
    errors: again.errors,
  })
}

/** A code of the new app, posted. */
export const enrol: StepHandler = async (s) => {
  const { ctx, interaction } = s
  const form = await readForm(s.koa)
  const found = await waiting(s)
  if (!found?.attempt.data.enrol) return startAgain(s)
  const { attempt, user, methods } = found
  if (methods.length > 0 || attempt.data.proven) return seeOther(s, `${s.at}/mfa`)
  await spend(ctx, { name: 'mfa-enable', count: 30, seconds: 900 })
  try {
    const codes = await transact(ctx, async (inner) => {
      const made = await factors.enableTotp(inner, user.id, form.code ?? '', {
        setupId: attempt.data.enrol,
        exceptSession: interaction.session?.uid,
      })
      await note(inner, attempt, { proven: ['otp'] })
      return made
    })
    showCodes(s, codes)
  } catch (error) {
    if ((error as Failure).code !== 'INVALID_CODE') throw error
    await showEnrol(s, found, { errors: { code: 'mfa.error.code' }, status: 400 })
  }
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
