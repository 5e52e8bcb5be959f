/** API resources: resource servers that tokens are restricted to (RFC 8707). */
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { newId } from './ids.ts'
import { type Page, readPage, type Window } from './pages.ts'
import { ownScopes } from './scopes.ts'

export interface ResourceFields {
  identifier: string
  name: string
  scopes: { name: string; description?: string }[]
  tokenFormat: 'jwt' | 'opaque'
  /** Seconds. */
  tokenLifetime: number
  signingAlg: 'ES256' | 'RS256'
}
export interface ResourceView extends ResourceFields {
  id: string
  createdAt: Date
  updatedAt: Date
}
interface ResourceRow {
  id: string
  identifier: string
  name: string
  scopes: ResourceFields['scopes']
  token_format: ResourceFields['tokenFormat']
  token_lifetime: number
  signing_alg: ResourceFields['signingAlg']
  created_at: Date
  updated_at: Date
}

const columns = (fields: Partial<ResourceFields>) => ({
  ...(fields.identifier !== undefined && { identifier: fields.identifier }),
  ...(fields.name !== undefined && { name: fields.name }),
  ...(fields.scopes !== undefined && { scopes: JSON.stringify(fields.scopes) }),
  ...(fields.tokenFormat !== undefined && { token_format: fields.tokenFormat }),
  ...(fields.tokenLifetime !== undefined && { token_lifetime: fields.tokenLifetime }),
  ...(fields.signingAlg !== undefined && { signing_alg: fields.signingAlg }),
})

/** RFC 8707 2: an absolute URI without fragment. Scopes of our own API cannot be taken over. */
function check(ctx: Context, fields: Partial<ResourceFields>): void {
  const { identifier, scopes = [] } = fields
  if (identifier !== undefined && (!URL.canParse(identifier) || identifier.includes('#'))) {
    throw fail('VALIDATION_ERROR', 'identifier must be an absolute URI without a fragment')
  }
  if (identifier === ctx.tenant.issuer) throw fail('CONFLICT', 'identifier: this is the address of Gatehouse itself')
  const taken = scopes.find(({ name }) => ownScopes.has(name))
  if (taken) throw fail('CONFLICT', `scopes: ${taken.name} is a scope of Gatehouse itself`)
}

export async function create(ctx: Context, fields: ResourceFields): Promise<ResourceView> {
  check(ctx, fields)
  const [row] = await ctx
    .db('resources')
    .insert({ tenant_id: ctx.tenant.id, id: newId(), ...columns(fields) })
    .onConflict(['tenant_id', 'identifier'])
    .ignore()
    .returning('*')
  if (!row) throw fail('CONFLICT', 'There is a resource with this identifier already')
  ctx.event('resource.created', { data: { identifier: fields.identifier } })
  return view(row)
}

export async function list(ctx: Context, page: Window): Promise<Page<ResourceView>> {
  const all = ctx.db('resources').where({ tenant_id: ctx.tenant.id })
  const { items, total } = await readPage<ResourceRow>(all, page, (q) => q.orderBy('identifier'))
  return { items: items.map(view), total }
}

export async function get(ctx: Context, id: string): Promise<ResourceView> {
  const row = await ctx.db('resources').where({ tenant_id: ctx.tenant.id, id }).first()
  if (!row) throw fail('NOT_FOUND', 'No such resource')
  return view(row)
}

export async function update(ctx: Context, id: string, change: Partial<ResourceFields>): Promise<ResourceView> {
  check(ctx, change)
  const [row] = await ctx
    .db('resources')
    .where({ tenant_id: ctx.tenant.id, id })
    .update({ ...columns(change), updated_at: ctx.db.fn.now() })
    .returning('*')
  if (!row) throw fail('NOT_FOUND', 'No such resource')
  ctx.event('resource.updated', { data: { identifier: row.identifier, fields: Object.keys(change) } })
  return view(row)
}

export async function remove(ctx: Context, id: string): Promise<void> {
  const [row] = await ctx.db('resources').where({ tenant_id: ctx.tenant.id, id }).delete().returning('identifier')
  if (!row) throw fail('NOT_FOUND', 'No such resource')
  ctx.event('resource.deleted', { data: { identifier: row.identifier } })
}

const view = (row: ResourceRow): ResourceView => ({
  id: row.id,
  identifier: row.identifier,
  name: row.name,
  scopes: row.scopes,
  tokenFormat: row.token_format,
  tokenLifetime: row.token_lifetime,
  signingAlg: row.signing_alg,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})
