/** Other identity providers people of a tenant may sign in with: presets, and rows with sealed secrets. */
import { createPrivateKey } from 'node:crypto'
import type { SocialConfig, SocialProvider } from '../../adapters/social.ts'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import type { Tenant } from './directory.ts'
import { newId } from './ids.ts'
import { type Page, readPage, type Window } from './pages.ts'

export const PROTOCOLS = ['oidc', 'oauth2'] as const
export type Protocol = (typeof PROTOCOLS)[number]

interface Preset {
  name: string
  protocol: Protocol
  config: SocialConfig
}
const profile = ['openid', 'email', 'profile']

/** What is known of the well-known ones. Microsoft's work accounts may carry any address, so its word does not count. */
export const presets: Record<string, Preset> = {
  google: {
    name: 'Google',
    protocol: 'oidc',
    config: { issuer: 'https://accounts.google.com', scopes: profile, trust_email: true },
  },
  microsoft: {
    name: 'Microsoft',
    protocol: 'oidc',
    config: { issuer: 'https://login.microsoftonline.com/common/v2.0', scopes: profile, trust_email: false },
  },
  apple: {
    name: 'Apple',
    protocol: 'oidc',
    config: {
      issuer: 'https://appleid.apple.com',
      scopes: ['openid', 'email', 'name'],
      trust_email: true,
      parameters: { response_mode: 'form_post' },
    },
  },
  gitlab: {
    name: 'GitLab',
    protocol: 'oidc',
    config: { issuer: 'https://gitlab.com', scopes: profile, trust_email: true },
  },
  github: {
    name: 'GitHub',
    protocol: 'oauth2',
    config: {
      issuer: 'https://github.com',
      authorization_endpoint: 'https://github.com/login/oauth/authorize',
      token_endpoint: 'https://github.com/login/oauth/access_token',
      userinfo_endpoint: 'https://api.github.com/user',
      emails_endpoint: 'https://api.github.com/user/emails',
      scopes: ['read:user', 'user:email'],
      claims: { sub: 'id', picture: 'avatar_url' },
      trust_email: true,
    },
  },
}

export interface ProviderView {
  id: string
  slug: string
  name: string
  protocol: Protocol
  clientId: string
  hasSecret: boolean
  enabled: boolean
  issuer: string | null
  authorizationEndpoint: string | null
  tokenEndpoint: string | null
  userinfoEndpoint: string | null
  scopes: string[]
  trustEmail: boolean
  createdAt: Date
  updatedAt: Date
}

interface ProviderRow {
  id: string
  slug: string
  name: string
  protocol: Protocol
  client_id: string
  client_secret_encrypted: Buffer | null
  config: SocialConfig
  enabled: boolean
  created_at: Date
  updated_at: Date
}

const view = (row: ProviderRow): ProviderView => ({
  id: row.id,
  slug: row.slug,
  name: row.name,
  protocol: row.protocol,
  clientId: row.client_id,
  hasSecret: row.client_secret_encrypted !== null,
  enabled: row.enabled,
  issuer: row.config.issuer ?? null,
  authorizationEndpoint: row.config.authorization_endpoint ?? null,
  tokenEndpoint: row.config.token_endpoint ?? null,
  userinfoEndpoint: row.config.userinfo_endpoint ?? null,
  scopes: row.config.scopes,
  trustEmail: row.config.trust_email,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

export interface NewProvider {
  slug: string
  preset?: string | undefined
  name?: string | undefined
  protocol?: Protocol | undefined
  clientId: string
  clientSecret?: string | undefined
  issuer?: string | undefined
  authorizationEndpoint?: string | undefined
  tokenEndpoint?: string | undefined
  userinfoEndpoint?: string | undefined
  emailsEndpoint?: string | undefined
  scopes?: string[] | undefined
  claims?: Record<string, string> | undefined
  trustEmail?: boolean | undefined
  teamId?: string | undefined
  keyId?: string | undefined
  enabled?: boolean | undefined
}

const given = <T extends object>(fields: T): Partial<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>

const sealedAt = (tenantId: string, id: string) => `identity_providers:${tenantId}:${id}`

/** VALIDATION_ERROR where something is missing, CONFLICT where the slug is taken. */
export async function create(ctx: Context, input: NewProvider): Promise<ProviderView> {
  const preset = input.preset === undefined ? undefined : presets[input.preset]
  const protocol = input.protocol ?? preset?.protocol ?? 'oidc'
  const config: SocialConfig = {
    scopes: protocol === 'oidc' ? profile : [],
    trust_email: false,
    ...preset?.config,
    ...given({
      preset: input.preset,
      issuer: input.issuer,
      authorization_endpoint: input.authorizationEndpoint,
      token_endpoint: input.tokenEndpoint,
      userinfo_endpoint: input.userinfoEndpoint,
      emails_endpoint: input.emailsEndpoint,
      scopes: input.scopes,
      claims: input.claims,
      trust_email: input.trustEmail,
      team_id: input.teamId,
      key_id: input.keyId,
    }),
  }
  assertComplete(ctx, protocol, config)
  assertKey(config, input.clientSecret)
  const id = newId()
  const [row] = await ctx
    .db('identity_providers')
    .insert({
      tenant_id: ctx.tenant.id,
      id,
      slug: input.slug,
      name: input.name ?? preset?.name ?? input.slug,
      protocol,
      config: JSON.stringify(config),
      client_id: input.clientId,
      client_secret_encrypted: seal(ctx, id, input.clientSecret),
      enabled: input.enabled ?? true,
    })
    .onConflict(['tenant_id', 'slug'])
    .ignore()
    .returning('*')
  if (!row) throw fail('CONFLICT', 'There is a provider with this slug already')
  ctx.event('identity_provider.created', { data: { provider: input.slug } })
  return view(row)
}

function assertComplete(ctx: Context, protocol: Protocol, config: SocialConfig): void {
  const needed =
    protocol === 'oidc'
      ? (['issuer'] as const)
      : (['authorization_endpoint', 'token_endpoint', 'userinfo_endpoint'] as const)
  const missing = needed.filter((key) => !config[key])
  if (missing.length > 0) throw fail('VALIDATION_ERROR', `${missing.join(', ')} needed for ${protocol}`)
  if (Boolean(config.team_id) !== Boolean(config.key_id))
    throw fail('VALIDATION_ERROR', 'team_id and key_id belong together')
  const urls = [config.issuer, config.authorization_endpoint, config.token_endpoint, config.userinfo_endpoint]
  for (const url of [...urls, config.emails_endpoint]) {
    const scheme = url === undefined ? 'https:' : URL.parse(url)?.protocol
    if (scheme !== 'https:' && !(scheme === 'http:' && !ctx.out.config.production))
      throw fail('VALIDATION_ERROR', `${url} must be an https address`)
  }
}

/** With key_id (Apple) the secret is a key. VALIDATION_ERROR for what could not sign with ES256. */
function assertKey(config: SocialConfig, secret: string | null | undefined): void {
  if (!config.key_id || secret == null) return
  const bad = () =>
    fail('VALIDATION_ERROR', 'client_secret: with key_id it must be a private P-256 key in PEM (PKCS 8)')
  try {
    const { asymmetricKeyDetails } = createPrivateKey(secret)
    if (asymmetricKeyDetails?.namedCurve === 'prime256v1' && secret.includes('BEGIN PRIVATE KEY')) return
  } catch {}
  throw bad()
}

const seal = (ctx: Context, id: string, secret: string | undefined) =>
  secret === undefined ? null : ctx.out.sealing.seal(secret, sealedAt(ctx.tenant.id, id))

export async function list(ctx: Context, page: Window): Promise<Page<ProviderView>> {
  const all = ctx.db('identity_providers').where({ tenant_id: ctx.tenant.id })
  const { items, total } = await readPage<ProviderRow>(all, page, (q) => q.orderBy('slug'))
  return { items: items.map(view), total }
}

const bySlug = (ctx: Context, slug: string) => ctx.db('identity_providers').where({ tenant_id: ctx.tenant.id, slug })

export async function get(ctx: Context, slug: string): Promise<ProviderView> {
  const row = await bySlug(ctx, slug).first()
  if (!row) throw noProvider()
  return view(row)
}
const noProvider = () => fail('NOT_FOUND', 'No such identity provider')

export interface ProviderChange {
  name?: string | undefined
  clientId?: string | undefined
  clientSecret?: string | null | undefined
  scopes?: string[] | undefined
  trustEmail?: boolean | undefined
  enabled?: boolean | undefined
}

/** Whom a subject belongs to is decided by issuer and endpoints, so these never change: delete and create instead. */
export async function update(ctx: Context, slug: string, change: ProviderChange): Promise<ProviderView> {
  const row = await bySlug(ctx, slug).forUpdate().first()
  if (!row) throw noProvider()
  const config = { ...row.config, ...given({ scopes: change.scopes, trust_email: change.trustEmail }) }
  assertKey(config, change.clientSecret)
  const secret =
    change.clientSecret === undefined
      ? row.client_secret_encrypted
      : seal(ctx, row.id, change.clientSecret ?? undefined)
  const [changed] = await bySlug(ctx, slug)
    .update({
      ...given({ name: change.name, client_id: change.clientId, enabled: change.enabled }),
      config: JSON.stringify(config),
      client_secret_encrypted: secret,
      updated_at: ctx.db.fn.now(),
    })
    .returning('*')
  ctx.event('identity_provider.updated', { data: { provider: slug, fields: Object.keys(given(change)) } })
  return view(changed)
}

/** The stored secret itself, to compare with; undefined where there is none. Never to be shown. */
export async function secretOf(ctx: Context, slug: string): Promise<string | undefined> {
  const row = await bySlug(ctx, slug).first('id', 'client_secret_encrypted')
  if (!row?.client_secret_encrypted) return undefined
  return ctx.out.sealing.open(row.client_secret_encrypted, sealedAt(ctx.tenant.id, row.id)).toString()
}

/** Its links go with it: another provider of the same slug must not inherit them. */
export async function remove(ctx: Context, slug: string): Promise<void> {
  const gone = await bySlug(ctx, slug).delete()
  if (gone === 0) throw noProvider()
  const unlinked = await ctx.db('identities').where({ tenant_id: ctx.tenant.id, provider: slug }).delete()
  ctx.event('identity_provider.deleted', { data: { provider: slug, unlinked } })
}

/** A provider ready to use. */
export interface Ready extends SocialProvider {
  slug: string
  name: string
}
/** A change of any row makes a new tenant object. */
const ready = new WeakMap<Tenant, Promise<Ready[]>>()

/** The enabled ones, by name. */
export function enabled(ctx: Context): Promise<Ready[]> {
  const { tenant, out } = ctx
  const known = ready.get(tenant)
  if (known) return known
  const loading = out
    .db('identity_providers')
    .where({ tenant_id: tenant.id, enabled: true })
    .orderBy('name')
    .then((rows) =>
      rows.map((row) => ({
        slug: row.slug,
        name: row.name,
        version: `${row.id} ${row.updated_at.toISOString()}`,
        protocol: row.protocol,
        clientId: row.client_id,
        clientSecret: row.client_secret_encrypted
          ? out.sealing.open(row.client_secret_encrypted, sealedAt(tenant.id, row.id)).toString()
          : undefined,
        config: row.config,
      })),
    )
  ready.set(tenant, loading)
  loading.catch(() => ready.delete(tenant))
  return loading
}

export async function find(ctx: Context, slug: string): Promise<Ready> {
  const found = (await enabled(ctx)).find((p) => p.slug === slug)
  if (!found) throw noProvider()
  return found
}
