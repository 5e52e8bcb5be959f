/**
 * Tenants and clients as this process knows them: read once, kept, dropped when PostgreSQL announces a change, and
 * checked by version every few seconds in case an announcement was missed.
 */

import type { Knex } from 'knex'
import type pg from 'pg'
import type { Wording } from '../../adapters/i18n.ts'
import { type Db, listener } from '../../adapters/knex.ts'
import { used } from '../../adapters/lately.ts'
import type { Logger } from '../../adapters/log.ts'
import type { Sealing } from '../../adapters/sealing.ts'
import { idOf, loadClient, loadTenant } from './directory/load.ts'
import { DIRECT_CLIENT } from './ids.ts'
import type { SigningKey } from './keys.ts'
import type { Settings } from './settings.ts'

export interface Role {
  id: string
  name: string
  scope: 'tenant' | 'client'
  ownerId: string
  /** Effective: of the role and of all its parts. */
  permissions: string[]
}
export interface Resource {
  identifier: string
  name: string
  scopes: { name: string; description?: string }[]
  tokenFormat: 'jwt' | 'opaque'
  /** Seconds. */
  tokenLifetime: number
  signingAlg: 'ES256' | 'RS256'
}
export interface Branding {
  /** SHA-256 of an uploaded one, in place of logo_uri. */
  logo?: string
  logo_uri?: string
  primary_color?: string
  policy_uri?: string
  tos_uri?: string
}
/** What signing in to a client asks for, beside the tenant's settings. */
export interface LoginPolicy {
  mfa?: 'off' | 'optional' | 'required'
  /** Second factors that count; all where absent. */
  factors?: ('totp' | 'email' | 'sms' | 'webauthn')[]
  /** First factors that may be used; all where absent. */
  methods?: ('password' | 'magic_link' | 'otp' | 'passkey' | 'social')[]
  require_verified_email?: boolean
  /** Whether people sign in to it as members of an organization. */
  organization?: 'optional' | 'required'
}
/** The face of hosted pages for people who come from a client; over the tenant's. */
export interface ClientBranding {
  logo_uri?: string
  primary_color?: string
  /** By language: heading of the sign-in page, a line under it, and any text by its key. */
  texts?: Record<string, { title?: string; text?: string; messages?: Record<string, string> }>
}
/** Seconds, where less than the tenant allows. `session`: after signing in, however often tokens were refreshed since. */
export interface Lifetimes {
  access_token?: number
  id_token?: number
  refresh_token?: number
  session?: number
}
/** A tenant with everything a request needs of it. Immutable: a change makes a new object. */
export interface Tenant {
  id: string
  slug: string
  name: string
  status: 'active' | 'suspended' | 'deleted'
  version: number
  issuer: string
  /** '' for the default tenant, else /t/<slug>. */
  mountPath: string
  branding: Branding
  settings: Settings
  /** Own words over those of the program. */
  wording: Wording
  keys: SigningKey[]
  /** When one of the keys begins or ceases to sign or to be published (ms by this process's clock); Infinity for never. */
  keysUntil: number
  /** Those for organizations are read when somebody asks inside one: there may be some for each of thousands. */
  roles: Map<string, Role>
  resources: Map<string, Resource>
  /** False where certainly nobody listens to its events. */
  hasWebhooks: boolean
}
/** A client with its secrets opened. Immutable. */
export interface ClientRecord {
  id: string
  clientId: string
  metadata: Record<string, unknown>
  firstParty: boolean
  requirePkce: boolean
  accessTokenFormat: 'jwt' | 'opaque'
  loginPolicy: LoginPolicy
  branding: ClientBranding
  lifetimes: Lifetimes
  /** Roles it holds itself. */
  roleIds: string[]
  version: number
  secrets: { secret: string; expiresAt: number | null }[]
}
export interface Directory {
  byId(id: string): Promise<Tenant | undefined>
  bySlug(slug: string): Promise<Tenant | undefined>
  client(tenantId: string, clientId: string): Promise<ClientRecord | undefined>
  /** Called with every tenant id whose cached copy was dropped. */
  onChange(listen: (tenantId: string) => void): void
  drop(tenantId: string, clientId?: string): void
  close(): Promise<void>
}

const CHECK_MS = 5000
const MAX_TENANTS = 2000
const MAX_CLIENTS = 20_000

export function createDirectory(options: {
  db: Knex
  databaseUrl: string
  sealing: Sealing
  publicUrl: string
  log: Logger
}): Directory {
  const { db, sealing, publicUrl, log } = options
  const tenants = new Map<string, Promise<Tenant | undefined>>()
  const slugs = new Map<string, Promise<string | undefined>>()
  const clients = new Map<string, Promise<ClientRecord | undefined>>()
  const listeners: ((tenantId: string) => void)[] = []

  const cached = <T>(map: Map<string, Promise<T>>, max: number, key: string, load: () => Promise<T>): Promise<T> => {
    const known = map.get(key)
    if (known) {
      used(map, key, known, max)
      return known
    }
    const loading = load().then(
      (value) => {
        if (value === undefined) map.delete(key)
        return value
      },
      (error) => {
        map.delete(key)
        throw error
      },
    )
    map.set(key, loading)
    if (map.size > max) map.delete(map.keys().next().value!)
    return loading
  }

  const directory: Directory = {
    byId: (id) => cached(tenants, MAX_TENANTS, id, () => loadTenant(db, sealing, publicUrl, id)),
    async bySlug(slug) {
      const remembered = slugs.has(slug)
      const id = await cached(slugs, MAX_TENANTS, slug, () => idOf(db, slug))
      const tenant = id ? await directory.byId(id) : undefined
      if (tenant) return tenant
      slugs.delete(slug)
      // Purged, and another one may have come to have the slug.
      return remembered ? directory.bySlug(slug) : undefined
    },
    client: (tenantId, clientId) =>
      cached(clients, MAX_CLIENTS, `${tenantId} ${clientId}`, async () => {
        const [tenant, client] = await Promise.all([
          clientId === DIRECT_CLIENT ? directory.byId(tenantId) : undefined,
          loadClient(db, sealing, tenantId, clientId),
        ])
        return client && tenant ? { ...client, metadata: { ...client.metadata, ...ownPages(tenant) } } : client
      }),
    onChange: (listen) => void listeners.push(listen),
    drop(tenantId, clientId) {
      if (clientId !== undefined) return void clients.delete(`${tenantId} ${clientId}`)
      tenants.delete(tenantId)
      for (const listen of listeners) listen(tenantId)
    },
    async close() {
      closed = true
      clearInterval(timer)
      await connection?.end().catch(() => {})
    },
  }

  let closed = false
  let connection: pg.Client | undefined
  const dropAll = () => {
    for (const id of tenants.keys()) directory.drop(id)
    slugs.clear()
    clients.clear()
  }
  const listen = async () => {
    const next = listener(options.databaseUrl)
    try {
      next.on('error', () => {})
      next.on('notification', ({ payload }) => {
        const change = JSON.parse(payload ?? '{}') as { tenant: string; client?: string; of?: 'organizations' }
        // Roles for organizations are not kept; that is said to processes of the version before.
        if (!change.of) directory.drop(change.tenant, change.client)
      })
      next.once('end', () => {
        connection = undefined
      })
      await next.connect()
      await next.query('listen gatehouse')
      // What changed while nobody listened is not known.
      dropAll()
      connection = next
    } catch (error) {
      await next.end().catch(() => {})
      if (!closed) log.debug({ error }, 'cannot listen for changes yet')
    }
  }
  const check = async () => {
    if (closed) return
    if (!connection) await listen()
    await dropStale(db, tenants, clients, directory).catch((error) => log.debug({ error }, 'cannot check versions'))
  }
  const timer = setInterval(check, CHECK_MS)
  timer.unref()
  void listen()
  return directory
}

async function dropStale(
  db: Db,
  tenants: Map<string, Promise<Tenant | undefined>>,
  clients: Map<string, Promise<ClientRecord | undefined>>,
  directory: Directory,
): Promise<void> {
  const known = (await Promise.all(tenants.values())).filter((t) => t !== undefined)
  if (known.length === 0) return
  const rows = await db('tenants')
    .whereIn(
      'id',
      known.map((t) => t.id),
    )
    .select('id', 'version')
  const versions = new Map(rows.map((r) => [r.id, r.version]))
  for (const tenant of known)
    if (versions.get(tenant.id) !== tenant.version || tenant.keysUntil <= Date.now()) directory.drop(tenant.id)
  const cachedClients = [...clients.entries()]
  if (cachedClients.length === 0) return
  const changed = await db('clients')
    .where('updated_at', '>', db.raw(`now() - interval '60 seconds'`))
    .select('tenant_id', 'client_id', 'version')
  for (const row of changed) {
    const copy = await clients.get(`${row.tenant_id} ${row.client_id}`)
    if (copy && copy.version !== row.version) directory.drop(row.tenant_id, row.client_id)
  }
}

/** The built-in client signs people in to our own pages, wherever PUBLIC_URL is today. */
const ownPages = ({ issuer }: Tenant) => ({
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  redirect_uris: [`${issuer}/account/callback`],
})
