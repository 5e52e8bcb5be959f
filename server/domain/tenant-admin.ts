/** Tenants as the default tenant's administrators manage them. To everybody else there are no tenants but their own. */
import type { Knex } from 'knex'
import { fail } from '../kernel/errors.ts'
import { change as changeBranding, merged } from './branding.ts'
import type { Context } from './context.ts'
import type { Branding, Tenant } from './directory.ts'
import { type Pending, writeEvents, writeJobs } from './events.ts'
import { DEFAULT_TENANT } from './ids.ts'
import type { FreshKey } from './keys.ts'
import { type CursorWindow, countOf, cut } from './pages.ts'
import * as settings from './settings-admin.ts'
import * as tenants from './tenants.ts'

export interface TenantRow {
  id: string
  slug: string
  name: string
  status: Tenant['status']
  branding: Branding
  version: number
  /** Of a deleted one: when its data goes for good. */
  purge_at: Date | null
  purging_at: Date | null
  created_at: Date
  updated_at: Date
}

/** Permissions about tenants mean something in the default tenant only: NOT_FOUND in any other. */
function assertHome(ctx: Context): void {
  if (ctx.tenant.id !== DEFAULT_TENANT) throw fail('NOT_FOUND', 'Tenants are managed in the default tenant')
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** By id or slug. NOT_FOUND; a deleted one only where asked for. `lock` makes other changes wait. */
export async function find(
  ctx: Context,
  key: string,
  { deleted = false, lock = false }: { deleted?: boolean; lock?: boolean } = {},
): Promise<TenantRow> {
  assertHome(ctx)
  const query = ctx.db('tenants').where(UUID.test(key) ? { id: key } : { slug: key.toLowerCase() })
  const found = await (lock ? query.forNoKeyUpdate() : query).first()
  if (!found || (found.status === 'deleted' && !deleted)) throw fail('NOT_FOUND', 'No such tenant')
  return found
}

export async function versionOf(ctx: Context, key: string, lock: boolean): Promise<string> {
  const { id, version } = await find(ctx, key, { deleted: true, lock })
  return `tenant ${id} ${version}`
}

export interface TenantFilter {
  q?: string | undefined
  status?: Tenant['status'] | undefined
}

/** In the order of slugs, which an index keeps; `cursor` is the last slug of the page before. */
export async function list(
  ctx: Context,
  { q, status }: TenantFilter,
  { limit, offset, cursor }: CursorWindow,
): Promise<{ items: TenantRow[]; total: number; nextCursor: string | undefined }> {
  assertHome(ctx)
  const matching = ctx.db('tenants')
  if (status) matching.where({ status })
  else matching.whereNot('status', 'deleted')
  if (q) matching.whereRaw('search_key like lower(?)', [`%${q.replace(/[\\%_]/g, '\\$&')}%`])
  const page = matching
    .clone()
    .orderBy('slug')
    .limit(limit + 1)
  if (cursor) page.where('slug', '>', cursor)
  else page.offset(offset)
  const [rows, total] = await Promise.all([page, countOf(matching)])
  return { ...cut(rows, limit, (last) => last.slug), total }
}

export interface NewTenant {
  name: string
  slug?: string | undefined
  branding?: Branding | undefined
  settings?: Record<string, unknown> | undefined
}

/** Ready at once: issuer, keys, roles, settings. CONFLICT when the slug is taken, also by a deleted tenant. */
export async function create(ctx: Context, input: NewTenant, keys: FreshKey[]): Promise<TenantRow> {
  assertHome(ctx)
  const slug = input.slug ?? slugOf(input.name)
  if (!slug) throw fail('VALIDATION_ERROR', 'This name makes no slug: give one')
  if (await ctx.db('tenants').where({ slug }).first('id')) throw fail('CONFLICT', 'There is a tenant with this slug')
  const id = await tenants.create(ctx.db as Knex.Transaction, ctx.out.sealing, { slug, name: input.name, keys })
  if (input.branding)
    await ctx
      .db('tenants')
      .where({ id })
      .update({ branding: JSON.stringify(merged({}, input.branding as Record<string, unknown>)) })
  const made = await find(ctx, id)
  if (input.settings) await inside(ctx, made, (inner) => settings.change(inner, input.settings!))
  ctx.event('tenant.created', { data: { tenantId: id, slug, name: input.name } })
  return find(ctx, id)
}

const slugOf = (name: string): string =>
  name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '')

export interface TenantChange {
  name?: string | undefined
  /** Merged key by key; null removes. */
  branding?: Record<string, unknown> | undefined
  status?: 'active' | 'suspended' | undefined
  settings?: Record<string, unknown> | undefined
}

/**
 * Absent keys stay. A suspended tenant refuses everything, at once and in all processes; 'active' also brings a deleted one
 * back. CONFLICT for suspending the default tenant.
 */
export async function update(ctx: Context, key: string, change: TenantChange): Promise<TenantRow> {
  const before = await find(ctx, key, { deleted: true, lock: true })
  const { name, branding, status } = change
  if (before.status === 'deleted' && (status !== 'active' || before.purging_at))
    throw fail('NOT_FOUND', 'No such tenant')
  if (status === 'suspended' && before.id === DEFAULT_TENANT)
    throw fail('CONFLICT', 'The default tenant cannot be suspended')
  const fields = Object.keys(change).filter((field) => change[field as keyof TenantChange] !== undefined)
  if (fields.length === 0) return before
  await ctx
    .db('tenants')
    .where({ id: before.id })
    .update({
      ...(name !== undefined && { name }),
      ...(status !== undefined && { status, purge_at: null }),
      version: ctx.db.raw('version + 1'),
      updated_at: ctx.db.fn.now(),
    })
  if (branding) await inside(ctx, before, (inner) => changeBranding(inner, branding))
  if (change.settings) await inside(ctx, before, (inner) => settings.change(inner, change.settings!))
  const data = { tenantId: before.id, slug: before.slug }
  ctx.event('tenant.updated', { data: { ...data, fields } })
  if (status !== undefined && status !== before.status)
    ctx.event(status === 'suspended' ? 'tenant.suspended' : 'tenant.activated', { data })
  return find(ctx, before.id)
}

/**
 * Nothing of it answers any more. Its data and its slug are kept for `graceDays`, in which update() can bring it back, and
 * then purged (tenant-purge.ts). Answers when.
 */
export async function remove(ctx: Context, key: string, graceDays: number): Promise<Date> {
  const tenant = await find(ctx, key, { lock: true })
  if (tenant.id === DEFAULT_TENANT) throw fail('CONFLICT', 'The default tenant cannot be deleted')
  const [row] = await ctx
    .db('tenants')
    .where({ id: tenant.id })
    .update({
      status: 'deleted',
      purge_at: ctx.db.raw('now() + make_interval(days => ?)', [graceDays]),
      version: ctx.db.raw('version + 1'),
      updated_at: ctx.db.fn.now(),
    })
    .returning('purge_at')
  ctx.event('tenant.deleted', { data: { tenantId: tenant.id, slug: tenant.slug, purgeAt: row.purge_at } })
  return row.purge_at
}

/**
 * Runs fn as if asked in that tenant, in the same transaction: rows, events and jobs are that tenant's. For what goes by the
 * tenant's id only; keys, roles and settings in the context stay those of the default tenant.
 */
export async function inside<T>(
  ctx: Context,
  tenant: Pick<TenantRow, 'id' | 'slug' | 'name' | 'status' | 'branding' | 'version'>,
  fn: (inner: Context) => Promise<T>,
): Promise<T> {
  const there = { ...ctx.tenant, ...tenant, hasWebhooks: true }
  const inner: Context & Pending = { ...ctx, tenant: there, events: [], jobs: [] }
  inner.event = (type, fields = {}) => void inner.events.push({ type, ...fields })
  inner.job = (task, payload, runAt) => void inner.jobs.push({ task, payload, ...(runAt && { runAt }) })
  const result = await fn(inner)
  await writeEvents(inner)
  await writeJobs(inner)
  return result
}
