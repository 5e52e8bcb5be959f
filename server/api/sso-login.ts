/**
 * The authorization code flow for apps without a back end: the way to the authorization endpoint with the app's own PKCE
 * and state, and the handler that turns the code into tokens (JSON, or cookies for the clients set up so).
 */
import type { Context } from '../domain/context.ts'
import { operation } from '../domain/context.ts'
import type { ClientRecord } from '../domain/directory.ts'
import { ownPart, words } from '../domain/scopes.ts'
import * as tokenCookies from '../domain/token-cookies.ts'
import { fail } from '../kernel/errors.ts'
import { integer, nothing, object, oneOf, optional, string, text } from '../kernel/schema.ts'
import { OIDC_ROUTES } from '../oidc/provider.ts'

const tag = 'Authentication'
const client = text(255, { description: 'client_id' })
const state = text(2000)

export const login = operation({
  id: 'sso.login',
  summary: 'Initiate OAuth flow',
  description:
    'Redirects (303) to the authorization endpoint, with response_type=code. Keep the code_verifier for the callback. Without `scope`: openid, profile and email, as far as the client may ask for them.',
  tag,
  auth: 'anyone',
  effect: 'read',
  limit: { name: 'sso-login', count: 60, seconds: 900 },
  errors: ['VALIDATION_ERROR', 'NOT_FOUND', 'RATE_LIMITED'],
  input: object({
    client,
    redirectUri: text(2000),
    codeChallenge: text(43, { pattern: '^[A-Za-z0-9_-]{43}$' }),
    codeChallengeMethod: oneOf(['S256']),
    state,
    scope: optional(text(4000)),
    resource: optional(text(2000, { description: 'An API resource (RFC 8707)' })),
    organization: optional(text(63, { description: 'Id or slug of the organization to sign in as a member of' })),
  }),
  output: nothing,
  async run(ctx, input) {
    const found = await clientOf(ctx, input.client)
    await assertRegistered(ctx, found, input.redirectUri)
    const query = new URLSearchParams({
      client_id: found.clientId,
      response_type: 'code',
      redirect_uri: input.redirectUri,
      scope: input.scope ?? defaultScope(found),
      code_challenge: input.codeChallenge,
      code_challenge_method: input.codeChallengeMethod,
      state: input.state,
    })
    for (const name of ['resource', 'organization'] as const)
      if (input[name] !== undefined) query.set(name, input[name])
    ctx.reply.redirect = `${ctx.tenant.issuer}${OIDC_ROUTES.authorization}?${query}`
    return {}
  },
})

export const callback = operation({
  id: 'sso.callback',
  summary: 'Handle OAuth callback',
  description:
    'Redeems the code of a public client at the token endpoint. The app calls this with what came to its redirect_uri, after it compared `state` with its own. With callback_mode cookies it sets HttpOnly cookies and redirects (303) to callback_redirect_uri, in the browser that signed in only; pages of this origin then send `X-Token-Cookies: 1` in place of a bearer token. Confidential clients use POST /oauth/token.',
  tag,
  auth: 'anyone',
  effect: 'delegated',
  limit: { name: 'sso-callback', count: 60, seconds: 900 },
  errors: ['VALIDATION_ERROR', 'INVALID_CODE', 'ACCESS_DENIED', 'NOT_FOUND', 'RATE_LIMITED'],
  // Parameters of OAuth under their own names (RFC 6749 4.1.2 and 4.1.3, RFC 7636 4.5).
  input: object({
    client,
    code: optional(text(512)),
    code_verifier: optional(text(128, { pattern: '^[A-Za-z0-9._~-]{43,128}$' })),
    redirectUri: optional(text(2000, { description: 'As at the login; default: the only registered one' })),
    state: optional(state),
    error: optional(text(200)),
    error_description: optional(text(2000)),
  }),
  output: object({
    access_token: string({ description: 'JWT (RFC 9068) or opaque' }),
    refresh_token: optional(string({ description: 'Rotated at every use; using one twice ends the session' })),
    token_type: oneOf(['Bearer']),
    expires_in: integer({ description: 'Seconds the access token lives' }),
    id_token: optional(string()),
    state: optional(string({ description: 'As it was sent' })),
  }),
  async run(ctx, input) {
    const found = await clientOf(ctx, input.client)
    if (input.error !== undefined) throw refusal(input.error, input.error_description, input.state)
    if (found.metadata.token_endpoint_auth_method !== 'none')
      throw fail(
        'ACCESS_DENIED',
        'This client has to authenticate, and a secret does not belong in an address: redeem the code from its back end, by POST at the token endpoint',
      )
    if (input.code === undefined) throw fail('VALIDATION_ERROR', 'code is required')
    if (input.code_verifier === undefined) throw fail('VALIDATION_ERROR', 'code_verifier is required')
    const redirectUri = input.redirectUri ?? onlyRedirect(found)
    await assertRegistered(ctx, found, redirectUri)
    const asCookies = found.metadata.callback_mode === 'cookies'
    const tokens = await ctx.oidc.redeem(ctx, {
      clientId: found.clientId,
      code: input.code,
      codeVerifier: input.code_verifier,
      redirectUri,
      sameBrowser: asCookies,
    })
    if (asCookies) {
      tokenCookies.keep(ctx, tokens)
      ctx.reply.redirect = home(String(found.metadata.callback_redirect_uri), input.state)
    }
    return {
      access_token: tokens.accessToken,
      ...(tokens.refreshToken !== undefined && { refresh_token: tokens.refreshToken }),
      token_type: 'Bearer' as const,
      expires_in: tokens.expiresIn,
      ...(tokens.idToken !== undefined && { id_token: tokens.idToken }),
      ...(input.state !== undefined && { state: input.state }),
    }
  },
})

async function clientOf(ctx: Context, clientId: string): Promise<ClientRecord> {
  const found = await ctx.out.directory.client(ctx.tenant.id, clientId)
  if (!found) throw fail('NOT_FOUND', 'No such client')
  return found
}

async function assertRegistered(ctx: Context, { clientId }: ClientRecord, uri: string): Promise<void> {
  if (!(await ctx.oidc.acceptsRedirect(ctx, clientId, uri)))
    throw fail('VALIDATION_ERROR', 'redirect_uri is not registered for this client')
}

function onlyRedirect({ metadata }: ClientRecord): string {
  const [only, ...more] = (metadata.redirect_uris as string[] | undefined) ?? []
  if (only === undefined || more.length > 0)
    throw fail('VALIDATION_ERROR', 'redirect_uri is required: this client has not exactly one')
  return only
}

const DEFAULT_SCOPE = new Set(['openid', 'profile', 'email'])
const defaultScope = ({ metadata }: ClientRecord): string =>
  words(ownPart(metadata.scope))
    .filter((scope) => DEFAULT_SCOPE.has(scope))
    .join(' ') || 'openid'

/** What the authorization endpoint said (RFC 6749 4.1.2.1), as a failure of ours. */
function refusal(error: string, description: string | undefined, echoed: string | undefined) {
  return fail(
    error === 'access_denied' ? 'ACCESS_DENIED' : 'VALIDATION_ERROR',
    `The sign-in did not succeed: ${error}`,
    { details: { error, error_description: description, state: echoed } },
  )
}

function home(uri: string, echoed: string | undefined): string {
  const to = new URL(uri)
  if (echoed !== undefined) to.searchParams.set('state', echoed)
  return to.href
}
