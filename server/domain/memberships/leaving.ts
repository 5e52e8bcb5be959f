/** How memberships end: by oneself, by who manages members, with the account. An organization that has an Owner keeps one. */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { ROLE } from '../ids.ts'
import { assertMayGive, enter } from '../memberships.ts'
import * as organizations from '../organizations.ts'
import { assertOwned, find, type MembershipRow, of, roleName } from './rows.ts'

/** Ends a membership; the person's own may be ended by themselves. CONFLICT for the last Owner. */
export async function remove(ctx: Context, id: string): Promise<void> {
  const row: MembershipRow | undefined = await of(ctx).where({ id }).first()
  const isOwn = row !== undefined && row.user_id === ctx.actor?.userId
  if (isOwn && ctx.inside) ctx.inside.entered = true
  if (!isOwn) {
    const { organization_id, role_id } = await enter(ctx, id)
    await assertMayGive(ctx, organization_id, role_id)
  } else await organizations.byId(ctx, row.organization_id, true)
  await of(ctx).where({ id }).delete()
  if (row!.role_id === ROLE.owner) await assertOwned(ctx, row!.organization_id)
  ctx.event('membership.deleted', { userId: row!.user_id, data: { organization: row!.organization_id } })
}

/**
 * Another member becomes Owner, and the caller, where they are one, Admin. enter() with the lock first. NOT_FOUND for people
 * who are no members.
 */
export async function handOver(ctx: Context, organizationId: string, userId: string): Promise<void> {
  const to = await find(ctx, organizationId, userId)
  if (!to) throw fail('NOT_FOUND', 'This person is no member of the organization')
  const from = ctx.actor!.userId && (await find(ctx, organizationId, ctx.actor!.userId))
  await give(ctx, to, ROLE.owner, 'Owner')
  if (from && from.id !== to.id && from.role_id === ROLE.owner) await give(ctx, from, ROLE.organizationAdmin, 'Admin')
}

async function give(ctx: Context, row: MembershipRow, role_id: string, role: string): Promise<void> {
  if (row.role_id === role_id) return
  const [{ role: before }] = await of(ctx)
    .where({ id: row.id })
    .update({ role_id, updated_at: ctx.db.fn.now() })
    .returning([roleName(ctx, row.role_id)])
  ctx.event('membership.updated', {
    userId: row.user_id,
    data: { organization: row.organization_id, role, before },
  })
}

interface Left {
  id: string
  name: string
  slug: string
  /** Nobody else is in it. */
  alone: boolean
  /** Somebody else owns it, too. */
  owned: boolean
}

/**
 * Ends all memberships of a person whose account goes. Organizations that were theirs alone go as well. By themselves they do
 * not leave others without an Owner (CONFLICT); an administrator, who can name another one, may.
 */
export async function leaveAll(ctx: Context, userId: string, how: 'self' | 'administrator'): Promise<void> {
  const mine: MembershipRow[] = await of(ctx).where({ user_id: userId })
  if (mine.length === 0) return
  const ids = mine.map(({ organization_id }) => organization_id)
  await ctx.db('organizations').where({ tenant_id: ctx.tenant.id }).whereIn('id', ids).orderBy('id').forNoKeyUpdate()
  const { rows }: { rows: Left[] } = await ctx.db.raw(
    `select m.organization_id as id, count(*) = 1 as alone,
       bool_or(m.role_id = :owner and m.user_id <> :userId) as owned, o.name, o.slug
     from memberships m join organizations o on o.tenant_id = m.tenant_id and o.id = m.organization_id
     where m.tenant_id = :tenant and m.organization_id = any(:ids::uuid[]) group by 1, o.name, o.slug`,
    { tenant: ctx.tenant.id, owner: ROLE.owner, userId, ids },
  )
  const places = new Map(rows.map((row) => [row.id, row]))
  const owned = mine.filter(({ role_id }) => role_id === ROLE.owner).map((row) => places.get(row.organization_id)!)
  const abandoned = owned.find((place) => !place.alone && !place.owned)
  if (abandoned && how === 'self')
    throw fail('CONFLICT', `${abandoned.name} would be left without an Owner: hand it over first`, {
      details: { organization: abandoned.id },
    })
  await of(ctx).where({ user_id: userId }).delete()
  for (const { organization_id } of mine)
    ctx.event('membership.deleted', { userId, data: { organization: organization_id } })
  for (const place of owned) if (place.alone) await organizations.erase(ctx, place, 1)
}
