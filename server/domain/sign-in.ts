/**
 * The one place that decides what a sign-in still owes. Password, magic link, passkey, social login and reset all bring a
 * proof here; the answer is either a finished sign-in or a stored attempt that waits for the rest.
 */
import { fail } from '../kernel/errors.ts'
import * as attempts from './attempts.ts'
import type { Context } from './context.ts'
import * as devices from './devices.ts'
import { choices as enrolmentChoices } from './factors/enrolment.ts'
import { allowsMethod, type Policy, policyAt } from './login-policy.ts'
import { owesSecondFactor, type Proof, secondFactors } from './proofs.ts'
import { type Action, owedActions } from './required-actions.ts'

export type Outcome =
  | { kind: 'done'; proof: Proof }
  | {
      kind: 'mfa_required'
      userId: string
      /** Binds the rest of the sign-in to this caller. */
      mfaToken: string
      methods: string[]
      preferred: string
      /** True when the person has no factor yet and must enrol one now. */
      enrol: boolean
      /** What may be set up then. */
      enrolments: string[]
      /** Seconds. */
      expiresIn: number
    }
  | { kind: 'actions_required'; userId: string; mfaToken: string; actions: Action[]; expiresIn: number }

/** Notes on the proof whether this device is remembered as one that skips the second factor. */
async function considerDevice(ctx: Context, policy: Policy, proof: Proof): Promise<void> {
  const { user, amr } = proof
  if (proof.deviceTrusted !== undefined || !owesSecondFactor(policy, proof)) return
  const mayBe = secondFactors(policy, user, amr).length > 0 && !user.required_actions.includes('enrol_mfa')
  proof.deviceTrusted = mayBe && (await devices.isTrusted(ctx, user.id))
}

export interface Owed {
  policy: Policy
  factor: boolean
  /** After the factor, where one is owed. */
  actions: Action[]
}

/** What is owed at the client before a session opens. Throws for who may not sign in, or not in this way. */
export async function owed(ctx: Context, proof: Proof, clientId?: string): Promise<Owed> {
  const policy = await policyAt(ctx, clientId)
  attempts.assertMaySignIn(ctx, proof.user, policy)
  if (!allowsMethod(policy, proof.amr)) throw fail('ACCESS_DENIED', 'Signing in this way is not offered here')
  await considerDevice(ctx, policy, proof)
  const factor = owesSecondFactor(policy, proof)
  return { policy, factor, actions: factor ? [] : owedActions(ctx.tenant.settings, proof.user) }
}

/** What the proof still owes. Runs in a transaction. */
export async function settle(ctx: Context, proof: Proof, where: attempts.Where = {}): Promise<Outcome> {
  const { policy, factor, actions } = await owed(ctx, proof, where.clientId)
  if (!factor && actions.length === 0) return { kind: 'done', proof }
  const { user, amr } = proof
  const begun = await attempts.begin(ctx, proof, factor ? 'factor' : 'actions', where)
  const common = { userId: user.id, ...begun }
  if (!factor) {
    ctx.event('login.actions_required', { userId: user.id, clientId: where.clientId, data: { amr, actions } })
    return { kind: 'actions_required', actions, ...common }
  }
  const factors = secondFactors(policy, user, amr)
  ctx.event('login.mfa_required', { userId: user.id, clientId: where.clientId, data: { amr, factors } })
  const enrol = factors.length === 0
  const enrolments = enrol ? enrolmentChoices(ctx, user, policy, amr) : []
  const preferred =
    [...factors, ...enrolments].find((f) => f === user.preferred_factor) ?? factors[0] ?? enrolments[0] ?? 'totp'
  return { kind: 'mfa_required', methods: factors, preferred, enrol, enrolments, ...common }
}
