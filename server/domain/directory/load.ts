/** Reads a tenant or a client with everything that requests need of it. */
import type { Wording } from '../../../adapters/i18n.ts'
import { type Db, named } from '../../../adapters/knex.ts'
import type { Sealing } from '../../../adapters/sealing.ts'
import type { ClientRecord, Role, Tenant } from '../directory.ts'
import { DEFAULT_TENANT } from '../ids.ts'
import { type KeyRow, openKey } from '../keys.ts'
import { settle } from '../settings.ts'

/** Most tenants have no words of their own, and so share translators. */
const noWording: Wording = new Map()

export const mountPathOf = ({ id, slug }: { id: string; slug: string }): string =>
  id === DEFAULT_TENANT ? '' : `/t/${slug}`

/** Prepared, since planning it takes three times as long as running it. */
const TENANT = `select t.id, t.slug, t.name, t.status, t.version, t.branding,
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
        from roles r where r.tenant_id = t.id and r.scope in ('tenant', 'client')), '[]') as roles,
      coalesce((select json_agg(r) from resources r where r.tenant_id = t.id), '[]') as resources,
      exists (select from webhooks w where w.tenant_id = t.id and w.enabled) as has_webhooks
    from tenants t where t.id = $1 and t.status <> 'deleted'`

/** The id that a slug has now, of a deleted one as well. */
export const idOf = async (db: Db, slug: string): Promise<string | undefined> =>
  (await named(db, 'tenant_id', 'select id from tenants where slug = $1', [slug]))[0]?.id

export async function loadTenant(db: Db, sealing: Sealing, publicUrl: string, id: string): Promise<Tenant | undefined> {
  const [found] = await named(db, 'tenant', TENANT, [id])
  if (!found) return undefined
  const mountPath = mountPathOf(found)
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

export const secretPlace = (tenantId: string, id: string) => `client_secrets:${tenantId}:${id}`

export async function loadClient(
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
