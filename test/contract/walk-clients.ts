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
