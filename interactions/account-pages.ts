/** Pages outside an authorization request: links from mails, forgotten passwords, the first administrator. */

import type { Context as KoaContext } from 'koa'
import { transact } from '../server/api/pipeline.ts'
import * as accounts from '../server/domain/accounts.ts'
import type { Context } from '../server/domain/context.ts'
import { DEFAULT_TENANT } from '../server/domain/ids.ts'
import * as installation from '../server/domain/installation.ts'
import * as passwords from '../server/domain/passwords.ts'
import * as secrets from '../server/domain/secrets.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import { isEmail } from '../server/kernel/validate.ts'
import { byAddress, byLink } from './coming-from.ts'
import { type Form, fieldErrors, type PageHandler, passwordRules, readForm, seeOther, spend } from './page.ts'
import { render } from './render.ts'
import { mailboxLink } from './step.ts'

export const tokenOf = (koa: KoaContext): string => {
  const { token } = koa.query
  if (typeof token !== 'string' || token.length > 512) throw fail('INVALID_TOKEN', 'The link is incomplete')
  return token
}
/** A sign-in that waits in this browser, if the address says so. */
const waiting = (koa: KoaContext, ctx: Context): string | undefined => {
  const { interaction } = koa.query
  return typeof interaction === 'string' && /^[\w-]{10,64}$/.test(interaction)
    ? `${ctx.tenant.mountPath}/interaction/${interaction}`
    : undefined
}
/** From a page that ends something: back to the app that people come from, else to what a link of that kind says, their account. */
function onward(koa: KoaContext, ctx: Context, kind: 'next' | 'login') {
  const { client } = koa.state.page
  return client?.uri
    ? { client, links: { next: client.uri } }
    : { links: { [kind]: `${ctx.tenant.mountPath}/account` } }
}
const home = (ctx: Context) => `${ctx.tenant.mountPath}/`

/** Opening a link changes nothing: mail scanners open links. The button does. */
export const showVerifyEmail: PageHandler = async (koa, ctx) => {
  const token = tokenOf(koa)
  if (!(await byLink(koa, ctx, 'verify_email', token))) throw fail('INVALID_TOKEN', 'dead link')
  render(koa, 'verify-email', { post: `${ctx.tenant.mountPath}/verify-email`, token })
}
export const verifyEmail: PageHandler = async (koa, ctx) => {
  const form = await readForm(koa)
  await byLink(koa, ctx, 'verify_email', form.token ?? '')
  const user = await transact(ctx, (inner) => accounts.verifyEmail(inner, form.token ?? ''))
  render(koa, 'verify-email-done', { email: user.email, ...onward(koa, ctx, 'next') })
}

/** Another confirmation link. The same answer whether there is such an account, waiting or not. */
export const resendVerification: PageHandler = async (koa, ctx) => {
  await byAddress(koa, ctx)
  const form = await readForm(koa)
  if (!isEmail(form.email ?? '')) throw fail('VALIDATION_ERROR', 'This is not an e-mail address')
  await spend(ctx, { name: 'verification', count: 5, seconds: 3600 })
  await transact(ctx, (inner) => accounts.resendVerification(inner, form.email!))
  const back = waiting(koa, ctx)
  render(koa, 'verify-email-sent', {
    email: form.email,
    expires: ctx.tenant.settings.email_link_lifetime,
    resend: `${ctx.tenant.mountPath}/resend-verification${koa.search}`,
    resent: true,
    links: { ...(back && { next: back }), ...mailboxLink(ctx) },
  })
}

const forgotPage = (koa: KoaContext, ctx: Context, more: { form?: Form; errors?: object; status?: number } = {}) => {
  const back = waiting(koa, ctx)
  koa.status = more.status ?? 200
  render(koa, 'forgot-password', {
    post: `${ctx.tenant.mountPath}/forgot-password${koa.search}`,
    links: back ? { login: back } : {},
    ...more,
  })
}
export const showForgot: PageHandler = async (koa, ctx) => {
  await byAddress(koa, ctx)
  forgotPage(koa, ctx)
}
export const forgot: PageHandler = async (koa, ctx) => {
  await byAddress(koa, ctx)
  const form = await readForm(koa)
  if (!isEmail(form.email ?? ''))
    return forgotPage(koa, ctx, { form, errors: { email: 'field.error.email' }, status: 400 })
  await spend(ctx, { name: 'forgot-password', count: 5, seconds: 3600 })
  await transact(ctx, (inner) => accounts.forgotPassword(inner, form.email!))
  const back = waiting(koa, ctx)
  render(koa, 'forgot-password-sent', {
    email: form.email,
    expires: ctx.tenant.settings.reset_link_lifetime,
    links: {
      ...(back && { login: back }),
      again: `${ctx.tenant.mountPath}/forgot-password${koa.search}`,
      ...mailboxLink(ctx),
    },
  })
}

const resetPage = (koa: KoaContext, ctx: Context, token: string, more: { errors?: object; status?: number } = {}) => {
  koa.status = more.status ?? 200
  render(koa, 'reset-password', {
    post: `${ctx.tenant.mountPath}/reset-password`,
    token,
    rules: passwordRules(ctx.tenant),
    ...more,
  })
}
export const showReset: PageHandler = async (koa, ctx) => {
  const token = tokenOf(koa)
  if (!(await byLink(koa, ctx, 'reset_password', token))) throw fail('INVALID_TOKEN', 'dead link')
  resetPage(koa, ctx, token)
}
export const reset: PageHandler = async (koa, ctx) => {
  const form = await readForm(koa)
  const token = form.token ?? ''
  await byLink(koa, ctx, 'reset_password', token)
  if (!form.new_password)
    return resetPage(koa, ctx, token, { errors: { new_password: 'field.error.required' }, status: 400 })
  try {
    await spend(ctx, { name: 'reset-password', count: 20, seconds: 900 })
    const hash = await accounts.prepareReset(ctx, { token, newPassword: form.new_password })
    await transact(ctx, (inner) => accounts.resetPassword(inner, token, hash))
  } catch (error) {
    const mendable = fieldErrors(error, 'new_password')
    if (!mendable || (error as Failure).code === 'RATE_LIMITED') throw error
    return resetPage(koa, ctx, token, { ...mendable, status: (error as Failure).status })
  }
  render(koa, 'reset-password-done', onward(koa, ctx, 'login'))
}

const setUpPage = (
  koa: KoaContext,
  ctx: Context,
  token: string,
  more: { form?: Form; errors?: object; status?: number } = {},
) => {
  koa.status = more.status ?? 200
  render(koa, 'setup', { post: '/set-up', token, rules: passwordRules(ctx.tenant), ...more })
}
export const showSetUp: PageHandler = async (koa, ctx) => {
  const token = tokenOf(koa)
  if (!(await secrets.peek(ctx.out.db, DEFAULT_TENANT, 'set_up', token))) throw fail('INVALID_TOKEN', 'dead link')
  setUpPage(koa, ctx, token)
}
export const setUp: PageHandler = async (koa, ctx) => {
  const form = await readForm(koa)
  const token = form.token ?? ''
  if (!isEmail(form.email ?? ''))
    return setUpPage(koa, ctx, token, { form, errors: { email: 'field.error.email' }, status: 400 })
  try {
    await spend(ctx, { name: 'set-up', count: 20, seconds: 900 })
    if (!(await secrets.peek(ctx.out.db, DEFAULT_TENANT, 'set_up', token))) throw fail('INVALID_TOKEN', 'dead link')
    passwords.assertStrong(ctx, form.password ?? '', { email: form.email! })
    const hash = await ctx.out.passwords.hash(form.password!)
    await transact(ctx, (inner) => installation.setUp(inner, { token, email: form.email! }, hash))
  } catch (error) {
    const mendable = fieldErrors(error)
    if (!mendable || (error as Failure).code === 'RATE_LIMITED') throw error
    return setUpPage(koa, ctx, token, { form, ...mendable, status: (error as Failure).status })
  }
  seeOther(koa, home(ctx))
}
