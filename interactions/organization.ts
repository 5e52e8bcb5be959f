/** As a member of which organization somebody signs in, where the app wants to know and there is not just one. */
import { type Belonging, belonging, belongings } from '../server/domain/memberships/lists.ts'
import * as users from '../server/domain/users.ts'
import { fail } from '../server/kernel/errors.ts'
import { readForm } from './page.ts'
import { render } from './render.ts'
import { accountView, clientView, finish, type Step, type StepHandler } from './step.ts'

/** The person's organizations that would do: all of theirs, or the one the app names. */
async function choices({ ctx, interaction }: Step): Promise<Belonging[]> {
  const { accountId } = interaction.session
  const reader = { db: ctx.out.db, tenant: ctx.tenant }
  const { organization: named } = interaction.params
  if (named === undefined) return belongings(reader, accountId)
  const found = await belonging(reader, accountId, named)
  return found ? [found] : []
}

/** Who joined one while the page was open goes on when looking again. */
export async function showOrganizations(s: Step): Promise<void> {
  const { ctx, interaction, at } = s
  const found = await choices(s)
  if (found.length === 1) return choose(s, found[0]!)
  const user = await users.byId(ctx.out.db, ctx.tenant.id, interaction.session.accountId)
  if (!user) throw fail('UNAUTHORIZED', 'The account is gone')
  s.koa.status = found.length === 0 ? 403 : 200
  render(s.koa, 'organizations', {
    post: `${at}/organization`,
    client: clientView(s.client),
    account: accountView(user),
    organizations: found,
    named: interaction.params.organization !== undefined,
    links: { switch: `${at}?other=1`, retry: at },
  })
}

/** The answer counts for who gave it: another account may sign in before the request is through. */
const choose = (s: Step, { id }: Belonging): Promise<void> =>
  finish(s, { organization: { id, accountId: s.interaction.session.accountId } })

/** One of them, or none: then the app learns why. */
export const organization: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  if (s.interaction.prompt.name !== 'organization') throw fail('UNAUTHORIZED', 'This sign-in has expired')
  const found = await choices(s)
  if (form.action === 'cancel') return finish(s, { error: 'access_denied', error_description: reason(s, found) })
  const chosen = found.find(({ id }) => id === form.organization)
  return chosen ? choose(s, chosen) : showOrganizations(s)
}

function reason({ interaction }: Step, found: Belonging[]): string {
  if (found.length > 0) return 'The person chose no organization'
  return interaction.params.organization === undefined
    ? 'The person is a member of no active organization'
    : 'The person is no member of an active organization with this id or slug'
}
