/** The pages oidc-provider asks for: errors that cannot go back to the app, leaving, and having left. */
import type { Outside } from '../server/domain/context.ts'
import * as users from '../server/domain/users.ts'
import type { ProviderPages } from '../server/oidc/provider.ts'
import { accountView, clientView } from './flow.ts'
import { preparePage } from './page.ts'
import { render } from './render.ts'

const codes: Record<string, string> = {
  invalid_redirect_uri: 'invalid_redirect_uri',
  invalid_client: 'invalid_client',
  access_denied: 'access_denied',
}

export const providerPages = (out: Outside): ProviderPages => ({
  async error(koa: any, tenant, outcome, error) {
    const page = preparePage(koa, out, tenant)
    page.uiLocales = koa.oidc?.params?.ui_locales
    const expired = error.name === 'SessionNotFound'
    const client = koa.oidc?.client
    const mistyped = /redirect_uri/.test(outcome.error_description ?? '') && outcome.error !== 'server_error'
    render(koa, 'error', {
      code: expired
        ? 'session_expired'
        : mistyped
          ? 'invalid_redirect_uri'
          : (codes[outcome.error] ?? (outcome.error === 'server_error' ? 'server_error' : 'invalid_request')),
      detail: outcome.error_description,
      oauth: outcome.error,
      requestId: koa.state.requestId,
      ...(client && { client: clientView(client) }),
    })
  },
  async logout(koa: any, tenant, formHtml) {
    preparePage(koa, out, tenant)
    const { session, client } = koa.oidc
    const user = session.accountId ? await users.byId(out.db, tenant.id, session.accountId) : undefined
    render(koa, 'logout', {
      formHtml,
      ...(user && { account: accountView(user) }),
      ...(client && { client: clientView(client) }),
    })
  },
  async loggedOut(koa: any, tenant) {
    preparePage(koa, out, tenant)
    const client = koa.oidc.client
    render(koa, 'logged-out', { ...(client && { client: clientView(client) }), links: {} })
  },
})
