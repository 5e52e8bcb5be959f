/** A person's own account from registration to recovery: what the API and the pages both do. */
import { fail } from '../kernel/errors.ts'
import type { Context, UserRow } from './context.ts'
import { newId } from './ids.ts'
import { forgiveFailures, provePassword } from './login.ts'
import * as numbers from './numbers.ts'
import * as passwords from './passwords.ts'
import { assertOneself } from './recent.ts'
import { acceptTerms, assertCurrentTerms } from './required-actions.ts'
import * as secrets from './secrets.ts'
import * as users from './users.ts'

export interface Registration {
  /** Or a number alone, which needs no password. */
  email?: string | undefined
  password?: string | undefined
  givenName?: string | null | undefined
  familyName?: string | null | undefined
  phoneNumber?: string | null | undefined
  /** The version of the terms the person accepts. */
  acceptTerms?: string | undefined
}

/**
 * Before the transaction: the rules, and the hash. Takes the same time whether the address is known or not. With a number
 * alone its text is counted: RATE_LIMITED, UNAVAILABLE.
 */
export async function prepareRegistration(ctx: Context, input: Registration): Promise<string | undefined> {
  if (!ctx.tenant.settings.registration_enabled)
    throw fail('REGISTRATION_DISABLED', 'Registration is switched off here')
  if (input.acceptTerms !== undefined) assertCurrentTerms(ctx.tenant.settings, input.acceptTerms)
  if (input.email !== undefined && input.password === undefined) throw missing('password', 'is needed with an address')
  if (input.email === undefined && input.phoneNumber == null) throw missing('email', 'or phone_number is needed')
  if (input.password !== undefined) passwords.assertStrong(ctx, input.password, input)
  if (input.email === undefined) await prepareNumber(ctx, input.phoneNumber!)
  return input.password === undefined ? undefined : ctx.out.passwords.hash(input.password)
}

async function prepareNumber(ctx: Context, number: string): Promise<void> {
  if (!ctx.tenant.settings.phone_registration_enabled)
    throw fail('REGISTRATION_DISABLED', 'Registration with a telephone number alone is switched off here')
  await numbers.prepareText(ctx, number)
}

const missing = (field: string, message: string) =>
  fail('VALIDATION_ERROR', `${field} ${message}`, { details: [{ field, message }] })

/**
 * Makes the account and mails a verification link, or texts a code to a number alone. A known address or number is
 * CONFLICT, or, where the tenant hides who has an account, answers undefined and tells its owner.
 */
export async function register(
  ctx: Context,
  input: Registration,
  hash: string | undefined,
): Promise<UserRow | undefined> {
  const { email } = input
  if (email === undefined ? await isNumberKnown(ctx, input.phoneNumber!) : await isAddressKnown(ctx, email)) {
    await rehearse(ctx, input, hash)
    return undefined
  }
  const user = await users.create(ctx, { ...input, locale: ctx.request.locales[0]?.slice(0, 35) ?? null })
  if (hash !== undefined) await passwords.store(ctx, user.id, hash)
  ctx.event('user.registered', { userId: user.id })
  if (input.acceptTerms !== undefined) await acceptTerms(ctx, user.id)
  if (email === undefined) numbers.text(ctx, input.phoneNumber!, 'register', user)
  else ctx.job('mail', { template: 'verify-email', userId: user.id, locales: ctx.request.locales })
  return user
}

/** CONFLICT where it is and may be told; else its owner is told. */
async function isAddressKnown(ctx: Context, email: string): Promise<boolean> {
  const known = await users.byEmail(ctx.db, ctx.tenant.id, email)
  if (!known) return false
  if (!ctx.tenant.settings.enumeration_protection) throw users.taken(email)
  ctx.event('user.registration_repeated', { userId: known.id })
  ctx.job('mail', { template: 'account-exists', userId: known.id, locales: ctx.request.locales })
  return true
}

/** The same: its owner gets a code to sign in with, which takes the account from whoever registered it before. */
async function isNumberKnown(ctx: Context, number: string): Promise<boolean> {
  const known = await numbers.holders(ctx, number)
  if (known.length === 0) return false
  if (!ctx.tenant.settings.enumeration_protection) throw users.taken(null)
  const owner = numbers.holderOf(known)
  ctx.event('user.registration_repeated', { userId: owner?.id })
  numbers.text(ctx, number, 'sign_in', owner)
  return true
}

/** Does what a new account takes and undoes it, so that time does not tell either. */
async function rehearse(ctx: Context, input: Registration, hash: string | undefined): Promise<void> {
  const undo = new Error('undo')
  const rehearsal = ctx.db.transaction(async (db) => {
    const inner: Context = { ...ctx, db, event: () => {}, job: () => {} }
    const nobody = await users.create(inner, { ...input, email: `${newId()}@rehearsal.invalid` })
    if (hash !== undefined) await passwords.store(inner, nobody.id, hash)
    throw undo
  })
  await rehearsal.catch((error) => {
    if (error !== undo) throw error
  })
}

/** Mails a new verification link to an unverified user. CONFLICT for who has no address. */
export function sendVerification(ctx: Context, user: UserRow): void {
  users.addressOf(user)
  if (user.email_verified_at) return
  ctx.event('email.verification_sent', { userId: user.id })
  ctx.job('mail', { template: 'verify-email', userId: user.id, locales: ctx.request.locales })
}

/** For callers who are not signed in: never tells whether the address has an account. */
export async function resendVerification(ctx: Context, email: string): Promise<void> {
  const user = await users.byEmail(ctx.db, ctx.tenant.id, email)
  if (user && !user.email_verified_at) return sendVerification(ctx, user)
  // The same work, so that time does not tell.
  ctx.event('email.verification_unknown')
  ctx.job('nothing', {})
}

/** Takes the link's token. INVALID_TOKEN when unknown, used, expired, or mailed to an address changed since. */
export async function verifyEmail(ctx: Context, token: string): Promise<UserRow> {
  const taken = await secrets.consume(ctx.db, ctx.tenant.id, 'verify_email', token)
  const user = taken?.userId ? await users.byId(ctx.db, ctx.tenant.id, taken.userId) : undefined
  if (!taken || !user || users.emailKey(user.email) !== users.emailKey(taken.data.email)) throw deadLink()
  await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: user.id })
    .update({ email_verified_at: ctx.db.fn.now(), updated_at: ctx.db.fn.now() })
  ctx.event('email.verified', { userId: user.id, data: { email: user.email } })
  return { ...user, email_verified_at: new Date() }
}

const deadLink = () =>
  fail('INVALID_TOKEN', 'This link is invalid, was used already, or has expired. Ask for a new one')

/** Mails a reset link if there is such an account; does the same work if not. */
export async function forgotPassword(ctx: Context, email: string): Promise<void> {
  const user = await users.byEmail(ctx.db, ctx.tenant.id, email)
  ctx.event('password.reset_requested', { userId: user?.id })
  if (user?.status === 'active')
    ctx.job('mail', { template: 'reset-password', userId: user.id, locales: ctx.request.locales })
  else ctx.job('nothing', {})
}

/** Before the transaction: a dead link must not cost a hash. */
export async function prepareReset(ctx: Context, input: { token: string; newPassword: string }): Promise<string> {
  const found = await secrets.look(ctx.db, ctx.tenant.id, 'reset_password', input.token)
  const user = found?.userId ? await users.byId(ctx.db, ctx.tenant.id, found.userId) : undefined
  if (!user) throw deadLink()
  passwords.assertStrong(ctx, input.newPassword, user)
  await passwords.assertUnused(ctx, user.id, input.newPassword)
  return ctx.out.passwords.hash(input.newPassword)
}

/** Takes the token and sets the password. All sessions end; the address counts as verified; counters are cleared. */
export async function resetPassword(ctx: Context, token: string, hash: string): Promise<UserRow> {
  const taken = await secrets.consume(ctx.db, ctx.tenant.id, 'reset_password', token)
  const user = taken?.userId ? await users.byId(ctx.db, ctx.tenant.id, taken.userId) : undefined
  if (!taken || !user || user.status !== 'active' || users.emailKey(user.email) !== users.emailKey(taken.data.email))
    throw deadLink()
  await passwords.change(ctx, user, hash, { how: 'reset' })
  await forgiveFailures(ctx, user)
  if (!user.email_verified_at) {
    await ctx
      .db('users')
      .where({ tenant_id: ctx.tenant.id, id: user.id })
      .update({ email_verified_at: ctx.db.fn.now() })
    ctx.event('email.verified', { userId: user.id, data: { how: 'password reset' } })
  }
  return user
}

/** Before the transaction: proves the current password (counted like a login) and hashes the new one. */
export async function prepareChange(
  ctx: Context,
  user: UserRow,
  input: { currentPassword: string; newPassword: string },
): Promise<string> {
  assertOneself(ctx)
  await provePassword(ctx, { name: users.signInName(user), password: input.currentPassword }).catch((error) => {
    if (error?.code === 'INVALID_CREDENTIALS') throw fail('INVALID_CREDENTIALS', 'The current password is wrong')
    throw error
  })
  passwords.assertStrong(ctx, input.newPassword, user)
  await passwords.assertUnused(ctx, user.id, input.newPassword)
  await forgiveFailures(ctx, user)
  return ctx.out.passwords.hash(input.newPassword)
}
