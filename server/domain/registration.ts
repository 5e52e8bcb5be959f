/**
 * Apps that register and manage themselves (RFC 7591, 7592): always third parties, without rights in our own API, at
 * addresses that lead to themselves. Everything else is as for clients that administrators register.
 */
import { sha256 } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import { type ClientMetadata, type ClientRow, type ClientView, stored, view, withoutNulls } from './clients/rows.ts'
import { defaults, has, isConfidential } from './clients/rules.ts'
import * as secrets from './clients/secrets.ts'
import * as clients from './clients.ts'
import type { Context } from './context.ts'
import type { Tenant } from './directory.ts'
import { countOf } from './pages.ts'
import { permissions } from './policy.ts'
import * as tokens from './registration/tokens.ts'
import { ownScopes, words } from './scopes.ts'

/** Characters of JSON. */
const MOST = 16_384
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])$/

export const registrationEndpoint = (tenant: Tenant) => `${tenant.issuer}/oauth/register`

/** A client with the token by which it manages itself, which is shown at each answer and stored as a hash. */
export interface Registered {
  client: ClientView
  token: string
}

/** UNAUTHORIZED without a token where one is needed; ACCESS_DENIED past the quota; VALIDATION_ERROR. */
export async function register(ctx: Context, metadata: ClientMetadata): Promise<Registered> {
  const { dynamic_registration: mode } = ctx.tenant.settings
  if (mode === 'off') throw fail('NOT_FOUND', 'Apps cannot register themselves here')
  const { registrationToken } = ctx.request
  if (registrationToken) await tokens.use(ctx, registrationToken)
  else if (mode !== 'open') throw fail('UNAUTHORIZED', 'Registering needs an initial access token of an administrator')
  await assertRoom(ctx)
  const said = withoutNulls(stored(metadata))
  checkSaid(said)
  const token = tokens.newManagingToken()
  const client = await clients.create(ctx, {
    metadata: { ...said, scope: scopeOf(ctx, said.scope) },
    policy: {},
    origin: 'registration',
    registrationToken: token,
  })
  return { client, token }
}

/** Registrations take turns, so that the quota holds. */
async function assertRoom(ctx: Context): Promise<void> {
  await ctx.db.raw('select pg_advisory_xact_lock(hashtext(?))', [`registrations ${ctx.tenant.id}`])
  const registered = ctx.db('clients').where({ tenant_id: ctx.tenant.id, origin: 'registration' })
  if ((await countOf(registered)) >= ctx.tenant.settings.dynamic_registration_quota)
    throw fail('ACCESS_DENIED', 'No more apps can register themselves here')
}

/** RFC 7591 2: what is asked for may be narrowed; the answer says what was given. */
function scopeOf(ctx: Context, wanted: unknown, had: unknown = ''): string {
  const { settings, resources } = ctx.tenant
  const ofResources = new Set([...resources.values()].flatMap(({ scopes }) => scopes.map(({ name }) => name)))
  const allowed = [...settings.dynamic_registration_scopes, ...words(had)].filter(
    (scope) => (ownScopes.has(scope) || ofResources.has(scope)) && !Object.hasOwn(permissions, scope),
  )
  const given = wanted === undefined || wanted === null ? allowed : words(wanted).filter((s) => allowed.includes(s))
  if (given.length === 0)
    throw fail('VALIDATION_ERROR', 'scope: none of these can be given to an app that registers itself')
  return [...new Set(given)].join(' ')
}

/** RFC 8252 7: people are sent to web addresses, to their own machine, or to a native app by a scheme that is its own. */
function checkSaid(metadata: ClientMetadata): void {
  if (JSON.stringify(metadata).length > MOST)
    throw fail('VALIDATION_ERROR', `The metadata is longer than ${MOST} characters`)
  if (has(metadata, 'client_credentials'))
    throw fail('VALIDATION_ERROR', 'grant_types: an app that registers itself acts for people only')
  for (const name of ['redirect_uris', 'post_logout_redirect_uris'])
    for (const uri of (metadata[name] as string[] | undefined) ?? [])
      if (!mayLeadTo(uri, metadata.application_type === 'native'))
        throw fail(
          'VALIDATION_ERROR',
          `${name}: allowed are https addresses, http addresses of the own machine, and a native app's own scheme such as com.example.app:`,
        )
  for (const [name, uri] of Object.entries(metadata))
    if (name.endsWith('_uri') && URL.parse(String(uri))?.protocol !== 'https:')
      throw fail('VALIDATION_ERROR', `${name}: must be an https address`)
}

/** Whether people may be sent there by an app that nobody looked at. */
export function mayLeadTo(uri: string, native: boolean): boolean {
  const url = URL.parse(uri)
  if (!url || url.username || url.password || uri.includes('#')) return false
  if (url.protocol === 'https:') return true
  if (url.protocol === 'http:') return LOOPBACK.test(url.hostname)
  return native && url.protocol.includes('.')
}

/** The client whose registration access token came with the request. UNAUTHORIZED. */
async function own(ctx: Context, clientId: string): Promise<{ row: ClientRow; token: string }> {
  const token = ctx.request.registrationToken
  const row =
    token &&
    (await ctx
      .db('clients')
      .where({ tenant_id: ctx.tenant.id, client_id: clientId, registration_token_hash: sha256(token) })
      .first())
  if (!row) throw fail('UNAUTHORIZED', 'The registration access token is not valid for this client')
  return { row, token }
}

export async function read(ctx: Context, clientId: string): Promise<Registered> {
  const { row, token } = await own(ctx, clientId)
  return { client: view(row), token }
}

/**
 * RFC 7592 2.2: what is not sent goes back to its default, so `metadata` holds null for it. A client that administrators
 * gave more than it could have asked for cannot change itself any more: ACCESS_DENIED.
 */
export async function replace(
  ctx: Context,
  id: string,
  change: { clientId: string; clientSecret?: string | undefined; metadata: ClientMetadata },
): Promise<Registered> {
  const { row, token } = await own(ctx, id)
  const { clientSecret, metadata } = change
  if (change.clientId !== row.client_id) throw fail('VALIDATION_ERROR', 'client_id: is not that of this registration')
  if (clientSecret !== undefined && !(await secrets.matches(ctx, row.id, clientSecret)))
    throw fail('VALIDATION_ERROR', 'client_secret: a client cannot choose its own; send the one it has, or none')
  const said = withoutNulls(stored(metadata))
  checkSaid(said)
  const scope = scopeOf(ctx, said.scope, row.metadata.scope)
  const next: ClientMetadata = { ...stored(metadata), ...defaults(said), scope }
  const fresh = isConfidential(next) && !(await secrets.hasSecret(ctx, row.id))
  const secret = fresh ? (await secrets.replace(ctx, row, 0)).clientSecret : undefined
  const client = await clients.update(ctx, row.id, { metadata: next, policy: {} })
  return { client: { ...client, ...(secret && { clientSecret: secret, clientSecretExpiresAt: 0 }) }, token }
}

export async function remove(ctx: Context, clientId: string): Promise<void> {
  const { row } = await own(ctx, clientId)
  await clients.remove(ctx, row.id)
}
