/**
 * People: rows of users. E-mail addresses are unique per tenant, whatever their case. The email_key of a person without an
 * address is the telephone number, so that one unique key finds everybody: an address has an @, a number none.
 */
import type { Db } from '../../adapters/knex.ts'
import { USER_COLUMNS } from '../../adapters/oidc.ts'
import { fail } from '../kernel/errors.ts'
import { attributeProblem, type Changer } from './attribute-schema.ts'
import type { Context, UserRow } from './context.ts'
import { newId, ROLE } from './ids.ts'

/** Two spellings of one address are one key. No address is the key of nobody. */
export const emailKey = (email: string | null): string => (email ?? '').normalize('NFKC').trim().toLowerCase()

/** What a person signs in with and is recognised by: the address, or the number where there is none. */
export const signInName = (user: Pick<UserRow, 'email' | 'phone_number'>): string => user.email ?? user.phone_number!

/** For what goes by mail alone. CONFLICT for who has no address. */
export function addressOf(user: Pick<UserRow, 'email'>): string {
  if (user.email === null) throw fail('CONFLICT', 'This account has no e-mail address')
  return user.email
}

/** Whether the address was proven, or the number where there is no address. */
export const isReachable = (user: Pick<UserRow, 'email' | 'email_verified_at' | 'phone_verified_at'>): boolean =>
  (user.email === null ? user.phone_verified_at : user.email_verified_at) !== null

/** E.164. */
export const PHONE = /^\+[1-9][0-9]{6,14}$/

export interface NewUser {
  /** Without one, phoneNumber. */
  email?: string | undefined
  givenName?: string | null | undefined
  familyName?: string | null | undefined
  phoneNumber?: string | null | undefined
  locale?: string | null | undefined
  emailVerified?: boolean | undefined
  roleIds?: string[] | undefined
}

/** Inserts the user with the default role. CONFLICT when the address, or the number of who has none, is taken. */
export async function create(ctx: Pick<Context, 'db' | 'tenant' | 'event'>, input: NewUser): Promise<UserRow> {
  const id = newId()
  const email = input.email?.trim() ?? null
  const [user] = await ctx
    .db('users')
    .insert({
      tenant_id: ctx.tenant.id,
      id,
      email,
      email_key: emailKey(email ?? input.phoneNumber!),
      email_verified_at: input.emailVerified ? ctx.db.fn.now() : null,
      given_name: input.givenName ?? null,
      family_name: input.familyName ?? null,
      phone_number: input.phoneNumber ?? null,
      locale: input.locale ?? null,
    })
    .onConflict(ctx.db.raw('(tenant_id, email_key) where deleted_at is null') as any)
    .ignore()
    .returning([...USER_COLUMNS])
  if (!user) throw taken(email)
  const roleIds = input.roleIds ?? [ROLE.user]
  await ctx.db('user_roles').insert(roleIds.map((role_id) => ({ tenant_id: ctx.tenant.id, user_id: id, role_id })))
  ctx.event('user.created', { userId: id, data: email ? { email } : { phone_number: user.phone_number } })
  return user
}

/** `email` is null where it is the number that somebody has. */
export const taken = (email: string | null) =>
  fail('CONFLICT', `There is an account with this ${email === null ? 'telephone number' : 'e-mail address'} already`)

export async function byEmail(db: Db, tenantId: string, email: string): Promise<UserRow | undefined> {
  return db('users')
    .where({ tenant_id: tenantId, email_key: emailKey(email) })
    .whereNull('deleted_at')
    .first([...USER_COLUMNS])
}

/** The person without an address whose number it is. */
export async function byPhoneKey(
  ctx: Pick<Context, 'db' | 'tenant'>,
  phoneNumber: string,
): Promise<UserRow | undefined> {
  return ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, email_key: phoneNumber, email: null })
    .whereNull('deleted_at')
    .first([...USER_COLUMNS])
}

export async function byId(db: Db, tenantId: string, id: string): Promise<UserRow | undefined> {
  return db('users')
    .where({ tenant_id: tenantId, id })
    .whereNull('deleted_at')
    .first([...USER_COLUMNS])
}

export interface ProfileChange {
  givenName?: string | null | undefined
  familyName?: string | null | undefined
  nickname?: string | null | undefined
  phoneNumber?: string | null | undefined
  picture?: string | null | undefined
  locale?: string | null | undefined
  zoneinfo?: string | null | undefined
}

/**
 * What people may change of themselves. A new phone number is unverified. undefined leaves, null clears. VALIDATION_ERROR
 * for another number of a person without an address: only administrators replace what somebody signs in with, unproven.
 */
export async function updateProfile(
  ctx: Context,
  userId: string,
  change: ProfileChange,
  by: 'self' | 'administrator' = 'self',
): Promise<UserRow> {
  const values: Record<string, unknown> = {
    given_name: change.givenName,
    family_name: change.familyName,
    nickname: change.nickname,
    picture: change.picture,
    locale: change.locale,
    zoneinfo: change.zoneinfo,
    phone_number: change.phoneNumber,
  }
  for (const key of Object.keys(values)) if (values[key] === undefined) delete values[key]
  const fields = Object.keys(values)
  if ('phone_number' in values) {
    await assertKeepsName(ctx, userId, change.phoneNumber!, by)
    values.email_key = ctx.db.raw('case when email is null then ? else email_key end', [values.phone_number as string])
    values.phone_verified_at = ctx.db.raw('case when phone_number is not distinct from ? then phone_verified_at end', [
      values.phone_number as string,
    ])
  }
  const [user] = await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: userId })
    .whereNull('deleted_at')
    .update({ ...values, updated_at: ctx.db.fn.now() })
    .returning([...USER_COLUMNS])
  if (!user) throw fail('NOT_FOUND', 'No such user')
  ctx.event('user.updated', { userId, data: { fields } })
  return user
}

async function assertKeepsName(
  ctx: Context,
  userId: string,
  phoneNumber: string | null,
  by: 'self' | 'administrator',
): Promise<void> {
  const user = await byId(ctx.db, ctx.tenant.id, userId)
  if (user?.email !== null || user.phone_number === phoneNumber) return
  if (phoneNumber === null || by === 'self')
    throw fail('VALIDATION_ERROR', 'This number is what you sign in with. Add an e-mail address first', {
      details: [{ field: 'phone_number', message: 'is what the person signs in with, who has no e-mail address' }],
    })
  if (await byPhoneKey(ctx, phoneNumber)) throw taken(null)
}

/** A code has proven the address or the number. False, and nothing done, when it is not the person's (any more). */
export async function prove(ctx: Context, userId: string, channel: 'email' | 'sms', address: string): Promise<boolean> {
  const [where, column] =
    channel === 'sms'
      ? [{ phone_number: address }, 'phone_verified_at']
      : [{ email_key: emailKey(address) }, 'email_verified_at']
  const verified = await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: userId, ...where })
    .whereNull('deleted_at')
    .update({ [column as string]: ctx.db.fn.now(), updated_at: ctx.db.fn.now() })
  if (verified === 0) return false
  ctx.event(channel === 'sms' ? 'phone.verified' : 'email.verified', { userId, data: { how: 'code' } })
  return true
}

export const MAX_ATTRIBUTES = 16 * 1024

/**
 * Merges into the person's attributes; null removes a key. VALIDATION_ERROR past 16 KiB in all, and for what the tenant's
 * user_attributes_schema does not allow whoever changes them.
 */
export async function mergeAttributes(
  ctx: Context,
  userId: string,
  change: Record<string, unknown>,
  by: Changer,
): Promise<UserRow> {
  const row = await ctx.db('users').where({ tenant_id: ctx.tenant.id, id: userId }).forUpdate().first('attributes')
  if (!row) throw fail('NOT_FOUND', 'No such user')
  const merged: Record<string, unknown> = { ...row.attributes, ...change }
  for (const key of Object.keys(merged)) if (merged[key] === null) delete merged[key]
  const wrong = attributeProblem(ctx.tenant.settings.user_attributes_schema, merged, Object.keys(change), by)
  if (wrong) {
    const detail = { field: `attributes.${wrong.field}`, message: wrong.message }
    throw fail('VALIDATION_ERROR', `${detail.field} ${detail.message}`, { details: [detail] })
  }
  const text = JSON.stringify(merged)
  if (text.length > MAX_ATTRIBUTES) throw fail('VALIDATION_ERROR', 'metadata is larger than 16 KiB')
  const [user] = await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: userId })
    .update({ attributes: text, updated_at: ctx.db.fn.now() })
    .returning([...USER_COLUMNS])
  ctx.event('user.updated', { userId, data: { fields: ['attributes'] } })
  return user
}
