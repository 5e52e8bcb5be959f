/** Roles that a client holds itself, for client_credentials. Giving and taking asks for all that they allow. */
import { fail } from '../../kernel/errors.ts'
import { assertHolds, permissionsOf } from '../authority.ts'
import type { Context } from '../context.ts'
import { NIL } from '../ids.ts'
import { all, COMPOSITE, findMany, type RoleRow, type RoleView, roleView } from '../roles.ts'
import { type ClientRow, changeable, find } from './rows.ts'
import { assertMayManage, has } from './rules.ts'

export async function list(ctx: Context, client: string): Promise<RoleView[]> {
  const { id } = await find(ctx, client)
  return held(ctx, id)
}

async function held(ctx: Context, client: string): Promise<RoleView[]> {
  const rows = await all(ctx)
    .join('client_roles as cr', (on) => on.on('cr.tenant_id', 'roles.tenant_id').on('cr.role_id', 'roles.id'))
    .where('cr.client', client)
    .orderBy('roles.name')
    .select('roles.*', ctx.db.raw(COMPOSITE))
  return rows.map(roleView)
}

/** Roles of the tenant and of this client, and the client, if the caller may do all that both may. */
async function bound(ctx: Context, client: string, keys: string[]): Promise<{ row: ClientRow; roles: RoleRow[] }> {
  const row = await changeable(ctx, client)
  await assertMayManage(ctx, row)
  const roles = await findMany(ctx, keys, { scopes: ['tenant', 'client'], owner: [NIL, row.id] })
  assertHolds(
    ctx,
    await permissionsOf(
      ctx,
      roles.map(({ id }) => id),
    ),
  )
  return { row, roles }
}

/** Gives roles; those it has already stay. VALIDATION_ERROR for a client that cannot act by itself. */
export async function assign(ctx: Context, client: string, keys: string[]): Promise<RoleView[]> {
  const { row, roles } = await bound(ctx, client, keys)
  if (!has(row.metadata, 'client_credentials'))
    throw fail('VALIDATION_ERROR', 'Only a client with the grant type client_credentials acts by itself')
  const given = await ctx
    .db('client_roles')
    .insert(
      roles.map(({ id }) => ({
        tenant_id: ctx.tenant.id,
        client: row.id,
        role_id: id,
        created_by: ctx.actor?.userId ?? null,
      })),
    )
    .onConflict(['tenant_id', 'client', 'role_id'])
    .ignore()
    .returning('role_id')
  note(ctx, 'client.role_assigned', row, roles, given)
  return held(ctx, row.id)
}

/** Takes roles. NOT_FOUND when it holds none of them. */
export async function unassign(ctx: Context, client: string, keys: string[]): Promise<void> {
  const { row, roles } = await bound(ctx, client, keys)
  const taken = await ctx
    .db('client_roles')
    .where({ tenant_id: ctx.tenant.id, client: row.id })
    .whereIn(
      'role_id',
      roles.map(({ id }) => id),
    )
    .delete()
    .returning('role_id')
  if (taken.length === 0) throw fail('NOT_FOUND', 'The client does not hold this role')
  note(ctx, 'client.role_unassigned', row, roles, taken)
}

function note(ctx: Context, type: string, client: ClientRow, roles: RoleRow[], changed: { role_id: string }[]): void {
  const ids = new Set(changed.map(({ role_id }) => role_id))
  const names = roles.filter(({ id }) => ids.has(id)).map(({ name }) => name)
  if (names.length > 0) ctx.event(type, { clientId: client.client_id, data: { roles: names } })
}
