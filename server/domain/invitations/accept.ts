/**
 * Accepting: by the mailed link, which proves the address and so may make the account; or by somebody signed in whose verified
 * address is the invited one. What is offered must still be there, and who offered it must still be one who may.
 */
import { type Failure, fail } from '../../kernel/errors.ts'
import { administers } from '../authority.ts'
import type { Context, UserRow } from '../context.ts'
import { about, all, columns, type InvitationRow, masked, newest, open } from '../invitations.ts'
import { allowsMethod, policyAt } from '../login-policy.ts'
import type { Page, Window } from '../pages.ts'
import * as passwords from '../passwords.ts'
import { type Person, type Proof, person } from '../proofs.ts'
import { assertOneself } from '../recent.ts'
import { claimAddress, isGuarded } from '../reclaim.ts'
import * as users from '../users.ts'
import { codeHash, tokenHash } from './links.ts'
import * as places from './places.ts'

/** The link's token; the code of the same mail; or the id, for those it is addressed to. */
export type By = { token: string } | { code: string } | { id: string }

const named = (ctx: Context, by: By) => {
  if ('token' in by) return { token_hash: tokenHash(by.token) }
  if ('code' in by) return { code_hash: codeHash(ctx.tenant.id, by.code) }
  // Not a secret: of others' invitations it must not even tell that they exist.
  return { id: by.id, email_key: users.emailKey(ctx.actor!.user!.email) }
}

const dead = () => fail('INVALID_TOKEN', 'This invitation is invalid, was accepted already, or was withdrawn')
const expired = () => fail('INVITATION_EXPIRED', 'This invitation has expired. Ask for a new one')
const outdated = () =>
  fail('INVITATION_EXPIRED', 'This invitation does not hold any more: what it offers has changed. Ask for a new one')

/** An open invitation, looked at but not taken. INVALID_TOKEN, INVITATION_EXPIRED. */
async function find(ctx: Context, by: By): Promise<InvitationRow> {
  const row = (await open(ctx).where(named(ctx, by)).first(columns(ctx))) as InvitationRow | undefined
  if (!row) throw 'id' in by ? fail('NOT_FOUND', 'No such invitation') : dead()
  if (row.status === 'expired') throw expired()
  return row
}

/** Takes it: one statement, so it happens once. */
async function take(ctx: Context, by: By): Promise<InvitationRow> {
  const [row] = await open(ctx)
    .where(named(ctx, by))
    .where('expires_at', '>', ctx.db.fn.now())
    .update({ accepted_at: ctx.db.fn.now(), token_hash: null, code_hash: null })
    .returning(columns(ctx))
  if (row) return row
  await find(ctx, by)
  throw dead()
}

/**
 * Answers where to, and who invited, if they are still there. INVITATION_EXPIRED when the place or a role is gone, or who
 * invited has left or may not give as much any more.
 */
async function standing(
  ctx: Context,
  row: InvitationRow,
): Promise<{ inviter?: UserRow | undefined; where: places.Where }> {
  const inviter = row.invited_by ? await places.inviterOf(ctx, row.invited_by) : undefined
  // The account was made with all it has; the link only brings its owner there.
  if (row.user_id) return { inviter: inviter?.user, where: places.NOWHERE }
  const known = await ctx.db('roles').where({ tenant_id: ctx.tenant.id }).whereIn('id', row.role_ids).pluck('id')
  if (!inviter || known.length < row.role_ids.length) throw outdated()
  try {
    await places.assertMayInvite(ctx, inviter, row)
    return { inviter: inviter.user, where: await places.whereIs(ctx, row) }
  } catch (error) {
    throw [403, 404].includes((error as Failure).status) ? outdated() : error
  }
}

export interface Offer {
  row: InvitationRow
  where: places.Where
  /** In words, for who holds the link. */
  invitedBy: string | undefined
  /** The account with the invited address. */
  account: Person | undefined
  /** The account has its owner, who must sign in: a link is no way around passwords and second factors. */
  mustSignIn: boolean
}

/** What an invitation offers, and to which account. Changes nothing. */
export async function offered(ctx: Context, token: string): Promise<Offer> {
  const row = await find(ctx, { token })
  const { inviter, where } = await standing(ctx, row)
  return { row, where, invitedBy: inviter && nameOf(inviter), ...(await accountOf(ctx, row)) }
}

const nameOf = (user: UserRow): string =>
  [user.given_name, user.family_name].filter(Boolean).join(' ') || masked(users.signInName(user))

async function accountOf(ctx: Context, row: InvitationRow): Promise<Pick<Offer, 'account' | 'mustSignIn'>> {
  const user = row.user_id
    ? await users.byId(ctx.db, ctx.tenant.id, row.user_id)
    : await users.byEmail(ctx.db, ctx.tenant.id, row.email)
  // Mailed to an address that the account has left since.
  if (row.user_id && (!user || users.emailKey(user.email) !== row.email_key)) throw outdated()
  const account = user && (await person(ctx, user.id))
  return { account, mustSignIn: account !== undefined && (await isTaken(ctx, account)) }
}

/** Whether somebody owns the account: with a proven address and a way to sign in; or behind a second factor. */
export async function isTaken(ctx: Context, account: Person): Promise<boolean> {
  if (!account.email_verified_at) return isGuarded(ctx, proofOf(account))
  const mine = { tenant_id: ctx.tenant.id, user_id: account.id }
  const ways = await Promise.all(
    ['credentials', 'identities'].map((table) => ctx.db(table).where(mine).first(ctx.db.raw('1 as here'))),
  )
  return ways.some(Boolean)
}

const proofOf = (user: Person): Proof => ({ user, amr: ['email'], also: [] })

export interface Newcomer {
  token: string
  password?: string | undefined
  givenName?: string | null | undefined
  familyName?: string | null | undefined
}

export interface Arrival {
  proof: Proof
  /** False where mailed links are no way to sign in: what was offered is taken all the same, and signing in follows. */
  signsIn: boolean
}

const signInFirst = () =>
  fail('UNAUTHORIZED', 'There is an account with this address. Sign in to it, and accept the invitation there')

/** Before the transaction: a dead link must not cost a hash. WEAK_PASSWORD; UNAUTHORIZED where the account has its owner. */
export async function prepare(ctx: Context, input: Newcomer): Promise<string> {
  const { row, mustSignIn } = await offered(ctx, input.token)
  if (mustSignIn) {
    // The account may be one that this very link has made in the meantime.
    await find(ctx, { token: input.token })
    throw signInFirst()
  }
  if (input.password === undefined)
    throw fail('VALIDATION_ERROR', 'password is required', { details: [{ field: 'password', message: 'is required' }] })
  const { givenName, familyName } = input
  passwords.assertStrong(ctx, input.password, { email: row.email, givenName, familyName })
  return ctx.out.passwords.hash(input.password)
}

/**
 * By the link, of who is not signed in: makes the account or moves its owner in, with this password; registration may be
 * closed. Answers the proof, which goes to settle() where it signs in. INVALID_TOKEN, INVITATION_EXPIRED, UNAUTHORIZED, CONFLICT.
 */
export async function accept(ctx: Context, input: Newcomer, hash: string): Promise<Accepted & Arrival> {
  const row = await take(ctx, { token: input.token })
  const { where } = await standing(ctx, row)
  const { account, mustSignIn } = await accountOf(ctx, row)
  if (mustSignIn) throw signInFirst()
  const user = account ? await moveIn(ctx, account, input) : await arrive(ctx, row, input)
  await passwords.store(ctx, user.id, hash)
  await enter(ctx, row, user.id)
  const proof = proofOf((await person(ctx, user.id))!)
  return { row, where, proof, signsIn: allowsMethod(await policyAt(ctx), proof.amr) }
}

async function arrive(ctx: Context, { email }: InvitationRow, input: Newcomer): Promise<UserRow> {
  const { givenName, familyName } = input
  const locale = ctx.request.locales[0]?.slice(0, 35) ?? null
  const user = await users.create(ctx, { email, givenName, familyName, locale, emailVerified: true })
  ctx.event('user.registered', { userId: user.id, data: { how: 'invitation' } })
  return user
}

/** What an administrator knows of the person stays, unless the person says otherwise. */
async function moveIn(ctx: Context, account: Person, { givenName, familyName }: Newcomer): Promise<UserRow> {
  await claimAddress(ctx, proofOf(account))
  const names = { ...(givenName && { givenName }), ...(familyName && { familyName }) }
  if (Object.keys(names).length > 0) await users.updateProfile(ctx, account.id, names)
  return account
}

/**
 * Of the caller, by the mail or for its address alone. EMAIL_MISMATCH for the invitation of somebody else,
 * EMAIL_VERIFICATION_REQUIRED, INVALID_TOKEN, INVITATION_EXPIRED.
 */
export async function acceptAs(ctx: Context, by: By): Promise<Accepted> {
  assertOneself(ctx)
  const user = ctx.actor!.user!
  const row = await take(ctx, by)
  if (row.email_key !== users.emailKey(user.email) || (row.user_id && row.user_id !== user.id))
    throw fail('EMAIL_MISMATCH', 'This invitation is for another e-mail address')
  // Whoever made the account may have known the address only; the owner of the mailbox must not be led into it.
  if (!user.email_verified_at) throw fail('EMAIL_VERIFICATION_REQUIRED', 'Verify your e-mail address first')
  // Administrators vouch for addresses, their own too; what lets somebody administer must not be had by their word.
  if ('id' in by && (await administers(ctx, row.role_ids)))
    throw fail('ACCESS_DENIED', 'This invitation lets you administer. Accept it by the link in its mail')
  const { where } = await standing(ctx, row)
  await enter(ctx, row, user.id)
  return { row, where }
}

export interface Accepted {
  row: InvitationRow
  where: places.Where
}

/** The one that waits for the caller, where no id says which. NOT_FOUND when there is none, CONFLICT for several. */
export async function acceptPending(ctx: Context, id?: string): Promise<Accepted> {
  if (id !== undefined) return acceptAs(ctx, { id })
  const { items } = await received(ctx, { limit: 2, offset: 0 })
  if (!items[0]) throw fail('NOT_FOUND', 'No invitation waits for your verified address')
  if (items[1]) throw fail('CONFLICT', 'Several invitations wait for you: say which by invitation_id')
  return acceptAs(ctx, { id: items[0].id })
}

async function enter(ctx: Context, row: InvitationRow, userId: string): Promise<void> {
  const inviter = row.invited_by ? await places.inviterOf(ctx, row.invited_by) : undefined
  row.accepted_by = userId
  await all(ctx).where({ id: row.id }).update({ accepted_by: userId })
  await places.admit(ctx, row, userId, inviter).catch((error) => {
    throw error?.code === 'ACCESS_DENIED' ? outdated() : error
  })
  ctx.event('invitation.accepted', { ...about(row), userId })
  // Once inside, there is nothing that others to the same place could give.
  const { organization_id, workspace_id, email_key } = row
  if (organization_id)
    await open(ctx).where({ organization_id, workspace_id, email_key }).update({ revoked_at: ctx.db.fn.now() })
}

/** Open invitations to the caller's verified address, the newest first. Those that do not hold any more are among them. */
export function received(ctx: Context, page: Window): Promise<Page<InvitationRow>> {
  const user = ctx.actor!.user!
  const mine = open(ctx)
    .where({ email_key: users.emailKey(user.email) })
    .where('expires_at', '>', ctx.db.fn.now())
    .where((q) => q.whereNull('user_id').orWhere({ user_id: user.id }))
  if (!user.email_verified_at) mine.whereRaw('false')
  return newest(ctx, mine, page)
}
