/**
 * Setting up a first second factor within a sign-in that waits for one. What is set up belongs to that sign-in: it is
 * active and ends the attempt in one transaction with what proves it.
 */
import { fail } from '../../kernel/errors.ts'
import * as attempts from '../attempts.ts'
import type { Context } from '../context.ts'
import * as factors from '../factors.ts'
import { AMR, type Factor, type Policy } from '../login-policy.ts'
import { prepareText } from '../numbers.ts'
import * as passkeys from '../passkeys.ts'
import type { Person } from '../proofs.ts'
import * as sessions from '../sessions.ts'
import * as users from '../users.ts'
import * as codes from './codes.ts'
import * as second from './second.ts'
import * as sms from './sms.ts'
import * as totp from './totp.ts'

/** The first of them unless the caller says otherwise. */
export const ENROLLED = ['totp', 'webauthn', 'sms', 'email'] as const satisfies readonly Factor[]

/** What the attempt notes: which factor is being set up, the row that waits for its code, and where a text went, shortened. */
type Begun = { method: Factor; id?: string; to?: string }

/** What may be set up now. A mailbox or phone that was proven already adds nothing. */
export function choices(ctx: Context, user: Person, policy: Policy, amr: string[]): Factor[] {
  const possible: Record<Factor, boolean> = {
    totp: true,
    webauthn: passkeys.usable(ctx) && !amr.includes('hwk'),
    sms: ctx.out.texter.available && !amr.includes('sms'),
    email: user.email !== null && !amr.includes('email'),
  }
  return ENROLLED.filter((f) => policy.factors.includes(f) && possible[f])
}

export type Waiting = Awaited<ReturnType<typeof open>>

/** The sign-in that waits for enrolment. CONFLICT where a factor is there to be used. */
export async function open(ctx: Context, by: second.By) {
  const { attempt, user, policy, methods } = await second.open(ctx, by)
  if (methods.length > 0) throw fail('CONFLICT', 'This person has a second factor. Complete the sign-in with it')
  // Sign-ins that wait since before an update noted it otherwise: they begin anew.
  const noted = attempt.data.enrol
  const begun: Begun | undefined = typeof noted === 'object' ? noted : undefined
  return { attempt, user, begun, choices: choices(ctx, user, policy, attempt.amr) }
}

export interface Wish {
  method?: Factor | undefined
  /** For texts, of who has proven no number yet. */
  phoneNumber?: string | undefined
}
export interface Plan extends Waiting {
  method: Factor
  phone: string | undefined
}

/** Before the transaction. VALIDATION_ERROR for what is no choice; RATE_LIMITED where one number is sent too many texts. */
export async function plan(ctx: Context, by: second.By, wish: Wish): Promise<Plan> {
  const found = await open(ctx, by)
  const method = wish.method ?? found.choices[0]
  if (!method || !found.choices.includes(method))
    throw fail('VALIDATION_ERROR', 'This factor cannot be set up now', { details: { methods: found.choices } })
  if (method !== 'sms') return { ...found, method, phone: undefined }
  const phone = numberOf(found.user, wish.phoneNumber)
  await prepareText(ctx, phone)
  return { ...found, method, phone }
}

/** A number that was proven stays the one: whoever knows the password must not put another in its place. */
function numberOf(user: Person, wished: string | undefined): string {
  const known = user.phone_verified_at ? user.phone_number : null
  if (known && wished !== undefined && wished !== known)
    throw fail('VALIDATION_ERROR', 'phone_number: texts go to the number of the account that was verified')
  const phone = known ?? wished
  if (!phone) throw fail('VALIDATION_ERROR', 'phone_number: no number is verified yet. Send one')
  if (!users.PHONE.test(phone)) throw fail('VALIDATION_ERROR', 'phone_number: write it as +4915112345678')
  return phone
}

/** In the transaction. Answers the secret of an app, or the options for a passkey; the others are sent a code. */
export async function begin(
  ctx: Context,
  { attempt, user, begun, method, phone }: Plan,
): Promise<{ setup?: totp.TotpSetup; passkey?: passkeys.Begun }> {
  const note = (noted: Begun) => attempts.note(ctx, attempt, { enrol: noted })
  const instead = begun?.id ?? null
  switch (method) {
    case 'totp': {
      const setup = await totp.setUp(ctx, user, { instead })
      await note({ method, id: setup.id })
      return { setup }
    }
    case 'webauthn':
      await note({ method })
      return { passkey: await passkeys.beginRegistration(ctx, user, attempt) }
    case 'sms':
      await note({ method, id: await sms.setUp(ctx, user, { phone, instead }), to: codes.maskedPhone(phone!) })
      return {}
    case 'email':
      await codes.send(ctx, attempt, 'email')
      await note({ method })
      return {}
  }
}

/** What proves the new factor: a code of it, or the browser's answer about a passkey. */
export interface Given {
  code?: string | undefined
  credential?: unknown
  /** Of the passkey. */
  name?: string | undefined
}
export interface Checked {
  attempt: attempts.Attempt
  amr: string[]
  /** Turns the factor on; answers backup codes, where it comes with some. */
  enable(inner: Context): Promise<string[] | undefined>
}

/**
 * Counts the try and looks at what was given, before the transaction. INVALID_CODE, INVALID_TOKEN, VALIDATION_ERROR,
 * UNAUTHORIZED; NOT_FOUND before begin(). `exceptSession` is the browser session that the sign-in takes place in.
 */
export async function check(
  ctx: Context,
  by: second.By,
  given: Given,
  { exceptSession }: { exceptSession?: string | undefined } = {},
): Promise<Checked> {
  const { attempt, user, begun } = await open(ctx, by)
  if (!begun) throw fail('NOT_FOUND', 'Nothing is being set up. Begin with the set-up')
  if (begun.method === 'webauthn') return checkPasskey(ctx, attempt, user, given, exceptSession)
  if (given.code === undefined) throw fail('VALIDATION_ERROR', 'code: the code of what is being set up is missing')
  await attempts.countTry(ctx, attempt)
  const code = given.code.replace(/\s/g, '')
  const amr = AMR[begun.method]
  const options = { exceptSession }
  switch (begun.method) {
    case 'email': {
      const take = await codes.check(ctx, attempt, 'email', code)
      if (!take) throw await attempts.wrongCode(ctx, attempt, 'email')
      return { attempt, amr, enable: async (inner) => enableEmail(inner, user, await take(inner), options) }
    }
    case 'sms': {
      const id = await sms.checkSetUp(ctx, user.id, code, begun.id)
      return { attempt, amr, enable: (inner) => enableSms(inner, user, id, options) }
    }
    case 'totp':
      return {
        attempt,
        amr,
        enable: (inner) => factors.enableTotp(inner, user.id, code, { ...options, setupId: begun.id }),
      }
  }
}

async function checkPasskey(
  ctx: Context,
  attempt: attempts.Attempt,
  user: Person,
  { credential, name }: Given,
  exceptSession: string | undefined,
): Promise<Checked> {
  if (credential === undefined) throw fail('VALIDATION_ERROR', "credential: the browser's answer is missing")
  const made = await passkeys.checkRegistration(ctx, user.id, credential, attempt)
  return {
    attempt,
    amr: made.userVerified ? ['hwk', 'user'] : ['hwk'],
    async enable(inner) {
      await passkeys.add(inner, user, made, name)
      await sessions.endAll(inner, user.id, exceptSession)
      return undefined
    },
  }
}

/** The code that came by mail has proven the address, too. */
async function enableEmail(
  ctx: Context,
  user: Person,
  taken: boolean,
  options: factors.ChangeOptions,
): Promise<string[] | undefined> {
  const proven =
    taken && (user.email_verified_at !== null || (await users.prove(ctx, user.id, 'email', users.addressOf(user))))
  if (!proven) throw fail('INVALID_CODE', 'This code was used already')
  return factors.enableEmail(ctx, { ...user, email_verified_at: user.email_verified_at ?? new Date() }, options)
}

/** The code that came by SMS has proven the number, too. */
async function enableSms(
  ctx: Context,
  user: Person,
  id: string,
  options: factors.ChangeOptions,
): Promise<string[] | undefined> {
  const made = await factors.enableSms(ctx, user.id, id, options)
  if (user.phone_verified_at) return made
  const phone = (await codes.smsNumber(ctx, user.id))!
  if (phone !== user.phone_number) await users.updateProfile(ctx, user.id, { phoneNumber: phone })
  await users.prove(ctx, user.id, 'sms', phone)
  return made
}

/** Turns the factor on and ends the attempt. */
export async function complete(ctx: Context, { attempt, amr, enable }: Checked) {
  const backupCodes = await enable(ctx)
  return { backupCodes, proof: await attempts.finish(ctx, attempt, { amr }) }
}

/** The same for who has yet to see the backup codes: with some of them the attempt waits, and `seen` ends it. */
export async function enable(ctx: Context, { attempt, amr, enable }: Checked) {
  const backupCodes = await enable(ctx)
  if (!backupCodes) return { backupCodes, proof: await attempts.finish(ctx, attempt, { amr }) }
  await attempts.note(ctx, attempt, { proven: amr })
  return { backupCodes, proof: undefined }
}
