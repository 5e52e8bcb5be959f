/**
 * For which of a person's organizations an app gets tokens (org_id): where its login policy demands one, or the request
 * names one. The answer is kept on the grant, which is there only while the membership is (GRANT in adapters/oidc/rows.ts).
 */
import { interactionPolicy, Provider } from 'oidc-provider'
import type { Outside } from '../domain/context.ts'
import type { Tenant } from '../domain/directory.ts'
import { policyOf } from '../domain/login-policy.ts'
import { belonging, belongings } from '../domain/memberships/lists.ts'

export interface Place {
  /** Id of the organization; none where neither client nor request wants one. */
  id?: string | undefined
  /** The person has to choose, or is in none that would do. */
  open?: boolean
}

/** What a page answered, and who answered it there. */
interface Answer {
  id: string
  accountId: string
}

/** `remembered` is the organization of the grant that the session has for this client. */
export async function placeOf(out: Outside, tenant: Tenant, oidc: any, remembered: string | undefined): Promise<Place> {
  const named: string | undefined = oidc.params.organization
  const isDemanded = policyOf(tenant, oidc.client.record.loginPolicy).organization === 'required'
  if (named === undefined && !isDemanded) return {}
  const { accountId } = oidc.session
  const asked = { db: out.db, tenant }
  const found = (id: string | undefined): Place => (id === undefined ? { open: true } : { id })
  if (named !== undefined) {
    if (named === remembered) return { id: named }
    return found((await belonging(asked, accountId, named))?.id)
  }
  const answer: Answer | undefined = oidc.result?.organization
  const chosen = answer?.accountId === accountId && (await belonging(asked, accountId, answer!.id))
  if (chosen) return { id: chosen.id }
  const again = oidc.prompts.has('select_account') || oidc.prompts.has('login')
  if (remembered !== undefined && !again) return { id: remembered }
  const [only, ...more] = await belongings(asked, accountId)
  return found(more.length === 0 ? only?.id : undefined)
}

/** After signing in, before consent. With prompt=none: interaction_required. */
export function organizationPrompt() {
  const { Prompt, Check } = interactionPolicy
  const check = new Check(
    'organization_open',
    'the person has to choose an organization, or is in none that this app takes',
    'interaction_required' as any,
    (ctx: any) => (ctx.state.place?.open ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT),
  )
  return new Prompt({ name: 'organization' }, check)
}

/** The claim of tokens issued in this request. */
export function organizationClaim(ctx: any = Provider.ctx): { org_id?: string } {
  const id: string | undefined = ctx?.oidc?.entities.Grant?.organization
  return id === undefined ? {} : { org_id: id }
}
