/** What a client may be: metadata that fits together, scopes that exist, and no more rights than whoever sets it up has. */
import { fail } from '../../kernel/errors.ts'
import { assertHolds, permissionsOf } from '../authority.ts'
import type { Context } from '../context.ts'
import type { Lifetimes } from '../directory.ts'
import { permissions } from '../policy.ts'
import { ownPart, ownScopes, words } from '../scopes.ts'
import type { ClientMetadata, ClientRow } from './rows.ts'

const SECRET_METHODS = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt']
const DEFAULT_SCOPE = 'openid profile email phone address offline_access'

/** Whether it authenticates with a secret. */
export const isConfidential = (metadata: ClientMetadata): boolean =>
  SECRET_METHODS.includes(String(metadata.token_endpoint_auth_method))

export function defaults(metadata: ClientMetadata): ClientMetadata {
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

/** VALIDATION_ERROR for what could not be served. `secret` is undefined for clients without one. */
export async function assertServable(
  ctx: Context,
  client: { clientId: string; metadata: ClientMetadata; requirePkce: boolean; secret: string | undefined },
): Promise<void> {
  const { clientId, metadata, requirePkce, secret } = client
  if (!requirePkce && metadata.token_endpoint_auth_method === 'none')
    throw fail('VALIDATION_ERROR', 'require_pkce: only a confidential client can be exempt from PKCE')
  if (metadata.token_endpoint_auth_method === 'none' && has(metadata, 'client_credentials'))
    throw fail('VALIDATION_ERROR', 'grant_types: client_credentials needs a client that can authenticate')
  checkCallback(ctx, metadata)
  await assertKnownScopes(ctx, metadata)
  ctx.oidc.checkClient(ctx, {
    ...metadata,
    scope: ownPart(metadata.scope),
    client_id: clientId,
    ...(secret && { client_secret: secret }),
  })
}

export const has = (metadata: ClientMetadata, grantType: string): boolean =>
  (metadata.grant_types as string[] | undefined)?.includes(grantType) ?? false

/** A secret brought along must fit what it is for. */
export function checkSecret(secret: string, metadata: ClientMetadata): void {
  if (!isConfidential(metadata))
    throw fail('VALIDATION_ERROR', 'client_secret: this token_endpoint_auth_method uses none')
  if (metadata.token_endpoint_auth_method === 'client_secret_jwt' && secret.length < 32)
    throw fail('VALIDATION_ERROR', 'client_secret: HS256 needs 32 characters or more (RFC 7518 3.2)')
}

/** Whoever sets up a client can act as it: ACCESS_DENIED for one that may do more than the caller, by roles or otherwise. */
export async function assertMayManage(ctx: Context, row: ClientRow): Promise<void> {
  assertNoMoreThan(ctx, row.metadata, row.first_party)
  const roles = await ctx.db('client_roles').where({ tenant_id: ctx.tenant.id, client: row.id }).pluck('role_id')
  assertHolds(ctx, await permissionsOf(ctx, roles))
}

export function assertNoMoreThan(ctx: Context, metadata: ClientMetadata, firstParty = false): void {
  const scopes = words(metadata.scope).filter((scope) => Object.hasOwn(permissions, scope))
  assertHolds(ctx, [...(firstParty ? ['clients:trust'] : []), ...scopes])
}

async function assertKnownScopes(ctx: Context, metadata: ClientMetadata): Promise<void> {
  const foreign = words(metadata.scope).filter((scope) => !ownScopes.has(scope))
  if (foreign.length === 0) return
  const resources = await ctx.db('resources').where({ tenant_id: ctx.tenant.id }).select('scopes')
  const known = new Set(resources.flatMap((resource) => resource.scopes.map((scope: { name: string }) => scope.name)))
  const unknown = foreign.find((scope) => !known.has(scope))
  if (unknown !== undefined) throw fail('VALIDATION_ERROR', `scope: no API resource has the scope ${unknown}`)
}

/** Cookies of the callback are for browsers' clients, and lead to one address at our own origin, the only one that has them sent. */
function checkCallback({ out }: Context, metadata: ClientMetadata): void {
  const { callback_mode: mode, callback_redirect_uri: uri, token_endpoint_auth_method: method } = metadata
  if (uri && !/^https?:$/.test(URL.parse(String(uri))?.protocol ?? ''))
    throw fail('VALIDATION_ERROR', 'callback_redirect_uri: must be an http or https address')
  if (mode !== 'cookies') return
  if (!uri) throw fail('VALIDATION_ERROR', 'callback_redirect_uri: is required with callback_mode cookies')
  if (method !== 'none')
    throw fail('VALIDATION_ERROR', 'callback_mode: cookies are for clients with token_endpoint_auth_method none')
  const { origin } = new URL(out.config.publicUrl)
  if (URL.parse(String(uri))?.origin !== origin)
    throw fail('VALIDATION_ERROR', `callback_redirect_uri: must be at ${origin}, whose pages alone the cookies are for`)
}

const BOUNDS = {
  access_token: 'access_token_lifetime',
  id_token: 'access_token_lifetime',
  refresh_token: 'refresh_token_lifetime',
} as const

/** A client may shorten what the tenant allows, not stretch it. */
export function checkLifetimes(ctx: Context, lifetimes: Lifetimes): void {
  for (const [kind, setting] of Object.entries(BOUNDS)) {
    const most = ctx.tenant.settings[setting]
    const wanted = lifetimes[kind as keyof typeof BOUNDS]
    if (wanted !== undefined && wanted > most)
      throw fail('VALIDATION_ERROR', `lifetimes.${kind}: at most ${most} s, the tenant's ${setting}`)
  }
}
