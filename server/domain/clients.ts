/** OAuth clients by RFC 7591's names. The one way to make, change and delete one, whoever asks and however it is spelled. */
import { randomToken, sha256 } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import {
  type ClientMetadata,
  type ClientRow,
  type ClientView,
  changeable,
  find,
  merged,
  stored,
  view,
  withoutNulls,
} from './clients/rows.ts'
import {
  assertMayManage,
  assertNoMoreThan,
  assertServable,
  checkLifetimes,
  checkSecret,
  defaults,
  isConfidential,
} from './clients/rules.ts'
import { hasSecret, store } from './clients/secrets.ts'
import type { Context } from './context.ts'
import type { ClientBranding } from './directory.ts'
import { newId } from './ids.ts'
import { type Page, readPage, type Window } from './pages.ts'
import { isUuid, like } from './permissions.ts'
import { assertAppTexts } from './wording.ts'

export type { ClientMetadata, ClientView } from './clients/rows.ts'

/** Ours, beside RFC 7591's metadata. */
export interface ClientPolicy {
  firstParty?: boolean | undefined
  requirePkce?: boolean | undefined
  accessTokenFormat?: 'jwt' | 'opaque' | undefined
  /** Merged key by key; null removes, of one key or of all. */
  loginPolicy?: Record<string, unknown> | null | undefined
  branding?: Record<string, unknown> | null | undefined
  lifetimes?: Record<string, unknown> | null | undefined
}

export interface NewClient {
  /** An administrator may choose client_id and bring an existing secret. */
  clientId?: string | undefined
  clientSecret?: string | undefined
  policy: ClientPolicy
  metadata: ClientMetadata
  /** How it came; by an administrator where absent. */
  origin?: 'request' | 'registration'
  /** By which it manages itself (RFC 7592). */
  registrationToken?: string
}

/** CONFLICT when client_id is taken; ACCESS_DENIED for one that may do more than the caller. */
export async function create(ctx: Context, input: NewClient): Promise<ClientView> {
  const { policy } = input
  const clientId = input.clientId ?? randomToken(16)
  await assertNobody(ctx, clientId)
  const metadata: ClientMetadata = defaults(withoutNulls(stored(input.metadata)))
  assertNoMoreThan(ctx, metadata, policy.firstParty)
  if (input.clientSecret) checkSecret(input.clientSecret, metadata)
  const secret = isConfidential(metadata) ? (input.clientSecret ?? randomToken()) : undefined
  const requirePkce = policy.requirePkce ?? true
  await assertServable(ctx, { clientId, metadata, requirePkce, secret })
  const [row] = await ctx
    .db('clients')
    .insert({
      tenant_id: ctx.tenant.id,
      id: newId(),
      client_id: clientId,
      metadata: JSON.stringify(metadata),
      first_party: policy.firstParty ?? false,
      require_pkce: requirePkce,
      access_token_format: policy.accessTokenFormat ?? 'jwt',
      ...ours(ctx, policy),
      origin: input.origin ?? 'admin',
      registration_token_hash: input.registrationToken ? sha256(input.registrationToken) : null,
    })
    .onConflict(['tenant_id', 'client_id'])
    .ignore()
    .returning('*')
  if (!row) throw fail('CONFLICT', 'There is a client with this client_id already')
  if (secret) await store(ctx, row.id, secret)
  ctx.event('client.created', { clientId, data: { name: metadata.client_name, origin: row.origin } })
  return { ...view(row), ...(secret && { clientSecret: secret, clientSecretExpiresAt: 0 }) }
}

/** Tokens of a client by itself have its client_id as `sub`: that must not be a person (RFC 9700 4.15). VALIDATION_ERROR. */
async function assertNobody(ctx: Context, clientId: string): Promise<void> {
  if (!isUuid(clientId)) return
  const person = await ctx.db('users').where({ tenant_id: ctx.tenant.id, id: clientId }).first('id')
  if (person) throw fail('VALIDATION_ERROR', 'client_id: is the id of a person')
}

/** Columns of what is merged key by key. */
function ours(ctx: Context, policy: ClientPolicy, row = { login_policy: {}, branding: {}, lifetimes: {} }) {
  const lifetimes = merged(row.lifetimes, policy.lifetimes)
  if (policy.lifetimes) checkLifetimes(ctx, lifetimes)
  const texts = policy.branding?.texts as ClientBranding['texts'] | null
  for (const [locale, { messages }] of Object.entries(texts ?? {}))
    assertAppTexts(`branding.texts.${locale}`, messages ?? {})
  return {
    login_policy: JSON.stringify(merged(row.login_policy, policy.loginPolicy)),
    branding: JSON.stringify(merged(row.branding, policy.branding)),
    lifetimes: JSON.stringify(lifetimes),
  }
}

export async function list(ctx: Context, page: Window, text?: string): Promise<Page<ClientView>> {
  const all = ctx.db('clients').where({ tenant_id: ctx.tenant.id })
  const part = `%${like(text ?? '')}%`
  if (text) all.where((q) => q.whereILike('client_id', part).orWhereRaw(`metadata->>'client_name' ilike ?`, [part]))
  const { items, total } = await readPage<ClientRow>(all, page, (q) => q.orderBy('created_at', 'desc').orderBy('id'))
  return { items: items.map(view), total }
}

export const get = async (ctx: Context, id: string): Promise<ClientView> => view(await find(ctx, id))

export async function versionOf(ctx: Context, id: string, lock: boolean): Promise<string> {
  const row = await find(ctx, id, { lock })
  return `client ${row.id} ${row.version}`
}

/** Absent keys stay, null clears. */
export async function update(
  ctx: Context,
  id: string,
  change: { policy: ClientPolicy; metadata: ClientMetadata },
): Promise<ClientView> {
  const { policy } = change
  const row = await changeable(ctx, id)
  await assertMayManage(ctx, row)
  const metadata: ClientMetadata = merged(row.metadata, change.metadata)
  assertNoMoreThan(ctx, metadata, policy.firstParty)
  const confidential = isConfidential(metadata)
  const requirePkce = policy.requirePkce ?? row.require_pkce
  const secret = confidential ? 'x'.repeat(64) : undefined
  await assertServable(ctx, { clientId: row.client_id, metadata, requirePkce, secret })
  if (confidential && !(await hasSecret(ctx, row.id)))
    throw fail('VALIDATION_ERROR', 'token_endpoint_auth_method: make a secret first (secret/regenerate)')
  const [updated] = await ctx
    .db('clients')
    .where({ tenant_id: ctx.tenant.id, id: row.id })
    .update({
      metadata: JSON.stringify(metadata),
      first_party: policy.firstParty ?? row.first_party,
      require_pkce: requirePkce,
      access_token_format: policy.accessTokenFormat ?? row.access_token_format,
      ...ours(ctx, policy, row),
      version: ctx.db.raw('version + 1'),
      updated_at: ctx.db.fn.now(),
    })
    .returning('*')
  ctx.event('client.updated', {
    clientId: row.client_id,
    data: { fields: [...Object.keys(change.metadata), ...Object.keys(policy)] },
  })
  return view(updated)
}

/** Deletes the client with its grants, tokens and roles. */
export async function remove(ctx: Context, id: string): Promise<void> {
  const row = await changeable(ctx, id)
  await assertMayManage(ctx, row)
  await ctx.db('oidc_models').where({ tenant_id: ctx.tenant.id, client_id: row.client_id }).delete()
  await ctx.db('roles').where({ tenant_id: ctx.tenant.id, scope: 'client', owner_id: row.id }).delete()
  await ctx.db('clients').where({ tenant_id: ctx.tenant.id, id: row.id }).delete()
  ctx.event('client.deleted', { clientId: row.client_id })
}
