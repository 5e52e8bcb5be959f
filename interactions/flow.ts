/** The first pages of an authorization request: which one is shown, and what is posted there. */

import { transact } from '../server/api/pipeline.ts'
import * as accounts from '../server/domain/accounts.ts'
import { proofOf, provePassword } from '../server/domain/login.ts'
import * as users from '../server/domain/users.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import { isEmail } from '../server/kernel/validate.ts'
import { adopt } from './carried.ts'
import { showConsent } from './consent.ts'
import { showLogin } from './login-page.ts'
import { showOrganizations } from './organization.ts'
import { fieldErrors, readForm, seeOther, spend } from './page.ts'
import { prove } from './prove.ts'
import { showMailSent } from './registration.ts'
import { render } from './render.ts'
import { accountView, clientView, finish, type Step, type StepHandler } from './step.ts'

/** Which page the provider's prompt asks for. `?other=1` is the wish to be somebody else than who is signed in. */
export const show: StepHandler = async (s) => {
  const { prompt } = s.interaction
  if (await adopt(s)) return
  if (s.koa.query.other) return showLogin(s, { form: { email: '' } })
  if (prompt.name === 'consent') return showConsent(s)
  if (prompt.name === 'select_account') return showAccounts(s)
  if (prompt.name === 'organization') return showOrganizations(s)
  return showLogin(s)
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
    const proven = await provePassword(ctx, { name: form.email!, password: form.password! }, limit)
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

/** Continue as who is signed in, or as somebody else. */
export const account: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  if (s.interaction.prompt.name !== 'select_account') throw fail('UNAUTHORIZED', 'This sign-in has expired')
  if (form.action === 'continue') return finish(s, { select_account: {} })
  seeOther(s.koa, `${s.at}?other=1`)
}

/** Gives up: the app learns access_denied. */
export const abort: StepHandler = async (s) => {
  await readForm(s.koa)
  await finish(s, { error: 'access_denied', error_description: 'End-User aborted interaction' })
}
