/** What other people prove themselves with, seen and removed by an administrator. Never the secrets. */
import { fail } from '../../kernel/errors.ts'
import { assertMayManage } from '../authority.ts'
import type { Context } from '../context.ts'
import * as backup from '../factors/backup.ts'
import { changed, FACTORS, type Factor, list as listFactors } from '../factors.ts'
import { personOf } from '../roles/members.ts'
import * as sessions from '../sessions.ts'
import { addressOf } from '../users.ts'

export const TYPES = ['password', 'totp', 'email', 'sms', 'webauthn', 'backup_codes'] as const
export type CredentialType = (typeof TYPES)[number]

export interface CredentialView {
  id: string
  type: CredentialType
  name: string | null
  createdAt: Date
  lastUsedAt: Date | null
}

const own = (ctx: Context, userId: string) => ctx.db('credentials').where({ tenant_id: ctx.tenant.id, user_id: userId })

/** Proven ones; set-ups that wait do not count. */
export async function list(ctx: Context, userId: string): Promise<CredentialView[]> {
  await personOf(ctx, userId)
  const rows = await own(ctx, userId).whereNotNull('verified_at').orderBy(['type', 'created_at', 'id'])
  return rows.map((row) => ({
    id: row.id,
    type: row.type,
    name: row.name,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  }))
}

/**
 * Removes all credentials of a type. Sessions end, and the owner is told of factors. NOT_FOUND when there is none. Unlike
 * the owner, an administrator may remove the last factor where one is demanded: the person enrols anew at the next sign-in.
 */
export async function remove(ctx: Context, userId: string, type: CredentialType): Promise<void> {
  await personOf(ctx, userId)
  await assertMayManage(ctx, userId)
  const gone = await own(ctx, userId).where({ type }).delete().returning('verified_at')
  if (gone.length === 0) throw fail('NOT_FOUND', 'The user has no such credential')
  if (FACTORS.includes(type as Factor)) {
    await ctx
      .db('users')
      .where({ tenant_id: ctx.tenant.id, id: userId, preferred_factor: type })
      .update({ preferred_factor: null })
    if (gone.some((row) => row.verified_at !== null)) await changed(ctx, userId, type as Factor, 'removed')
    if ((await listFactors(ctx, userId)).length === 0) await backup.removeAll(ctx, userId)
  } else await sessions.endAll(ctx, userId)
  ctx.event('credential.removed', { userId, data: { type } })
}

export async function totpStatus(ctx: Context, userId: string) {
  const mine = (await list(ctx, userId)).find(({ type }) => type === 'totp')
  const user = await ctx.db('users').where({ tenant_id: ctx.tenant.id, id: userId }).first('required_actions')
  return {
    enabled: mine !== undefined,
    required: user.required_actions.includes('enrol_mfa'),
    createdAt: mine?.createdAt ?? null,
    lastUsedAt: mine?.lastUsedAt ?? null,
  }
}

/** The person must set up a second factor at the next sign-in; not asked of who has an app. */
export async function requireTotp(ctx: Context, userId: string, required: boolean): Promise<void> {
  const { enabled } = await totpStatus(ctx, userId)
  await assertMayManage(ctx, userId)
  if (enabled) return
  const action = required
    ? `array_append(array_remove(required_actions, 'enrol_mfa'), 'enrol_mfa')`
    : `array_remove(required_actions, 'enrol_mfa')`
  await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: userId })
    .update({ required_actions: ctx.db.raw(action), updated_at: ctx.db.fn.now() })
  ctx.event(required ? 'mfa.required' : 'mfa.requirement_lifted', { userId })
}

/** Asks the person by mail to set up an authenticator app. CONFLICT when one is on, or without an address. */
export async function mailTotp(ctx: Context, userId: string): Promise<void> {
  if ((await totpStatus(ctx, userId)).enabled) throw fail('CONFLICT', 'The user has an authenticator app already')
  addressOf(await personOf(ctx, userId))
  await requireTotp(ctx, userId, true)
  ctx.job('mail', { template: 'enrol-mfa', userId, locales: ctx.request.locales })
}
