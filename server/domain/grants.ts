/** Grants: what apps were given for a person. The tokens stand on them. */
import type { Db } from '../../adapters/knex.ts'

/** Ends those of a person, of one app or of all, with their tokens. `clientId` is the public one. */
export async function end(db: Db, tenantId: string, { userId, clientId }: { userId: string; clientId?: string }) {
  const grants = db('oidc_models').where({ tenant_id: tenantId, model: 'Grant', user_id: userId })
  if (clientId !== undefined) grants.where({ client_id: clientId })
  await db('oidc_models').where({ tenant_id: tenantId }).whereIn('grant_id', grants.select('id')).delete()
}
