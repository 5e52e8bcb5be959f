/**
 * Where our tokens differ from the library's: JWT access tokens are built from their verified claims instead of a stored
 * row, so that issuing them writes nothing while introspection, revocation and userinfo accept them; and every token,
 * of whatever format, stands only while its grant, session and person do.
 */
import type { Provider } from 'oidc-provider'
import { findPerson, loadStanding, markOnce, type Standing, type Unit, units } from '../../adapters/oidc.ts'
import { randomToken } from '../../adapters/sealing.ts'
import * as apiKeys from '../domain/api-keys.ts'
import { scopesByItself, stillByItself } from '../domain/clients/rights.ts'
import type { ClientRecord, Directory, Tenant } from '../domain/directory.ts'
import { DIRECT_CLIENT } from '../domain/ids.ts'
import * as impersonation from '../domain/impersonation.ts'
import { policyOf } from '../domain/login-policy.ts'
import { belongings } from '../domain/memberships/lists.ts'
import { ownPart, words } from '../domain/scopes.ts'
import { isReachable } from '../domain/users.ts'
import { type AccessTokenClaims, looksLikeJwt, signAccessToken, signJwt, verifyAccessToken } from './jwt.ts'
import { organizationClaim } from './organization.ts'
import { adaptGrants } from './organization-grants.ts'

/** What the provider sees in place of a JWT at introspection and revocation (it refuses structured tokens there). */
const STRUCTURED = 'structured-access-token'

type AnyToken = any

export function adaptModels(provider: Provider, tenant: Tenant, directory: Directory): void {
  const models = provider as any
  adaptClients(models, tenant, directory)
  adaptParams(models)
  adaptGrants(models)
  for (const Model of [models.AccessToken, models.ClientCredentials]) adaptAccessTokens(Model, tenant, directory)
  adaptRefreshTokens(models)
  adaptIdTokens(models, tenant)
  // One id for a session everywhere: sessions list, sid of tokens, logout tokens.
  models.Session.prototype.ensureClientContainer = function (clientId: string) {
    if (!this.sidFor(clientId)) this.sidFor(clientId, this.uid)
  }
  models.ReplayDetection.unique = (iss: string, jti: string, exp: number) =>
    markOnce('ReplayDetection', `${iss} ${jti}`, exp)
}

/** Scopes the client may ask for in this request: more by itself, where its own roles count. */
export const askable = (tenant: Tenant, client: ClientRecord): string[] =>
  units.getStore()?.byItself ? scopesByItself(tenant, client) : words(client.metadata.scope)

/** Client instances by record; the library hashes the metadata at each look-up and keeps only 100. */
function adaptClients(models: AnyToken, tenant: Tenant, directory: Directory): void {
  const instances = new WeakMap<ClientRecord, any>()
  models.Client.find = async (id: unknown) => {
    if (typeof id !== 'string' || !id) return undefined
    const record = await directory.client(tenant.id, id)
    if (!record) return undefined
    let client = instances.get(record)
    if (!client) {
      client = new models.Client({
        ...record.metadata,
        scope: ownPart(record.metadata.scope),
        client_id: record.clientId,
        ...(record.secrets[0] && { client_secret: record.secrets[0].secret }),
      })
      Object.defineProperty(client, 'record', { value: record })
      Object.defineProperty(client, 'scope', { get: () => ownPart(askable(tenant, record).join(' ')) })
      instances.set(record, client)
    }
    return client
  }
  const compareOne = models.Client.prototype.compareClientSecret
  models.Client.prototype.compareClientSecret = async function (actual: string) {
    const now = Date.now() / 1000
    for (const { secret, expiresAt } of this.record.secrets as ClientRecord['secrets']) {
      if (expiresAt !== null && expiresAt <= now) continue
      if (await compareOne.call({ clientSecret: secret }, actual)) return true
    }
    return false
  }
}

/** ID tokens in their plain form are signed as access tokens are: the library's WebCrypto costs four times the CPU. */
function adaptIdTokens(models: AnyToken, tenant: Tenant): void {
  const { IdToken } = models
  const issueByLibrary = IdToken.prototype.issue
  IdToken.prototype.issue = async function (options: { use: string; expiresAt?: number }) {
    const { client } = this
    const key = tenant.keys.find((k) => k.alg === client.idTokenSignedResponseAlg && k.signs)
    const plain = options.use === 'idtoken' && !options.expiresAt && !client.idTokenEncryptedResponseAlg
    const hashed = this.extra.at_hash ?? this.extra.c_hash ?? this.extra.s_hash
    if (!plain || !key || hashed !== undefined) return issueByLibrary.call(this, options)
    const payload = await this.payload()
    const iat = Math.floor(Date.now() / 1000)
    const exp = iat + IdToken.expiresIn(this.ctx, this, client)
    return signJwt({ ...payload, aud: client.clientId, exp, iat, iss: tenant.issuer }, key, 'JWT')
  }
}

/** Puts a JWT sent to introspection or revocation aside, before the library refuses it. */
function adaptParams(models: AnyToken): void {
  const kept = Symbol('params')
  Object.defineProperty(models.OIDCContext.prototype, 'params', {
    configurable: true,
    get() {
      return this[kept]
    },
    set(params: any) {
      this[kept] = params
      const unit = units.getStore()
      if (unit && this.route === 'token') unit.byItself = params?.grant_type === 'client_credentials'
      if (!params || (this.route !== 'introspection' && this.route !== 'revocation')) return
      if (typeof params.token !== 'string' || !unit) return
      // API keys are seen at introspection alone; elsewhere the provider knows no such token.
      if (this.route === 'introspection' && apiKeys.looksLikeKey(params.token)) unit.apiKey = params.token
      if (!looksLikeJwt(params.token)) return
      unit.structured = params.token
      params.token = STRUCTURED
    },
  })
}

function adaptAccessTokens(Model: AnyToken, tenant: Tenant, directory: Directory): void {
  const findStored = Model.find
  const libraryValue = Model.prototype.getValueAndPayload
  const kind = Model.name

  Model.prototype.generateTokenId = function () {
    const server = this.resourceServer
    this.format = server?.accessTokenFormat ?? this.client?.record?.accessTokenFormat ?? 'jwt'
    return this.format === 'jwt' ? randomToken(16) : `at_${randomToken()}`
  }

  Model.prototype.getValueAndPayload = async function () {
    const { value, payload } = this.format === 'jwt' ? await this.structuredValue() : await libraryValue.call(this)
    return { value, payload }
  }
  Model.prototype.structuredValue = async function (): Promise<{ value: string; payload?: undefined }> {
    const iat = this.iat ?? Math.floor(Date.now() / 1000)
    const cnf = this.jkt ? { jkt: this.jkt } : this['x5t#S256'] ? { 'x5t#S256': this['x5t#S256'] } : undefined
    const claims: AccessTokenClaims = {
      iss: tenant.issuer,
      sub: this.accountId ?? this.clientId,
      aud: this.aud ?? tenant.issuer,
      client_id: this.clientId,
      iat,
      exp: this.exp ?? iat + this.expiration,
      jti: this.jti,
      ...(this.scope && { scope: this.scope }),
      ...(this.sessionUid && { sid: this.sessionUid }),
      ...(this.grantId && { gid: this.grantId }),
      ...(cnf && { cnf }),
      ...(this.act && { act: this.act }),
      tenant: tenant.slug,
      ...organizationClaim(),
    }
    return { value: signAccessToken(tenant, claims, this.resourceServer?.jwt?.sign?.alg) }
  }

  Model.find = async function (value: unknown, options?: { ignoreExpiration?: boolean }) {
    if (typeof value !== 'string') return undefined
    const unit = units.getStore()
    if (apiKeys.looksLikeKey(value)) {
      return unit?.apiKey === value && kind === 'AccessToken' ? fromApiKey(Model, tenant, unit, value) : undefined
    }
    const jwt = value === STRUCTURED ? unit?.structured : looksLikeJwt(value) ? value : undefined
    if (!unit || jwt === undefined) {
      if (value.startsWith('rt_')) return undefined
      const token = await findStored.call(this, value, options)
      if (!token || !stands(unit, token)) return undefined
      const record = kind === 'ClientCredentials' && (await directory.client(tenant.id, token.clientId))
      if (record) token.scope = stillByItself(tenant, record, token.scope).join(' ') || undefined
      return token
    }
    const claims = verifyAccessToken(tenant, jwt)
    if (!claims || (kind === 'ClientCredentials') !== (claims.sub === claims.client_id && !claims.gid)) return undefined
    // Nothing else stands behind a token of client_credentials, and nothing of a deleted client is good any more.
    const client = await directory.client(tenant.id, claims.client_id)
    if (!client) return undefined
    const scope = kind === 'ClientCredentials' ? stillByItself(tenant, client, claims.scope).join(' ') : claims.scope
    return fromClaims(Model, tenant, unit, { ...claims, scope: scope || undefined })
  }

  // Revoking a JWT puts its jti on the deny-list until it would have expired anyway.
  const destroyStored = Model.prototype.destroy
  Model.prototype.destroy = async function () {
    if (this.format !== 'jwt') return destroyStored.call(this)
    const unit = units.getStore()!
    const payload = { accountId: this.accountId, clientId: this.clientId } as any
    unit.upserts.set(`RevokedToken ${this.jti}`, {
      model: 'RevokedToken',
      id: this.jti,
      payload,
      ttl: Math.max(1, this.remainingTTL),
    })
    this.emit('destroyed')
  }
}

/** An API key as introspection shows it (RFC 7662): of nobody's client but ours, so that others need tokens:introspect. */
async function fromApiKey(Model: AnyToken, tenant: Tenant, unit: Unit, secret: string): Promise<AnyToken> {
  const key = await apiKeys.use({ db: unit.db, tenant }, secret, null)
  if (!key) return undefined
  return new Model({
    jti: key.id,
    kind: Model.name,
    accountId: key.user.id,
    clientId: DIRECT_CLIENT,
    scope: key.scopes.join(' ') || undefined,
    iat: key.createdAt,
    exp: key.expiresAt,
    extra: { tenant: tenant.slug },
  })
}

async function fromClaims(Model: AnyToken, tenant: Tenant, unit: Unit, claims: AccessTokenClaims): Promise<AnyToken> {
  const person = claims.gid !== undefined
  const standing = await loadStanding(
    unit.db,
    tenant.id,
    { grantId: claims.gid, sessionId: claims.sid, userId: person ? claims.sub : undefined, tokenId: claims.jti },
    unit,
  )
  if (!isStanding(tenant, standing, claims)) return undefined
  const token = new Model({
    jti: claims.jti,
    kind: Model.name,
    accountId: person ? claims.sub : undefined,
    clientId: claims.client_id,
    grantId: claims.gid,
    sessionUid: claims.sid,
    sid: claims.sid,
    scope: claims.scope,
    iat: claims.iat,
    exp: claims.exp,
    aud: claims.aud === tenant.issuer ? undefined : claims.aud,
    jkt: claims.cnf?.jkt,
    'x5t#S256': claims.cnf?.['x5t#S256'],
    extra: { tenant: claims.tenant, org_id: claims.org_id, act: claims.act },
  })
  token.format = 'jwt'
  return token
}

/** RFC 7009, RFC 9068: a token is good only while nothing it stands on was taken away. */
export function isStanding(
  tenant: Tenant,
  standing: Standing,
  claims: Pick<AccessTokenClaims, 'gid' | 'sid' | 'scope' | 'act'>,
): boolean {
  if (standing.revoked) return false
  if (claims.gid === undefined) return true
  if (!standing.grant || !standing.user || !mayAct(standing.user)) return false
  if (claims.act && !mayActFor(tenant, standing)) return false
  if (claims.sid === undefined || standing.session?.live) return true
  // offline_access outlives the browser session, but not its revocation.
  return Boolean(claims.scope?.split(' ').includes('offline_access')) && !standing.session?.revoked
}

/** Whoever acts as somebody else must still be there, and still be let. */
const mayActFor = (tenant: Tenant, { impersonator, user }: Standing): boolean =>
  impersonator !== undefined &&
  mayAct(impersonator) &&
  impersonation.isStillAllowed(tenant, impersonator.role_ids, user.role_ids)

/** Locking ends the sessions there are; this ends what a sign-in that was under way opens a moment later. */
const mayAct = ({ status, locked_until }: { status: string; locked_until: Date | null }): boolean =>
  status === 'active' && !(locked_until && locked_until > new Date())

/** The same rule for stored tokens, from what their statement brought along. */
function stands(unit: Unit | undefined, token: AnyToken): boolean {
  if (!unit || !token.accountId) return true
  const user = unit.people.get(token.accountId)
  return user === undefined || mayAct(user)
}

function adaptRefreshTokens(models: AnyToken): void {
  const { RefreshToken } = models
  const findStored = RefreshToken.find
  RefreshToken.prototype.generateTokenId = () => `rt_${randomToken()}`
  RefreshToken.find = async function (value: unknown, options?: object) {
    if (typeof value !== 'string' || value === STRUCTURED || looksLikeJwt(value) || value.startsWith('at_'))
      return undefined
    const token = await findStored.call(this, value, options)
    return token && stands(units.getStore(), token) ? token : undefined
  }
}

/** The library's account object for a user id; undefined for people who may not act any more. */
export async function findAccount(
  tenant: Tenant,
  client: ClientRecord | undefined,
  sub: string,
  claims: (tenant: Tenant, user: any) => Record<string, unknown>,
): Promise<{ accountId: string; claims(use: string, scope: string): Promise<any>; user: any } | undefined> {
  const unit = units.getStore()
  if (!unit || !/^[0-9a-f-]{36}$/.test(sub)) return undefined
  const user = await findPerson(unit, sub)
  if (!user || !mayAct(user)) return undefined
  if (policyOf(tenant, client?.loginPolicy).verifiedEmail && !isReachable(user)) return undefined
  return {
    accountId: sub,
    user,
    claims: async (_use, scope) => ({
      ...claims(tenant, user),
      ...organizationClaim(),
      ...(scope.split(' ').includes('organizations') && {
        organizations: await belongings({ db: unit.db, tenant }, sub),
      }),
    }),
  }
}
