/** How people come into organizations, one or many at once; whether the caller may is asked before. */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { newId, ROLE } from '../ids.ts'
import * as users from '../users.ts'
import { type MembershipRow, of, roleName } from './rows.ts'

/**
 * Adds a person, without asking whether the caller may: enter() first. CONFLICT for members, NOT_FOUND for people who are
 * not there, SINGLE_ORGANIZATION_MODE where people belong to one organization and this one does to another.
 */
export async function add(
  ctx: Context,
  input: { organizationId: string; userId: string; roleId?: string | undefined },
): Promise<MembershipRow> {
  const user = await users.byId(ctx.db, ctx.tenant.id, input.userId)
  if (!user) throw fail('NOT_FOUND', 'No such user')
  await assertRoom(ctx, input.userId)
  const [row] = await insert(ctx, input.organizationId, [user.id], input.roleId ?? ROLE.member)
  if (!row) throw fail('CONFLICT', 'This person is a member already')
  return row
}

/** What changes how many organizations a person has waits for each other, until the transaction ends. */
export const takeTurns = (ctx: Context, userIds: string[]) =>
  ctx.db.raw(
    `select pg_advisory_xact_lock(hashtextextended('organizations of ' || id, 0))
       from (select unnest(?::text[]) as id order by 1) people`,
    [userIds],
  )

async function assertRoom(ctx: Context, userId: string): Promise<void> {
  if (ctx.tenant.settings.organization_mode !== 'single') return
  await takeTurns(ctx, [userId])
  if (await of(ctx).where({ user_id: userId }).first('id'))
    throw fail('SINGLE_ORGANIZATION_MODE', 'This person belongs to an organization already')
}

export const OUTCOMES = ['added', 'already_member', 'not_found', 'single_organization_mode'] as const
export interface Outcome {
  userId: string
  status: (typeof OUTCOMES)[number]
}

/** As add(), for many, of whom each is told apart. */
export async function addMany(
  ctx: Context,
  input: { organizationId: string; userIds: string[]; roleId: string },
): Promise<Outcome[]> {
  const { organizationId, userIds, roleId } = input
  const isSingle = ctx.tenant.settings.organization_mode === 'single'
  if (isSingle) await takeTurns(ctx, userIds)
  const { rows }: { rows: { id: string; here: boolean; anywhere: boolean }[] } = await ctx.db.raw(
    `select u.id, exists (select 1 from memberships m where m.tenant_id = :tenant and m.user_id = u.id
         and m.organization_id = :organizationId) as here,
       exists (select 1 from memberships m where m.tenant_id = :tenant and m.user_id = u.id) as anywhere
     from users u where u.tenant_id = :tenant and u.id = any(:userIds::uuid[]) and u.deleted_at is null`,
    { tenant: ctx.tenant.id, organizationId, userIds },
  )
  const people = new Map(rows.map((row) => [row.id, row]))
  const outcomeOf = (userId: string): Outcome['status'] => {
    const person = people.get(userId.toLowerCase())
    if (!person) return 'not_found'
    if (person.here) return 'already_member'
    return isSingle && person.anywhere ? 'single_organization_mode' : 'added'
  }
  const outcomes = userIds.map((userId) => ({ userId, status: outcomeOf(userId) }))
  const added = outcomes.filter(({ status }) => status === 'added').map(({ userId }) => userId.toLowerCase())
  const rowsIn = added.length === 0 ? [] : await insert(ctx, organizationId, added, roleId)
  // Somebody else may have added a person meanwhile.
  const here = new Set(rowsIn.map(({ user_id }) => user_id))
  return outcomes.map(({ userId, status }) => ({
    userId,
    status: status === 'added' && !here.has(userId.toLowerCase()) ? 'already_member' : status,
  }))
}

async function insert(
  ctx: Context,
  organizationId: string,
  userIds: string[],
  roleId: string,
): Promise<MembershipRow[]> {
  const rows: (MembershipRow & { role: string })[] = await ctx
    .db('memberships')
    .insert(
      userIds.map((user_id) => ({
        tenant_id: ctx.tenant.id,
        id: newId(),
        organization_id: organizationId,
        user_id,
        role_id: roleId,
        created_by: ctx.actor?.userId ?? null,
      })),
    )
    .onConflict(['tenant_id', 'organization_id', 'user_id'])
    .ignore()
    .returning(['*', roleName(ctx, roleId)] as string[])
  for (const { user_id, role } of rows)
    ctx.event('membership.created', { userId: user_id, data: { organization: organizationId, role } })
  return rows
}
