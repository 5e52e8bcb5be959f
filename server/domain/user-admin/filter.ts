/** Which people: the conditions on one person, who must be there anyway, and what an index alone knows of each. */
import type { Knex } from 'knex'
import type { Context } from '../context.ts'
import { like } from '../permissions.ts'
import { emailKey } from '../users.ts'

export interface UserFilter {
  q?: string | undefined
  status?: 'active' | 'disabled' | 'locked' | 'deleted' | undefined
  /** Ids of roles, each held directly. */
  roleIds?: string[] | undefined
  /** Only members of this organization. */
  organizationId?: string | undefined
  emailVerified?: boolean | undefined
  createdAfter?: Date | undefined
  createdBefore?: Date | undefined
  lastLoginAfter?: Date | undefined
  lastLoginBefore?: Date | undefined
}

export const LAST_LOGIN = `coalesce(users.last_login_at, '-infinity'::timestamptz)`
export type Query = Knex.QueryBuilder

/** What conditions and orders look at: all of it is in every index that lists are read from (migration 23). */
const COLUMNS = [
  'tenant_id',
  'id',
  'created_at',
  'last_login_at',
  'email_key',
  'name_key',
  'family_key',
  'email_verified_at',
  'status',
]

/** All there are, or all who are gone. */
export function people(ctx: Context, filter: UserFilter): Query {
  const columns = filter.status === 'locked' ? [...COLUMNS, 'locked_until'] : COLUMNS
  const found = ctx.db('users').where({ 'users.tenant_id': ctx.tenant.id })
  found.select(columns.map((column) => `users.${column}`))
  return filter.status === 'deleted' ? found.whereNotNull('users.deleted_at') : found.whereNull('users.deleted_at')
}

export const textOf = ({ q }: UserFilter): string | undefined => q?.trim() || undefined

export const hasAddress = (text: string) => sql('users.email_key like ?', `${like(emailKey(text))}%`)
export const hasName = (text: string) => sql('users.name_key like lower(?)', nameStart(text))
export const hasFamily = (text: string) => sql('users.family_key like lower(?)', nameStart(text))
const nameStart = (text: string) => `${like(text.replace(/\s+/g, ' '))}%`
const sql = (text: string, value: string) => [text, [value]] as const

export const createdWithin = (found: Query, { createdAfter, createdBefore }: UserFilter): Query => {
  if (createdAfter) found.where('users.created_at', '>=', createdAfter)
  if (createdBefore) found.where('users.created_at', '<', createdBefore)
  return found
}
export const seenWithin = (found: Query, { lastLoginAfter, lastLoginBefore }: UserFilter): Query => {
  if (lastLoginAfter) found.whereRaw(`${LAST_LOGIN} >= ?`, [lastLoginAfter])
  if (lastLoginBefore) found.whereRaw(`${LAST_LOGIN} < ?`, [lastLoginBefore])
  return found
}
export const locked = (ctx: Context, found: Query): Query =>
  found.whereNotNull('users.locked_until').where('users.locked_until', '>', ctx.db.fn.now())

/** Narrows people, named users, to those who pass. */
export function passing(ctx: Context, found: Query, filter: UserFilter): Query {
  if (filter.status === 'active' || filter.status === 'disabled') found.where('users.status', filter.status)
  if (filter.status === 'locked') locked(ctx, found)
  if (filter.emailVerified === true) found.whereNotNull('users.email_verified_at')
  if (filter.emailVerified === false) found.whereNull('users.email_verified_at')
  createdWithin(found, filter)
  seenWithin(found, filter)
  const text = textOf(filter)
  if (text)
    found.where((q) =>
      q
        .whereRaw(...hasAddress(text))
        .orWhereRaw(...hasName(text))
        .orWhereRaw(...hasFamily(text)),
    )
  return found
}

/** Where a person stands in a group: a role's holders, or an organization's members. */
export interface Group {
  table: 'user_roles' | 'memberships'
  key: 'role_id' | 'organization_id'
  id: string
}
export const groupsOf = ({ roleIds = [], organizationId }: UserFilter): Group[] => [
  ...roleIds.map((id) => ({ table: 'user_roles', key: 'role_id', id }) as const),
  ...(organizationId ? [{ table: 'memberships', key: 'organization_id', id: organizationId } as const] : []),
]

/** Narrows to a group's members, however the planner likes. */
export const within = (ctx: Context, found: Query, group: Group, person: string): Query =>
  found.whereRaw(...membership(ctx, group, person, ''))

/** Narrows to a group's members, each looked up: the planner makes no join of it. */
export const lookedUp = (ctx: Context, found: Query, group: Group, person: string): Query =>
  found.whereRaw(...membership(ctx, group, person, 'offset 0'))

const membership = ({ tenant }: Context, { table, key, id }: Group, person: string, end: string) =>
  [
    `exists (select from ${table} g where g.tenant_id = ? and g.user_id = ${person} and g.${key} = ? ${end})`,
    [tenant.id, id],
  ] as const
