/**
 * Tenants and clients as this process knows them: read once, kept, dropped when PostgreSQL announces a change, and
 * checked by version every few seconds in case an announcement was missed.
 */
import type { Knex } from 'knex'
import type pg from 'pg'
import type { Wording } from '../../adapters/i18n.ts'
import { type Db, listener } from '../../adapters/knex.ts'
import type { Logger } from '../../adapters/log.ts'
import type { Sealing } from '../../adapters/sealing.ts'
import { DEFAULT_TENANT, DIRECT_CLIENT } from './ids.ts'
import { type KeyRow, openKey, type SigningKey } from './keys.ts'
import { type Settings, settle } from './settings.ts'

export interface Role {
  id: string
  name: string
  scope: 'tenant' | 'client' | 'organization'
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

/** Most tenants have no words of their own, and so share translators. */
const noWording: Wording = new Map()

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
      // The end of the map is what was used last.
      map.delete(key)
      map.set(key, known)
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
      const id = await cached(
        slugs,
        MAX_TENANTS,
        slug,
        async () => (await db('tenants').where({ slug }).first('id'))?.id,
      )
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
        const change = JSON.parse(payload ?? '{}') as { tenant: string; client?: string }
        directory.drop(change.tenant, change.client)
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

async function loadTenant(db: Db, sealing: Sealing, publicUrl: string, id: string): Promise<Tenant | undefined> {
  const { rows } = await db.raw(
    `select t.id, t.slug, t.name, t.status, t.version, t.branding,
      coalesce((select jsonb_object_agg(key, value) from settings where tenant_id = t.id), '{}') as settings,
      (select jsonb_object_agg(locale, texts) from (select locale, jsonb_object_agg(key, value) as texts from tenant_texts
        where tenant_id = t.id group by 1) w) as wording,
      coalesce((select json_agg(json_build_object('kid', kid, 'alg', alg, 'public_jwk', public_jwk,
          'private_encrypted', private_encrypted, 'signs', signs_at <= now() and coalesce(retired_at > now(), true))
        order by signs_at desc, created_at desc) from signing_keys k
        where k.tenant_id = t.id and coalesce(expires_at > now(), true)), '[]') as keys,
      (select extract(epoch from min(at) - now()) from signing_keys k, unnest(array[signs_at, retired_at, expires_at]) at
        where k.tenant_id = t.id and at > now()) as fresh_for,
      coalesce((select json_agg(json_build_object('id', r.id, 'name', r.name, 'scope', r.scope, 'ownerId', r.owner_id,
        'parts', (select coalesce(json_agg(part_id), '[]') from role_parts p where p.tenant_id = t.id and p.role_id = r.id),
        'permissions', (select coalesce(json_agg(p.name), '[]') from role_permissions rp join permissions p
          on p.tenant_id = t.id and p.id = rp.permission_id where rp.tenant_id = t.id and rp.role_id = r.id)))
        from roles r where r.tenant_id = t.id), '[]') as roles,
      coalesce((select json_agg(r) from resources r where r.tenant_id = t.id), '[]') as resources,
      exists (select from webhooks w where w.tenant_id = t.id and w.enabled) as has_webhooks
    from tenants t where t.id = ? and t.status <> 'deleted'`,
    [id],
  )
  const found = rows[0]
  if (!found) return undefined
  const mountPath = found.id === DEFAULT_TENANT ? '' : `/t/${found.slug}`
  return {
    id: found.id,
    slug: found.slug,
    name: found.name,
    status: found.status,
    version: found.version,
    issuer: publicUrl + mountPath,
    mountPath,
    branding: found.branding,
    settings: settle(found.settings),
    wording: found.wording ? new Map(Object.entries(found.wording)) : noWording,
    keys: (found.keys as KeyRow[]).map((row) => openKey(sealing, found.id, row)),
    keysUntil: found.fresh_for === null ? Infinity : Date.now() + Number(found.fresh_for) * 1000,
    roles: effectiveRoles(found.roles),
    resources: new Map(
      found.resources.map((r: any) => [
        r.identifier,
        {
          identifier: r.identifier,
          name: r.name,
          scopes: r.scopes,
          tokenFormat: r.token_format,
          tokenLifetime: r.token_lifetime,
          signingAlg: r.signing_alg,
        },
      ]),
    ),
    hasWebhooks: found.has_webhooks,
  }
}

function effectiveRoles(
  rows: (Omit<Role, 'permissions'> & { parts: string[]; permissions: string[] })[],
): Map<string, Role> {
  const byId = new Map(rows.map((row) => [row.id, row]))
  const collect = (id: string, seen: Set<string>, into: Set<string>) => {
    const role = byId.get(id)
    if (!role || seen.has(id)) return into
    seen.add(id)
    for (const permission of role.permissions) into.add(permission)
    for (const part of role.parts) collect(part, seen, into)
    return into
  }
  return new Map(
    rows.map(({ id, name, scope, ownerId }) => [
      id,
      { id, name, scope, ownerId, permissions: [...collect(id, new Set(), new Set())] },
    ]),
  )
}

/** The built-in client signs people in to our own pages, wherever PUBLIC_URL is today. */
const ownPages = ({ issuer }: Tenant) => ({
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  redirect_uris: [`${issuer}/account/callback`],
})

export const secretPlace = (tenantId: string, id: string) => `client_secrets:${tenantId}:${id}`

async function loadClient(
  db: Db,
  sealing: Sealing,
  tenantId: string,
  clientId: string,
): Promise<ClientRecord | undefined> {
  if (clientId.includes('\u0000')) return undefined
  const row = await db('clients').where({ tenant_id: tenantId, client_id: clientId, status: 'active' }).first()
  if (!row) return undefined
  const own = { tenant_id: tenantId, client: row.id }
  const [secrets, roleIds] = await Promise.all([
    db('client_secrets').where(own).orderBy('created_at', 'desc'),
    db('client_roles').where(own).pluck('role_id'),
  ])
  return {
    id: row.id,
    clientId: row.client_id,
    metadata: row.metadata,
    firstParty: row.first_party,
    requirePkce: row.require_pkce,
    accessTokenFormat: row.access_token_format,
    loginPolicy: row.login_policy,
    branding: row.branding,
    lifetimes: row.lifetimes,
    roleIds,
    version: row.version,
    secrets: secrets.map((s) => ({
      secret: sealing.open(s.secret_encrypted, secretPlace(tenantId, s.id)).toString(),
      expiresAt: s.expires_at ? s.expires_at.getTime() / 1000 : null,
    })),
  }
}
