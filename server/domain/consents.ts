/** Apps that a person allowed to use the account: what each may do, and taking it back with all that stands on it. */
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import * as grants from './grants.ts'

export interface ConsentView {
  clientId: string
  name: string
  uri: string | null
  logoUri: string | null
  scopes: string[]
  resources: { name: string; scopes: { name: string; description: string | null }[] }[]
  createdAt: Date
  updatedAt: Date
}

/** The apps, the one allowed last first. */
export async function list(ctx: Context, userId: string): Promise<ConsentView[]> {
  const rows = await ctx
    .db('consents as c')
    .join('clients as k', (on) => on.on('k.tenant_id', 'c.tenant_id').on('k.id', 'c.client'))
    .where({ 'c.tenant_id': ctx.tenant.id, 'c.user_id': userId })
    .orderBy([{ column: 'c.updated_at', order: 'desc' }, { column: 'k.client_id' }])
    .select('k.client_id', 'k.metadata', 'c.scopes', 'c.resources', 'c.created_at', 'c.updated_at')
  return rows.map(({ client_id, metadata, scopes, resources, created_at, updated_at }) => {
    const ofResources = new Set(Object.values<string[]>(resources).flat())
    return {
      clientId: client_id,
      name: metadata.client_name ?? client_id,
      uri: metadata.client_uri ?? null,
      logoUri: metadata.logo_uri ?? null,
      scopes: scopes.filter((scope: string) => !ofResources.has(scope)),
      resources: Object.entries<string[]>(resources).map(([identifier, names]) => {
        const resource = ctx.tenant.resources.get(identifier)
        const describe = (name: string) => resource?.scopes.find((scope) => scope.name === name)?.description ?? null
        return {
          name: resource?.name ?? identifier,
          scopes: names.map((name) => ({ name, description: describe(name) })),
        }
      }),
      createdAt: created_at,
      updatedAt: updated_at,
    }
  })
}

/** Takes the consent back: grants and tokens of the app for this person are dead at once. NOT_FOUND without a consent. */
export async function revoke(ctx: Context, userId: string, clientId: string): Promise<void> {
  const gone = await ctx
    .db('consents')
    .where({ tenant_id: ctx.tenant.id, user_id: userId })
    .whereIn('client', ctx.db('clients').where({ tenant_id: ctx.tenant.id, client_id: clientId }).select('id'))
    .delete()
  if (gone === 0) throw fail('NOT_FOUND', 'You have not allowed this app anything')
  await grants.end(ctx.db, ctx.tenant.id, { userId, clientId })
  const ended = await ctx
    .db('sessions')
    .where({ tenant_id: ctx.tenant.id, user_id: userId, ended_at: null })
    .whereRaw(`jsonb_exists(payload -> 'authorizations', ?)`, [clientId])
    .update({ payload: ctx.db.raw(`payload #- array['authorizations', ?::text]`, [clientId]) })
    .returning('id')
  for (const { id } of ended) ctx.job('backchannel-logout', { clientId, userId, sessionId: id })
  ctx.event('consent.revoked', { userId, clientId })
}
