/** The grant of a session for a client: found, or made without asking from first-party trust or remembered consent. */
import { units } from '../../adapters/oidc.ts'
import type { Outside } from '../domain/context.ts'
import type { Tenant } from '../domain/directory.ts'
import { type Place, placeOf } from './organization.ts'

/** What oidc-provider calls to learn what was already granted; nothing while it is open for which organization. */
export async function consentedGrant(out: Outside, tenant: Tenant, ctx: any): Promise<any> {
  const { oidc } = ctx
  const { client, session, provider } = oidc
  const existing = session.grantIdFor(client.clientId)
  const known = existing ? await provider.Grant.find(existing) : undefined
  const place: Place = await placeOf(out, tenant, oidc, known?.organization)
  ctx.state.place = place
  if (place.open) return undefined
  const isFor = (found: any) => (found?.organization === place.id ? found : undefined)
  const answered = oidc.result?.consent?.grantId
  if (answered) return isFor(await provider.Grant.find(answered))
  // Tokens of one organization keep their grant when the next ones are for another.
  const grant = isFor(known)
  const trusted = client.record.firstParty && !oidc.prompts.has('consent')
  if (grant && (!trusted || covers(grant, oidc))) return grant
  const consent = trusted ? asked(oidc) : await remembered(out, tenant, session.accountId, client.record.id)
  if (!consent) return grant
  const made =
    grant ?? new provider.Grant({ accountId: session.accountId, clientId: client.clientId, organization: place.id })
  made.addOIDCScope(consent.scopes.join(' '))
  for (const [identifier, scopes] of Object.entries(consent.resources))
    made.addResourceScope(identifier, scopes.join(' '))
  await saveGrant(made, session.uid)
  return made
}

interface Consent {
  scopes: string[]
  resources: Record<string, string[]>
}

/** Grants are kept with the session they belong to, and go with it. */
export async function saveGrant(grant: any, sessionId: string | undefined): Promise<string> {
  const id = await grant.save()
  const write = units.getStore()?.upserts.get(`Grant ${id}`)
  if (write && sessionId) (write.payload as any).sessionUid = sessionId
  return id
}

function asked(oidc: any): Consent {
  const resources: Record<string, string[]> = {}
  for (const [identifier, server] of Object.entries<any>(oidc.resourceServers)) {
    resources[identifier] = [...oidc.requestParamScopes].filter((scope: string) => server.scopes.has(scope))
  }
  return { scopes: [...oidc.requestParamOIDCScopes], resources }
}

function covers(grant: any, oidc: any): boolean {
  const { scopes, resources } = asked(oidc)
  const granted = new Set(grant.getOIDCScope().split(' '))
  if (!scopes.every((scope) => granted.has(scope))) return false
  return Object.entries(resources).every(([identifier, wanted]) => {
    const has = new Set(grant.getResourceScope(identifier).split(' '))
    return wanted.every((scope) => has.has(scope))
  })
}

async function remembered(out: Outside, tenant: Tenant, userId: string, client: string): Promise<Consent | undefined> {
  return out.db('consents').where({ tenant_id: tenant.id, user_id: userId, client }).first('scopes', 'resources')
}
