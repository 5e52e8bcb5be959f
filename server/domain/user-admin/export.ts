/**
 * All people that a filter finds, as CSV, JSON or lines of JSON, written while they are read, page by page. Nothing of what
 * people prove themselves with. Importing reads the same columns.
 */
import { Readable } from 'node:stream'
import { csvLines } from '../../../adapters/csv.ts'
import { download } from '../../kernel/download.ts'
import type { Context } from '../context.ts'
import type { ManagedRow } from '../user-admin.ts'
import type { UserFilter } from './filter.ts'
import { page } from './list.ts'

export const FORMATS = ['csv', 'json', 'ndjson'] as const
export type Format = (typeof FORMATS)[number]

const types: Record<Format, string> = { csv: 'text/csv', json: 'application/json', ndjson: 'application/x-ndjson' }
const PAGE = 1000

/** As they leave, in the names of the v1 surface. */
interface Exported {
  id: string
  email: string | null
  is_email_verified: boolean
  given_name: string | null
  family_name: string | null
  nickname: string | null
  phone_number: string | null
  phone_number_verified: boolean
  picture: string | null
  locale: string | null
  zoneinfo: string | null
  status: ManagedRow['status']
  roles: string[]
  organizations: string[]
  attributes: Record<string, unknown>
  created_at: Date
  updated_at: Date
  last_login_at: Date | null
}

/** The order of columns. */
export const COLUMNS = [
  'id',
  'email',
  'is_email_verified',
  'given_name',
  'family_name',
  'nickname',
  'phone_number',
  'phone_number_verified',
  'picture',
  'locale',
  'zoneinfo',
  'status',
  'roles',
  'organizations',
  'attributes',
  'created_at',
  'updated_at',
  'last_login_at',
] as const satisfies (keyof Exported)[]

/** The stream of UTF-8 text. That it was asked for is an event at once. */
export async function exportUsers(ctx: Context, format: Format, filter: UserFilter): Promise<Readable> {
  const asked = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
  await ctx.out.recordNow(ctx, 'users.exported', { data: { format, filter: asked } })
  return download(Readable.from(written(ctx, format, filter)), types[format], `users.${format}`)
}

async function* written(ctx: Context, format: Format, filter: UserFilter): AsyncGenerator<string> {
  if (format === 'csv') yield `${COLUMNS.join(',')}\n`
  if (format === 'json') yield '{"users":['
  let separator = '\n'
  for await (const people of pages(ctx, filter)) {
    if (format === 'csv') yield csvLines(people.map((person) => COLUMNS.map((name) => cellOf(person[name]))))
    else if (format === 'ndjson') yield people.map((person) => `${JSON.stringify(person)}\n`).join('')
    else {
      yield separator + people.map((person) => JSON.stringify(person)).join(',\n')
      separator = ',\n'
    }
  }
  if (format === 'json') yield '\n]}\n'
}

/** A list of plain words is joined by semicolons; everything else that is no text is JSON. */
function cellOf(value: unknown): string | null {
  if (value === null || typeof value === 'string') return value
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value) && value.every((item) => /^[^;[\s][^;]*$/.test(item))) return value.join(';')
  return JSON.stringify(value)
}

async function* pages(ctx: Context, filter: UserFilter): AsyncGenerator<Exported[]> {
  let cursor: string | undefined
  do {
    const { items, nextCursor } = await page(ctx, filter, { limit: PAGE, offset: 0, sort: 'created_at', cursor })
    const ids = items.map(({ id }) => id)
    const [roles, organizations] = await Promise.all([rolesOf(ctx, ids), organizationsOf(ctx, ids)])
    if (items.length > 0)
      yield items.map((row) => exported(row, roles.get(row.id) ?? [], organizations.get(row.id) ?? []))
    cursor = nextCursor
  } while (cursor !== undefined)
}

/** Names of the roles held directly, by person. Those of clients are said with their client. */
async function rolesOf(ctx: Context, ids: string[]): Promise<Map<string, string[]>> {
  const { rows } = await ctx.db.raw(
    `select u.user_id, array_agg(case when r.scope = 'client' then c.client_id || '/' || r.name else r.name end
       order by r.scope, r.name) as names
     from user_roles u
     join roles r on r.tenant_id = u.tenant_id and r.id = u.role_id
     left join clients c on c.tenant_id = r.tenant_id and c.id = r.owner_id
     where u.tenant_id = ? and u.user_id = any(?::uuid[]) and r.scope <> 'organization'
     group by u.user_id`,
    [ctx.tenant.id, ids],
  )
  return new Map(rows.map((row: { user_id: string; names: string[] }) => [row.user_id, row.names]))
}

/** Slugs of the organizations, by person. */
async function organizationsOf(ctx: Context, ids: string[]): Promise<Map<string, string[]>> {
  const { rows } = await ctx.db.raw(
    `select m.user_id, array_agg(o.slug order by o.slug) as slugs
     from memberships m join organizations o on o.tenant_id = m.tenant_id and o.id = m.organization_id
     where m.tenant_id = ? and m.user_id = any(?::uuid[]) group by m.user_id`,
    [ctx.tenant.id, ids],
  )
  return new Map(rows.map((row: { user_id: string; slugs: string[] }) => [row.user_id, row.slugs]))
}

const exported = (row: ManagedRow, roles: string[], organizations: string[]): Exported => ({
  id: row.id,
  email: row.email,
  is_email_verified: row.email_verified_at !== null,
  given_name: row.given_name,
  family_name: row.family_name,
  nickname: row.nickname,
  phone_number: row.phone_number,
  phone_number_verified: row.phone_verified_at !== null,
  picture: row.picture,
  locale: row.locale,
  zoneinfo: row.zoneinfo,
  status: row.status,
  roles,
  organizations,
  attributes: row.attributes,
  created_at: row.created_at,
  updated_at: row.updated_at,
  last_login_at: row.last_login_at,
})
