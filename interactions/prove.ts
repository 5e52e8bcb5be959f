/**
 * Signing in within an authorization request. Steps never route to each other: each brings what it proved here, or writes
 * its result into the stored interaction and goes back to the provider, which decides what is still owed.
 */
import { units } from '../adapters/oidc.ts'
import { transact } from '../server/api/pipeline.ts'
import { allowsMethod, policyOf } from '../server/domain/login-policy.ts'
import { noteSignIn, type Proof } from '../server/domain/proofs.ts'
import { owed, settle } from '../server/domain/sign-in.ts'
import { demandsMfa } from '../server/oidc/acr.ts'
import { showLogin } from './login-page.ts'
import { seeOther } from './page.ts'
import { type Step, signedIn } from './step.ts'

/** Something is proven: go on to what is still owed, or be done. */
export async function prove(s: Step, proof: Proof): Promise<void> {
  const { ctx, interaction } = s
  proof.mfaDemanded = demandsMfa(interaction.params)
  if (!allowsMethod(policyOf(ctx.tenant, s.client.record.loginPolicy), proof.amr))
    return showLogin(s, { form: { email: '' }, errors: { _form: 'login.error.method' }, status: 403 })
  const clientId = interaction.params.client_id
  const still = await owed(ctx, proof, clientId)
  if (still.factor || still.actions.length > 0) {
    const where = { clientId, interactionId: interaction.uid }
    const { kind } = await transact(ctx, (inner) => settle(inner, proof, where))
    return seeOther(s.koa, `${s.at}/${kind === 'actions_required' ? 'actions' : 'mfa'}`)
  }
  await signInNow(s, proof)
}

/** Nothing is owed any more. */
async function signInNow(s: Step, proof: Proof): Promise<void> {
  const { ctx, interaction } = s
  const { user, amr, also } = proof
  units.getStore()!.also.push(...also, noteSignIn(user))
  ctx.event('login.success', { userId: user.id, clientId: interaction.params.client_id, data: { amr } })
  await signedIn(s, user.id, amr, proof.trustDevice)
}
