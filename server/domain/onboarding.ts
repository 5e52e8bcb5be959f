/** Organizations that people make by themselves, as far as the tenant lets them, or that an administrator makes for them. */
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { ROLE } from './ids.ts'
import * as memberships from './memberships.ts'
import * as organizations from './organizations.ts'
import { countOf } from './pages.ts'
import * as users from './users.ts'

export interface Wish extends Omit<organizations.NewOrganization, 'clientId'> {
  /** client_id of the app from which somebody comes. */
  clientKey?: string | undefined
}

/** The caller becomes the Owner. ACCESS_DENIED, EMAIL_VERIFICATION_REQUIRED, SINGLE_ORGANIZATION_MODE, CONFLICT, NOT_FOUND. */
export async function create(ctx: Context, { clientKey, ...input }: Wish): Promise<organizations.OrganizationRow> {
  const actor = ctx.actor!
  if (!actor.permissions.has('organizations:write')) await assertMayMake(ctx, actor.userId!)
  const client = clientKey === undefined ? undefined : await appOf(ctx, clientKey)
  if (client?.model === 'single' && actor.userId) await assertNowhere(ctx, actor.userId)
  return organizations.create(ctx, { ...input, clientId: client?.clientId }, actor.userId)
}

async function assertMayMake(ctx: Context, userId: string): Promise<void> {
  const { organization_creation: who, organizations_per_person: most } = ctx.tenant.settings
  if (who === 'off') throw fail('ACCESS_DENIED', 'Organizations are made by administrators here')
  if (who === 'verified' && !ctx.actor!.emailVerified)
    throw fail('EMAIL_VERIFICATION_REQUIRED', 'Verify your e-mail address first')
  await memberships.takeTurns(ctx, [userId])
  if ((await countOf(memberships.of(ctx).where({ user_id: userId, role_id: ROLE.owner }))) >= most)
    throw fail('CONFLICT', `You are the Owner of ${most} organizations, which is the most`)
}

/** The app, and whether its people belong to one organization or to many. NOT_FOUND. */
async function appOf(ctx: Context, clientKey: string): Promise<{ clientId: string; model: string | undefined }> {
  const row = await ctx
    .db('clients as c')
    .leftJoin('client_requests as r', (on) => on.on('r.tenant_id', 'c.tenant_id').on('r.client', 'c.id'))
    .where({ 'c.tenant_id': ctx.tenant.id, 'c.client_id': clientKey, 'c.status': 'active' })
    .first('c.client_id', 'r.organization_support as support')
  if (!row) throw fail('NOT_FOUND', 'client_key: there is no such app')
  return { clientId: row.client_id, model: row.support?.model ?? undefined }
}

async function assertNowhere(ctx: Context, userId: string): Promise<void> {
  await memberships.takeTurns(ctx, [userId])
  if (await memberships.of(ctx).where({ user_id: userId }).first('id'))
    throw fail('SINGLE_ORGANIZATION_MODE', 'You belong to an organization already')
}

/** For somebody else, by id or address, or for nobody yet. NOT_FOUND, SINGLE_ORGANIZATION_MODE, CONFLICT. */
export async function provision(
  ctx: Context,
  {
    ownerId,
    ownerEmail,
    clientKey,
    ...input
  }: Wish & { ownerId?: string | undefined; ownerEmail?: string | undefined },
): Promise<{ row: organizations.OrganizationRow; ownerId: string | undefined }> {
  if (ownerId && ownerEmail) throw fail('VALIDATION_ERROR', 'owner_id, owner_email: give one of them')
  const named = ownerEmail ? await users.byEmail(ctx.db, ctx.tenant.id, ownerEmail) : undefined
  if (ownerEmail && !named) throw fail('NOT_FOUND', 'owner_email: nobody has this address')
  const client = clientKey === undefined ? undefined : await appOf(ctx, clientKey)
  const owner = ownerId ?? named?.id
  return { row: await organizations.create(ctx, { ...input, clientId: client?.clientId }, owner), ownerId: owner }
}
