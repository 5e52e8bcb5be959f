/** Who sent this request to our API: the bearer token, or its cookie from a page of ours, checked against its standing with at most 1 s of delay. */
import { createHash } from 'node:crypto'
import type { Context as KoaContext } from 'koa'
import { forgetStanding, loadStanding, newUnit, oidcAdapter, type Standing, units } from '../../adapters/oidc.ts'
import * as apiKeys from '../domain/api-keys.ts'
import { countsAt, scopesByItself } from '../domain/clients/rights.ts'
import type { Actor, Context } from '../domain/context.ts'
import type { Tenant } from '../domain/directory.ts'
import * as tokenCookies from '../domain/token-cookies.ts'
import { isReachable } from '../domain/users.ts'
import { fail } from '../kernel/errors.ts'
import { type AccessTokenClaims, looksLikeJwt, verifyAccessToken } from './jwt.ts'
import { isStanding } from './models.ts'
import { lackOf } from './strength.ts'

export interface Authenticate {
  (ctx: Context, koa: KoaContext): Promise<Actor | null>
  /** Whoever just changed something must see it at once. */
  forget(ctx: Context): void
}

const FRESH_MS = 1000
const MAX = 20_000

const keyOf = (ctx: Context, tokenId: string) => `${ctx.tenant.id} ${tokenId}`

export function createAuthenticate(): Authenticate {
  const usedKeys = new Map<string, { at: number; key: Promise<apiKeys.UsedKey | undefined> }>()
  const usedKey = (ctx: Context, secret: string): Promise<apiKeys.UsedKey | undefined> => {
    const id = keyOf(ctx, secret)
    const known = usedKeys.get(id)
    if (known && Date.now() - known.at < FRESH_MS) return known.key
    const key = apiKeys.use({ db: ctx.out.db, tenant: ctx.tenant }, secret, ctx.request.ip)
    usedKeys.set(id, { at: Date.now(), key })
    key.catch(() => usedKeys.delete(id))
    if (usedKeys.size > MAX) usedKeys.delete(usedKeys.keys().next().value!)
    return key
  }

  const authenticate: Authenticate = async (ctx, koa) => {
    const header = koa.get('authorization')
    if (!header) return cookieActor(ctx)
    const [scheme, token, more] = header.split(' ')
    // Basic belongs to clients (RFC 6749 2.3.1); operations that take it read it themselves.
    if (scheme?.toLowerCase() === 'basic' || ctx.request.registrationToken) return null
    if (scheme?.toLowerCase() !== 'bearer' || !token || more !== undefined)
      throw unauthorized('Send Authorization: Bearer <access token>')
    return apiKeys.looksLikeKey(token) ? keyActor(await usedKey(ctx, token)) : tokenActor(ctx, token)
  }
  authenticate.forget = (ctx) => {
    // A write may have ended a key, whoever made it.
    usedKeys.clear()
    if (ctx.actor) forgetStanding(ctx.tenant.id, ctx.actor.tokenId)
  }
  return authenticate
}

/** Whoever a page of ours sends the cookie of, as long as that app is set up so. */
async function cookieActor(ctx: Context): Promise<Actor | null> {
  const token = tokenCookies.read(ctx, 'access_token')
  if (!token) return null
  const actor = await tokenActor(ctx, token)
  const client = await ctx.out.directory.client(ctx.tenant.id, actor.clientId)
  if (client?.metadata.callback_mode !== 'cookies') throw unauthorized('This app does not keep its tokens in cookies')
  return actor
}

async function tokenActor(ctx: Context, token: string): Promise<Actor> {
  const claims = looksLikeJwt(token) ? verifyAccessToken(ctx.tenant, token) : await opaqueClaims(ctx, token)
  if (!claims) throw unauthorized('The access token is not valid here, or expired')
  if (claims.aud !== ctx.tenant.issuer) throw unauthorized('The access token is for another resource')
  if (claims.cnf) throw unauthorized('Sender-constrained tokens are not accepted here')
  const standing = await loadStanding(ctx.out.db, ctx.tenant.id, {
    grantId: claims.gid,
    sessionId: claims.sid,
    userId: claims.gid === undefined ? undefined : claims.sub,
    tokenId: claims.jti,
  })
  if (!isStanding(ctx.tenant, standing, claims))
    throw unauthorized('The access token was revoked, or its session ended')
  return actorOf(ctx, ctx.tenant, claims, standing)
}

const unauthorized = (message: string) =>
  fail('UNAUTHORIZED', message, {
    headers: { 'WWW-Authenticate': `Bearer error="invalid_token", error_description="${message}"` },
  })

const KEY_CLIENT = 'api_key:'

/** Whoever holds an API key acts for its owner, within the key's scopes. */
function keyActor(key: apiKeys.UsedKey | undefined): Actor {
  if (!key) throw unauthorized('The API key is not valid here, was revoked, or has expired')
  const scopes = new Set(key.scopes)
  return {
    kind: 'user',
    userId: key.user.id,
    clientId: KEY_CLIENT + key.id,
    sessionId: undefined,
    grantId: undefined,
    tokenId: key.id,
    scopes,
    roles: key.roles,
    permissions: scopes,
    firstParty: false,
    emailVerified: isReachable(key.user),
    authTime: undefined,
    expiresAt: key.expiresAt ?? Number.MAX_SAFE_INTEGER,
    user: key.user,
  }
}

async function opaqueClaims(ctx: Context, token: string): Promise<AccessTokenClaims | undefined> {
  if (!token.startsWith('at_')) return undefined
  const unit = newUnit({
    tenantId: ctx.tenant.id,
    hasWebhooks: ctx.tenant.hasWebhooks,
    db: ctx.out.db,
    ip: ctx.request.ip,
    userAgent: ctx.request.userAgent,
  })
  const stored: any = await units.run(
    unit,
    async () => (await oidcAdapter('AccessToken').find(token)) ?? (await oidcAdapter('ClientCredentials').find(token)),
  )
  if (!stored || stored.exp <= Date.now() / 1000) return undefined
  return {
    iss: ctx.tenant.issuer,
    aud: stored.aud ?? ctx.tenant.issuer,
    sub: stored.accountId ?? stored.clientId,
    client_id: stored.clientId,
    iat: stored.iat,
    exp: stored.exp,
    jti: createHash('sha256').update(token).digest('base64url'),
    scope: stored.scope,
    sid: stored.sessionUid,
    gid: stored.grantId,
    ...(stored.jkt && { cnf: { jkt: stored.jkt } }),
  }
}

async function actorOf(ctx: Context, tenant: Tenant, claims: AccessTokenClaims, standing: Standing): Promise<Actor> {
  const client = await ctx.out.directory.client(tenant.id, claims.client_id)
  if (!client) throw unauthorized('The client of this access token is gone')
  const scopes = new Set((claims.scope ?? '').split(' ').filter(Boolean))
  const isUser = claims.gid !== undefined
  const ids: string[] = isUser ? standing.user.role_ids : client.roleIds
  const roles = ids.map((id) => tenant.roles.get(id)).filter((role) => countsAt(role, client))
  const held = isUser ? roles.flatMap((role) => role.permissions) : scopesByItself(tenant, client)
  const permissions = new Set(isUser && client.firstParty ? held : held.filter((p) => scopes.has(p)))
  return {
    kind: isUser ? 'user' : 'client',
    userId: isUser ? claims.sub : undefined,
    clientId: claims.client_id,
    sessionId: claims.sid,
    grantId: claims.gid,
    tokenId: claims.jti,
    scopes,
    roles: roles.map((role) => role.name),
    permissions,
    firstParty: client.firstParty,
    emailVerified: isUser && isReachable(standing.user),
    authTime: claims.auth_time as number | undefined,
    expiresAt: claims.exp,
    user: standing.user,
    impersonatorId: claims.act?.sub,
    lacks: isUser ? await lackOf(ctx.out, tenant, client, signedBy(claims, standing)) : undefined,
  }
}

/** Where the session of the sign-in is over (offline_access), nothing says how that was: it counts as one factor. */
const signedBy = (claims: AccessTokenClaims, { session, grant }: Standing) => ({
  userId: claims.sub,
  sessionId: claims.sid,
  amr: session?.amr ?? (claims.act ? ['imp'] : []),
  organization: (grant as { organization?: string } | undefined)?.organization,
})
