/** People as their administrators see and change them. Nobody changes a person who may do more than they may. */

import { fail } from '../kernel/errors.ts'
import type { AttributeSchema } from './attribute-schema.ts'
import { assertHolds, assertMayManage, keepingSuperAdmin, permissionsOf } from './authority.ts'
import type { Context, UserRow } from './context.ts'
import * as deletion from './deletion.ts'
import { ROLE } from './ids.ts'
import { isTaken } from './invitations/accept.ts'
import * as invitations from './invitations.ts'
import { forgiveFailures } from './login.ts'
import * as passwords from './passwords.ts'
import { person } from './proofs.ts'
import type { RequiredAction } from './required-actions.ts'
import { personOf } from './roles/members.ts'
import { findMany } from './roles.ts'
import * as sessions from './sessions.ts'
import * as users from './users.ts'

/** A row of users with what only administrators are shown. */
export type ManagedRow = UserRow & { required_actions: string[]; deleted_at: Date | null }

const row = (ctx: Context, id: string) =>
  ctx.db('users').where({ tenant_id: ctx.tenant.id, id }).whereNull('deleted_at')

export async function get(ctx: Context, id: string): Promise<ManagedRow> {
  const found = await row(ctx, id).first()
  if (!found) throw fail('NOT_FOUND', 'No such user')
  return found
}

/** Grows with every change of the row but a sign-in. `lock` holds off other changes until the transaction ends. */
export async function versionOf(ctx: Context, id: string, lock: boolean): Promise<string> {
  const query = row(ctx, id).first(ctx.db.raw('updated_at::text as version'))
  const found = await (lock ? query.forUpdate() : query)
  if (!found) throw fail('NOT_FOUND', 'No such user')
  return `${id} ${found.version}`
}

export interface NewPerson extends users.NewUser {
  nickname?: string | null | undefined
  picture?: string | null | undefined
  zoneinfo?: string | null | undefined
  attributes?: Record<string, unknown> | undefined
  /** Ids or names; the default role comes along. */
  roles?: string[] | undefined
  enabled?: boolean | undefined
  /** What the first sign-in asks for. */
  requiredActions?: RequiredAction[] | undefined
  /** Mails a link to choose a password. */
  invite: boolean
}

/** Before the transaction. WEAK_PASSWORD. */
export async function prepareHash(
  ctx: Context,
  password: string | undefined,
  about: Parameters<typeof passwords.assertStrong>[2],
): Promise<string | undefined> {
  if (password === undefined) return undefined
  passwords.assertStrong(ctx, password, about)
  return ctx.out.passwords.hash(password)
}

/** CONFLICT when the address is taken; ACCESS_DENIED for roles that allow more than the caller may. */
export async function create(ctx: Context, input: NewPerson, hash: string | undefined): Promise<ManagedRow> {
  const roles = (await findMany(ctx, input.roles ?? [], { scopes: ['tenant', 'client'] })).map(({ id }) => id)
  assertHolds(ctx, await permissionsOf(ctx, roles))
  const user = await users.create(ctx, { ...input, roleIds: [...new Set([ROLE.user, ...roles])] })
  if (hash) await passwords.store(ctx, user.id, hash)
  const { nickname, picture, zoneinfo } = input
  const values = { nickname, picture, zoneinfo, ...(input.enabled === false && { status: 'disabled' }) }
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
  if (Object.keys(given).length > 0) await row(ctx, user.id).update(given)
  const schema: AttributeSchema = ctx.tenant.settings.user_attributes_schema
  if (input.attributes || schema.required?.length)
    await users.mergeAttributes(ctx, user.id, input.attributes ?? {}, 'creator')
  if (input.requiredActions?.length) await requireActions(ctx, user.id, input.requiredActions)
  if (input.invite) await invitations.toAccount(ctx, user)
  return get(ctx, user.id)
}

/** Mails a link to choose a first password. CONFLICT for who can sign in already, or may not. */
export async function invite(ctx: Context, id: string): Promise<void> {
  const user = await person(ctx, id)
  if (!user) throw fail('NOT_FOUND', 'No such user')
  await assertMayManage(ctx, id)
  if (user.status !== 'active') throw fail('CONFLICT', 'This account is disabled')
  if (await isTaken(ctx, user))
    throw fail('CONFLICT', 'This account has its owner already. Mail a link to choose a new password')
  await invitations.toAccount(ctx, user)
}

export interface PersonChange extends users.ProfileChange {
  email?: string | undefined
  emailVerified?: boolean | undefined
  enabled?: boolean | undefined
  attributes?: Record<string, unknown> | undefined
  /** What the next sign-in asks for; replaces what was asked before. */
  requiredActions?: RequiredAction[] | undefined
}

/** Absent keys stay, null clears. A new address is unverified unless the caller vouches for it. */
export async function update(ctx: Context, id: string, change: PersonChange): Promise<ManagedRow> {
  const { email, emailVerified, enabled, attributes, requiredActions, ...profile } = change
  const before = await get(ctx, id)
  if (isAdministrative(change)) await assertMay(ctx, 'users:write')
  await assertMayManage(ctx, id)
  const by = ctx.actor?.userId === id ? 'self' : 'administrator'
  if (Object.values(profile).some((value) => value !== undefined)) await users.updateProfile(ctx, id, profile, by)
  const moved = email !== undefined && users.emailKey(email) !== users.emailKey(before.email)
  if (moved && (await users.byEmail(ctx.db, ctx.tenant.id, email)))
    throw fail('CONFLICT', 'There is an account with this e-mail address already')
  if (emailVerified && email === undefined) users.addressOf(before)
  const verified = emailVerified ?? (moved ? false : undefined)
  if (email !== undefined || verified !== undefined) {
    await row(ctx, id).update({
      ...(email !== undefined && { email: email.trim(), email_key: users.emailKey(email) }),
      ...(verified !== undefined && {
        email_verified_at: verified ? ctx.db.raw('coalesce(email_verified_at, now())') : null,
      }),
      updated_at: ctx.db.fn.now(),
    })
    if (moved) {
      // Links that went to the old address are for that address.
      await ctx.db('secrets').where({ tenant_id: ctx.tenant.id, user_id: id }).delete()
      ctx.event('user.email_changed', { userId: id, data: { from: before.email, to: email } })
    }
    ctx.event('user.updated', { userId: id, data: { fields: ['email'] } })
  }
  if (attributes) await users.mergeAttributes(ctx, id, attributes, 'administrator')
  if (requiredActions) await requireActions(ctx, id, requiredActions)
  if (enabled !== undefined) await setEnabled(ctx, id, enabled)
  return get(ctx, id)
}

async function requireActions(ctx: Context, id: string, actions: RequiredAction[]): Promise<void> {
  await row(ctx, id).update({ required_actions: [...new Set(actions)], updated_at: ctx.db.fn.now() })
  ctx.event('user.actions_required', { userId: id, data: { actions } })
}

const ADMINISTRATIVE = ['email', 'emailVerified', 'enabled', 'attributes', 'requiredActions'] as const
/** What a person may not change of themselves. */
const isAdministrative = (change: PersonChange) => ADMINISTRATIVE.some((key) => change[key] !== undefined)

/** ACCESS_DENIED without it. */
export async function assertMay(ctx: Context, permission: string): Promise<void> {
  if (!ctx.actor?.permissions.has(permission))
    throw fail('ACCESS_DENIED', `This needs the permission ${permission}`, { details: { permission } })
}

/** A disabled person's sessions and tokens end at once. Doing it twice changes nothing. */
export async function setEnabled(ctx: Context, id: string, enabled: boolean): Promise<ManagedRow> {
  const user = await get(ctx, id)
  await assertMayManage(ctx, id)
  const status = enabled ? 'active' : 'disabled'
  if (user.status === status) return user
  await keepingSuperAdmin(ctx, () => row(ctx, id).update({ status, updated_at: ctx.db.fn.now() }))
  if (!enabled) await sessions.endAll(ctx, id)
  ctx.event(enabled ? 'user.enabled' : 'user.disabled', { userId: id })
  return get(ctx, id)
}

const FOREVER = '9999-12-31T00:00:00Z'

/** Nobody signs in to it for `seconds`, or until it is unlocked; its sessions end. */
export async function lock(ctx: Context, id: string, seconds?: number, reason?: string): Promise<ManagedRow> {
  await get(ctx, id)
  await assertMayManage(ctx, id)
  const until = seconds === undefined ? FOREVER : ctx.db.raw('now() + make_interval(secs => ?)', [seconds])
  await keepingSuperAdmin(ctx, () => row(ctx, id).update({ locked_until: until, updated_at: ctx.db.fn.now() }))
  await sessions.endAll(ctx, id)
  ctx.event('user.locked', { userId: id, data: { seconds, reason } })
  return get(ctx, id)
}

/** Also forgets failed attempts, which lock by themselves. */
export async function unlock(ctx: Context, id: string): Promise<ManagedRow> {
  const user = await get(ctx, id)
  await assertMayManage(ctx, id)
  // What a sign-in that was under way opened when the lock came must not come to life again.
  if (user.locked_until && user.locked_until > new Date()) await sessions.endAll(ctx, id)
  await row(ctx, id).update({ locked_until: null, updated_at: ctx.db.fn.now() })
  await forgiveFailures(ctx, user)
  ctx.event('user.unlocked', { userId: id })
  return get(ctx, id)
}

/** The person is gone at once and the address free; what is left is erased a month later. */
export async function remove(ctx: Context, id: string): Promise<void> {
  const user = await get(ctx, id)
  await assertMayManage(ctx, id)
  await deletion.remove(ctx, user, 'administrator')
}

/** With a hash, sets the password; without, mails a link to choose one. */
export async function resetPassword(ctx: Context, id: string, hash: string | undefined): Promise<void> {
  const user = await personOf(ctx, id)
  await assertMayManage(ctx, id)
  if (hash) {
    await passwords.change(ctx, user, hash, { how: 'reset' })
    return forgiveFailures(ctx, user)
  }
  if (user.status !== 'active') throw fail('CONFLICT', 'This account is disabled')
  users.addressOf(user)
  ctx.event('password.reset_requested', { userId: id })
  ctx.job('mail', { template: 'reset-password', userId: id, locales: ctx.request.locales })
}
