/**
 * The page of a mailed invitation. Opening it changes nothing: mail scanners open links. Newcomers choose a password; who has
 * an account signs in to it and accepts there.
 */
import type { Context as KoaContext } from 'koa'
import { transact } from '../server/api/pipeline.ts'
import type { Context } from '../server/domain/context.ts'
import type { Pending } from '../server/domain/events.ts'
import * as accepting from '../server/domain/invitations/accept.ts'
import type { Proof } from '../server/domain/proofs.ts'
import { owed } from '../server/domain/sign-in.ts'
import * as users from '../server/domain/users.ts'
import { type Failure, fail } from '../server/kernel/errors.ts'
import type { Providers } from '../server/oidc/providers.ts'
import { type Member, mend, whoIsHere } from './account/area.ts'
import { signInAddress } from './account/sign-in.ts'
import { tokenOf } from './account-pages.ts'
import { openHere } from './browser-session.ts'
import { type Form, type PageHandler, passwordRules, readForm, seeOther, spend } from './page.ts'
import { render } from './render.ts'
import { type Again, accountView } from './step.ts'

interface Visit {
  koa: KoaContext
  ctx: Context & Pending
  token: string
  offer: accepting.Offer
  /** Who is signed in in this browser. */
  here: Member | undefined
}

async function visit(providers: Providers, koa: KoaContext, ctx: Context & Pending, token: string): Promise<Visit> {
  const offer = await accepting.offered(ctx, token)
  return { koa, ctx, token, offer, here: await whoIsHere(providers, koa, ctx) }
}

const isForMe = ({ here, offer }: Visit): boolean =>
  here?.user.email_verified_at != null && users.emailKey(here.user.email) === offer.row.email_key

const placeOf = ({ ctx, offer: { where } }: Visit): string =>
  [where.workspace, where.organization].flatMap((place) => (place ? [place.name] : [])).join(', ') || ctx.tenant.name

/** Signs in as the invited person, and comes back here. */
const signIn = ({ ctx, token, offer, here }: Visit): string =>
  signInAddress(ctx, `${ctx.tenant.mountPath}/invitation?token=${encodeURIComponent(token)}`, {
    again: here !== undefined,
    hint: offer.row.email,
  })

function invitationPage(v: Visit, again: Again = {}): void {
  const { koa, ctx, token, offer, here } = v
  koa.status = again.status ?? 200
  render(koa, 'invitation', {
    post: `${ctx.tenant.mountPath}/invitation`,
    token,
    email: offer.row.email,
    place: placeOf(v),
    invitedBy: offer.invitedBy,
    way: isForMe(v) ? 'accept' : offer.mustSignIn ? 'sign-in' : 'new',
    ...(here && { account: accountView(here.user) }),
    links: { signIn: signIn(v) },
    rules: passwordRules(ctx.tenant),
    form: again.form ?? { given_name: offer.account?.given_name, family_name: offer.account?.family_name },
    errors: again.errors,
    vars: again.vars,
  })
}

export const showInvitation =
  (providers: Providers): PageHandler =>
  async (koa, ctx) => {
    await spend(ctx, { name: 'invitation-look', count: 30, seconds: 900 })
    invitationPage(await visit(providers, koa, ctx, tokenOf(koa)))
  }

export const acceptInvitation =
  (providers: Providers): PageHandler =>
  async (koa, ctx) => {
    const form = await readForm(koa)
    if (!form.token || form.token.length > 512) throw fail('INVALID_TOKEN', 'The link is incomplete')
    await spend(ctx, { name: 'invitation-accept', count: 20, seconds: 900 })
    const v = await visit(providers, koa, ctx, form.token)
    if (isForMe(v)) {
      await transact(v.here!.ctx, (inner) => accepting.acceptAs(inner, { token: v.token }))
      return donePage(v)
    }
    if (!v.offer.mustSignIn) return arrive(v, providers, form)
    seeOther(koa, signIn(v))
  }

const mistakes = (form: Form): Record<string, string> => ({
  ...(!form.password && { password: 'field.error.required' }),
  ...Object.fromEntries(
    ['given_name', 'family_name']
      .filter((name) => (form[name] ?? '').length > 100)
      .map((name) => [name, 'field.error.tooLong']),
  ),
})

async function arrive(v: Visit, providers: Providers, form: Form): Promise<void> {
  const errors = mistakes(form)
  if (Object.keys(errors).length > 0) return invitationPage(v, { form, errors, status: 400 })
  const { koa, ctx, token } = v
  const input = {
    token,
    password: form.password,
    givenName: form.given_name || null,
    familyName: form.family_name || null,
  }
  try {
    const hash = await accepting.prepare(ctx, input)
    const isOpen = await transact(ctx, async (inner) => {
      const { proof, signsIn } = await accepting.accept(inner, input, hash)
      if (!signsIn || (await isOwing(inner, proof))) return false
      await openHere(koa, inner, providers, proof)
      return true
    })
    donePage(v, isOpen)
  } catch (error) {
    if ((error as Failure).code === 'RATE_LIMITED') throw error
    mend(error, (again) => invitationPage(v, { form, ...again }), { CONFLICT: { _form: 'register.error.taken' } })
  }
}

/** Whether something is owed beside the link: what it offered is taken all the same, and signing in follows. */
async function isOwing(ctx: Context, proof: Proof): Promise<boolean> {
  const { factor, actions } = await owed(ctx, proof)
  return factor || actions.length > 0
}

/** `isOpen`: signed in in this browser; otherwise a second step is owed, which signing in leads through. */
function donePage(v: Visit, isOpen = true): void {
  const { koa, ctx } = v
  const account = `${ctx.tenant.mountPath}/account`
  render(koa, 'invitation-done', {
    place: placeOf(v),
    links: isOpen ? { next: account } : { login: signInAddress(ctx, account) },
  })
}
