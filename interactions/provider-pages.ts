/** The pages oidc-provider asks for: errors that cannot go back to the app, leaving, having left, and going on by POST. */
import type { Outside } from '../server/domain/context.ts'
import type { Tenant } from '../server/domain/directory.ts'
import * as users from '../server/domain/users.ts'
import type { ProviderPages } from '../server/oidc/provider.ts'
import { dress, preparePage } from './page.ts'
import { render } from './render.ts'
import { accountView, clientView } from './step.ts'

const codes: Record<string, string> = {
  invalid_redirect_uri: 'invalid_redirect_uri',
  invalid_client: 'invalid_client',
  access_denied: 'access_denied',
  server_error: 'server_error',
}

export const providerPages = (out: Outside): ProviderPages => {
  const open = (koa: any, tenant: Tenant) => {
    const page = preparePage(koa, out, tenant)
    page.uiLocales = koa.oidc?.params?.ui_locales
    const client = koa.oidc?.client
    if (!client) return {}
    dress(page, client.record)
    return { client: clientView(client) }
  }
  const person = async (tenant: Tenant, id: string | undefined) => {
    const user = id ? await users.byId(out.db, tenant.id, id) : undefined
    return user ? { account: accountView(user) } : {}
  }
  return {
    async error(koa: any, tenant, outcome, error) {
      const known = open(koa, tenant)
      const mistyped = /redirect_uri/.test(outcome.error_description ?? '') && outcome.error !== 'server_error'
      const expired = error.name === 'SessionNotFound'
      const code = mistyped ? 'invalid_redirect_uri' : (codes[outcome.error] ?? 'invalid_request')
      render(koa, 'error', {
        code: expired ? 'session_expired' : code,
        detail: outcome.error_description,
        oauth: outcome.error,
        requestId: koa.state.requestId,
        ...known,
      })
    },
    async logout(koa: any, tenant, formHtml) {
      const known = open(koa, tenant)
      render(koa, 'logout', { formHtml, ...(await person(tenant, koa.oidc.session.accountId)), ...known })
    },
    // Also reached after "stay signed in": the cookie tells.
    async loggedOut(koa: any, tenant) {
      const known = open(koa, tenant)
      const session = await koa.oidc.provider.Session.get(koa)
      const { account } = await person(tenant, session.accountId)
      if (!account) return render(koa, 'logged-out', { links: { login: `${tenant.mountPath}/account` }, ...known })
      render(koa, 'signed-in', {
        account,
        ...known,
        links: { account: `${tenant.mountPath}/account`, logout: `${tenant.mountPath}/oauth/logout` },
      })
    },
    async submit(koa: any, tenant, action, fields) {
      const known = open(koa, tenant)
      render(koa, 'submit', { action, fields, ...known })
    },
  }
}
