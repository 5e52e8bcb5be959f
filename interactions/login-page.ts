/** The page that asks who is signing in, with all ways that are offered. */
import { decodeJwt } from 'jose'
import * as providers from '../server/domain/identity-providers.ts'
import { offers, policyOf } from '../server/domain/login-policy.ts'
import * as users from '../server/domain/users.ts'
import { render } from './render.ts'
import { type Again, clientView, offersTexts, passkeyView, type Step } from './step.ts'

export async function showLogin(s: Step, again: Again = {}): Promise<void> {
  const { koa, ctx, interaction, at } = s
  const { settings, mountPath } = ctx.tenant
  const expected = again.form ? undefined : await expectedPerson(s)
  const policy = policyOf(ctx.tenant, s.client.record.loginPolicy)
  const password = offers(policy, 'password')
  koa.status = again.status ?? 200
  render(koa, 'login', {
    post: at,
    client: clientView(s.client),
    password,
    links: {
      ...(password && { forgot: `${mountPath}/forgot-password?interaction=${interaction.uid}` }),
      ...(settings.magic_link_enabled && offers(policy, 'magic_link') && { magicLink: `${at}/magic-link` }),
      ...(offersTexts(s) && { texted: `${at}/texted` }),
      ...(settings.registration_enabled && password && { register: `${at}/register` }),
    },
    providers: offers(policy, 'social') ? await buttons(s) : [],
    passkey: offers(policy, 'passkey') ? passkeyView(s, 'passkey', true) : undefined,
    form: { email: again.form ? again.form.email : (interaction.params.login_hint ?? expected?.email ?? '') },
    errors: again.errors,
    vars: again.vars,
    ...(interaction.session?.accountId && interaction.prompt.name === 'login' && { notice: 'login.notice.again' }),
  })
}

/** Whom the app expects (id_token_hint, whose signature the provider has checked), else who is signed in. */
async function expectedPerson({ ctx, interaction }: Step) {
  const { id_token_hint: hint } = interaction.params
  const id = hint ? decodeJwt(hint).sub : interaction.session?.accountId
  return id && /^[0-9a-f-]{36}$/.test(id) ? users.byId(ctx.out.db, ctx.tenant.id, id) : undefined
}

/** Of accounts elsewhere. */
const buttons = async (s: Pick<Step, 'ctx' | 'at'>) =>
  (await providers.enabled(s.ctx)).map(({ slug, name }) => ({ id: slug, name, href: `${s.at}/social/${slug}` }))

/** Nothing waits any more: the sign-in begins afresh. */
export const startAgain = (s: Step, reason = 'mfa.error.startAgain'): Promise<void> =>
  showLogin(s, { form: { email: '' }, errors: { _form: reason }, status: 401 })
