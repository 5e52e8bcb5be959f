/** Calls every row of clients and their roles once with success, in every spelling. */
import type { TestApp } from '../support/app.ts'

type Ok = (method: string, path: string, options: { body?: unknown; token?: string }) => Promise<any>

export async function walkClients(app: TestApp, ok: Ok): Promise<void> {
  const token = await app.admin()
  const go = (method: string, path: string, body?: unknown) =>
    ok(method, path, { token, ...(body === undefined ? {} : { body }) })
  await walkRealm(go)
  await walkRoles(go)
  await walkServiceAccount(go)
  await walkRegistration(app, go, ok)
  await walkRequests(app, go, ok)
}

type Go = (method: string, path: string, body?: unknown) => Promise<any>

async function walkRealm(go: Go): Promise<void> {
  const realm = '/api/admin/default/clients'
  const fields = { clientName: 'My App', redirectUris: ['https://app.example.com/callback'] }
  const { data } = await go('POST', realm, { ...fields, loginPolicy: { requireVerifiedEmail: true } })
  await go('GET', realm)
  await go('GET', `${realm}/${data.clientId}`)
  await go('PATCH', `${realm}/${data.id}`, { softwareId: 'app', softwareVersion: '1.2.3' })
  await go('GET', `${realm}/${data.id}/secret`)
  await go('POST', `${realm}/${data.id}/secret/regenerate`, { overlap: 60 })
  await go('DELETE', `${realm}/${data.id}`)
  await go('POST', realm, { ...fields, clientId: 'my-app' })
  await go('GET', '/auth/clients')
  await go('GET', '/auth/clients/my-app')
  await go('PUT', '/auth/clients/my-app', { clientName: 'Renamed' })
  await go('DELETE', '/auth/clients/my-app')
}

async function walkRoles(go: Go): Promise<void> {
  const { client_id: id } = await go('POST', '/clients', { redirect_uris: ['https://app.example.com/callback'] })
  for (const [at, change] of [
    [`/api/admin/default/clients/${id}/roles`, 'PATCH'],
    [`/clients/${id}/roles`, 'PUT'],
  ] as const) {
    await go('POST', at, { name: 'editor', permissions: ['users:read'] })
    await go('GET', at)
    await go('GET', `${at}/editor`)
    await go(change, `${at}/editor`, { description: 'May edit' })
    await go('DELETE', `${at}/editor`)
  }
}

async function walkServiceAccount(go: Go): Promise<void> {
  const { id } = await go('POST', '/clients', { grant_types: ['client_credentials'], redirect_uris: [] })
  const at = `/clients/${id}/service-account/roles`
  await go('POST', at, { role: 'user' })
  await go('GET', at)
  await go('DELETE', `${at}/user`)
}

async function walkRegistration(app: TestApp, go: Go, ok: Ok): Promise<void> {
  await go('PATCH', '/v1/admin/settings/dynamic_registration', { value: 'token' })
  const made = await go('POST', '/v1/admin/initial-access-tokens', { name: 'walk' })
  await go('GET', '/v1/admin/initial-access-tokens')
  const body = { client_name: 'Walk', redirect_uris: ['https://walk.example.com/cb'] }
  const app1 = await ok('POST', '/oauth/register', { token: made.token, body })
  const token = app1.registration_access_token
  const at = `/oauth/register/${app1.client_id}`
  await ok('GET', at, { token })
  await ok('PUT', at, { token, body: { ...body, client_id: app1.client_id } })
  const gone = await app.call('DELETE', at, { token })
  if (gone.status !== 204) throw new Error(`DELETE ${at} answered ${gone.status}`)
  await go('DELETE', `/v1/admin/initial-access-tokens/${made.id}`)
}

async function walkRequests(app: TestApp, go: Go, ok: Ok): Promise<void> {
  const ask = async (clientKey: string) => {
    const developerEmail = `${clientKey}@example.com`
    const body = { name: 'Asked for', clientKey, callbackUrl: 'https://asked.example.com/cb', developerEmail }
    return (await ok('POST', '/auth/client-requests', { body })).data.request.id
  }
  const at = '/auth/admin/client-requests'
  const [wanted, unwanted] = [await ask('wanted'), await ask('unwanted')]
  await go('GET', at)
  await go('POST', `${at}/${wanted}/approve`, {})
  await go('POST', `${at}/${unwanted}/reject`, { reason: 'No' })
  await ok('GET', '/auth/client-requests/unwanted/status', {})
  await ok('GET', '/auth/clients/wanted/config', {})
  const mail = await app.smtp.waitFor('wanted@example.com', /client-secret/)
  const token = new URL(mail.link('client-secret')).searchParams.get('token')
  await ok('POST', '/auth/client-requests/secret', { body: { token } })
}
