/** How a client is stored and how it is shown. */
import { fail } from '../../kernel/errors.ts'
import { snake } from '../../kernel/surface.ts'
import type { Context } from '../context.ts'
import { isUuid } from '../permissions.ts'

export type ClientMetadata = Record<string, unknown>
export interface ClientView extends ClientMetadata {
  id: string
  clientId: string
  clientSecret?: string
}

export interface ClientRow {
  id: string
  client_id: string
  /** By the names of RFC 7591. */
  metadata: Record<string, any>
  first_party: boolean
  require_pkce: boolean
  access_token_format: 'jwt' | 'opaque'
  login_policy: Record<string, unknown>
  branding: Record<string, unknown>
  lifetimes: Record<string, unknown>
  origin: string
  system: boolean
  status: 'active' | 'disabled'
  /** Grows with every change. */
  version: string
  created_at: Date
  updated_at: Date
}

/** By id or by client_id. NOT_FOUND. `lock` makes other changes wait. */
export async function find(ctx: Context, id: string, { lock = false } = {}): Promise<ClientRow> {
  const query = ctx
    .db('clients')
    .where({ tenant_id: ctx.tenant.id })
    .where((q) => {
      q.where({ client_id: id })
      if (isUuid(id)) q.orWhere({ id })
    })
    // A client_id may look like the id of another client.
    .orderByRaw('(id::text = ?) desc', [id.toLowerCase()])
  const row = await (lock ? query.forNoKeyUpdate() : query).first()
  if (!row) throw fail('NOT_FOUND', 'No such client')
  return row
}

/** As find(), for changes: the built-in client is fixed. */
export async function changeable(ctx: Context, id: string): Promise<ClientRow> {
  const row = await find(ctx, id)
  if (row.system) throw fail('ACCESS_DENIED', 'The built-in client cannot be changed or deleted')
  return row
}

export function view(row: ClientRow): ClientView {
  return {
    id: row.id,
    clientId: row.client_id,
    ...camelKeys(row.metadata),
    firstParty: row.first_party,
    requirePkce: row.require_pkce,
    accessTokenFormat: row.access_token_format,
    loginPolicy: camelKeys(row.login_policy),
    branding: camelKeys(row.branding),
    lifetimes: camelKeys(row.lifetimes),
    system: row.system,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

const camel = (key: string) => key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase())
const camelKeys = (value: object) => Object.fromEntries(Object.entries(value).map(([key, v]) => [camel(key), v]))

/** By the names of RFC 7591. */
export const stored = (metadata: ClientMetadata): ClientMetadata =>
  Object.fromEntries(
    Object.entries(metadata)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [snake(key), value]),
  )

export const withoutNulls = (value: object): ClientMetadata =>
  Object.fromEntries(Object.entries(value).filter(([, v]) => v !== null))

/** Absent keys stay, null removes, of one key or of all. */
export const merged = (current: object, change: Record<string, unknown> | null | undefined): Record<string, unknown> =>
  change === null ? {} : withoutNulls({ ...current, ...stored(change ?? {}) })
