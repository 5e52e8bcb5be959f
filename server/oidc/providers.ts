/** The provider of each tenant, rebuilt when the tenant changed; and the domain's port to it. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { inject } from 'light-my-request'
import type { Provider } from 'oidc-provider'
import { used } from '../../adapters/lately.ts'
import { flush, newUnit, units } from '../../adapters/oidc.ts'
import { sha256 } from '../../adapters/sealing.ts'
import type { Context, OidcPort, Outside, TokenSet } from '../domain/context.ts'
import * as devices from '../domain/devices.ts'
import type { Tenant } from '../domain/directory.ts'
import { type Pending, takeEvents } from '../domain/events.ts'
import { DIRECT_CLIENT } from '../domain/ids.ts'
import { acrOf, noteSignIn, type Person } from '../domain/proofs.ts'
import { tooWeak } from '../domain/recent.ts'
import { type Failure, fail, OUTAGE } from '../kernel/errors.ts'
import { saveGrant } from './grants.ts'
import { cookieNames, createProvider, OIDC_ROUTES, type ProviderPages } from './provider.ts'
import { LACKS, TOO_WEAK } from './strength.ts'

type Handler = (req: IncomingMessage, res: ServerResponse) => Promise<void>
export interface Providers {
  of(tenant: Tenant): { provider: Provider; handle: Handler }
}

const MAX = 1000

export function createProviders(out: Outside, pages: ProviderPages): Providers {
  const made = new Map<string, { tenant: Tenant; provider: Provider; handle: Handler }>()
  return {
    of(tenant) {
      const known = made.get(tenant.id)
      if (known?.tenant === tenant) {
        used(made, tenant.id, known, MAX)
        return known
      }
      const provider = createProvider(out, tenant, pages)
      const entry = { tenant, provider, handle: provider.callback() as unknown as Handler }
      made.delete(tenant.id)
      made.set(tenant.id, entry)
      if (made.size > MAX) made.delete(made.keys().next().value!)
      return entry
    },
  }
}

/** Scopes of a direct login: all that our own API and userinfo know. */
const DIRECT_SCOPE = 'openid profile email phone address roles permissions tenant account'

/** A session outside any browser, its grant, and what tokens of it have in common. */
async function openSession(
  models: any,
  user: Person,
  { clientId, amr, lifetime }: { clientId: string; amr: string[]; lifetime: number },
) {
  const client = await models.Client.find(clientId)
  const session = new models.Session({})
  session.loginAccount({ accountId: user.id, amr, acr: acrOf(amr) })
  const grant = new models.Grant({ accountId: user.id, clientId })
  grant.addOIDCScope(DIRECT_SCOPE)
  const grantId = await saveGrant(grant, session.uid)
  session.ensureClientContainer(clientId)
  session.grantIdFor(clientId, grantId)
  await session.save(lifetime)
  const token = {
    accountId: user.id,
    client,
    grantId,
    gty: 'password',
    sessionUid: session.uid,
    sid: session.uid,
    expiresWithSession: true,
  }
  return { session, token }
}

export const createOidcPort = (providers: Providers): OidcPort => ({
  async signIn(ctx, proof, { clientId = DIRECT_CLIENT } = {}) {
    const models = providers.of(ctx.tenant).provider as any
    const { user, amr } = proof
    const unit = newUnit({
      tenantId: ctx.tenant.id,
      hasWebhooks: ctx.tenant.hasWebhooks,
      db: ctx.db,
      ip: ctx.request.ip,
      userAgent: ctx.request.userAgent,
      clientId,
      sessionKind: 'api',
      placeOf: devices.placeOf(ctx.out, ctx.request),
      also: [...proof.also, noteSignIn(user), ...devices.recognise(ctx, user, clientId)],
    })
    unit.people.set(user.id, user)
    return units.run(unit, async () => {
      const lifetime = ctx.tenant.settings.refresh_token_lifetime
      const { session, token: common } = await openSession(models, user, { clientId, amr, lifetime })
      const access = new models.AccessToken({ ...common, scope: DIRECT_SCOPE })
      const refresh = new models.RefreshToken({
        ...common,
        scope: DIRECT_SCOPE,
        amr,
        authTime: session.loginTs,
        rotations: 0,
      })
      const tokens: TokenSet = {
        accessToken: await access.save(),
        refreshToken: await refresh.save(),
        tokenType: 'Bearer',
        expiresIn: access.expiration,
        scope: DIRECT_SCOPE,
      }
      ctx.event('login.success', { userId: user.id, clientId, sessionId: session.uid, data: { amr } })
      unit.events.push(...takeEvents(ctx as Context & Pending))
      await flush(unit)
      return tokens
    })
  },

  async impersonate(ctx, user, { impersonatorId, lifetime }) {
    const models = providers.of(ctx.tenant).provider as any
    const { ip, userAgent } = ctx.request
    const unit = newUnit({
      tenantId: ctx.tenant.id,
      hasWebhooks: ctx.tenant.hasWebhooks,
      db: ctx.db,
      ip,
      userAgent,
      clientId: DIRECT_CLIENT,
      sessionKind: 'api',
    })
    return units.run(unit, async () => {
      const opened = await openSession(models, user, { clientId: DIRECT_CLIENT, amr: ['imp'], lifetime })
      const access = new models.AccessToken({ ...opened.token, scope: DIRECT_SCOPE, expiresIn: lifetime })
      access.act = { sub: impersonatorId }
      const accessToken = await access.save()
      await flush(unit)
      return {
        sessionId: opened.session.uid,
        tokens: { accessToken, refreshToken: undefined, tokenType: 'Bearer', expiresIn: lifetime, scope: DIRECT_SCOPE },
      }
    })
  },

  checkClient(ctx, metadata) {
    const { Client } = providers.of(ctx.tenant).provider as any
    try {
      new Client(metadata)
    } catch (error) {
      const { error_description: description, message } = error as Error & { error_description?: string }
      throw fail('VALIDATION_ERROR', description ?? message)
    }
  },

  async refresh(ctx, { refreshToken, clientId, clientSecret }) {
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken })
    form.set('client_id', clientId ?? (await clientOf(ctx, refreshToken)) ?? DIRECT_CLIENT)
    if (clientSecret) form.set('client_secret', clientSecret)
    return askForTokens(providers, ctx, form, ({ error, error_description: description }) => {
      const lack = LACKS.find((one) => TOO_WEAK[one] === description)
      if (lack) return tooWeak(lack)
      return error === 'invalid_client'
        ? fail(
            'UNAUTHORIZED',
            'This refresh token belongs to a client that must authenticate: send client_id and client_secret',
          )
        : fail('UNAUTHORIZED', 'The refresh token is invalid, expired, or was used already')
    })
  },

  async acceptsRedirect(ctx, clientId, uri) {
    const { Client } = providers.of(ctx.tenant).provider as any
    return Boolean((await Client.find(clientId))?.redirectUriAllowed(uri))
  },

  async redeem(ctx, { clientId, code, codeVerifier, redirectUri, sameBrowser }) {
    const invalid = () =>
      fail(
        'INVALID_CODE',
        'The code is invalid, expired, used already, or was asked for with another client, redirect_uri or code_verifier',
      )
    if (sameBrowser && !(await madeHere(ctx, code))) throw invalid()
    const form = new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: clientId,
      code,
      code_verifier: codeVerifier,
      redirect_uri: redirectUri,
    })
    return askForTokens(providers, ctx, form, ({ error, error_description: description }) =>
      error === 'invalid_grant' ? invalid() : fail('VALIDATION_ERROR', description ?? error),
    )
  },
})

interface Refusal {
  error: string
  error_description?: string
}

/** One request to the tenant's own token endpoint, inside this process. `refused` says what its refusal means here. */
async function askForTokens(
  providers: Providers,
  ctx: Context,
  form: URLSearchParams,
  refused: (refusal: Refusal) => Failure,
): Promise<TokenSet> {
  const { handle } = providers.of(ctx.tenant)
  const response = await inject(
    (req: any, res: any) => {
      req.gatehouse = { requestId: ctx.request.id, ip: ctx.request.ip, tenant: ctx.tenant }
      req.originalUrl = ctx.tenant.mountPath + OIDC_ROUTES.token
      void handle(req, res)
    },
    {
      method: 'POST',
      url: OIDC_ROUTES.token,
      headers: {
        host: new URL(ctx.tenant.issuer).host,
        'content-type': 'application/x-www-form-urlencoded',
        'user-agent': ctx.request.userAgent,
      },
      payload: form.toString(),
    },
  )
  const body = response.json()
  if (response.statusCode === 503) throw fail('UNAVAILABLE', OUTAGE, { retryAfter: 2 })
  if (response.statusCode !== 200) throw refused(body)
  return {
    accessToken: body.access_token,
    refreshToken: body.refresh_token,
    tokenType: body.token_type,
    expiresIn: body.expires_in,
    idToken: body.id_token,
    scope: body.scope,
  }
}

/** Whether the code was made in the browser that brings it, by its session with us: a link must not sign people in as another. */
async function madeHere(ctx: Context, code: string): Promise<boolean> {
  const cookie = ctx.request.cookie(cookieNames(ctx.tenant).session)
  if (!cookie) return false
  const row = await ctx.out
    .db('oidc_models as code')
    .join('sessions as s', (on) => on.on('s.tenant_id', 'code.tenant_id').on('s.id', 'code.session_id'))
    .where({
      'code.tenant_id': ctx.tenant.id,
      'code.model': 'AuthorizationCode',
      'code.id': sha256(code).toString('base64url'),
      's.cookie_hash': sha256(cookie),
    })
    .first('code.id')
  return row !== undefined
}

/** Public callers need not know which client their refresh token was issued to. */
async function clientOf(ctx: Context, refreshToken: string): Promise<string | undefined> {
  const row = await ctx.out
    .db('oidc_models')
    .where({ tenant_id: ctx.tenant.id, model: 'RefreshToken', id: sha256(refreshToken).toString('base64url') })
    .first('client_id')
  return row?.client_id
}
