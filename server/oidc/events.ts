/** What the provider does, as event rows of the same unit of work. */
import type { Provider } from 'oidc-provider'
import { units } from '../../adapters/oidc.ts'
import { newId } from '../domain/ids.ts'
import { endSiblings } from './organization-grants.ts'

/** client_credentials issues a signed statement and changes nothing, so it leaves no row. */
const byGrantType: Record<string, string> = { authorization_code: 'token.issued', refresh_token: 'token.refreshed' }

/** An API login is nothing but its tokens: when they are revoked for reuse, it is over. */
export const endApiSession = (sessionId: string) => ({
  shape: 'end-api-session',
  sql: (bind: (value: unknown, type: string) => string) => `update sessions set ended_at = now(), end_reason = 'revoked'
    where tenant_id = $1 and id = ${bind(sessionId, 'text')} and kind = 'api' and ended_at is null`,
})

export function eventsOf(provider: Provider): void {
  const record = (type: string, ctx: any, data?: Record<string, unknown>) => {
    const { oidc } = ctx
    const session = oidc.entities.Session
    const source = oidc.entities.RefreshToken ?? oidc.entities.AccessToken ?? oidc.entities.AuthorizationCode
    const userId = oidc.entities.Account?.accountId ?? source?.accountId ?? session?.accountId
    units.getStore()?.events.push({
      id: newId(),
      type,
      actorId: userId,
      userId,
      clientId: oidc.client?.clientId,
      sessionId: source?.sessionUid ?? session?.uid,
      data,
    })
  }
  provider.on('grant.success', (ctx: any) => {
    const type = byGrantType[ctx.oidc.params.grant_type]
    if (type) record(type, ctx)
  })
  provider.on('authorization.success', (ctx: any) =>
    record('authorization.granted', ctx, { scope: ctx.oidc.params.scope }),
  )
  provider.on('end_session.success', (ctx: any) => record('session.logged_out', ctx))
  provider.on('grant.revoked' as any, (ctx: any, grantId: string) => {
    if (ctx.oidc.route === 'end_session_confirm') endSiblings(grantId)
  })
  // The token endpoint revokes a grant for one reason: something single-use came a second time (RFC 9700 4.14.2).
  provider.on('grant.revoked' as any, (ctx: any, grantId: string) => {
    if (ctx.oidc.route !== 'token') return
    record('token.reuse_detected', ctx, { grants: [grantId] })
    const { sessionUid } = ctx.oidc.entities.RefreshToken ?? {}
    if (sessionUid) units.getStore()?.also.push(endApiSession(sessionUid))
  })
  for (const kind of ['access_token', 'refresh_token', 'client_credentials']) {
    provider.on(`${kind}.destroyed` as any, (token: any) => {
      const unit = units.getStore()
      unit?.events.push({
        id: newId(),
        type: 'token.revoked',
        userId: token.accountId,
        clientId: token.clientId,
        sessionId: token.sessionUid,
        data: { kind },
      })
    })
  }
}
