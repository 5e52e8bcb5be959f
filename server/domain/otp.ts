/**
 * One-time codes by mail or SMS: who is signed in proves the own address or number with one; anybody else signs in. By
 * mail it is the code of the magic link. By SMS a number lets in who has proven it before, or who has nothing but it.
 */
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import * as magicLinks from './magic-links.ts'
import * as numbers from './numbers.ts'
import { type Person, type Proof, person } from './proofs.ts'
import { assertRecent } from './recent.ts'
import { claimNumber, isGuarded } from './reclaim.ts'
import * as secrets from './secrets.ts'
import * as users from './users.ts'

export interface Target {
  channel?: 'email' | 'sms' | undefined
  email?: string | undefined
  phoneNumber?: string | undefined
  allowRegistration?: boolean | undefined
}
export type To = { channel: 'email'; address: string } | { channel: 'sms'; address: string }

/** Where to. Who is signed in may leave it out, and may name nothing but their own. VALIDATION_ERROR. */
export function targetOf(ctx: Context, input: Target): To {
  const user = ownUser(ctx)
  const channel = input.channel ?? (input.phoneNumber ? 'sms' : 'email')
  const address =
    (channel === 'sms' ? (input.phoneNumber ?? user?.phone_number) : (input.email ?? user?.email)) ?? undefined
  if (!address) throw fail('VALIDATION_ERROR', channel === 'sms' ? 'Send phone_number' : 'Send email')
  const isOwn =
    channel === 'sms' ? address === user?.phone_number : users.emailKey(address) === users.emailKey(user?.email ?? null)
  if (user && !isOwn) throw fail('VALIDATION_ERROR', 'This is not the address or number of your account')
  return { channel, address }
}

/** The signed-in person; a client's token proves nobody's mailbox. ACCESS_DENIED without the account scope. */
function ownUser(ctx: Context) {
  const { actor } = ctx
  if (actor?.kind !== 'user') return undefined
  if (!actor.firstParty && !actor.scopes.has('account'))
    throw fail('ACCESS_DENIED', 'This access token was not given the account scope', { details: { scope: 'account' } })
  return actor.user
}

/** Before the transaction: counts what one mailbox or phone is sent. RATE_LIMITED, ACCESS_DENIED, UNAVAILABLE. */
export async function prepareSend(ctx: Context, input: Target): Promise<To> {
  const to = targetOf(ctx, input)
  if (to.channel === 'email') {
    await magicLinks.prepare(ctx, { email: to.address })
    return to
  }
  // A number lets people in and is a factor: whoever adds one has signed in a moment ago.
  if (ownUser(ctx)) await assertRecent(ctx)
  await numbers.prepareText(ctx, to.address)
  return to
}

/** Sends the code, or does the same work where nobody may have one. */
export async function send(ctx: Context, to: To, allowRegistration: boolean | undefined): Promise<void> {
  if (to.channel === 'email') return magicLinks.request(ctx, { email: to.address, allowRegistration })
  const own = ownUser(ctx)
  const user = own ?? numbers.holderOf(await numbers.holders(ctx, to.address))
  ctx.event('otp.requested', { userId: user?.id, data: { channel: 'sms' } })
  numbers.text(ctx, to.address, own ? 'verify' : 'sign_in', user)
}

/** Before the transaction: the try is counted. INVALID_CODE. */
export async function prepareVerify(ctx: Context, input: Target & { code: string }): Promise<To & { hash: Buffer }> {
  const to = targetOf(ctx, input)
  if (to.channel === 'email')
    return { ...to, hash: await magicLinks.prepareCode(ctx, { email: to.address, code: input.code }) }
  const hash = await secrets.checkCode(ctx.out.db, {
    tenantId: ctx.tenant.id,
    purpose: 'otp_sms',
    address: to.address,
    code: input.code.replace(/\s/g, ''),
  })
  if (hash) return { ...to, hash }
  await ctx.out.recordNow(ctx, 'login.failed', { data: { reason: 'invalid_code', by: 'sms' } })
  throw magicLinks.wrongCode()
}

/** Takes the code: a proof for settle(), or undefined after it verified the caller's own address or number. */
export async function verify(
  ctx: Context,
  to: To & { hash: Buffer },
  allowRegistration: boolean | undefined,
): Promise<Proof | undefined> {
  const own = ownUser(ctx)
  if (to.channel === 'email') {
    if (!own) return magicLinks.take(ctx, { hash: to.hash }, { allowRegistration })
    await verifyOwn(ctx, own.id, to, await secrets.consumeHash(ctx.db, ctx.tenant.id, 'magic_link', to.hash))
    return undefined
  }
  const taken = await secrets.consumeHash(ctx.db, ctx.tenant.id, 'otp_sms', to.hash)
  if (own) {
    await verifyOwn(ctx, own.id, to, taken?.data.purpose === 'verify' ? taken : undefined)
    return undefined
  }
  const purpose: numbers.Purpose | undefined = taken?.data.purpose
  const user = taken?.userId && purpose !== 'verify' ? await person(ctx, taken.userId) : undefined
  if (!user || user.phone_number !== to.address || !(user.phone_verified_at || user.email === null))
    throw magicLinks.wrongCode()
  const proof: Proof = { user, amr: ['sms'], also: [] }
  // What was registered stays, as after a mailed link; and a second factor keeps strangers out by itself.
  if (purpose === 'register' || isGuarded(ctx, proof, 'sms')) await proveNumber(ctx, user)
  else await claimNumber(ctx, proof)
  return proof
}

async function proveNumber(ctx: Context, user: Person): Promise<void> {
  if (user.phone_verified_at) return
  await users.prove(ctx, user.id, 'sms', user.phone_number!)
  user.phone_verified_at = new Date()
}

async function verifyOwn(ctx: Context, userId: string, to: To, taken: secrets.Taken | undefined): Promise<void> {
  if (taken?.userId !== userId || !(await users.prove(ctx, userId, to.channel, to.address)))
    throw magicLinks.wrongCode()
}
