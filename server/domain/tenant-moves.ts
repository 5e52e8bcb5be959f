/** A person moves to another tenant, with what proves who they are; what belongs to the tenant they leave stays behind. */
import { fail } from '../kernel/errors.ts'
import { assertMayManage, keepingSuperAdmin } from './authority.ts'
import type { Context } from './context.ts'
import * as grants from './grants.ts'
import { DEFAULT_TENANT, ROLE } from './ids.ts'
import { leaveAll } from './memberships/leaving.ts'
import * as sessions from './sessions.ts'
import { find, inside, type TenantRow } from './tenant-admin.ts'

/** Columns that the database computes. */
const GENERATED = new Set(['name_key', 'family_key'])

/** Into the tenant, from wherever the person is. Already there: nothing happens. CONFLICT when the address is taken there. */
export async function assign(ctx: Context, key: string, userId: string): Promise<void> {
  const to = await find(ctx, key)
  await move(ctx, await homeOf(ctx, userId), to, userId)
}

/** Out of the tenant, back to the default one. NOT_FOUND for people of another tenant. */
export async function unassign(ctx: Context, key: string, userId: string): Promise<void> {
  const from = await find(ctx, key)
  if (from.id === DEFAULT_TENANT) throw fail('CONFLICT', 'From the default tenant people move by assigning another one')
  await move(ctx, from, await find(ctx, DEFAULT_TENANT), userId)
}

/**
 * Every key starts with the tenant, so each tenant is asked by its index; `limit` keeps the planner from reading all users.
 * Imports choose ids, so that two tenants may have one of the same: CONFLICT then.
 */
async function homeOf(ctx: Context, userId: string): Promise<TenantRow> {
  const { rows } = await ctx.db.raw(
    `select t.* from tenants t cross join lateral (select 1 from users u
       where u.tenant_id = t.id and u.id = ? and u.deleted_at is null limit 1) u where t.status <> 'deleted' limit 2`,
    [userId],
  )
  if (!rows[0]) throw fail('NOT_FOUND', 'No such user')
  if (rows[1])
    throw fail('CONFLICT', 'Several tenants have somebody with this id. Take one of them out of theirs first')
  return rows[0]
}

async function move(ctx: Context, from: TenantRow, to: TenantRow, userId: string): Promise<void> {
  if (from.id === to.id) return
  const user = await ctx
    .db('users')
    .where({ tenant_id: from.id, id: userId })
    .whereNull('deleted_at')
    .forUpdate()
    .first()
  if (!user) throw fail('NOT_FOUND', 'No such user')
  await inside(ctx, from, async (inner) => {
    await assertMayManage(inner, userId)
    await keepingSuperAdmin(inner, async () => {
      await sessions.endAll(inner, userId)
      await leaveAll(inner, userId, 'administrator')
      await copy(ctx, from, to, user)
      await leave(ctx, from, userId)
    })
    inner.event('user.moved_away', { userId, data: { to: to.id } })
  })
  await inside(ctx, to, async (inner) => inner.event('user.moved_here', { userId, data: { from: from.id } }))
  // In the log of who did it, and so that tokens kept for a moment are forgotten.
  ctx.event('tenant.user_moved', { userId, data: { from: from.id, to: to.id } })
}

async function copy(ctx: Context, from: TenantRow, to: TenantRow, user: Record<string, unknown>): Promise<void> {
  const taken = await ctx
    .db('users')
    .where({ tenant_id: to.id, email_key: user.email_key })
    .whereNull('deleted_at')
    .first('id')
  if (taken) throw fail('CONFLICT', 'There is an account with this e-mail address in that tenant')
  // An earlier life there that waits for its erasure.
  await ctx.db('users').where({ tenant_id: to.id, id: user.id }).whereNotNull('deleted_at').delete()
  const columns = Object.keys(user).filter((name) => name !== 'tenant_id' && !GENERATED.has(name))
  const names = columns.map(() => '??').join(', ')
  await ctx.db.raw(
    `insert into users (tenant_id, ${names}) select ?::uuid, ${names} from users where tenant_id = ? and id = ?`,
    [...columns, to.id, ...columns, from.id, user.id as string],
  )
  await ctx.db('users').where({ tenant_id: to.id, id: user.id }).update({ updated_at: ctx.db.fn.now() })
  await ctx.db('user_roles').insert({ tenant_id: to.id, user_id: user.id, role_id: ROLE.user })
  await reseal(ctx, from, to, user.id as string)
  // Hashed with the tenant.
  await ctx.db('credentials').where({ tenant_id: from.id, user_id: user.id, type: 'backup_codes' }).delete()
  for (const table of ['credentials', 'password_history'])
    await ctx.db(table).where({ tenant_id: from.id, user_id: user.id }).update({ tenant_id: to.id })
}

/** TOTP secrets are sealed for their place, which is another one now. */
async function reseal(ctx: Context, from: TenantRow, to: TenantRow, userId: string): Promise<void> {
  const { sealing } = ctx.out
  const rows = await ctx.db('credentials').where({ tenant_id: from.id, user_id: userId, type: 'totp' })
  for (const { id, secret } of rows) {
    const plain = sealing.open(Buffer.from(secret, 'base64'), `credentials:${from.id}:${id}`)
    const sealed = sealing.seal(plain, `credentials:${to.id}:${id}`).toString('base64')
    await ctx.db('credentials').where({ tenant_id: from.id, id }).update({ secret: sealed })
  }
}

/** Roles, consents, devices, API keys and linked accounts are of the tenant: they end with the row. */
async function leave(ctx: Context, from: TenantRow, userId: string): Promise<void> {
  const theirs = { tenant_id: from.id, user_id: userId }
  await grants.end(ctx.db, from.id, { userId })
  await ctx.db('secrets').where(theirs).delete()
  await ctx.db('users').where({ tenant_id: from.id, id: userId }).delete()
}
