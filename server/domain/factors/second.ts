/** A second factor within a sign-in: checked outside the transaction, taken inside it together with the attempt. */
import { fail } from '../../kernel/errors.ts'
import * as attempts from '../attempts.ts'
import type { Context } from '../context.ts'
import { AMR, type Policy, policyAt } from '../login-policy.ts'
import { type Proof, person, secondFactors } from '../proofs.ts'
import * as backup from './backup.ts'
import * as codes from './codes.ts'
import * as totp from './totp.ts'

export type CodeFactor = 'totp' | 'email' | 'sms' | 'backup_codes'
type Take = (inner: Context) => Promise<boolean>

export interface Checked {
  attempt: attempts.Attempt
  factor: CodeFactor
  take: Take
}

/** How a caller names a sign-in; see attempts.find. */
export interface By {
  mfaToken?: string | undefined
  userId?: string | undefined
  interactionId?: string
}

/** The live attempt, its person, and the factors they may use for it. UNAUTHORIZED when there is none. */
export async function open(ctx: Context, by: By) {
  const attempt = await attempts.find(ctx, by)
  const user = await person(ctx, attempt.userId)
  if (!user) throw fail('UNAUTHORIZED', 'There is no sign-in waiting for a second factor. Sign in again')
  const policy: Policy = await policyAt(ctx, attempt.clientId ?? undefined)
  return { attempt, user, policy, methods: secondFactors(policy, user, attempt.amr) }
}

/**
 * Counts the try, then looks at the code. For callers outside a transaction. INVALID_CODE when it is wrong;
 * UNAUTHORIZED when the attempt is gone or used up. Without `factor`: the app if there is one, else the code sent last.
 */
export async function check(ctx: Context, by: By, code: string, factor?: CodeFactor): Promise<Checked> {
  const { attempt, methods } = await open(ctx, by)
  await attempts.countTry(ctx, attempt)
  const chosen = factor ?? (methods.includes('totp') ? 'totp' : ((attempt.codeFactor ?? 'totp') as CodeFactor))
  const take = methods.includes(chosen) ? await checkCode(ctx, attempt, chosen, code.replace(/\s/g, '')) : undefined
  if (!take) throw await attempts.wrongCode(ctx, attempt, chosen)
  return { attempt, factor: chosen, take }
}

async function checkCode(
  ctx: Context,
  attempt: attempts.Attempt,
  factor: CodeFactor,
  code: string,
): Promise<Take | undefined> {
  switch (factor) {
    case 'totp':
      return totp.check(ctx, attempt.userId, code)
    case 'backup_codes':
      return backup.check(ctx, attempt.userId, code)
    default:
      return codes.check(ctx, attempt, factor, code)
  }
}

/** Takes the code and ends the attempt, in the caller's transaction. INVALID_CODE to who came second. */
export async function complete(ctx: Context, { attempt, factor, take }: Checked): Promise<Proof> {
  if (!(await take(ctx))) throw fail('INVALID_CODE', 'This code was used already')
  return attempts.finish(ctx, attempt, { amr: AMR[factor] })
}

/** Sends a code by mail or SMS. VALIDATION_ERROR when the person does not use that way. */
export async function sendCode(ctx: Context, by: By, factor: 'email' | 'sms'): Promise<void> {
  const { attempt, methods } = await open(ctx, by)
  if (!methods.includes(factor)) throw fail('VALIDATION_ERROR', `${factor} is not a second factor of this person`)
  await codes.send(ctx, attempt, factor)
}
