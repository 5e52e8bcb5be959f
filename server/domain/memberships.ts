/** Who belongs to which organization as what. Every organization that had an Owner keeps one. */
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { NIL, newId, ROLE } from './ids.ts'
import { assertOwned } from './memberships/leaving.ts'
import * as organizations from './organizations.ts'
import { organizationPermissions, permissions } from './policy.ts'
import * as roles from './roles.ts'
import * as users from './users.ts'

export interface MembershipRow {
  id: string
  organization_id: string
  user_id: string
  role_id: string
  created_at: Date
  updated_at: Date
}

export const of = (ctx: Context) => ctx.db('memberships').where({ 'memberships.tenant_id': ctx.tenant.id })

export const find = (ctx: Context, organizationId: string, userId: string): Promise<MembershipRow | undefined> =>
  of(ctx).where({ organization_id: organizationId, user_id: userId }).first()

/** What a role of a membership allows in its organization. */
export const allowedBy = (ctx: Context, roleId: string): string[] => ctx.tenant.roles.get(roleId)?.permissions ?? []

/** Through an app that is not our own, within the scopes of its token. */
export const allowedToCaller = (ctx: Context, roleId: string): string[] =>
  allowedBy(ctx, roleId).filter((name) => ctx.actor!.firstParty || ctx.actor!.scopes.has(name))

/** What the caller may do in every organization. */
export const tenantWide = (ctx: Context): string[] =>
  ctx.actor?.permissions.has('organizations:write') ? [...organizationPermissions] : []

/** ACCESS_DENIED unless what the operation asks for inside an organization is among `held`. Reading asks for nothing. */
export function assertInside(ctx: Context, held: ReadonlySet<string>): void {
  if (!ctx.inside) return
  ctx.inside.entered = true
  if (!held.has(ctx.inside.permission))
    throw fail('ACCESS_DENIED', `This needs ${ctx.inside.permission} in the organization`, {
      details: { permission: ctx.inside.permission },
    })
}

/** A role that members of the organization may hold, by id or name; its own before that of all. VALIDATION_ERROR. */
export async function roleFor(ctx: Context, organizationId: string, key: string): Promise<roles.RoleRow> {
  const row = await roles.find(ctx, key, { scopes: ['organization'], owner: [organizationId, NIL] }).catch((error) => {
    if (error.code === 'NOT_FOUND') throw fail('VALIDATION_ERROR', `role: this organization has no role ${key}`)
    throw error
  })
  return row
}

/** Nobody gives or takes a role of an organization that allows more there than they may. */
export async function assertMayGive(ctx: Context, organizationId: string, roleId: string): Promise<void> {
  const held = (await organizations.permissionsIn(ctx, organizationId)) ?? new Set()
  const isOwner = organizationPermissions.every((name) => held.has(name))
  // What means nothing to us but to the tenant's apps, Owners may give.
  const isTheirs = (name: string) => isOwner && !Object.hasOwn(permissions, name)
  const missing = allowedBy(ctx, roleId).find(
    (name) => !held.has(name) && !ctx.actor!.permissions.has(name) && !isTheirs(name),
  )
  if (missing)
    throw fail('ACCESS_DENIED', `This needs ${missing} in the organization, which you do not hold yourself`, {
      details: { permission: missing },
    })
}

/** The role the caller gives in this organization; none named is Member. NOT_FOUND, ACCESS_DENIED, VALIDATION_ERROR. */
export async function givable(ctx: Context, organizationId: string, key: string = ROLE.member): Promise<roles.RoleRow> {
  await organizations.enter(ctx, organizationId)
  const role = await roleFor(ctx, organizationId, key)
  await assertMayGive(ctx, organizationId, role.id)
  return role
}

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
  const { rows } = await ctx.db.raw(
    `select u.id, exists (select 1 from memberships m where m.tenant_id = :tenant and m.user_id = u.id
         and m.organization_id = :organizationId) as here,
       exists (select 1 from memberships m where m.tenant_id = :tenant and m.user_id = u.id) as anywhere
     from users u where u.tenant_id = :tenant and u.id = any(:userIds::uuid[]) and u.deleted_at is null`,
    { tenant: ctx.tenant.id, organizationId, userIds },
  )
  const people = new Map<string, { here: boolean; anywhere: boolean }>(rows.map((row: any) => [row.id, row]))
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
  const rows: MembershipRow[] = await ctx
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
    .returning('*')
  const role = ctx.tenant.roles.get(roleId)?.name ?? roleId
  for (const { user_id } of rows)
    ctx.event('membership.created', { userId: user_id, data: { organization: organizationId, role } })
  return rows
}

/** The membership, for the person themselves and who manages members there. NOT_FOUND. */
export async function visible(ctx: Context, id: string): Promise<MembershipRow> {
  const row: MembershipRow | undefined = await of(ctx).where({ id }).first()
  const actor = ctx.actor!
  const sees =
    row &&
    (row.user_id === actor.userId ||
      actor.permissions.has('organizations:read') ||
      (await organizations.permissionsIn(ctx, row.organization_id))?.has('members:manage'))
  if (!sees) throw fail('NOT_FOUND', 'No such membership')
  return row
}

/** By its id, for members of the organization. NOT_FOUND. */
export async function enter(ctx: Context, id: string): Promise<MembershipRow> {
  const row: MembershipRow | undefined = await of(ctx).where({ id }).first()
  if (!row) throw fail('NOT_FOUND', 'No such membership')
  await organizations.enter(ctx, row.organization_id, ctx.inside !== undefined).catch((error) => {
    throw error.code === 'NOT_FOUND' ? fail('NOT_FOUND', 'No such membership') : error
  })
  return row
}

/** Another role. CONFLICT for the last Owner. */
export async function changeRole(ctx: Context, id: string, roleKey: string): Promise<MembershipRow> {
  const row = await enter(ctx, id)
  const role = await roleFor(ctx, row.organization_id, roleKey)
  await assertMayGive(ctx, row.organization_id, row.role_id)
  await assertMayGive(ctx, row.organization_id, role.id)
  if (role.id === row.role_id) return row
  const [updated] = await of(ctx).where({ id }).update({ role_id: role.id, updated_at: ctx.db.fn.now() }).returning('*')
  if (row.role_id === ROLE.owner) await assertOwned(ctx, row.organization_id)
  ctx.event('membership.updated', {
    userId: row.user_id,
    data: { organization: row.organization_id, role: role.name, before: ctx.tenant.roles.get(row.role_id)?.name },
  })
  return updated
}
