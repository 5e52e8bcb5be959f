/**
 * Signing in within an authorization request. Steps never route to each other: each writes its result into the stored
 * interaction and goes back to the provider, which decides what is still owed.
 */
import { decodeJwt } from 'jose'
import { units } from '../adapters/oidc.ts'
import { transact } from '../server/api/pipeline.ts'
import * as accounts from '../server/domain/accounts.ts'
import { noteSignIn, owed, type Proof, settle } from '../server/domain/attempts.ts'
import { proofOf, provePassword } from '../server/domain/login.ts'
import { allowsMethod, offers, policyOf } from '../server/domain/login-policy.ts'
import * as users from '../server/domain/users.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import { demandsMfa } from '../server/oidc/acr.ts'
import { adopt } from './carried.ts'
import { showConsent } from './consent.ts'
import { fieldErrors, isEmail, readForm, spend } from './page.ts'
import { showMailSent } from './registration.ts'
import { render } from './render.ts'
import { buttons } from './social.ts'
import {
  type Again,
  accountView,
  clientView,
  finish,
  passkeyView,
  type Step,
  type StepHandler,
  signedIn,
} from './step.ts'

/** Which page the provider's prompt asks for. `?other=1` is the wish to be somebody else than who is signed in. */
export const show: StepHandler = async (s) => {
  const { prompt } = s.interaction
  if (await adopt(s)) return
  if (s.koa.query.other) return showLogin(s, { form: { email: '' } })
  if (prompt.name === 'consent') return showConsent(s)
  if (prompt.name === 'select_account') return showAccounts(s)
  return showLogin(s)
}

export async function showLogin(s: Step, again: Again = {}): Promise<void> {
  const { koa, ctx, interaction, at } = s
  const { settings, mountPath } = ctx.tenant
  const expected = again.form ? undefined : await expectedPerson(s)
  const policy = policyOf(ctx.tenant, s.client.record.loginPolicy)
  const password = offers(policy, 'password')
  koa.status = again.status ?? 200
  render(koa, 'login', {
    post: at,
    client: clientView(s.client),
    password,
    links: {
      ...(password && { forgot: `${mountPath}/forgot-password?interaction=${interaction.uid}` }),
      ...(settings.magic_link_enabled && offers(policy, 'magic_link') && { magicLink: `${at}/magic-link` }),
      // Texting works in development, too; it is offered where somebody has set a gateway up.
      ...(ctx.out.config.smsUrl && offers(policy, 'otp') && { texted: `${at}/texted` }),
      ...(settings.registration_enabled && password && { register: `${at}/register` }),
    },
    providers: offers(policy, 'social') ? await buttons(s) : [],
    passkey: offers(policy, 'passkey') ? passkeyView(s, 'passkey', true) : undefined,
    form: { email: again.form ? again.form.email : (interaction.params.login_hint ?? expected?.email ?? '') },
    errors: again.errors,
    vars: again.vars,
    ...(interaction.session?.accountId && interaction.prompt.name === 'login' && { notice: 'login.notice.again' }),
  })
}

/** Whom the app expects (id_token_hint, whose signature the provider has checked), else who is signed in. */
async function expectedPerson({ ctx, interaction }: Step) {
  const { id_token_hint: hint } = interaction.params
  const id = hint ? decodeJwt(hint).sub : interaction.session?.accountId
  return id && /^[0-9a-f-]{36}$/.test(id) ? users.byId(ctx.out.db, ctx.tenant.id, id) : undefined
}

async function showAccounts(s: Step): Promise<void> {
  const id = s.interaction.session?.accountId
  const user = id ? await users.byId(s.ctx.out.db, s.ctx.tenant.id, id) : undefined
  if (!user) return showLogin(s)
  render(s.koa, 'accounts', { post: `${s.at}/account`, account: accountView(user), client: clientView(s.client) })
}

/** E-mail and password, posted. */
export const login: StepHandler = async (s) => {
  const { koa, ctx } = s
  const form = await readForm(koa)
  const errors: Record<string, string> = {}
  if (!isEmail(form.email ?? '')) errors.email = 'field.error.email'
  if (!form.password) errors.password = 'field.error.required'
  if (Object.keys(errors).length) return showLogin(s, { form, errors, status: 400 })
  try {
    const limit = { name: 'login', count: 10, seconds: 900 }
    const proven = await provePassword(ctx, { email: form.email!, password: form.password! }, limit)
    await prove(s, proofOf(proven))
  } catch (error) {
    if ((error as Failure).code === 'EMAIL_VERIFICATION_REQUIRED') return askToVerify(s, form.email!)
    const mendable = (error as Failure).details ? undefined : fieldErrors(error)
    if (!mendable) throw error
    await showLogin(s, { form, ...mendable, status: (error as Failure).status })
  }
}

/** The password was right, so the mail goes to the owner of the account. */
async function askToVerify(s: Step, email: string): Promise<void> {
  await spend(s.ctx, { name: 'verification', count: 5, seconds: 3600 })
  await transact(s.ctx, (inner) => accounts.resendVerification(inner, email))
  s.koa.status = 403
  showMailSent(s, email)
}

/** Something is proven: go on to what is still owed, or be done. */
export async function prove(s: Step, proof: Proof): Promise<void> {
  const { ctx, interaction, koa } = s
  proof.mfaDemanded = demandsMfa(interaction.params)
  if (!allowsMethod(policyOf(ctx.tenant, s.client.record.loginPolicy), proof.amr))
    return showLogin(s, { form: { email: '' }, errors: { _form: 'login.error.method' }, status: 403 })
  const clientId = interaction.params.client_id
  const still = await owed(ctx, proof, clientId)
  if (still.factor || still.actions.length > 0) {
    const where = { clientId, interactionId: interaction.uid }
    const { kind } = await transact(ctx, (inner) => settle(inner, proof, where))
    koa.status = 303
    return koa.redirect(`${s.at}/${kind === 'actions_required' ? 'actions' : 'mfa'}`)
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

/** Continue as who is signed in, or as somebody else. */
export const account: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  if (s.interaction.prompt.name !== 'select_account') throw fail('UNAUTHORIZED', 'This sign-in has expired')
  if (form.action === 'continue') return finish(s, { select_account: {} })
  s.koa.status = 303
  s.koa.redirect(`${s.at}?other=1`)
}

/** Gives up: the app learns access_denied. */
export const abort: StepHandler = async (s) => {
  await readForm(s.koa)
  await finish(s, { error: 'access_denied', error_description: 'End-User aborted interaction' })
}
