/**
 * Signing in by what is sent to a mailbox: one mail with a link and a code, 10 minutes, the newest only. Asking never
 * tells whether the address has an account; taking proves the address.
 */
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { ROLE } from './ids.ts'
import { type Person, type Proof, person } from './proofs.ts'
import { claimAddress, newcomer } from './reclaim.ts'
import * as secrets from './secrets.ts'
import * as users from './users.ts'

/** Seconds. */
export const LIFETIME = 600
/** By caller's address, and again by the mailbox. */
export const SEND_LIMIT = { name: 'magic-link', count: 3, seconds: 3600 } as const

export interface Request {
  email: string
  /** Can only narrow the tenant's registration_enabled. */
  allowRegistration?: boolean | undefined
  /** The hosted sign-in that waits for it. */
  interactionId?: string | undefined
}

/** Before the transaction: counts what one mailbox is sent. RATE_LIMITED, ACCESS_DENIED where links are switched off. */
export async function prepare(ctx: Context, { email }: Request): Promise<void> {
  assertEnabled(ctx)
  const state = await ctx.out.limits.hit(`${ctx.tenant.id}:magic-link-to:${users.emailKey(email)}`, SEND_LIMIT)
  if (!state.ok) throw fail('RATE_LIMITED', 'Too many mails to this address', { retryAfter: state.retryAfter })
}

function assertEnabled(ctx: Context): void {
  if (!ctx.tenant.settings.magic_link_enabled) throw fail('ACCESS_DENIED', 'Sign-in by mail is switched off here')
}

/** Mails link and code to who has or may open an account; does the same work for everybody else. */
export async function request(
  ctx: Context,
  { email, allowRegistration = true, interactionId }: Request,
): Promise<void> {
  const user = await users.byEmail(ctx.db, ctx.tenant.id, email)
  const mayRegister = allowRegistration && ctx.tenant.settings.registration_enabled
  ctx.event('magic_link.requested', { userId: user?.id })
  const served = user ? user.status === 'active' : mayRegister
  const whom = user ? { userId: user.id } : { email: email.trim() }
  if (!served) return ctx.job('nothing', {})
  ctx.job('mail', {
    template: 'magic-link',
    ...whom,
    locales: ctx.request.locales,
    ...(interactionId && { interactionId }),
    mayRegister,
  })
}

export type Answer = { token: string } | { email: string; code: string }

/** Before the transaction: the try at a code is counted. Answers what take() takes. INVALID_CODE. */
export async function prepareCode(ctx: Context, { email, code }: { email: string; code: string }): Promise<Buffer> {
  assertEnabled(ctx)
  const address = users.emailKey(email)
  const hash = await secrets.checkCode(ctx.out.db, {
    tenantId: ctx.tenant.id,
    purpose: 'magic_link',
    address,
    code: code.replace(/\s/g, ''),
  })
  if (hash) return hash
  await ctx.out.recordNow(ctx, 'login.failed', { data: { reason: 'invalid_code', by: 'magic_link' } })
  throw wrongCode()
}

export const wrongCode = () => fail('INVALID_CODE', 'This code is wrong or no longer valid')
const deadLink = () =>
  fail('INVALID_TOKEN', 'This link is invalid, was used already, or has expired. Ask for a new one')

/**
 * Takes the link (its token) or the code (its hash from prepareCode) and answers the proof, which goes to settle(). Makes
 * the account of a newcomer. INVALID_TOKEN, REGISTRATION_DISABLED.
 */
export async function take(
  ctx: Context,
  by: { token: string } | { hash: Buffer },
  { allowRegistration = true }: { allowRegistration?: boolean | undefined } = {},
): Promise<Proof> {
  assertEnabled(ctx)
  const { id } = ctx.tenant
  const taken =
    'token' in by
      ? await secrets.consume(ctx.db, id, 'magic_link', by.token)
      : await secrets.consumeHash(ctx.db, id, 'magic_link', by.hash)
  if (!taken) throw deadLink()
  const { email, mayRegister } = taken.data
  const user = taken.userId
    ? await known(ctx, taken.userId, email)
    : await arrived(ctx, email, mayRegister && allowRegistration)
  const proof: Proof = { user, amr: ['email'], also: [] }
  await claimAddress(ctx, proof)
  return proof
}

/** Mailed to an address changed since: dead. */
async function known(ctx: Context, userId: string, email: string): Promise<Person> {
  const user = await person(ctx, userId)
  if (!user || users.emailKey(user.email) !== users.emailKey(email)) throw deadLink()
  return user
}

/** Nobody had an account with this address when it was asked for; by now somebody may. */
async function arrived(ctx: Context, email: string, mayRegister: boolean): Promise<Person> {
  const meanwhile = await users.byEmail(ctx.db, ctx.tenant.id, email)
  if (meanwhile) return (await person(ctx, meanwhile.id))!
  if (!mayRegister || !ctx.tenant.settings.registration_enabled)
    throw fail('REGISTRATION_DISABLED', 'There is no account with this address, and none can be made here')
  const user = await users.create(ctx, {
    email,
    emailVerified: true,
    locale: ctx.request.locales[0]?.slice(0, 35) ?? null,
  })
  ctx.event('user.registered', { userId: user.id, data: { how: 'magic_link' } })
  return newcomer(user, [ROLE.user])
}
