/** Roles that count at one client: those of people in its tokens. */
import type { Context } from '../context.ts'
import * as composites from '../roles/composites.ts'
import { create as createRole, type NewRole, type RoleView } from '../roles.ts'
import { find } from './rows.ts'

/** Which roles belong to the client (id or client_id). NOT_FOUND. */
export const ofClient = async (ctx: Context, id: string) => ({
  scopes: ['client'] as const,
  owner: (await find(ctx, id)).id as string,
})

/** CONFLICT when the client has a role of that name. `parts`: ids or names of roles it contains. */
export async function create(
  ctx: Context,
  client: string,
  { parts, ...input }: Omit<NewRole, 'scope' | 'owner'> & { parts?: string[] | undefined },
): Promise<RoleView> {
  const { owner } = await ofClient(ctx, client)
  const role = await createRole(ctx, { ...input, scope: 'client', owner })
  return parts ? composites.add(ctx, role.id, parts) : role
}
