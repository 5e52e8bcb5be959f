/**
 * What a person has to do before a sign-in is complete, beside proving who they are: accept the terms, choose a new
 * password. (Verifying the address refuses the sign-in, enrolling is a matter of second factors; see sign-in.ts.)
 */
import { fail } from '../kernel/errors.ts'
import * as attempts from './attempts.ts'
import type { Context } from './context.ts'
import * as passwords from './passwords.ts'
import { type Person, type Proof, person } from './proofs.ts'
import type { Settings } from './settings.ts'

/** What may be asked of a user by an administrator. */
export const REQUIRED_ACTIONS = ['verify_email', 'set_password', 'enrol_mfa', 'accept_terms'] as const
export type RequiredAction = (typeof REQUIRED_ACTIONS)[number]
/** What is owed after the proofs. */
export type Action = 'accept_terms' | 'set_password'

type Owing = { required_actions: string[]; terms_version?: string | null }

/** The version of the terms that people accept here; undefined where none are asked for. */
export const termsOf = ({ terms_version: version, terms_url: url, privacy_url: privacyUrl }: Settings) =>
  version ? { version, url, privacyUrl } : undefined

export function owedActions(
  settings: Settings,
  { required_actions: required, terms_version: accepted }: Owing,
): Action[] {
  const terms = termsOf(settings)
  const owes = terms && (accepted !== terms.version || required.includes('accept_terms'))
  return [
    ...(owes ? ['accept_terms' as const] : []),
    ...(required.includes('set_password') ? ['set_password' as const] : []),
  ]
}

/** VALIDATION_ERROR unless it is the version that is asked for now. */
export function assertCurrentTerms(settings: Settings, accepted: string | undefined): void {
  const terms = termsOf(settings)
  if (!terms || accepted === terms.version) return
  throw fail(
    'VALIDATION_ERROR',
    `accept_terms: send "${terms.version}", the version of the terms, once the person accepts them`,
  )
}

/** Writes down that the person accepted the terms of today. */
export async function acceptTerms(ctx: Context, userId: string): Promise<void> {
  const terms = termsOf(ctx.tenant.settings)
  if (!terms) return
  await ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: userId })
    .update({
      terms_version: terms.version,
      terms_accepted_at: ctx.db.fn.now(),
      required_actions: ctx.db.raw(`array_remove(required_actions, 'accept_terms')`),
    })
  ctx.event('terms.accepted', { userId, data: { ...terms } })
}

export interface Given {
  acceptTerms?: string | undefined
  newPassword?: string | undefined
}
export interface Checked {
  attempt: attempts.Attempt
  user: Person
  actions: Action[]
  hash: string | undefined
}

/** The sign-in that waits for actions, with what is still owed. UNAUTHORIZED when there is none. */
export async function open(ctx: Context, by: { mfaToken: string } | { interactionId: string }) {
  const attempt = await attempts.find(ctx, { ...by, stage: 'actions' })
  const user = await person(ctx, attempt.userId)
  if (!user) throw fail('UNAUTHORIZED', 'There is no sign-in waiting. Sign in again')
  return { attempt, user, actions: owedActions(ctx.tenant.settings, user) }
}

/** Before the transaction. VALIDATION_ERROR for what is missing, WEAK_PASSWORD. */
export async function check(
  ctx: Context,
  by: { mfaToken: string } | { interactionId: string },
  given: Given,
): Promise<Checked> {
  const { attempt, user, actions } = await open(ctx, by)
  if (actions.includes('accept_terms')) assertCurrentTerms(ctx.tenant.settings, given.acceptTerms)
  if (!actions.includes('set_password')) return { attempt, user, actions, hash: undefined }
  if (!given.newPassword) throw fail('VALIDATION_ERROR', 'new_password: a new password has to be chosen')
  passwords.assertStrong(ctx, given.newPassword, user)
  await passwords.assertNew(ctx, user.id, given.newPassword)
  return { attempt, user, actions, hash: await ctx.out.passwords.hash(given.newPassword) }
}

/** Does what was owed and ends the attempt. The proof is what it was before; settle() asks what is owed now. */
export async function complete(ctx: Context, { attempt, user, actions, hash }: Checked): Promise<Proof> {
  if (actions.includes('accept_terms')) await acceptTerms(ctx, user.id)
  if (hash) {
    await passwords.change(ctx, user, hash, { how: 'change' })
    await ctx
      .db('users')
      .where({ tenant_id: ctx.tenant.id, id: user.id })
      .update({ required_actions: ctx.db.raw(`array_remove(required_actions, 'set_password')`) })
  }
  return attempts.finish(ctx, attempt)
}
