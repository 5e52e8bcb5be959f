/** The overview, the profile, the e-mail address and the password. */

import { languages } from '../../adapters/i18n.ts'
import { transact } from '../../server/api/pipeline.ts'
import * as accounts from '../../server/domain/accounts.ts'
import type { UserRow } from '../../server/domain/context.ts'
import * as emailChange from '../../server/domain/email-change.ts'
import * as passwords from '../../server/domain/passwords.ts'
import * as users from '../../server/domain/users.ts'
import { type Failure, fail } from '../../server/kernel/errors.ts'
import { isEmail } from '../../server/kernel/validate.ts'
import { type Form, fieldErrors, type PageHandler, passwordRules, readForm, spend, typedPhone } from '../page.ts'
import { render } from '../render.ts'
import { mailboxLink } from '../step.ts'
import { goOn, type Member, type MemberHandler, mend, show } from './area.ts'

export const overview: MemberHandler = async (m) =>
  show(m, 'overview', { verified: users.isReachable(m.user), since: m.user.created_at })

const fields = ['given_name', 'family_name', 'nickname', 'phone_number', 'picture', 'locale', 'zoneinfo'] as const
const zones = ['UTC', ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC')]

export const showProfile: MemberHandler = async (m) => profilePage(m)

const profilePage = (m: Member, again: { form?: Form; errors?: object; status?: number } = {}) =>
  show(m, 'profile', {
    zones,
    locales: languages.map(({ locale, name }) => ({ value: locale, label: name })),
    form: Object.fromEntries(fields.map((name) => [name, m.user[name] ?? ''])),
    phone: m.user.phone_number,
    phoneVerified: m.user.phone_verified_at !== null,
    texts: m.ctx.out.texter.available,
    ...again,
  })

export const saveProfile: MemberHandler = async (m) => {
  const form = await readForm(m.koa)
  const value = (name: (typeof fields)[number]) => (form[name] ?? '').trim() || null
  const errors = mistakes(form, m.user)
  if (Object.keys(errors).length) return profilePage(m, { form, errors, status: 400 })
  await transact(m.ctx, (inner) =>
    users.updateProfile(inner, m.user.id, {
      givenName: value('given_name'),
      familyName: value('family_name'),
      nickname: value('nickname'),
      phoneNumber: typedPhone(value('phone_number') ?? '') || null,
      picture: value('picture'),
      locale: value('locale'),
      zoneinfo: value('zoneinfo'),
    }),
  )
  goOn(m, 'profile', 'profile')
}

/** The same rules as the API's. The zone chosen before may have another name by now. */
function mistakes(form: Form, user: UserRow): Record<string, string> {
  const errors: Record<string, string> = {}
  const of = (name: string) => (form[name] ?? '').trim()
  for (const name of ['given_name', 'family_name', 'nickname'])
    if (of(name).length > 100) errors[name] = 'field.error.tooLong'
  const phone = typedPhone(of('phone_number'))
  if (phone && !users.PHONE.test(phone)) errors.phone_number = 'account.error.phone'
  else if (user.email === null && phone !== user.phone_number) errors.phone_number = 'account.error.onlyPhone'
  const picture = of('picture')
  if (picture && (picture.length > 2000 || !picture.startsWith('https://') || !URL.canParse(picture)))
    errors.picture = 'account.error.picture'
  if (of('locale') && !/^[A-Za-z0-9-]{1,35}$/.test(of('locale'))) errors.locale = 'account.error.choice'
  if (of('zoneinfo') && ![...zones, user.zoneinfo].includes(of('zoneinfo'))) errors.zoneinfo = 'account.error.choice'
  return errors
}

export const showEmail: MemberHandler = async (m) => emailPage(m)

const emailPage = (m: Member, again: object = {}) =>
  show(m, 'email', {
    address: m.user.email,
    verified: m.user.email_verified_at !== null,
    links: mailboxLink(m.ctx),
    ...again,
  })

export const changeEmail: MemberHandler = async (m) => {
  const form = await readForm(m.koa)
  const email = form.email ?? ''
  if (!isEmail(email)) return emailPage(m, { form, errors: { email: 'field.error.email' }, status: 400 })
  await spend(m.ctx, { name: 'change-email', count: 5, seconds: 3600 })
  try {
    await transact(m.ctx, (inner) => emailChange.request(inner, m.user, email))
  } catch (error) {
    mend(error, (data) => emailPage(m, { form, ...data }), {
      CONFLICT: { email: 'account.error.taken' },
      VALIDATION_ERROR: { email: 'account.error.sameEmail' },
    })
    return
  }
  show(m, 'email-sent', {
    section: 'email',
    email,
    expires: m.ctx.tenant.settings.email_link_lifetime,
    links: mailboxLink(m.ctx),
  })
}

export const resendVerification: MemberHandler = async (m) => {
  await readForm(m.koa)
  await spend(m.ctx, { name: 'verification', count: 5, seconds: 3600 })
  await transact(m.ctx, async (inner) => accounts.sendVerification(inner, m.user))
  goOn(m, 'email', 'verification')
}

/** Links of mails: for whoever reads them, signed in or not. Opening one changes nothing. */
export const mailedLink = (kind: 'change_email' | 'undo_email'): { open: PageHandler; take: PageHandler } => ({
  async open(koa, ctx) {
    const { token } = koa.query
    if (typeof token !== 'string' || token.length > 512) throw fail('INVALID_TOKEN', 'The link is incomplete')
    render(koa, 'account/email-link', { kind, token, ...(await emailChange.look(ctx, kind, token)) })
  },
  async take(koa, ctx) {
    const form = await readForm(koa)
    await spend(ctx, { name: 'verify-email', count: 30, seconds: 900 })
    const token = form.token ?? ''
    const user = await transact(ctx, (inner) =>
      kind === 'change_email' ? emailChange.confirm(inner, token) : emailChange.undo(inner, token),
    )
    render(koa, 'account/email-link-done', { kind, email: user.email, account: `${ctx.tenant.mountPath}/account` })
  },
})

const hasPassword = async ({ ctx, user }: Member): Promise<boolean> =>
  (await ctx.db('credentials').where({ tenant_id: ctx.tenant.id, user_id: user.id, type: 'password' }).first('id')) !==
  undefined

/** Who has no password yet can only be asked to sign in again: `fresh` does that. */
export const showPassword =
  (fresh: (handle: MemberHandler) => PageHandler): MemberHandler =>
  async (m) => {
    if (await hasPassword(m)) return passwordPage(m, true)
    await fresh(async (member) => passwordPage(member, false))(m.koa, m.ctx)
  }

const passwordPage = (m: Member, present: boolean, again: object = {}) =>
  show(m, 'password', { present, rules: passwordRules(m.ctx.tenant), email: users.signInName(m.user), ...again })

export const changePassword =
  (fresh: (handle: MemberHandler) => PageHandler): MemberHandler =>
  async (m) => {
    if (!(await hasPassword(m))) return fresh(setFirst)(m.koa, m.ctx)
    const { current_password: current = '', new_password: wanted = '' } = await readForm(m.koa)
    await store(m, true, { current_password: current, new_password: wanted }, () =>
      accounts.prepareChange(m.ctx, m.user, { currentPassword: current, newPassword: wanted }),
    )
  }

const setFirst: MemberHandler = async (m) => {
  const { new_password: wanted = '' } = await readForm(m.koa)
  await store(m, false, { new_password: wanted }, async () => {
    passwords.assertStrong(m.ctx, wanted, m.user)
    return m.ctx.out.passwords.hash(wanted)
  })
}

async function store(m: Member, present: boolean, given: Form, prepare: () => Promise<string>): Promise<void> {
  const empty = Object.keys(given).filter((name) => !given[name])
  if (empty.length) {
    const errors = Object.fromEntries(empty.map((name) => [name, 'field.error.required']))
    return passwordPage(m, present, { errors, status: 400 })
  }
  await spend(m.ctx, { name: 'change-password', count: 20, seconds: 900 })
  try {
    const hash = await prepare()
    await transact(m.ctx, (inner) =>
      passwords.change(inner, m.user, hash, { exceptSession: m.session.uid, how: 'change' }),
    )
  } catch (error) {
    const { code, status } = error as Failure
    const mendable =
      code === 'INVALID_CREDENTIALS'
        ? { errors: { current_password: 'account.error.password' } }
        : fieldErrors(error, 'new_password')
    if (!mendable || (code === 'RATE_LIMITED' && !mendable)) throw error
    return passwordPage(m, present, { ...mendable, status })
  }
  goOn(m, 'password', 'password')
}
