/** Apps that wait for approval: asked for by anybody, looked at by an administrator, who makes a client of one once. */
import { fail } from '../kernel/errors.ts'
import { find as findClient } from './clients/rows.ts'
import * as clients from './clients.ts'
import type { Context } from './context.ts'
import { newId } from './ids.ts'
import { countOf, type Page, readPage, type Window } from './pages.ts'
import { isUuid } from './permissions.ts'
import { mayLeadTo } from './registration.ts'
import * as users from './users.ts'

export type Status = 'pending' | 'approved' | 'rejected'

/** As sso-api has it: what the app says of organizations. */
export interface OrganizationSupport {
  enabled: boolean
  model: string | null
  features: string[]
  onboardingFlow: string | null
}
export interface NewRequest {
  name: string
  /** Becomes client_id. */
  clientKey: string
  description?: string | null | undefined
  /** Where the app itself is. */
  redirectUrl?: string | null | undefined
  /** Where codes go: its redirect_uri. */
  callbackUrl: string
  developerEmail: string
  developerName?: string | null | undefined
  framework?: string | null | undefined
  purpose?: string | null | undefined
  organizationSupport: OrganizationSupport
}

/** Per network, and again per mailbox, which is written to. */
export const LIMIT = { name: 'client-request', count: 10, seconds: 3600 } as const
const MOST_PENDING = 1000

interface RequestRow {
  id: string
  client_key: string
  name: string
  description: string | null
  redirect_url: string | null
  callback_url: string
  developer_email: string
  developer_name: string | null
  framework: string | null
  purpose: string | null
  organization_support: OrganizationSupport
  status: Status
  reason: string | null
  /** Of the developer. */
  locales: string[]
  created_at: Date
  decided_at: Date | null
}

export const requestView = (row: RequestRow) => ({
  id: `req_${row.id}`,
  clientKey: row.client_key,
  name: row.name,
  description: row.description,
  redirectUrl: row.redirect_url,
  callbackUrl: row.callback_url,
  developerEmail: row.developer_email,
  developerName: row.developer_name,
  framework: row.framework,
  purpose: row.purpose,
  organizationSupport: row.organization_support,
  status: row.status,
  reason: row.reason,
  createdAt: row.created_at,
  decidedAt: row.decided_at,
})
export type RequestView = ReturnType<typeof requestView>

const all = (ctx: Context) => ctx.db('client_requests').where({ tenant_id: ctx.tenant.id })

/** Before the transaction: counts what one mailbox is sent. RATE_LIMITED; ACCESS_DENIED where requests are switched off. */
export async function prepare(ctx: Context, { developerEmail }: { developerEmail: string }): Promise<void> {
  if (!ctx.tenant.settings.client_requests_enabled) throw fail('ACCESS_DENIED', 'Apps cannot be asked for here')
  const state = await ctx.out.limits.hit(`${ctx.tenant.id}:client-request-to:${users.emailKey(developerEmail)}`, LIMIT)
  if (!state.ok) throw fail('RATE_LIMITED', 'Too many mails to this address', { retryAfter: state.retryAfter })
}

/** CONFLICT when an app or a request has this key; ACCESS_DENIED while too many wait. */
export async function submit(ctx: Context, input: NewRequest): Promise<RequestView> {
  if (isUuid(input.clientKey)) throw fail('VALIDATION_ERROR', 'clientKey: must not look like an id')
  checkAddresses(input)
  await assertRoom(ctx)
  const taken = () => fail('CONFLICT', 'There is an app, or a request for one, with this clientKey already')
  const client = await ctx.db('clients').where({ tenant_id: ctx.tenant.id, client_id: input.clientKey }).first('id')
  if (client) throw taken()
  const [row] = await ctx
    .db('client_requests')
    .insert({
      tenant_id: ctx.tenant.id,
      id: newId(),
      client_key: input.clientKey,
      name: input.name,
      description: input.description ?? null,
      redirect_url: input.redirectUrl ?? null,
      callback_url: input.callbackUrl,
      developer_email: input.developerEmail,
      developer_name: input.developerName ?? null,
      framework: input.framework ?? null,
      purpose: input.purpose ?? null,
      organization_support: JSON.stringify(input.organizationSupport),
      locales: ctx.request.locales.slice(0, 10),
    })
    .onConflict(ctx.db.raw(`(tenant_id, client_key) where status = 'pending'`))
    .ignore()
    .returning('*')
  if (!row) throw taken()
  ctx.event('client_request.submitted', { clientId: row.client_key, data: { id: row.id } })
  mail(ctx, 'client-request', row)
  return requestView(row)
}

/** The rules for apps that nobody looked at hold here as well: whoever approves reads names, not addresses. */
function checkAddresses({ callbackUrl, redirectUrl }: NewRequest): void {
  if (!mayLeadTo(callbackUrl, true))
    throw fail(
      'VALIDATION_ERROR',
      'callbackUrl: use https, http on the own machine, or a scheme such as com.example.app:',
    )
  if (redirectUrl && !mayLeadTo(redirectUrl, false))
    throw fail('VALIDATION_ERROR', 'redirectUrl: use https, or http on the own machine')
}

/** Requests take turns, so that the bound holds. */
async function assertRoom(ctx: Context): Promise<void> {
  await ctx.db.raw('select pg_advisory_xact_lock(hashtext(?))', [`client requests ${ctx.tenant.id}`])
  if ((await countOf(all(ctx).where({ status: 'pending' }))) >= MOST_PENDING)
    throw fail('ACCESS_DENIED', 'No more requests are taken until some are decided')
}

/** The newest request for this key. NOT_FOUND. */
export async function byKey(ctx: Context, clientKey: string): Promise<RequestView> {
  const row = await all(ctx).where({ client_key: clientKey }).orderBy('id', 'desc').first()
  if (!row) throw fail('NOT_FOUND', 'There is no request for this clientKey')
  return requestView(row)
}

/** The oldest first. */
export async function list(ctx: Context, page: Window, status: Status | 'all'): Promise<Page<RequestView>> {
  const found = status === 'all' ? all(ctx) : all(ctx).where({ status })
  const { items, total } = await readPage<RequestRow>(found, page, (q) => q.orderBy('id'))
  return { items: items.map(requestView), total }
}

/** Decides once, in one statement. NOT_FOUND; CONFLICT when it was decided before. */
async function decide(ctx: Context, id: string, status: Status, reason: string | null): Promise<RequestRow> {
  const uuid = id.replace(/^req_/, '')
  if (!isUuid(uuid)) throw fail('NOT_FOUND', 'No such request')
  const [row] = await all(ctx)
    .where({ id: uuid, status: 'pending' })
    .update({ status, reason, decided_at: ctx.db.fn.now(), decided_by: ctx.actor?.userId ?? null })
    .returning('*')
  if (row) return row
  const known = await all(ctx).where({ id: uuid }).first('status')
  if (!known) throw fail('NOT_FOUND', 'No such request')
  throw fail('CONFLICT', `This request is ${known.status} already`)
}

export interface Approval {
  tokenEndpointAuthMethod?: string | undefined
  scope?: string | undefined
}

/** Makes the client, and mails its developer; with a link to its secret, where it has one. */
export async function approve(ctx: Context, id: string, approval: Approval): Promise<RequestView> {
  const row = await decide(ctx, id, 'approved', null)
  const isWeb = /^https?:/.test(row.callback_url)
  const client = await clients.create(ctx, {
    clientId: row.client_key,
    origin: 'request',
    policy: {},
    metadata: {
      clientName: row.name,
      redirectUris: [row.callback_url],
      applicationType: isWeb ? 'web' : 'native',
      tokenEndpointAuthMethod: approval.tokenEndpointAuthMethod ?? 'client_secret_basic',
      contacts: [row.developer_email],
      ...(row.redirect_url && { postLogoutRedirectUris: [row.redirect_url] }),
      ...(row.redirect_url?.startsWith('https:') && { clientUri: row.redirect_url }),
      ...(approval.scope !== undefined && { scope: approval.scope }),
    },
  })
  await all(ctx).where({ id: row.id }).update({ client: client.id })
  ctx.event('client_request.approved', { clientId: row.client_key, data: { id: row.id } })
  mail(ctx, 'client-approved', row, { app: row.client_key, ...(client.clientSecret && { client: client.id }) })
  return requestView(row)
}

/** The reason is mailed to the developer. */
export async function reject(ctx: Context, id: string, reason: string | null): Promise<RequestView> {
  const row = await decide(ctx, id, 'rejected', reason)
  ctx.event('client_request.rejected', { clientId: row.client_key, data: { id: row.id, reason } })
  mail(ctx, 'client-rejected', row, { app: row.client_key, ...(reason && { reason }) })
  return requestView(row)
}

function mail(ctx: Context, template: string, row: RequestRow, more: object = {}): void {
  ctx.job('mail', { template, email: row.developer_email, locales: row.locales, ...more })
}

/** What an approved app needs to know of itself; nothing secret. NOT_FOUND for clients that came in another way. */
export async function configOf(ctx: Context, clientKey: string) {
  const client = await findClient(ctx, clientKey)
  if (client.client_id !== clientKey || client.origin !== 'request') throw fail('NOT_FOUND', 'No such client')
  const request = await all(ctx).where({ client: client.id }).first('organization_support')
  const { metadata } = client
  return {
    clientKey,
    clientId: clientKey,
    name: metadata.client_name ?? clientKey,
    issuer: ctx.tenant.issuer,
    redirectUris: metadata.redirect_uris as string[],
    postLogoutRedirectUris: (metadata.post_logout_redirect_uris ?? []) as string[],
    scope: metadata.scope as string,
    tokenEndpointAuthMethod: metadata.token_endpoint_auth_method as string,
    logoUri: client.branding.logo_uri ?? metadata.logo_uri ?? null,
    organizationSupport: request.organization_support as OrganizationSupport,
  }
}
