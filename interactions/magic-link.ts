/** Signing in by mail on the hosted pages: ask, type the code, or open the link here or in another browser. */

import { transact } from '../server/api/pipeline.ts'
import * as magicLinks from '../server/domain/magic-links.ts'
import * as secrets from '../server/domain/secrets.ts'
import { settle } from '../server/domain/sign-in.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import { isEmail } from '../server/kernel/validate.ts'
import type { Providers } from '../server/oidc/providers.ts'
import { openHere } from './browser-session.ts'
import { carry } from './carried.ts'
import { byLink } from './coming-from.ts'
import { fieldErrors, type PageHandler, readForm, seeOther, spend } from './page.ts'
import { prove } from './prove.ts'
import { render } from './render.ts'
import { type Again, clientView, mailboxLink, type Step, type StepHandler } from './step.ts'

export const showAsk: StepHandler = async (s) => askPage(s)

function askPage(s: Step, again: Again = {}): void {
  s.koa.status = again.status ?? 200
  render(s.koa, 'magic-link', {
    post: `${s.at}/magic-link`,
    client: clientView(s.client),
    links: { login: s.at },
    form: again.form ?? { email: s.interaction.params.login_hint ?? '' },
    errors: again.errors,
    vars: again.vars,
  })
}

/** The same answer whether the address has an account or not. */
export const ask: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  const email = form.email ?? ''
  if (!isEmail(email)) return askPage(s, { form, errors: { email: 'field.error.email' }, status: 400 })
  await spend(s.ctx, magicLinks.SEND_LIMIT)
  const request = { email, interactionId: s.interaction.uid }
  await magicLinks.prepare(s.ctx, request)
  await transact(s.ctx, (inner) => magicLinks.request(inner, request))
  sentPage(s, email)
}

function sentPage(s: Step, email: string, again: Again = {}): void {
  s.koa.status = again.status ?? 200
  render(s.koa, 'magic-link-sent', {
    email,
    post: `${s.at}/magic-link/code`,
    expires: magicLinks.LIFETIME,
    links: { login: s.at, again: `${s.at}/magic-link`, ...mailboxLink(s.ctx) },
    errors: again.errors,
    vars: again.vars,
  })
}

/** The code, typed where the sign-in waits. */
export const enterCode: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  const email = form.email ?? ''
  if (!isEmail(email)) return askPage(s, { form, errors: { email: 'field.error.email' }, status: 400 })
  await spend(s.ctx, { name: 'magic-link-verify', count: 30, seconds: 900 })
  try {
    const hash = await magicLinks.prepareCode(s.ctx, { email, code: form.code ?? '' })
    await prove(s, await transact(s.ctx, (inner) => magicLinks.take(inner, { hash })))
  } catch (error) {
    const { code, status } = error as Failure
    const mendable = code === 'INVALID_CODE' ? { errors: { code: 'field.error.code' } } : fieldErrors(error)
    if (!mendable) throw error
    sentPage(s, email, { ...mendable, status })
  }
}

const tokenOf = (value: unknown): string => {
  if (typeof value !== 'string' || value.length > 512) throw fail('INVALID_TOKEN', 'The link is incomplete')
  return value
}

/** Where the mailed link leads: to the sign-in that waits for it, whose cookie only that address is sent. */
export const open: PageHandler = async (koa, ctx) => {
  const token = tokenOf(koa.query.token)
  const found = await byLink(koa, ctx, 'magic_link', token)
  if (!found) throw fail('INVALID_TOKEN', 'dead link')
  const { interactionId, email } = found.data
  const base = ctx.tenant.mountPath
  if (interactionId && koa.query.here === undefined) {
    return seeOther(koa, `${base}/interaction/${interactionId}/magic-link/open?token=${token}`)
  }
  render(koa, 'magic-link-open', {
    post: `${base}/magic-link`,
    token,
    email,
    elsewhere: Boolean(interactionId),
  })
}

/** In the browser that asked. Any other one is led back to the page that signs in there. */
export const openWaiting =
  (step: (handle: StepHandler) => PageHandler): PageHandler =>
  async (koa, ctx) => {
    const token = tokenOf(koa.query.token)
    const show: StepHandler = async (s) => {
      const found = await secrets.look(ctx.out.db, ctx.tenant.id, 'magic_link', token)
      if (!found) throw fail('INVALID_TOKEN', 'dead link')
      render(koa, 'magic-link-open', { post: `${s.at}/magic-link/open`, token, email: found.data.email })
    }
    try {
      await step(show)(koa, ctx)
    } catch (error) {
      if ((error as Failure).code !== 'UNAUTHORIZED') throw error
      seeOther(koa, `${ctx.tenant.mountPath}/magic-link?token=${encodeURIComponent(token)}&here=1`)
    }
  }

export const takeWaiting: StepHandler = async (s) => {
  const token = tokenOf((await readForm(s.koa)).token)
  await spend(s.ctx, { name: 'magic-link-verify', count: 30, seconds: 900 })
  await prove(s, await transact(s.ctx, (inner) => magicLinks.take(inner, { token })))
}

/** Signs in in this browser, where nobody waits. What is owed besides is asked for here, too. */
export const take =
  (providers: Providers): PageHandler =>
  async (koa, ctx) => {
    const token = tokenOf((await readForm(koa)).token)
    await spend(ctx, { name: 'magic-link-verify', count: 30, seconds: 900 })
    await byLink(koa, ctx, 'magic_link', token)
    const outcome = await transact(ctx, async (inner) => {
      const settled = await settle(inner, await magicLinks.take(inner, { token }))
      if (settled.kind === 'done') await openHere(koa, inner, providers, settled.proof)
      return settled
    })
    if (outcome.kind !== 'done') return carry(koa, ctx, outcome)
    seeOther(koa, `${ctx.tenant.mountPath}/`)
  }
