/**
 * A session has a grant of a client for each organization, where the library knows one grant for a session and client and
 * takes tokens of another one for ended.
 */
import { units } from '../../adapters/oidc.ts'

export function adaptGrants(models: any): void {
  const stored = models.Grant.IN_PAYLOAD
  Object.defineProperty(models.Grant, 'IN_PAYLOAD', { value: [...stored, 'organization'] })
  for (const Model of [models.AccessToken, models.AuthorizationCode, models.RefreshToken]) {
    const find = Model.find
    Model.find = async function (value: unknown, options?: object) {
      const token = await find.call(this, value, { ...options, ignoreSessionBinding: true })
      return token && (await isBound(models, token)) ? token : undefined
    }
  }
}

/** Without offline_access: the person is still signed in to the client there. Whether the grant stands is asked by whoever finds the token. */
async function isBound(models: any, token: any): Promise<boolean> {
  if (!token.expiresWithSession) return true
  const session = await models.Session.findByUid(token.sessionUid)
  return session?.accountId === token.accountId && session.grantIdFor(token.clientId) !== undefined
}

/** Signing out of a client ends its grant in the session; with it go those for other organizations. */
export function endSiblings(grantId: string): void {
  units.getStore()?.also.push({
    shape: 'end-siblings',
    sql: (bind) => `delete from oidc_models o using oidc_models g
      where g.tenant_id = $1 and g.model = 'Grant' and g.id = ${bind(grantId, 'text')} and g.payload ? 'organization'
        and o.tenant_id = $1 and o.session_id = g.session_id and o.client_id = g.client_id and o.grant_id <> g.id`,
  })
}
