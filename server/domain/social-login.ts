/**
 * The way to another identity provider and back: a state that works once, within 10 minutes, and only for who began,
 * be that a hosted sign-in, a browser with our cookie, or an app that holds the binding.
 */
import { createHmac } from 'node:crypto'
import { randomToken, sha256 } from '../../adapters/sealing.ts'
import type { Profile, Ticket } from '../../adapters/social.ts'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import * as providers from './identity-providers.ts'
import * as secrets from './secrets.ts'

/** Seconds. */
export const LIFETIME = 600

/** Who waits for the answer. */
export type Waiting =
  | { interactionId: string }
  /** `sessionId`: on the account pages of that browser session. */
  | { linkTo: string; sessionId?: string }
  | Record<string, never>
interface Stored {
  provider: string
  bindingHash: string
  interactionId?: string
  linkTo?: string
  sessionId?: string
}

/** What a provider sends back (RFC 6749 4.1.2, RFC 9207, OIDC form_post). */
export interface Answer {
  code?: string | undefined
  state?: string | undefined
  iss?: string | undefined
  error?: string | undefined
  errorDescription?: string | undefined
  user?: string | undefined
}

/** Nonce and verifier follow from the state, which only its bearer has: nothing to keep. */
function ticketOf(ctx: Context, provider: string, state: string): Ticket {
  const key = ctx.out.sealing.derive('social login')
  const derived = (purpose: string) => createHmac('sha256', key).update(`${purpose} ${state}`).digest('base64url')
  return {
    redirectUri: `${ctx.tenant.issuer}/v1/oauth/${provider}/callback`,
    state,
    nonce: derived('nonce'),
    verifier: derived('verifier'),
  }
}

/** Where to send the person. May call the provider (discovery), so it belongs before the transaction. */
export async function begin(
  ctx: Context,
  slug: string,
  waiting: Waiting,
): Promise<{ url: string; state: string; binding: string; provider: providers.Ready }> {
  const provider = await providers.find(ctx, slug)
  const binding = randomToken()
  const data = { provider: slug, bindingHash: sha256(binding).toString('base64url'), ...waiting } satisfies Stored
  const state = await secrets.create(ctx.out.db, {
    tenantId: ctx.tenant.id,
    purpose: 'social_login',
    data,
    lifetime: LIFETIME,
  })
  const url = await outside(ctx, provider, () => ctx.out.social.authorizationUrl(provider, ticketOf(ctx, slug, state)))
  return { url, state, binding, provider }
}

/** Who waits for this answer; takes nothing. INVALID_TOKEN. */
export async function look(ctx: Context, slug: string, state: string | undefined): Promise<Stored> {
  const found = state ? await secrets.look(ctx.out.db, ctx.tenant.id, 'social_login', state) : undefined
  if (!found || found.data.provider !== slug) throw deadState()
  return found.data as Stored
}
const deadState = () => fail('INVALID_TOKEN', 'This sign-in was not started here, was used already, or has expired')

/**
 * Takes the state and redeems the code. `proof` shows that the caller is who began: the interaction's id, which only
 * its browser can come with, the browser session, or the binding. INVALID_TOKEN, ACCESS_DENIED (refused over there), UNAVAILABLE.
 */
export async function redeem(
  ctx: Context,
  slug: string,
  answer: Answer,
  proof: { interactionId: string } | { sessionId: string } | { binding: string | undefined },
): Promise<{ provider: providers.Ready; profile: Profile; linkTo: string | undefined }> {
  const provider = await providers.find(ctx, slug)
  const stored = await look(ctx, slug, answer.state)
  if (!isTheirs(stored, proof)) throw deadState()
  if (!(await secrets.consume(ctx.out.db, ctx.tenant.id, 'social_login', answer.state!))) throw deadState()
  const { errorDescription, ...rest } = answer
  const parameters = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >
  const ticket = ticketOf(ctx, slug, answer.state!)
  const profile = await outside(ctx, provider, () => ctx.out.social.exchange(provider, ticket, parameters))
  return { provider, profile, linkTo: stored.linkTo }
}

function isTheirs(
  { interactionId, sessionId, bindingHash }: Stored,
  proof: { interactionId: string } | { sessionId: string } | { binding: string | undefined },
): boolean {
  if ('interactionId' in proof) return interactionId === proof.interactionId
  if ('sessionId' in proof) return sessionId === proof.sessionId
  if (interactionId || sessionId || proof.binding === undefined) return false
  return sha256(proof.binding).toString('base64url') === bindingHash
}

/** What goes wrong over there is written down here and told in our words. */
async function outside<T>(ctx: Context, provider: providers.Ready, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { name, code, error: oauthError } = error as { name?: string; code?: string; error?: string }
    ctx.out.log.warn({ err: error, provider: provider.slug, requestId: ctx.request.id }, 'identity provider failed')
    await ctx.out.recordNow(ctx, 'login.failed', {
      data: { reason: 'provider', provider: provider.slug, error: oauthError ?? code },
    })
    if (oauthError === 'access_denied') throw fail('ACCESS_DENIED', `${provider.name} did not let you go on`)
    const isAway =
      name === 'TimeoutError' || name === 'AbortError' || code === 'OAUTH_TIMEOUT' || error instanceof TypeError
    if (isAway) throw fail('UNAVAILABLE', `${provider.name} does not answer`, { retryAfter: 10 })
    throw fail('ACCESS_DENIED', `Signing in with ${provider.name} did not work`)
  }
}
