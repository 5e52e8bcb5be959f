/** Accounts elsewhere that open this one: connecting one goes to its provider and comes back here. */

import { transact } from '../../server/api/pipeline.ts'
import * as identities from '../../server/domain/identities.ts'
import * as providers from '../../server/domain/identity-providers.ts'
import { assertRecent } from '../../server/domain/recent.ts'
import * as social from '../../server/domain/social-login.ts'
import type { Failure } from '../../server/kernel/errors.ts'
import { readForm, seeOther, spend } from '../page.ts'
import { providerAnswer } from '../provider-answer.ts'
import { goOn, type Member, type MemberHandler, show } from './area.ts'

export const showLinked: MemberHandler = async (m) => listPage(m)

async function listPage(m: Member, again: { errors?: object; status?: number } = {}): Promise<void> {
  const [known, offered] = await Promise.all([identities.list(m.ctx, m.user.id), providers.enabled(m.ctx)])
  const gone = known.filter(({ provider }) => !offered.some(({ slug }) => slug === provider))
  show(m, 'linked', {
    providers: [...offered, ...gone.map(({ provider }) => ({ slug: provider, name: provider }))].map(
      ({ slug, name }) => ({ slug, name, linked: known.find(({ provider }) => provider === slug) }),
    ),
    ...again,
  })
}

const messages: Partial<Record<Failure['code'], string>> = {
  CONFLICT: 'account.error.linkedElsewhere',
  NOT_FOUND: 'account.error.linked',
  INVALID_TOKEN: 'account.error.linked',
  ACCESS_DENIED: 'account.error.linked',
  UNAVAILABLE: 'account.error.linked',
}

/** The list again, with what went wrong over there. */
async function refused(m: Member, error: unknown, own: typeof messages = {}): Promise<void> {
  const { code, status } = error as Failure
  const message = own[code] ?? messages[code]
  if (!message) throw error
  await listPage(m, { errors: { _form: message }, status })
}

export const link: MemberHandler = async (m) => {
  const { provider = '' } = await readForm(m.koa)
  await assertRecent(m.ctx)
  await spend(m.ctx, { name: 'social-authorize', count: 30, seconds: 900 })
  try {
    const { url } = await social.begin(m.ctx, provider, { linkTo: m.user.id, sessionId: m.session.uid })
    seeOther(m.koa, url)
  } catch (error) {
    await refused(m, error)
  }
}

/** Only the browser session that went may come back. */
export const back: MemberHandler = async (m) => {
  await spend(m.ctx, { name: 'social-callback', count: 60, seconds: 900 })
  const answer = providerAnswer(m.koa)
  const slug = String(m.koa.params.provider)
  try {
    const { provider, profile } = await social.redeem(m.ctx, slug, answer, { sessionId: m.session.uid })
    await transact(m.ctx, (inner) => identities.link(inner, provider, profile, m.user.id))
    goOn(m, 'linked', 'linked')
  } catch (error) {
    await refused(m, error)
  }
}

export const unlink: MemberHandler = async (m) => {
  const { provider = '' } = await readForm(m.koa)
  await assertRecent(m.ctx)
  try {
    await transact(m.ctx, (inner) => identities.unlink(inner, m.user.id, provider))
    goOn(m, 'linked', 'unlinked')
  } catch (error) {
    await refused(m, error, { CONFLICT: 'account.error.lastWay' })
  }
}
