/**
 * Which people: conditions on one person, and for each part of a filter that an index finds people by, the ids it finds (an arm).
 * Where one arm finds few, these are looked at one by one; otherwise the order's index is walked until enough have passed.
 */
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
type Query = Knex.QueryBuilder

const people = (ctx: Context, filter: UserFilter): Query => {
  const found = ctx.db('users').where({ 'users.tenant_id': ctx.tenant.id })
  return filter.status === 'deleted' ? found.whereNotNull('users.deleted_at') : found.whereNull('users.deleted_at')
}
const textOf = ({ q }: UserFilter): string | undefined => q?.trim() || undefined
const nameStart = (text: string) => `${like(text.replace(/\s+/g, ' '))}%`
const addressStart = (text: string) => `${like(emailKey(text))}%`

const createdWithin = (found: Query, { createdAfter, createdBefore }: UserFilter): Query => {
  if (createdAfter) found.where('users.created_at', '>=', createdAfter)
  if (createdBefore) found.where('users.created_at', '<', createdBefore)
  return found
}
const seenWithin = (found: Query, { lastLoginAfter, lastLoginBefore }: UserFilter): Query => {
  if (lastLoginAfter) found.whereRaw(`${LAST_LOGIN} >= ?`, [lastLoginAfter])
  if (lastLoginBefore) found.whereRaw(`${LAST_LOGIN} < ?`, [lastLoginBefore])
  return found
}
const locked = (ctx: Context, found: Query): Query =>
  found.whereNotNull('users.locked_until').where('users.locked_until', '>', ctx.db.fn.now())

/**
 * Users, each of whom passes. A role or organization is looked up person by person: `offset 0` keeps the planner from reading all
 * its members first.
 */
export function matching(ctx: Context, filter: UserFilter): Query {
  const found = people(ctx, filter)
  if (filter.status === 'active' || filter.status === 'disabled') found.where('users.status', filter.status)
  if (filter.status === 'locked') locked(ctx, found)
  if (filter.emailVerified === true) found.whereNotNull('users.email_verified_at')
  if (filter.emailVerified === false) found.whereNull('users.email_verified_at')
  createdWithin(found, filter)
  seenWithin(found, filter)
  if (filter.organizationId)
    found.whereRaw(
      `exists (select from memberships m where m.tenant_id = users.tenant_id and m.user_id = users.id
         and m.organization_id = ? offset 0)`,
      [filter.organizationId],
    )
  for (const roleId of filter.roleIds ?? [])
    found.whereRaw(
      `exists (select from user_roles r where r.tenant_id = users.tenant_id and r.user_id = users.id and r.role_id = ? offset 0)`,
      [roleId],
    )
  const text = textOf(filter)
  if (text)
    found.where((q) =>
      q
        .whereRaw('users.email_key collate "C" like ?', [addressStart(text)])
        .orWhereRaw('users.name_key like lower(?)', [nameStart(text)])
        .orWhereRaw('users.family_key like lower(?)', [nameStart(text)]),
    )
  return found
}

/** Selects `id`, of at most `most` people. */
export type Arm = (most: number) => Query

/** The arms of a filter; none where it asks for nothing that an index finds people by. */
export function armsOf(ctx: Context, filter: UserFilter): Arm[] {
  const arms: Arm[] = []
  const among = (narrow: (found: Query) => Query) =>
    arms.push((most) => narrow(people(ctx, filter)).select('users.id').limit(most))
  const rowsOf = (table: string, where: object) =>
    arms.push((most) =>
      ctx
        .db(table)
        .where({ tenant_id: ctx.tenant.id, ...where })
        .select('user_id as id')
        .limit(most),
    )
  for (const role_id of filter.roleIds ?? []) rowsOf('user_roles', { role_id })
  if (filter.organizationId) rowsOf('memberships', { organization_id: filter.organizationId })
  if (filter.status === 'deleted') {
    among((found) => found)
    return arms
  }
  if (filter.status === 'disabled') among((found) => found.where('users.status', 'disabled'))
  if (filter.status === 'locked') among((found) => locked(ctx, found))
  if (filter.emailVerified === false) among((found) => found.whereNull('users.email_verified_at'))
  if (filter.createdAfter || filter.createdBefore) among((found) => createdWithin(found, filter))
  if (filter.lastLoginAfter || filter.lastLoginBefore) among((found) => seenWithin(found, filter))
  const text = textOf(filter)
  if (text) arms.push((most) => beginning(ctx, text, most))
  return arms
}

/** By the beginning of address, name or family name: three reads of indexes alone. */
function beginning(ctx: Context, text: string, most: number): Query {
  const by = (condition: string, pattern: string) =>
    ctx
      .db('users')
      .where({ tenant_id: ctx.tenant.id })
      .whereNull('deleted_at')
      .whereRaw(condition, [pattern])
      .select('id')
      .limit(most)
  return ctx.db.union(
    [
      by('email_key collate "C" like ?', addressStart(text)),
      by('name_key like lower(?)', nameStart(text)),
      by('family_key is not null and family_key like lower(?)', nameStart(text)),
    ],
    true,
  )
}

/** Whether an arm alone says who is meant: nothing is left to look at. */
export const isWhole = (filter: UserFilter, arms: Arm[]): boolean =>
  arms.length === 1 &&
  filter.emailVerified !== true &&
  filter.status !== 'active' &&
  // An arm of roles or members knows nothing of the account.
  !filter.organizationId &&
  !filter.roleIds?.length

/** Whether the one index that finds these people has them in the order asked for. */
export function isInOrder({ status, emailVerified, ...rest }: UserFilter, sort: string): boolean {
  const isAlone = Object.values(rest).every((value) => value === undefined || (value as []).length === 0)
  const parts = [status, emailVerified].filter((part) => part !== undefined)
  return isAlone && parts.length === 1 && sort.endsWith('created_at')
}

/** Users among few ids, each looked up by its key. */
export const amongFew = (ctx: Context, filter: UserFilter, few: Query): Query =>
  ctx.db
    .from(ctx.db.raw('(?) few', [few]))
    .joinRaw('cross join lateral (?) users', [
      matching(ctx, filter).whereRaw('users.id = few.id').select('users.*').offset(0),
    ] as any)
