/** The consent page: what an app asks for, and what is remembered of the answer. */
import { units } from '../adapters/oidc.ts'
import { belonging } from '../server/domain/memberships/lists.ts'
import * as users from '../server/domain/users.ts'
import { fail } from '../server/kernel/errors.ts'
import { saveGrant } from '../server/oidc/grants.ts'
import { readForm } from './page.ts'
import { render } from './render.ts'
import { accountView, clientView, finish, type Step, type StepHandler } from './step.ts'

const words = (list: unknown): string[] =>
  String(list ?? '')
    .split(' ')
    .filter(Boolean)

export async function showConsent(s: Step): Promise<void> {
  const { interaction, client, ctx } = s
  const user = await users.byId(ctx.out.db, ctx.tenant.id, interaction.session.accountId)
  if (!user) throw fail('UNAUTHORIZED', 'The account is gone')
  const { details } = interaction.prompt
  const requested = words(interaction.params.scope)
  const missing: string[] = details.missingOIDCScope ?? []
  const asked = missing.length ? missing : requested
  const resources = Object.entries<string[]>(details.missingResourceScopes ?? {}).map(([identifier, scopes]) => {
    const resource = ctx.tenant.resources.get(identifier)
    return {
      name: resource?.name ?? identifier,
      scopes: scopes.map((name) => resource?.scopes.find((x) => x.name === name) ?? { name }),
    }
  })
  const ofResources = new Set(resources.flatMap((r) => r.scopes.map((x) => x.name)))
  render(s.koa, 'consent', {
    post: `${s.at}/consent`,
    client: { ...clientView(client), host: URL.parse(interaction.params.redirect_uri)?.host },
    account: accountView(user),
    organization:
      details.organization && (await belonging({ db: ctx.out.db, tenant: ctx.tenant }, user.id, details.organization)),
    links: { switch: `${s.at}?other=1` },
    scopes: requested.filter((scope) => !ofResources.has(scope)),
    granted: requested.filter((scope) => !asked.includes(scope)),
    resources,
  })
}

/** Allow or cancel. What is allowed is remembered for the person and this app. */
export const consent: StepHandler = async (s) => {
  const form = await readForm(s.koa)
  const { interaction, provider, client, ctx } = s
  if (interaction.prompt.name !== 'consent') throw fail('UNAUTHORIZED', 'This sign-in has expired')
  const userId = interaction.session.accountId
  const sessionId = interaction.session.uid
  if (form.action !== 'allow') {
    ctx.event('consent.refused', { userId, clientId: client.clientId })
    return finish(s, { error: 'access_denied', error_description: 'End-User refused' })
  }
  const { details } = interaction.prompt
  const existing = interaction.grantId ? await provider.Grant.find(interaction.grantId) : undefined
  const grant =
    existing ?? new provider.Grant({ accountId: userId, clientId: client.clientId, organization: details.organization })
  const scopes: string[] = details.missingOIDCScope ?? (existing ? [] : words(interaction.params.scope))
  const resources: Record<string, string[]> = details.missingResourceScopes ?? {}
  if (scopes.length) grant.addOIDCScope(scopes.join(' '))
  for (const [identifier, list] of Object.entries(resources)) grant.addResourceScope(identifier, list.join(' '))
  const grantId = await saveGrant(grant, sessionId)
  units.getStore()!.also.push(rememberConsent(userId, client.record.id, grant))
  ctx.event('consent.granted', { userId, clientId: client.clientId, sessionId, data: { scopes, resources } })
  await finish(s, { consent: { grantId } })
}

function rememberConsent(userId: string, client: string, grant: any) {
  const scopes = words(grant.getOIDCScope())
  const resources = Object.fromEntries(
    Object.keys(grant.resources ?? {}).map((id) => [id, words(grant.getResourceScope(id))]),
  )
  return {
    shape: 'consent',
    sql: (
      bind: (value: unknown, type: string) => string,
    ) => `insert into consents (tenant_id, user_id, client, scopes, resources)
      values ($1, ${bind(userId, 'uuid')}, ${bind(client, 'uuid')}, ${bind(scopes, 'text[]')}, ${bind(JSON.stringify(resources), 'jsonb')})
      on conflict (tenant_id, user_id, client) do update set scopes = excluded.scopes, resources = consents.resources || excluded.resources,
        updated_at = now()`,
  }
}
