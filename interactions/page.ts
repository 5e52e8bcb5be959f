/** What every page route shares: the page context of the tenant, the parsed form, and failures as pages. */

import { createSecretKey, type KeyObject } from 'node:crypto'
import type { Context as KoaContext, Middleware } from 'koa'
import type { Wording } from '../adapters/i18n.ts'
import { openContext, toFailure } from '../server/api/pipeline.ts'
import { faceOf } from '../server/domain/branding.ts'
import { networkOf } from '../server/domain/callers.ts'
import { faceAt, wordingAt } from '../server/domain/clients/face.ts'
import type { Context, OidcPort, Outside } from '../server/domain/context.ts'
import type { ClientRecord, Tenant } from '../server/domain/directory.ts'
import type { Pending } from '../server/domain/events.ts'
import { readText, refuseNul } from '../server/kernel/body.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import { checkCsrf } from './csrf.ts'
import { type Page, render } from './render.ts'

export type Form = Record<string, string>
export type PageHandler = (koa: KoaContext, ctx: Context & Pending) => Promise<void>

const FORM_LIMIT = 64 * 1024

/** On to another page. */
export function seeOther(koa: KoaContext, to: string): void {
  koa.status = 303
  koa.redirect(to)
}

/** Puts the tenant's page context on the Koa context; needed before anything renders. */
export function preparePage(koa: KoaContext, out: Outside, tenant: Tenant): Page {
  const { config, sealing } = out
  const page: Page = {
    base: tenant.mountPath,
    branding: faceOf(tenant),
    wording: tenant.wording,
    origin: new URL(config.publicUrl).origin,
    secure: config.publicUrl.startsWith('https:'),
    csrfKey: csrfKey(sealing),
    development: !config.production,
  }
  koa.state.page = page
  koa.state.requestId = koa.req.gatehouse.requestId
  return page
}

/** The face and the words of the app that people come from, over the tenant's; in mails that `ctx` causes as well. */
export function dress(page: Page, client: ClientRecord, ctx?: Context): void {
  const { texts } = client.branding
  page.branding = faceAt(page.branding, client)
  if (texts) page.texts = texts
  page.wording = wordingAt(page.wording ?? noWording, client)
  const { client_name: name, client_uri: uri } = client.metadata as Record<string, string | undefined>
  page.client = { name: name ?? client.clientId, uri }
  if (ctx) ctx.cameFrom = client.clientId
}

const noWording: Wording = new Map()

let derived: KeyObject | undefined
const csrfKey = (sealing: Outside['sealing']) => {
  derived ??= createSecretKey(sealing.derive('csrf'))
  return derived
}

/** A page route: opens the context, and shows whatever fails as a page. */
export const page =
  (out: Outside, oidc: OidcPort, handle: PageHandler): Middleware =>
  async (koa) => {
    preparePage(koa, out, koa.req.gatehouse.tenant)
    try {
      await handle(koa, openContext(out, oidc, koa))
    } catch (error) {
      showFailure(koa, toFailure(out, error, koa))
    }
  }

/** The posted form, after the CSRF check. */
export async function readForm(koa: KoaContext): Promise<Form> {
  if (!koa.is('application/x-www-form-urlencoded')) throw fail('UNSUPPORTED_MEDIA_TYPE', 'Send a form')
  const form: Form = Object.fromEntries(new URLSearchParams(await readText(koa.req, FORM_LIMIT)))
  refuseNul(Object.values(form).some((value) => value.includes('\u0000')))
  const { csrfKey: key, origin } = koa.state.page as Page
  if (checkCsrf(koa, form, key, origin)) throw fail('ACCESS_DENIED', 'csrf')
  return form
}

const pageCodes: Partial<Record<Failure['code'], string>> = {
  NOT_FOUND: 'not_found',
  TENANT_SUSPENDED: 'suspended',
  INVALID_TOKEN: 'invalid_link',
  INVITATION_EXPIRED: 'invitation_expired',
  ACCESS_DENIED: 'forbidden',
  INTERNAL_ERROR: 'server_error',
  UNAUTHORIZED: 'session_expired',
}

export function showFailure(koa: KoaContext, failure: Failure): void {
  const { requestId } = koa.state
  koa.status = failure.status
  if (failure.retryAfter !== undefined) koa.set('Retry-After', String(Math.max(1, Math.ceil(failure.retryAfter))))
  const retryAfter = failure.retryAfter ?? 5
  const links = koa.method === 'GET' ? { retry: koa.originalUrl } : {}
  const waiting = failure.code === 'UNAVAILABLE' ? 'unavailable' : failure.code === 'RATE_LIMITED' ? 'too-many' : ''
  if (waiting) {
    render(koa, waiting, { retryAfter, links, requestId })
    return
  }
  const code = failure.message === 'csrf' ? 'csrf' : (pageCodes[failure.code] ?? 'general')
  const base = (koa.state.page as Page).base
  render(koa, 'error', {
    code,
    requestId,
    links: code === 'suspended' ? {} : { home: `${base}/` },
    ...(code === 'general' && { detail: failure.message }),
  })
}

/** Counts this request against a limit shared with the API. */
export async function spend(ctx: Context, limit: { name: string; count: number; seconds: number }): Promise<void> {
  const state = await ctx.out.limits.hit(`${ctx.tenant.id}:${limit.name}:${networkOf(ctx.request.ip)}`, limit)
  if (!state.ok) throw fail('RATE_LIMITED', 'Too many requests', { retryAfter: state.retryAfter })
}

/** A telephone number as people write it, without what only makes it easier to read. */
export const typedPhone = (value: string): string => value.replace(/[\s()/-]/g, '')

const passwordErrors: Record<string, string> = {
  too_simple: 'password.error.common',
  too_common: 'password.error.common',
  too_guessable: 'password.error.common',
  contains_context: 'password.error.context',
  reused: 'password.error.reused',
}

/** The message that says why a password is refused; `weakness` as in server/domain/password-policy.ts. */
export const passwordMessage = (weakness: string): string => passwordErrors[weakness] ?? 'password.error.weak'

/** Field errors of a failure the person can mend, or undefined. Keys and words are the catalogue's. */
export function fieldErrors(
  failure: unknown,
  passwordField = 'password',
): { errors: Record<string, string>; vars?: object } | undefined {
  const { code, retryAfter, details } = failure as Failure & { details?: { message: string }[] }
  switch (code) {
    case 'INVALID_CREDENTIALS':
      return { errors: { _form: 'login.error.credentials' } }
    case 'ACCOUNT_DISABLED':
    case 'ACCOUNT_LOCKED':
      return { errors: { _form: 'login.error.disabled' } }
    case 'EMAIL_VERIFICATION_REQUIRED':
      return { errors: { _form: 'login.error.unverified' } }
    case 'RATE_LIMITED':
      return retryAfter === undefined
        ? undefined
        : { errors: { _form: 'login.error.locked' }, vars: { seconds: retryAfter } }
    case 'CONFLICT':
      return { errors: { email: 'register.error.taken' } }
    case 'REGISTRATION_DISABLED':
      return { errors: { _form: 'register.error.closed' } }
    case 'WEAK_PASSWORD':
      return {
        errors: {
          [passwordField]: passwordMessage(details?.[0]?.message ?? ''),
        },
      }
    default:
      return undefined
  }
}

export const passwordRules = (tenant: Tenant) => ({ minLength: tenant.settings.password_min_length })
