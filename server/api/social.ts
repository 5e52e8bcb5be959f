/** Signing in with an account elsewhere: the way there, and the callback every provider comes back to. */

import type { Context } from '../domain/context.ts'
import { operation } from '../domain/context.ts'
import * as identities from '../domain/identities.ts'
import * as providers from '../domain/identity-providers.ts'
import { settle } from '../domain/sign-in.ts'
import * as social from '../domain/social-login.ts'
import { array, either, integer, nothing, object, oneOf, optional, resource, string, text } from '../kernel/schema.ts'
import { ActionsRequired, answerLogin, LoginResult, MfaRequired } from './login-answer.ts'

const tag = 'Social login'
const COOKIE = 'gh_social'
export const Slug = text(40, { pattern: '^[a-z0-9-]+$' })

export const list = operation({
  id: 'social.providers',
  summary: 'List available social providers',
  tag,
  auth: 'anyone',
  effect: 'read',
  input: nothing,
  output: object({
    providers: array(resource('SocialProvider', { id: string(), name: string(), authorizeUrl: string() })),
  }),
  async run(ctx) {
    const ready = await providers.enabled(ctx)
    return {
      providers: ready.map(({ slug, name }) => ({
        id: slug,
        name,
        authorizeUrl: `${ctx.tenant.issuer}/v1/oauth/${slug}/authorize`,
      })),
    }
  },
})

export const Start = object({
  authorizationUrl: string({ description: 'Send the person there' }),
  state: string(),
  binding: string({
    description: 'Shows that the answer comes to who asked. Browsers get it as a cookie; apps post it to the callback',
  }),
  expiresIn: integer({ description: 'Seconds' }),
})

/** The answer to who wants to go to a provider; browsers keep the binding as a cookie that only the callback sees. */
export function started(ctx: Context, begun: Awaited<ReturnType<typeof social.begin>>) {
  const secure = ctx.out.config.publicUrl.startsWith('https:') ? '; Secure' : ''
  const path = `${ctx.tenant.mountPath}/v1/oauth`
  ctx.reply.cookies.push(
    `${COOKIE}=${begun.binding}; Path=${path}; Max-Age=${social.LIFETIME}; HttpOnly; SameSite=Lax${secure}`,
  )
  return { authorizationUrl: begun.url, state: begun.state, binding: begun.binding, expiresIn: social.LIFETIME }
}

export const authorize = operation({
  id: 'social.authorize',
  summary: 'Get authorization URL for provider',
  tag,
  auth: 'anyone',
  effect: 'read',
  limit: { name: 'social-authorize', count: 30, seconds: 900 },
  errors: ['NOT_FOUND', 'UNAVAILABLE', 'RATE_LIMITED'],
  input: object({ provider: Slug }),
  output: Start,
  prepare: (ctx, { provider }) => social.begin(ctx, provider, {}),
  run: async (ctx, _input, begun) => started(ctx, begun),
})

const Linked = resource('Linked', { linked: string({ description: 'The provider that is connected now' }) })

type Found = { kind: 'on'; to: string } | ({ kind: 'arrived' } & Awaited<ReturnType<typeof social.redeem>>)

export const callback = operation({
  id: 'social.callback',
  summary: 'OAuth callback endpoint',
  description:
    'Providers send browsers here by GET, or by a form (Apple). A sign-in that waits on the hosted pages goes on there; else the answer is that of a login. Apps that opened the address of `authorize` themselves post code, state, iss and `binding` as JSON.',
  tag,
  auth: 'anyone',
  effect: 'write',
  limit: { name: 'social-callback', count: 60, seconds: 900 },
  errors: [
    'INVALID_TOKEN',
    'ACCESS_DENIED',
    'CONFLICT',
    'REGISTRATION_DISABLED',
    'ACCOUNT_DISABLED',
    'ACCOUNT_LOCKED',
    'EMAIL_VERIFICATION_REQUIRED',
    'NOT_FOUND',
    'UNAVAILABLE',
    'RATE_LIMITED',
  ],
  input: object({
    provider: Slug,
    via: oneOf(['get', 'post']),
    code: optional(text(4096)),
    state: optional(text(512)),
    iss: optional(text(2000)),
    error: optional(text(200)),
    errorDescription: optional(text(2000)),
    user: optional(text(4096, { description: "Apple's name of the person" })),
    binding: optional(text(512)),
  }),
  example: { code: 'SplxlOBeZQQYbYS6WxSbIA', state: 'af0ifjsldkj', binding: 'from-authorize' },
  output: either(LoginResult, MfaRequired, ActionsRequired, Linked),
  async prepare(ctx, { provider, via, binding, ...answer }): Promise<Found> {
    const stored = await social.look(ctx, provider, answer.state)
    const query = new URLSearchParams()
    for (const [key, value] of Object.entries(answer))
      if (value !== undefined) query.set(key === 'errorDescription' ? 'error_description' : key, value)
    // A cross-site POST brings no cookies, so it becomes a GET, which does.
    if (via === 'post' && binding === undefined)
      return { kind: 'on', to: `${ctx.tenant.mountPath}/v1/oauth/${provider}/callback?${query}` }
    if (stored.interactionId)
      return {
        kind: 'on',
        to: `${ctx.tenant.mountPath}/interaction/${stored.interactionId}/social/${provider}/back?${query}`,
      }
    if (stored.sessionId) return { kind: 'on', to: `${ctx.tenant.mountPath}/account/linked/${provider}/back?${query}` }
    const proof = { binding: binding ?? ctx.request.cookie(COOKIE) }
    return { kind: 'arrived', ...(await social.redeem(ctx, provider, answer, proof)) }
  },
  async run(ctx, _input, found) {
    if (found.kind === 'on') {
      ctx.reply.redirect = found.to
      return {} as any
    }
    const { provider, profile, linkTo } = found
    if (linkTo) {
      await identities.link(ctx, provider, profile, linkTo)
      return { linked: provider.slug }
    }
    return answerLogin(ctx, await settle(ctx, await identities.arrive(ctx, provider, profile)))
  },
})
