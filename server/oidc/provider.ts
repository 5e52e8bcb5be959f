/** One oidc-provider per tenant: its configuration, its unit of work, and its answers when the database is away. */

import type { Context as KoaContext } from 'koa'
import { errors, interactionPolicy, Provider } from 'oidc-provider'
import { cookieKeys } from '../../adapters/cookie-keys.ts'
import { isOutage, sqlState } from '../../adapters/knex.ts'
import { flush, forgetStandings, newUnit, oidcAdapter, Replayed, units } from '../../adapters/oidc.ts'
import type { Outside } from '../domain/context.ts'
import * as devices from '../domain/devices.ts'
import type { Tenant } from '../domain/directory.ts'
import { insertEvents } from '../domain/events.ts'
import { newId } from '../domain/ids.ts'
import { ACR } from '../domain/proofs.ts'
import { registrationEndpoint } from '../domain/registration.ts'
import { ownScopes } from '../domain/scopes.ts'
import { readText } from '../kernel/body.ts'
import { Failure, OUTAGE } from '../kernel/errors.ts'
import { claimsByScope, claimsOf } from './account.ts'
import { eventsOf } from './events.ts'
import { consentedGrant } from './grants.ts'
import { lifetimes } from './lifetimes.ts'
import { adaptModels, askable, findAccount } from './models.ts'
import { organizationClaim, organizationPrompt } from './organization.ts'
import { assertSessionSuffices, isStrongEnough } from './strength.ts'

/** Pages the provider asks for; given by the application so that this layer knows no views. */
export interface ProviderPages {
  error(
    ctx: KoaContext,
    tenant: Tenant,
    out: { error: string; error_description?: string },
    error: Error,
  ): Promise<void>
  /** `form` is the library's own form, with its protection inside. */
  logout(ctx: KoaContext, tenant: Tenant, form: string): Promise<void>
  loggedOut(ctx: KoaContext, tenant: Tenant): Promise<void>
  /** A form that the browser posts on by itself. */
  submit(ctx: KoaContext, tenant: Tenant, action: string, fields: [name: string, value: string][]): Promise<void>
}

export const OIDC_ROUTES = {
  authorization: '/oauth/authorize',
  token: '/oauth/token',
  userinfo: '/oauth/userinfo',
  revocation: '/oauth/revoke',
  introspection: '/oauth/introspect',
  jwks: '/oauth/jwks',
  end_session: '/oauth/logout',
  pushed_authorization_request: '/oauth/par',
}
export const cookieNames = (tenant: Tenant) => {
  const suffix = tenant.mountPath ? `_${tenant.slug}` : ''
  return { session: `gh_session${suffix}`, interaction: `gh_interaction${suffix}`, resume: `gh_resume${suffix}` }
}
const GRANT_TTL = 400 * 86_400

export function createProvider(out: Outside, tenant: Tenant, pages: ProviderPages): Provider {
  const provider = new Provider(tenant.issuer, configuration(out, tenant, pages) as any)
  provider.proxy = true
  adaptModels(provider, tenant, out.directory)
  eventsOf(provider)
  provider.on('server_error', (ctx: any, error: Error) => {
    ctx.state.cause = error
  })
  provider.use((ctx: any, next: () => Promise<void>) => inUnit(out, tenant, pages, ctx, next))
  return provider
}

const POSTED = new Set([OIDC_ROUTES.authorization, OIDC_ROUTES.end_session])
const POST_LIMIT = 16 * 1024

/**
 * OIDC Core 3.1.2.1, RP-Initiated Logout 2: both also take POST. A redirect to the same as GET lets SameSite=Lax session
 * cookies come along, which a cross-site POST would not bring.
 */
async function asGet(tenant: Tenant, ctx: any): Promise<void> {
  if (!ctx.is('application/x-www-form-urlencoded')) {
    ctx.status = 400
    ctx.body = { error: 'invalid_request', error_description: 'send application/x-www-form-urlencoded' }
    return
  }
  const text = await readText(ctx.req, POST_LIMIT).catch((error: Error) => {
    if (error instanceof Failure) return undefined
    throw error
  })
  if (text === undefined) {
    ctx.status = 413
    ctx.body = { error: 'invalid_request', error_description: 'the request is too large' }
    return
  }
  const query = new URLSearchParams(text)
  ctx.set('Cache-Control', 'no-store')
  ctx.status = 303
  ctx.redirect(`${tenant.mountPath}${ctx.path}?${query}`)
}

/** Runs one request as a unit of work and sends its writes before its answer. */
async function inUnit(
  out: Outside,
  tenant: Tenant,
  pages: ProviderPages,
  ctx: any,
  next: () => Promise<void>,
): Promise<void> {
  const { requestId, ip } = ctx.req.gatehouse
  const userAgent = (ctx.get('user-agent') as string).slice(0, 400)
  const unit = newUnit({
    tenantId: tenant.id,
    hasWebhooks: tenant.hasWebhooks,
    db: out.db,
    ip,
    userAgent,
    placeOf: (userId) =>
      devices.placeOf(out, { ip, userAgent, deviceToken: devices.deviceToken(out, tenant, ctx.req) })(userId),
    clientId: ctx.querystring && typeof ctx.query.client_id === 'string' ? ctx.query.client_id : undefined,
  })
  if (ctx.method === 'POST' && POSTED.has(ctx.path)) return asGet(tenant, ctx)
  await units.run(unit, async () => {
    try {
      await next()
      await dressForm(tenant, pages, ctx)
      for (const event of unit.events) Object.assign(event, { ip, userAgent: unit.userAgent, requestId })
      await flush(unit)
      if (ctx.state.cause) answerFault(out, ctx, ctx.state.cause)
    } catch (error) {
      if (error instanceof Replayed)
        await answerReplay(out, tenant, ctx, error).catch((fault) => answerFault(out, ctx, fault))
      else answerFault(out, ctx, error)
    }
  })
  // Some browser clients reject an empty text/plain.
  if (ctx.path === OIDC_ROUTES.revocation && ctx.status === 200 && ctx.body === '') {
    ctx.body = {}
  }
}

const AUTO_FORM = /<title>Submitting Callback<[\s\S]*?<form method="post" action="([^"]*)">([\s\S]*?)<noscript>/
const AUTO_FIELD = /<input type="hidden" name="([^"]*)" value="([^"]*)"\/>/g
const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }
const plain = (html: string): string => html.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => entities[name]!)

/** The library's bare self-submitting page (form_post, changing accounts) as one of ours, with our headers. */
async function dressForm(tenant: Tenant, pages: ProviderPages, ctx: any): Promise<void> {
  const found = typeof ctx.body === 'string' ? AUTO_FORM.exec(ctx.body) : null
  if (!found) return
  const fields = [...found[2]!.matchAll(AUTO_FIELD)].map(
    ([, name, value]) => [plain(name!), plain(value!)] as [string, string],
  )
  await pages.submit(ctx, tenant, plain(found[1]!), fields)
}

/** RFC 9700 4.14.2, RFC 6749 4.1.2: whoever uses a single-use value a second time loses all that came of it. */
async function answerReplay(out: Outside, tenant: Tenant, ctx: any, replay: Replayed): Promise<void> {
  await out.db.transaction(async (trx) => {
    // One at a time: deletes of the same rows that meet them in different orders would deadlock.
    for (const grantId of [...new Set(replay.grantIds)].sort())
      await trx.raw('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`grant ${grantId}`])
    const gone = await trx('oidc_models')
      .where({ tenant_id: tenant.id })
      .whereIn('grant_id', replay.grantIds)
      .delete()
      .returning(['user_id', 'client_id', 'session_id', 'model'])
    const grant = gone.find((row) => row.model === 'Grant')
    // An API login is nothing but its tokens.
    await trx('sessions')
      .where({ tenant_id: tenant.id, kind: 'api', ended_at: null })
      .whereIn('id', gone.map((row) => row.session_id).filter(Boolean))
      .update({ ended_at: trx.fn.now(), end_reason: 'revoked' })
    await insertEvents(trx, tenant, [
      {
        id: newId(),
        type: 'token.reuse_detected',
        userId: grant?.user_id ?? undefined,
        clientId: grant?.client_id ?? ctx.oidc?.client?.clientId,
        sessionId: grant?.session_id ?? undefined,
        ip: ctx.req.gatehouse.ip,
        requestId: ctx.req.gatehouse.requestId,
        data: { grants: replay.grantIds },
      },
    ])
  })
  forgetStandings()
  if (ctx.path.startsWith(OIDC_ROUTES.authorization)) {
    ctx.status = 400
    ctx.remove('location')
    ctx.body = { error: 'invalid_request', error_description: 'this request was already used' }
    return
  }
  ctx.status = 400
  ctx.body = { error: 'invalid_grant', error_description: 'grant request is invalid' }
}

function answerFault(out: Outside, ctx: any, error: unknown): void {
  // Nothing was written: where it leads, a code would be that nobody knows.
  ctx.remove('location')
  if (isOutage(error)) {
    ctx.status = 503
    ctx.set('Retry-After', '2')
    ctx.body = {
      error: 'temporarily_unavailable',
      error_description: OUTAGE,
    }
    return
  }
  const state = sqlState(error)
  if (state?.startsWith('22')) {
    ctx.status = 400
    ctx.body = { error: 'invalid_request', error_description: 'a parameter holds a value that cannot be used' }
    return
  }
  if (state === '40001' || state === '40P01') {
    ctx.status = 503
    ctx.set('Retry-After', '1')
    ctx.body = { error: 'temporarily_unavailable' }
    return
  }
  out.log.error({ error, requestId: ctx.req.gatehouse.requestId }, 'the OpenID provider failed')
  ctx.status = 500
  ctx.body = {
    error: 'server_error',
    error_description: `Something went wrong on our side (request ${ctx.req.gatehouse.requestId})`,
  }
}

function configuration(out: Outside, tenant: Tenant, pages: ProviderPages) {
  const { config, sealing } = out
  const { settings } = tenant
  const secure = config.publicUrl.startsWith('https:')
  const cookie = {
    signed: true,
    httpOnly: true,
    overwrite: true,
    sameSite: 'lax',
    secure,
    path: tenant.mountPath || '/',
  }
  return {
    adapter: oidcAdapter,
    // The first key of an algorithm signs; retired ones stay published until nothing they signed is in use.
    jwks: { keys: [...tenant.keys].sort((a, b) => Number(b.signs) - Number(a.signs)).map((k) => k.privateJwk) },
    cookies: {
      keys: cookieKeys(sealing.derive(`cookies:${tenant.id}`).toString('base64url')),
      names: cookieNames(tenant),
      long: cookie,
      // No path: the library scopes them to one request each, so that several windows can sign in at once.
      short: { ...cookie, path: undefined },
    },
    routes: OIDC_ROUTES,
    claims: claimsByScope,
    acrValues: Object.values(ACR),
    scopes: [...ownScopes],
    responseTypes: ['code'],
    allowOmittingSingleRegisteredRedirectUri: false,
    clientDefaults: {
      id_token_signed_response_alg: 'ES256',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none'],
    pkce: { required: (_ctx: unknown, client: any) => client.record.requirePkce || client.clientAuthMethod === 'none' },
    subjectTypes: ['public'],
    discovery: {
      service_documentation: `${config.publicUrl}/docs`,
      ui_locales_supported: ['en', 'de'],
      ...(settings.dynamic_registration !== 'off' && { registration_endpoint: registrationEndpoint(tenant) }),
    },
    conformIdTokenClaims: true,
    fetch: (url: string | URL, options: any) => out.outbound.fetch(String(url), options),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: mayIntrospect },
      revocation: {
        enabled: true,
        allowedPolicy: (_ctx: unknown, client: any, token: any) => token.clientId === client.clientId,
      },
      userinfo: { enabled: true },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: false },
      backchannelLogout: { enabled: true },
      dPoP: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx: unknown, _client: unknown, oneOf?: string[]) => oneOf?.[0],
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx: unknown, identifier: string, client: any) =>
          resourceServer(tenant, identifier, client),
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx: any, form: string) => pages.logout(ctx, tenant, form),
        postLogoutSuccessSource: (ctx: any) => pages.loggedOut(ctx, tenant),
      },
    },
    findAccount: (ctx: any, sub: string) => findAccount(tenant, ctx.oidc.client?.record, sub, claimsOf),
    loadExistingGrant: (ctx: any) => consentedGrant(out, tenant, ctx),
    // Each session has its own grant; what a person consented to is remembered apart from it.
    expiresWithSession: (_ctx: unknown, source: any) => !source.scopes.has('offline_access'),
    issueRefreshToken: (_ctx: unknown, client: any) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: async ({ oidc }: any) => {
      await assertSessionSuffices(out, tenant, oidc)
      return true
    },
    extraParams: ['organization'],
    extraTokenClaims: (ctx: unknown) => ({ tenant: tenant.slug, ...organizationClaim(ctx) }),
    clientBasedCORS: (_ctx: unknown, origin: string, client: any) => originAllowed(tenant, client, origin),
    interactions: {
      policy: prompts(out, tenant),
      url: (_ctx: unknown, interaction: any) => `${tenant.mountPath}/interaction/${interaction.uid}`,
    },
    renderError: (ctx: any, outcome: any, error: Error) => pages.error(ctx, tenant, outcome, error),
    ttl: {
      ...lifetimes(settings),
      AuthorizationCode: 60,
      Grant: GRANT_TTL,
      Interaction: 3600,
      Session: (_ctx: unknown, session: any) => (session.accountId ? settings.session_lifetime : 3600),
      PushedAuthorizationRequest: 60,
    },
    extraClientMetadata: { properties: ['allowed_origins'], validator: () => {} },
    enabledJWA: {
      idTokenSigningAlgValues: ['ES256', 'RS256'],
      userinfoSigningAlgValues: ['ES256', 'RS256'],
      authorizationSigningAlgValues: ['ES256', 'RS256'],
      clientAuthSigningAlgValues: ['HS256', 'RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'],
      requestObjectSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'],
      dPoPSigningAlgValues: ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA'],
    },
  }
}

/** The library's prompts, with select_account (OIDC Core 3.1.2.1) before them, and the organization between login and consent. */
function prompts(out: Outside, tenant: Tenant) {
  const policy = interactionPolicy.base()
  const { Prompt, Check } = interactionPolicy
  const chooser = new Check(
    'select_account_prompt',
    'account selection is asked for',
    'account_selection_required' as any,
    (ctx: any) => {
      const { oidc } = ctx
      return oidc.session.accountId &&
        oidc.prompts.has('select_account') &&
        !oidc.result?.select_account &&
        !oidc.result?.login
        ? Check.REQUEST_PROMPT
        : Check.NO_NEED_TO_PROMPT
    },
  )
  // RFC 9470, and what the tenant and the client ask of a sign-in today: a weaker session signs in again.
  const stepUp = new Check(
    'sign_in_policy',
    'a stronger sign-in is asked for',
    'login_required' as any,
    async (ctx: any) => ((await isStrongEnough(out, tenant, ctx)) ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT),
  )
  policy.get('login')!.checks.add(stepUp)
  policy.add(new Prompt({ name: 'select_account', requestable: true }, chooser), 0)
  policy.add(organizationPrompt(), 2)
  // The page makes the grant.
  policy.get('consent')!.details = (ctx: any) => ({ organization: ctx.state.place?.id })
  return policy
}

/** A client may look at its own tokens; others need the tokens:introspect scope in their registration. */
function mayIntrospect(_ctx: unknown, client: any, token: any): boolean {
  if (client.clientAuthMethod === 'none') return false
  if (token.clientId === client.clientId) return true
  const audience = ([] as unknown[]).concat(token.aud ?? [])
  return audience.includes(client.clientId) || Boolean(client.scope?.split(' ').includes('tokens:introspect'))
}

/** RFC 8707: the resource as this client may use it. One with scopes is closed to clients that were given none of them. */
async function resourceServer(tenant: Tenant, identifier: string, client: any) {
  const found = tenant.resources.get(identifier)
  const given = new Set(askable(tenant, client.record))
  const scopes = found?.scopes.map((s) => s.name).filter((name) => given.has(name)) ?? []
  if (!found || (found.scopes.length > 0 && scopes.length === 0)) {
    throw new errors.InvalidTarget(found ? 'this client may not use the resource' : undefined)
  }
  return {
    scope: scopes.join(' '),
    audience: identifier,
    accessTokenFormat: found.tokenFormat,
    accessTokenTTL: found.tokenLifetime,
    jwt: { sign: { alg: found.signingAlg } },
  }
}

/** Browser origins: of the client's redirect URIs, those it lists, and the tenant's. */
function originAllowed(tenant: Tenant, client: any, origin: string): boolean {
  const listed: string[] = [
    ...((client.metadata?.().allowed_origins as string[]) ?? []),
    ...tenant.settings.allowed_origins,
  ]
  if (listed.includes(origin)) return true
  return (client.redirectUris ?? []).some((uri: string) => URL.parse(uri)?.origin === origin)
}
