/**
 * Setting up a first second factor within a sign-in that waits for one. What is set up belongs to that sign-in: it is
 * active and ends the attempt in one transaction with the code that proves it.
 */
import { fail } from '../../kernel/errors.ts'
import * as attempts from '../attempts.ts'
import type { Context } from '../context.ts'
import * as factors from '../factors.ts'
import { AMR, type Policy } from '../login-policy.ts'
import * as codes from './codes.ts'
import * as second from './second.ts'
import * as sms from './sms.ts'
import * as totp from './totp.ts'

export type Enrolled = 'totp' | 'sms' | 'email'
/** The first of them unless the caller says otherwise. */
export const ENROLLED = ['totp', 'sms', 'email'] as const

/** What may be set up now. A mailbox or phone that was proven already adds nothing. */
export function choices(ctx: Context, policy: Policy, user: attempts.Person, amr: string[]): Enrolled[] {
  const possible: Record<Enrolled, boolean> = {
    totp: true,
    sms: ctx.out.texter.available && user.phone_verified_at !== null && !amr.includes('sms'),
    email: user.email_verified_at !== null && !amr.includes('email'),
  }
  return ENROLLED.filter((f) => policy.factors.includes(f) && possible[f])
}

/** The sign-in that waits for enrolment. CONFLICT where a factor is there to be used. */
async function waiting(ctx: Context, mfaToken: string) {
  const found = await second.open(ctx, { mfaToken })
  if (found.methods.length > 0) throw fail('CONFLICT', 'This person has a second factor. Complete the sign-in with it')
  return { ...found, choices: choices(ctx, found.policy, found.user, found.attempt.amr) }
}

/** In the transaction. Answers the secret of an app; the others send a code. VALIDATION_ERROR for what is no choice. */
export async function begin(ctx: Context, mfaToken: string, wished?: Enrolled) {
  const { attempt, user, choices } = await waiting(ctx, mfaToken)
  const method = wished ?? choices[0]
  if (!method || !choices.includes(method))
    throw fail('VALIDATION_ERROR', 'This factor cannot be set up now', { details: { methods: choices } })
  if (method === 'email') await codes.send(ctx, attempt, 'email')
  if (method === 'sms') await sms.setUp(ctx, user)
  const setup = method === 'totp' ? await totp.setUp(ctx, user) : undefined
  await attempts.note(ctx, attempt, { enrol: setup?.id ?? method })
  return { method, setup }
}

export interface Checked {
  attempt: attempts.Attempt
  user: attempts.Person
  method: Enrolled
  /** Turns the factor on; answers backup codes. */
  enable(inner: Context): Promise<string[] | undefined>
}

/** Counts the try and looks at the code, before the transaction. INVALID_CODE, UNAUTHORIZED, NOT_FOUND before begin(). */
export async function check(ctx: Context, mfaToken: string, code: string): Promise<Checked> {
  const { attempt, user } = await waiting(ctx, mfaToken)
  const begun: string | undefined = attempt.data.enrol
  if (begun === undefined) throw fail('NOT_FOUND', 'Nothing is being set up. Begin with the set-up')
  await attempts.countTry(ctx, attempt)
  const given = code.replace(/\s/g, '')
  if (begun === 'email') {
    const take = await codes.check(ctx, attempt, 'email', given)
    if (!take) throw await attempts.wrongCode(ctx, attempt, 'email')
    return {
      attempt,
      user,
      method: 'email',
      enable: async (inner) => ((await take(inner)) ? factors.enableEmail(inner, user) : used()),
    }
  }
  if (begun === 'sms') {
    const id = await sms.checkSetUp(ctx, user.id, given)
    return { attempt, user, method: 'sms', enable: (inner) => factors.enableSms(inner, user.id, id) }
  }
  return {
    attempt,
    user,
    method: 'totp',
    enable: (inner) => factors.enableTotp(inner, user.id, given, { setupId: begun }),
  }
}

const used = (): never => {
  throw fail('INVALID_CODE', 'This code was used already')
}

/** Turns the factor on and ends the attempt. */
export async function complete(ctx: Context, { attempt, method, enable }: Checked) {
  const backupCodes = await enable(ctx)
  return { backupCodes, proof: await attempts.finish(ctx, attempt, { amr: AMR[method] }) }
}
