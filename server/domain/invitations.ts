/**
 * Invitations: to the tenant, an organization or a workspace, one table. Whoever invites vouches: what they may not give they
 * cannot offer, and what they may not give any more is not given. The secret is made in the job that mails it.
 */
import { fail } from '../kernel/errors.ts'
import type { Context, UserRow } from './context.ts'
import { newId } from './ids.ts'
import * as places from './invitations/places.ts'
import { type Page, readPage, type Window } from './pages.ts'
import * as users from './users.ts'

export const STATUSES = ['pending', 'accepted', 'revoked', 'expired'] as const
export type Status = (typeof STATUSES)[number]

export interface InvitationRow extends places.Offering {
  id: string
  email: string
  email_key: string
  /** The account that waits for its owner. */
  user_id: string | null
  /** Null for accounts made by no person of this tenant. */
  invited_by: string | null
  sends: number
  created_at: Date
  sent_at: Date | null
  expires_at: Date
  accepted_at: Date | null
  accepted_by: string | null
  revoked_at: Date | null
  /** By the database's clock. */
  status: Status
  /** Those of role_ids that are still there. */
  roles: { id: string; name: string }[]
}

const STATUS = `case when accepted_at is not null then 'accepted' when revoked_at is not null then 'revoked'
  when expires_at <= now() then 'expired' else 'pending' end`
const COLUMNS = `id, organization_id, workspace_id, workspace_role, email, email_key, user_id, role_ids, invited_by, sends, created_at,
  sent_at, expires_at, accepted_at, accepted_by, revoked_at, ${STATUS} as status,
  array(select jsonb_build_object('id', r.id, 'name', r.name) from unnest(role_ids) with ordinality offered (id, at)
    join roles r on r.tenant_id = invitations.tenant_id and r.id = offered.id order by at) as roles`

export const columns = (ctx: Pick<Context, 'db'>) => ctx.db.raw(COLUMNS)
export const all = (ctx: Pick<Context, 'db' | 'tenant'>) => ctx.db('invitations').where({ tenant_id: ctx.tenant.id })
/** Neither accepted nor revoked; may have expired. */
export const open = (ctx: Pick<Context, 'db' | 'tenant'>) => all(ctx).whereNull('accepted_at').whereNull('revoked_at')

const expiry = (ctx: Context) =>
  ctx.db.raw('now() + make_interval(secs => ?)', [ctx.tenant.settings.invitation_lifetime])

/** Mails to one mailbox a day, whoever sends them. */
const PER_MAILBOX = { count: 5, seconds: 86_400 }

/** Before the transaction: counts what one person sends a day, and what one mailbox gets. RATE_LIMITED. */
export async function prepare(ctx: Context, email: string): Promise<void> {
  const perInviter = { count: ctx.tenant.settings.invitations_per_day, seconds: 86_400 }
  const state = await ctx.out.limits.hitAll([
    { key: `${ctx.tenant.id}:invitations-by:${ctx.actor!.userId ?? ctx.actor!.clientId}`, rule: perInviter },
    { key: `${ctx.tenant.id}:invitations-to:${users.emailKey(email)}`, rule: PER_MAILBOX },
  ])
  if (!state.ok)
    throw fail('RATE_LIMITED', 'Too many invitations today: by you, or to this address', {
      retryAfter: state.retryAfter,
    })
}

export interface NewInvitation {
  email: string
  /** Ids or names, besides the default role. */
  roles?: string[] | undefined
}

/**
 * Mails an invitation. An earlier one of the caller's to the same address ends; whoever manages invitations replaces
 * those of others, too. Never tells whether the address has an account. ACCESS_DENIED, NOT_FOUND,
 * EMAIL_VERIFICATION_REQUIRED.
 */
export async function create(ctx: Context, input: NewInvitation): Promise<InvitationRow> {
  const role_ids = await places.rolesFor(ctx, input.roles ?? [])
  return invite(ctx, input.email, { ...places.TENANT, role_ids, workspace_role: null })
}

/** What all ways of inviting have in common; the same failures as create(). */
export async function invite(ctx: Context, given: string, offering: places.Offering): Promise<InvitationRow> {
  const inviter = places.inviting(ctx)
  await places.assertMayInvite(ctx, inviter, offering)
  const email = given.trim()
  const isColleague = await places.assertOutside(ctx, offering, email)
  if (offering.organization_id && !isColleague) await places.assertMayBring(ctx, inviter, offering.organization_id)
  await alone(ctx, email)
  const { organization_id, workspace_id } = offering
  const earlier = open(ctx).where({ email_key: users.emailKey(email), organization_id, workspace_id, user_id: null })
  // Who may invite inside an organization manages the invitations there.
  if (!organization_id && !places.manages(inviter)) earlier.where({ invited_by: inviter.userId })
  const [row] = await issue(ctx, [{ ...offering, email, invited_by: inviter.userId }], await end(ctx, earlier))
  return row!
}

/** Mails the owner of an account without a password a link to choose one. Earlier links end. CONFLICT without an address. */
export async function toAccount(ctx: Context, user: Pick<UserRow, 'id' | 'email'>): Promise<void> {
  const email = users.addressOf(user)
  await alone(ctx, email)
  const replaced = await end(ctx, open(ctx).where({ user_id: user.id }))
  await issue(ctx, await forAccounts(ctx, [{ id: user.id, email }]), replaced)
}

/** The same for many accounts that were made just now. */
export async function toNewAccounts(ctx: Context, accounts: Addressee[]): Promise<void> {
  if (accounts.length > 0) await issue(ctx, await forAccounts(ctx, accounts))
}

type Addressee = { id: string; email: string }

async function forAccounts(ctx: Context, accounts: Addressee[]): Promise<Values[]> {
  // Who manages several tenants is at home in one of them.
  const inviter = ctx.actor?.userId && (await users.byId(ctx.db, ctx.tenant.id, ctx.actor.userId))
  return accounts.map(({ id, email }) => ({ email, user_id: id, invited_by: inviter ? inviter.id : null }))
}

type Values = Pick<InvitationRow, 'email' | 'invited_by'> & Partial<InvitationRow>

/** Two at once to one address must not both be the newest. */
const alone = (ctx: Context, email: string) =>
  ctx.db.raw('select pg_advisory_xact_lock(hashtext(?))', [`invitation ${ctx.tenant.id} ${users.emailKey(email)}`])

/** The secrets of links that went out: without them nothing can be accepted. */
const NO_SECRETS = { token_hash: null, code_hash: null }

/** Ends those found; answers them. */
export async function end(ctx: Context, found: ReturnType<typeof open>): Promise<InvitationRow[]> {
  return found.update({ revoked_at: ctx.db.fn.now(), ...NO_SECRETS }).returning(columns(ctx))
}

async function issue(ctx: Context, values: Values[], replaced: InvitationRow[] = []): Promise<InvitationRow[]> {
  const rows: InvitationRow[] = await ctx
    .db('invitations')
    .insert(
      values.map((value) => ({
        tenant_id: ctx.tenant.id,
        id: newId(),
        ...value,
        email_key: users.emailKey(value.email),
        expires_at: expiry(ctx),
      })),
    )
    .returning(columns(ctx))
  const replaces = replaced.map(({ id }) => id)
  for (const row of rows) {
    ctx.event('invitation.created', about(row, { replaces }))
    mail(ctx, row)
  }
  return rows
}

/** What events say of an invitation. */
export function about(row: InvitationRow, more: Record<string, unknown> = {}) {
  const { id, email, role_ids, organization_id: organization, workspace_id: workspace } = row
  const roles = role_ids.map((role) => row.roles.find(({ id }) => id === role)?.name ?? role)
  const data = { id, email: masked(email), roles, organization, workspace, ...more }
  const isTelling = (value: unknown) => value !== null && !(Array.isArray(value) && value.length === 0)
  return {
    userId: row.user_id ?? undefined,
    data: Object.fromEntries(Object.entries(data).filter(([, value]) => isTelling(value))),
  }
}

/** a•••@example.com: events outlast invitations, and whoever was invited may never have come. */
export const masked = (email: string): string => email.replace(/^(.)[^@]*/u, '$1•••')

function mail(ctx: Context, { id, sends, email, user_id: userId }: InvitationRow): void {
  const whom = userId ? { template: 'welcome', userId } : { template: 'invitation', email }
  ctx.job('mail', { ...whom, invitationId: id, number: sends, locales: ctx.request.locales })
}

/** Invitations that the caller may see. */
function visible(ctx: Context) {
  const { permissions, userId } = ctx.actor!
  const found = all(ctx)
  return permissions.has('invitations:read') ? found : found.where({ invited_by: userId })
}

/** The newest first: all of the tenant for who may see them, else the caller's own. */
export function list(ctx: Context, status: Status | undefined, page: Window): Promise<Page<InvitationRow>> {
  const found = visible(ctx)
  if (status) found.whereRaw(`${STATUS} = ?`, [status])
  return newest(ctx, found, page)
}

/** One page of those found, the newest first. */
export const newest = (ctx: Context, found: ReturnType<typeof all>, page: Window): Promise<Page<InvitationRow>> =>
  readPage(found, page, (q) => q.select(columns(ctx)).orderBy('id', 'desc'))

/** NOT_FOUND also for invitations of others, to who may not see them. */
export async function get(ctx: Context, id: string): Promise<InvitationRow> {
  const row = (await visible(ctx).where({ id }).first(columns(ctx))) as InvitationRow | undefined
  if (!row) throw fail('NOT_FOUND', 'No such invitation')
  return row
}

async function changeable(ctx: Context, id: string): Promise<InvitationRow> {
  const row = await get(ctx, id)
  const inviter = places.inviting(ctx)
  if (row.invited_by !== inviter.userId && !places.manages(inviter))
    throw fail('ACCESS_DENIED', 'Only who sent this invitation, or manages invitations, may do that')
  return row
}

/** Its link is dead at once. CONFLICT when it was accepted; a second time nothing happens. */
export async function revoke(ctx: Context, id: string): Promise<void> {
  await changeable(ctx, id)
  const [row] = await end(ctx, open(ctx).where({ id }))
  if (row) return ctx.event('invitation.revoked', about(row))
  if (await all(ctx).where({ id }).whereNotNull('accepted_at').first('id'))
    throw fail('CONFLICT', 'This invitation was accepted already')
}

/**
 * Mails a new link, which lives as long as a first one; the old link is dead at once. The caller vouches for it from now on.
 * CONFLICT when it was accepted or revoked.
 */
export async function resend(ctx: Context, id: string): Promise<InvitationRow> {
  const before = await changeable(ctx, id)
  const inviter = places.inviting(ctx)
  if (!before.user_id) await places.assertMayInvite(ctx, inviter, before)
  const [row] = await open(ctx)
    .where({ id })
    .update({
      invited_by: inviter.userId,
      sends: ctx.db.raw('sends + 1'),
      ...NO_SECRETS,
      expires_at: expiry(ctx),
    })
    .returning(columns(ctx))
  if (!row) throw fail('CONFLICT', 'This invitation was accepted or revoked already. Make a new one')
  ctx.event('invitation.resent', about(row))
  mail(ctx, row)
  return row
}
