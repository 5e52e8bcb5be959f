/**
 * Passkeys: registered by a signed-in person, then a second factor, or a whole sign-in by themselves. Checked here is what
 * the library leaves to us: whose challenge it was and that it is used once, whose passkey it is, counter and backup flags.
 */

import { isDeepStrictEqual } from 'node:util'
import * as webauthn from '../../adapters/webauthn.ts'
import {
  claimed,
  clientData,
  creationOptions,
  type NewPasskey,
  party,
  requestOptions,
} from '../../adapters/webauthn.ts'
import { fail } from '../kernel/errors.ts'
import * as attempts from './attempts.ts'
import type { Context, UserRow } from './context.ts'
import { assertOneStays, holdFactors, passkeyChanged } from './factors.ts'
import { newId } from './ids.ts'
import { type Proof, person } from './proofs.ts'
import * as secrets from './secrets.ts'
import { signInName } from './users.ts'

/** Seconds a challenge may be answered. */
export const PATIENCE = 300
/** More would make the list that browsers are sent unwieldy. */
const MOST = 30

export interface PasskeyRow {
  id: string
  user_id: string
  external_id: string
  name: string | null
  /** Public key (COSE) in base64. */
  secret: string
  data: { counter: number; transports: string[]; aaguid: string; backupEligible: boolean; backedUp: boolean }
  created_at: Date
  last_used_at: Date | null
}

/** Whom a challenge was given to; it is good for nobody and nothing else. */
type Ceremony =
  | { kind: 'register'; userId: string; sessionId: string | null }
  | { kind: 'enrol'; userId: string; attemptId: string }
  | { kind: 'second-factor'; attemptId: string }
  | { kind: 'sign-in'; interactionId: string | null }

export interface Begun {
  /** What navigator.credentials takes, as JSON (WebAuthn level 3). */
  options: object
  /** Seconds. */
  expiresIn: number
}

const partyOf = (ctx: Context) => party(ctx.out.config.publicUrl)
/** Whether browsers can use passkeys at our address. */
export const usable = (ctx: Context): boolean => partyOf(ctx).usable

const rowsOf = (ctx: Context, userId: string) =>
  ctx.db<PasskeyRow>('credentials').where({ tenant_id: ctx.tenant.id, user_id: userId, type: 'webauthn' } as object)
const descriptor = (row: PasskeyRow) => ({ id: row.external_id, transports: row.data.transports })

/** The user handle: the bytes of the user's id (WebAuthn 6.1 asks for nothing that says who it is). */
const handleOf = (userId: string): Buffer => Buffer.from(userId.replaceAll('-', ''), 'hex')

async function challenge(ctx: Context, ceremony: Ceremony): Promise<string> {
  return secrets.create(ctx.db, {
    tenantId: ctx.tenant.id,
    purpose: 'webauthn',
    data: { ...ceremony },
    lifetime: PATIENCE,
  })
}

/**
 * Takes the challenge of an answer: whatever comes of the answer, it is used up. INVALID_TOKEN when it is not ours, was
 * used, or is too old.
 */
async function takeChallenge(ctx: Context, response: unknown): Promise<{ challenge: string; ceremony: Ceremony }> {
  const given = clientData(response)?.challenge
  const taken = given && (await secrets.consume(ctx.out.db, ctx.tenant.id, 'webauthn', given))
  if (!given || !taken) throw stale()
  return { challenge: given, ceremony: taken.data as Ceremony }
}
const stale = () => fail('INVALID_TOKEN', 'This took too long, or was answered already. Begin again')

/** Options to make a passkey: for the session of the caller, or for the sign-in that waits. Those the person has are excluded. */
export async function beginRegistration(ctx: Context, user: UserRow, attempt?: attempts.Attempt): Promise<Begun> {
  const known = await rowsOf(ctx, user.id)
  if (known.length >= MOST) throw fail('CONFLICT', `Nobody needs more than ${MOST} passkeys. Remove one first`)
  const options = await creationOptions(partyOf(ctx), {
    name: ctx.tenant.name,
    user: {
      handle: handleOf(user.id),
      name: signInName(user),
      displayName: [user.given_name, user.family_name].filter(Boolean).join(' ') || signInName(user),
    },
    challenge: await challenge(ctx, registration(ctx, user.id, attempt)),
    exclude: known.map(descriptor),
  })
  return { options, expiresIn: PATIENCE }
}

const registration = (ctx: Context, userId: string, attempt?: attempts.Attempt): Ceremony =>
  attempt
    ? { kind: 'enrol', userId, attemptId: attempt.id }
    : { kind: 'register', userId, sessionId: ctx.actor?.sessionId ?? null }

/** Before the transaction: takes the challenge and checks the answer. INVALID_TOKEN, VALIDATION_ERROR. */
export async function checkRegistration(
  ctx: Context,
  userId: string,
  response: unknown,
  attempt?: attempts.Attempt,
): Promise<NewPasskey> {
  const { challenge: given, ceremony } = await takeChallenge(ctx, response)
  if (!isDeepStrictEqual(ceremony, registration(ctx, userId, attempt))) throw stale()
  const made = await webauthn.verifyCreation(partyOf(ctx), response, given)
  if (!made) throw fail('VALIDATION_ERROR', 'This is not a passkey made for this address')
  return made
}

/** Stores a checked passkey and tells its owner. CONFLICT when it is registered already, with whomever. */
export async function add(ctx: Context, user: UserRow, made: NewPasskey, name?: string | null): Promise<PasskeyRow> {
  const { externalId, publicKey, counter, transports, aaguid, backupEligible, backedUp } = made
  const [row] = await ctx
    .db('credentials')
    .insert({
      tenant_id: ctx.tenant.id,
      id: newId(),
      user_id: user.id,
      type: 'webauthn',
      external_id: externalId,
      secret: publicKey.toString('base64'),
      name: name || 'Passkey',
      data: JSON.stringify({ counter, transports, aaguid, backupEligible, backedUp }),
    })
    .onConflict(ctx.db.raw('(tenant_id, external_id) where external_id is not null') as any)
    .ignore()
    .returning('*')
  if (!row) throw fail('CONFLICT', 'This passkey is registered already')
  ctx.event('passkey.added', { userId: user.id, data: { id: row.id, name: row.name, aaguid, backupEligible } })
  await passkeyChanged(ctx, user.id, 'added')
  return row
}

export const list = (ctx: Context, userId: string): Promise<PasskeyRow[]> => rowsOf(ctx, userId).orderBy('id')

/** `id` is ours or the authenticator's. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const one = (ctx: Context, userId: string, id: string) =>
  rowsOf(ctx, userId).where(UUID.test(id) ? { id } : { external_id: id })
const missing = () => fail('NOT_FOUND', 'No such passkey')

export async function rename(ctx: Context, userId: string, id: string, name: string): Promise<PasskeyRow> {
  const [row] = (await one(ctx, userId, id)
    .update({ name, updated_at: ctx.db.fn.now() } as object)
    .returning('*')) as PasskeyRow[]
  if (!row) throw missing()
  ctx.event('passkey.renamed', { userId, data: { id: row.id, name } })
  return row
}

export async function remove(ctx: Context, userId: string, id: string): Promise<void> {
  await holdFactors(ctx, userId)
  const [row] = (await one(ctx, userId, id).delete().returning('*')) as PasskeyRow[]
  if (!row) throw missing()
  await assertOneStays(ctx, userId)
  ctx.event('passkey.removed', { userId, data: { id: row.id, name: row.name } })
  await passkeyChanged(ctx, userId, 'removed')
}

/** Options to sign in with: the person's own passkeys for a waiting attempt, else whichever the browser has for us. */
export async function beginSignIn(
  ctx: Context,
  where: { attempt?: attempts.Attempt | undefined; interactionId?: string | undefined } = {},
): Promise<Begun> {
  const { attempt, interactionId } = where
  const allow = attempt && (await rowsOf(ctx, attempt.userId)).map(descriptor)
  if (allow?.length === 0) throw fail('NOT_FOUND', 'This person has no passkey')
  const options = await requestOptions(partyOf(ctx), {
    challenge: await challenge(
      ctx,
      attempt
        ? { kind: 'second-factor', attemptId: attempt.id }
        : { kind: 'sign-in', interactionId: interactionId ?? null },
    ),
    ...(allow && { allow }),
    userVerification: attempt ? 'preferred' : 'required',
  })
  return { options, expiresIn: PATIENCE }
}

/** A checked answer, of which the use is still to be written down. */
export interface Used {
  row: PasskeyRow
  assertion: webauthn.Assertion
  attempt: attempts.Attempt | undefined
}

/**
 * Before the transaction: takes the challenge and checks the answer. `findAttempt` is asked when the challenge was given to a
 * waiting attempt. INVALID_TOKEN (challenge), INVALID_CODE (second factor) or INVALID_CREDENTIALS (sign-in).
 */
export async function checkSignIn(
  ctx: Context,
  response: unknown,
  where: { findAttempt?: () => Promise<attempts.Attempt>; interactionId?: string | undefined },
): Promise<Used> {
  const { challenge: given, ceremony } = await takeChallenge(ctx, response)
  if (ceremony.kind === 'register' || ceremony.kind === 'enrol') throw stale()
  const attempt = ceremony.kind === 'second-factor' ? await where.findAttempt?.() : undefined
  if (ceremony.kind === 'second-factor' && attempt?.id !== ceremony.attemptId) throw stale()
  if (ceremony.kind === 'sign-in' && ceremony.interactionId !== (where.interactionId ?? null)) throw stale()

  const claim = claimed(response)
  const row: PasskeyRow | undefined =
    claim &&
    (await ctx
      .db('credentials')
      .where({ tenant_id: ctx.tenant.id, type: 'webauthn', external_id: claim.externalId })
      .first())
  const refuse = async (reason: string) => {
    if (attempt) return attempts.wrongCode(ctx, attempt, 'webauthn')
    await ctx.out.recordNow(ctx, 'login.failed', { userId: row?.user_id, data: { reason, with: 'passkey' } })
    return fail('INVALID_CREDENTIALS', 'This passkey does not open an account here')
  }
  if (!row || !claim) throw await refuse('unknown_passkey')
  if (attempt && attempt.userId !== row.user_id) throw await refuse('passkey_of_another')
  // A discoverable passkey says whose it is (WebAuthn 7.2 step 6); where it says so, it must be true.
  if (claim.userHandle ? !isHandle(claim.userHandle, row.user_id) : !attempt) throw await refuse('user_handle')
  const assertion = await webauthn.verifyAssertion(partyOf(ctx), response, {
    challenge: given,
    externalId: row.external_id,
    publicKey: Buffer.from(row.secret, 'base64'),
    requireUserVerification: !attempt,
  })
  if (!assertion) throw await refuse('passkey_not_proven')
  // Whether a passkey can be copied is decided when it is made (WebAuthn 6.1.3).
  if (assertion.backupEligible !== row.data.backupEligible) throw await refuse('backup_eligibility_changed')
  if (!(await count(ctx, row, assertion))) {
    await ctx.out.recordNow(ctx, 'passkey.counter_regression', {
      userId: row.user_id,
      data: { id: row.id, stored: row.data.counter, sent: assertion.counter },
    })
    throw await refuse('counter_regression')
  }
  return { row, assertion, attempt }
}

const isHandle = (handle: string, userId: string): boolean => Buffer.from(handle, 'base64url').equals(handleOf(userId))

/** Moves the counter on; false when it does not grow, so that of two copies of an authenticator one is found out. */
async function count(ctx: Context, row: PasskeyRow, { counter, backedUp }: webauthn.Assertion): Promise<boolean> {
  const { rowCount } = await ctx.out.db.raw(
    `update credentials set data = data || jsonb_build_object('counter', :counter::bigint, 'backedUp', :backedUp::boolean),
       last_used_at = now(), updated_at = now()
     where tenant_id = :tenant and id = :id
       and ((data ->> 'counter')::bigint < :counter or ((data ->> 'counter')::bigint = 0 and :counter = 0))`,
    { tenant: ctx.tenant.id, id: row.id, counter, backedUp },
  )
  return rowCount === 1
}

/**
 * What a checked answer proves; runs in the transaction and ends the attempt. With user verification a passkey is two
 * factors by itself (RFC 8176: hwk, user, mfa).
 */
export async function proofOf(ctx: Context, { row, assertion, attempt }: Used): Promise<Proof> {
  if (attempt) return attempts.finish(ctx, attempt, { amr: assertion.userVerified ? ['hwk', 'user'] : ['hwk'] })
  const user = await person(ctx, row.user_id)
  if (!user) throw fail('INVALID_CREDENTIALS', 'This passkey does not open an account here')
  return { user, amr: ['hwk', 'user', 'mfa'], also: [] }
}
