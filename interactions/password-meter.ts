/** How good the password is that somebody is typing: asked by the page's script, estimated here, kept nowhere. */
import { translator } from '../adapters/i18n.ts'
import * as passwordPolicy from '../server/domain/password-policy.ts'
import { type PageHandler, passwordMessage, readForm, spend } from './page.ts'
import type { Page } from './render.ts'

export const rate: PageHandler = async (koa, ctx) => {
  const form = await readForm(koa)
  // An estimate costs up to 30 ms; a person who types pauses a few times.
  await spend(ctx, { name: 'password-meter', count: 120, seconds: 300 })
  const about = { email: form.email ?? '', givenName: form.given_name, familyName: form.family_name }
  const { score, weakness } = passwordPolicy.strength(ctx, form.typed ?? '', about)
  // The script says which language its page speaks.
  const { t } = translator(koa.acceptsLanguages(), (koa.state.page as Page).wording)
  koa.set('Cache-Control', 'no-store')
  koa.body = { score, text: t(weakness ? passwordMessage(weakness) : `password.strength.${score}`) }
}
