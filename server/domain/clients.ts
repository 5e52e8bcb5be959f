/** OAuth clients by RFC 7591's names. Secrets are shown once, sealed at rest, and two may live while one is replaced. */
import { randomToken } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import { snake } from '../kernel/surface.ts'
import type { Context } from './context.ts'
import { secretPlace } from './directory.ts'
import { newId } from './ids.ts'
import { permissions } from './policy.ts'
import { ownPart, ownScopes, words } from './scopes.ts'

/** Ours, beside RFC 7591's metadata. */
export interface ClientPolicy {
  firstParty?: boolean | undefined
  requirePkce?: boolean | undefined
  accessTokenFormat?: 'jwt' | 'opaque' | undefined
  /** Merged key by key; null removes, of one key or of all. */
  loginPolicy?: Record<string, unknown> | null | undefined
}
export type ClientMetadata = Record<string, unknown>
export interface ClientView extends ClientMetadata {
  id: string
  clientId: string
  clientSecret?: string
}

const SECRET_METHODS = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt']
const DEFAULT_SCOPE = 'openid profile email phone address offline_access'
const camel = (key: string) => key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase())

/** Registers a client. An administrator may choose client_id and bring an existing secret. */
export async function create(
  ctx: Context,
  input: {
    clientId?: string | undefined
    clientSecret?: string | undefined
    policy: ClientPolicy
    metadata: ClientMetadata
  },
): Promise<ClientView> {
  const clientId = input.clientId ?? randomToken(16)
  const metadata: ClientMetadata = defaults(stored(input.metadata))
  checkPolicy(input.policy, metadata)
  assertNoMoreThan(ctx, metadata, input.policy.firstParty)
  await assertKnownScopes(ctx, metadata)
  const confidential = SECRET_METHODS.includes(String(metadata.token_endpoint_auth_method))
  if (input.clientSecret && !confidential)
    throw fail('VALIDATION_ERROR', 'client_secret: this token_endpoint_auth_method uses none')
  if (
    input.clientSecret &&
    metadata.token_endpoint_auth_method === 'client_secret_jwt' &&
    input.clientSecret.length < 32
  )
    throw fail('VALIDATION_ERROR', 'client_secret: HS256 needs 32 characters or more (RFC 7518 3.2)')
  const secret = confidential ? (input.clientSecret ?? randomToken()) : undefined
  ctx.oidc.checkClient(ctx, {
    ...metadata,
    scope: ownPart(metadata.scope),
    client_id: clientId,
    ...(secret && { client_secret: secret }),
  })
  const [row] = await ctx
    .db('clients')
    .insert({
      tenant_id: ctx.tenant.id,
      id: newId(),
      client_id: clientId,
      metadata: JSON.stringify(metadata),
      first_party: input.policy.firstParty ?? false,
      require_pkce: input.policy.requirePkce ?? true,
      access_token_format: input.policy.accessTokenFormat ?? 'jwt',
      login_policy: merged({}, input.policy.loginPolicy),
    })
    .onConflict(['tenant_id', 'client_id'])
    .ignore()
    .returning('*')
  if (!row) throw fail('CONFLICT', 'There is a client with this client_id already')
  if (secret) await storeSecret(ctx, row.id, secret)
  ctx.event('client.created', { clientId, data: { name: metadata.client_name } })
  return { ...view(row), ...(secret && { clientSecret: secret, clientSecretExpiresAt: 0 }) }
}

export async function list(
  ctx: Context,
  page: { limit: number; offset: number },
  text?: string,
): Promise<{ items: ClientView[]; total: number }> {
  const all = ctx.db('clients').where({ tenant_id: ctx.tenant.id })
  if (text)
    all.where((q) => q.whereILike('client_id', like(text)).orWhereRaw(`metadata->>'client_name' ilike ?`, [like(text)]))
  const [rows, [counted]] = await Promise.all([
    all.clone().orderBy('created_at', 'desc').orderBy('id').limit(page.limit).offset(page.offset),
    all.clone().count({ total: '*' }),
  ])
  return { items: rows.map(view), total: Number(counted!.total) }
}
const like = (text: string) => `%${text.replace(/[\\%_]/g, '\\$&')}%`

/** By id or by client_id. */
async function find(ctx: Context, id: string): Promise<any> {
  const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)
  const row = await ctx
    .db('clients')
    .where({ tenant_id: ctx.tenant.id })
    .where((q) => {
      q.where({ client_id: id })
      if (isUuid) q.orWhere({ id })
    })
    .first()
  if (!row) throw fail('NOT_FOUND', 'No such client')
  return row
}

export const get = async (ctx: Context, id: string): Promise<ClientView> => view(await find(ctx, id))

/** Absent keys stay, null clears. */
export async function update(
  ctx: Context,
  id: string,
  change: { policy: ClientPolicy; metadata: ClientMetadata },
): Promise<ClientView> {
  const row = await find(ctx, id)
  if (row.system) throw fail('ACCESS_DENIED', 'The built-in client cannot be changed')
  assertNoMoreThan(ctx, row.metadata, row.first_party)
  const metadata: ClientMetadata = { ...row.metadata, ...stored(change.metadata) }
  for (const key of Object.keys(metadata)) if (metadata[key] === null) delete metadata[key]
  const policy = { requirePkce: row.require_pkce, ...change.policy }
  checkPolicy(policy, metadata)
  assertNoMoreThan(ctx, metadata, change.policy.firstParty)
  await assertKnownScopes(ctx, metadata)
  const confidential = SECRET_METHODS.includes(String(metadata.token_endpoint_auth_method))
  const hasSecret = await ctx.db('client_secrets').where({ tenant_id: ctx.tenant.id, client: row.id }).first('id')
  if (confidential && !hasSecret)
    throw fail('VALIDATION_ERROR', 'token_endpoint_auth_method: make a secret first (secret/regenerate)')
  ctx.oidc.checkClient(ctx, {
    ...metadata,
    scope: ownPart(metadata.scope),
    client_id: row.client_id,
    ...(confidential && { client_secret: 'x'.repeat(64) }),
  })
  const [updated] = await ctx
    .db('clients')
    .where({ tenant_id: ctx.tenant.id, id: row.id })
    .update({
      metadata: JSON.stringify(metadata),
      first_party: change.policy.firstParty ?? row.first_party,
      require_pkce: change.policy.requirePkce ?? row.require_pkce,
      access_token_format: change.policy.accessTokenFormat ?? row.access_token_format,
      login_policy: merged(row.login_policy, change.policy.loginPolicy),
      version: ctx.db.raw('version + 1'),
      updated_at: ctx.db.fn.now(),
    })
    .returning('*')
  ctx.event('client.updated', {
    clientId: row.client_id,
    data: { fields: [...Object.keys(change.metadata), ...Object.keys(change.policy)] },
  })
  return view(updated)
}

/** Deletes the client with its grants and tokens. */
export async function remove(ctx: Context, id: string): Promise<void> {
  const row = await find(ctx, id)
  if (row.system) throw fail('ACCESS_DENIED', 'The built-in client cannot be deleted')
  await ctx.db('oidc_models').where({ tenant_id: ctx.tenant.id, client_id: row.client_id }).delete()
  await ctx.db('clients').where({ tenant_id: ctx.tenant.id, id: row.id }).delete()
  ctx.event('client.deleted', { clientId: row.client_id })
}

/** A new secret, shown once; the one before lives on for `overlap` seconds, older ones end now. */
export async function regenerateSecret(
  ctx: Context,
  id: string,
  overlap: number,
): Promise<{ clientId: string; clientSecret: string; previousExpiresAt: Date | null }> {
  const row = await find(ctx, id)
  if (row.system) throw fail('ACCESS_DENIED', 'The built-in client has no secret')
  assertNoMoreThan(ctx, row.metadata, row.first_party)
  const secrets = () => ctx.db('client_secrets').where({ tenant_id: ctx.tenant.id, client: row.id })
  const latest = await secrets().orderBy('created_at', 'desc').first('id')
  if (latest) {
    await secrets().whereNot('id', latest.id).delete()
    if (overlap === 0) await secrets().delete()
    else
      await secrets()
        .where('id', latest.id)
        .update({ expires_at: ctx.db.raw('now() + make_interval(secs => ?)', [overlap]) })
  }
  const secret = randomToken()
  await storeSecret(ctx, row.id, secret)
  ctx.event('client.secret_regenerated', { clientId: row.client_id, data: { overlap } })
  return {
    clientId: row.client_id,
    clientSecret: secret,
    previousExpiresAt: latest && overlap > 0 ? new Date(Date.now() + overlap * 1000) : null,
  }
}

/** What is known of the secrets; never the secrets. */
export async function secretMetadata(
  ctx: Context,
  id: string,
): Promise<{ clientId: string; secrets: { id: string; createdAt: Date; expiresAt: Date | null }[] }> {
  const row = await find(ctx, id)
  const rows = await ctx
    .db('client_secrets')
    .where({ tenant_id: ctx.tenant.id, client: row.id })
    .where((q) => q.whereNull('expires_at').orWhere('expires_at', '>', ctx.db.fn.now()))
    .orderBy('created_at', 'desc')
  return {
    clientId: row.client_id,
    secrets: rows.map((s) => ({ id: s.id, createdAt: s.created_at, expiresAt: s.expires_at })),
  }
}

async function storeSecret(ctx: Context, client: string, secret: string): Promise<void> {
  const id = newId()
  await ctx.db('client_secrets').insert({
    tenant_id: ctx.tenant.id,
    id,
    client,
    secret_encrypted: ctx.out.sealing.seal(secret, secretPlace(ctx.tenant.id, id)),
    created_at: ctx.db.raw('clock_timestamp()'),
  })
}

/** Whoever sets up a client can act as it: nobody manages one that may do more than they may. */
function assertNoMoreThan(ctx: Context, metadata: ClientMetadata, firstParty = false): void {
  const missing = [...(firstParty ? ['clients:trust'] : []), ...words(metadata.scope)].find(
    (scope) => Object.hasOwn(permissions, scope) && !ctx.actor?.permissions.has(scope),
  )
  if (missing)
    throw fail('ACCESS_DENIED', `This needs the permission ${missing}, which the client has`, {
      details: { permission: missing },
    })
}

async function assertKnownScopes(ctx: Context, metadata: ClientMetadata): Promise<void> {
  const foreign = words(metadata.scope).filter((scope) => !ownScopes.has(scope))
  if (foreign.length === 0) return
  const resources = await ctx.db('resources').where({ tenant_id: ctx.tenant.id }).select('scopes')
  const known = new Set(resources.flatMap((resource) => resource.scopes.map((scope: { name: string }) => scope.name)))
  const unknown = foreign.find((scope) => !known.has(scope))
  if (unknown !== undefined) throw fail('VALIDATION_ERROR', `scope: no API resource has the scope ${unknown}`)
}

function checkPolicy(policy: ClientPolicy, metadata: ClientMetadata): void {
  if (policy.requirePkce === false && metadata.token_endpoint_auth_method === 'none') {
    throw fail('VALIDATION_ERROR', 'require_pkce: only a confidential client can be exempt from PKCE')
  }
  checkCallback(metadata)
}

/** Cookies of the callback are for browsers' clients, and lead to one address that an administrator chose. */
function checkCallback(metadata: ClientMetadata): void {
  const { callback_mode: mode, callback_redirect_uri: uri, token_endpoint_auth_method: method } = metadata
  if (uri && !/^https?:$/.test(URL.parse(String(uri))?.protocol ?? ''))
    throw fail('VALIDATION_ERROR', 'callback_redirect_uri: must be an http or https address')
  if (mode !== 'cookies') return
  if (!uri) throw fail('VALIDATION_ERROR', 'callback_redirect_uri: is required with callback_mode cookies')
  if (method !== 'none')
    throw fail('VALIDATION_ERROR', 'callback_mode: cookies are for clients with token_endpoint_auth_method none')
}

function defaults(metadata: ClientMetadata): ClientMetadata {
  const grantTypes = (metadata.grant_types as string[] | undefined) ?? ['authorization_code', 'refresh_token']
  return {
    token_endpoint_auth_method: 'client_secret_basic',
    scope: DEFAULT_SCOPE,
    redirect_uris: [],
    ...metadata,
    grant_types: grantTypes,
    response_types: metadata.response_types ?? (grantTypes.includes('authorization_code') ? ['code'] : []),
  }
}

const stored = (metadata: ClientMetadata): ClientMetadata =>
  Object.fromEntries(
    Object.entries(metadata)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [snake(key), value]),
  )

const camelKeys = (value: object) => Object.fromEntries(Object.entries(value).map(([key, v]) => [camel(key), v]))

/** Absent keys stay, null removes, of one key or of all. */
function merged(current: object, change: Record<string, unknown> | null | undefined): string {
  const whole = change === null ? {} : { ...current, ...stored(change ?? {}) }
  return JSON.stringify(Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== null)))
}

function view(row: any): ClientView {
  return {
    id: row.id,
    clientId: row.client_id,
    ...camelKeys(row.metadata),
    firstParty: row.first_party,
    requirePkce: row.require_pkce,
    accessTokenFormat: row.access_token_format,
    loginPolicy: camelKeys(row.login_policy),
    system: row.system,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
