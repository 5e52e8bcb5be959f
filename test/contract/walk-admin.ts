/** Calls every row of users, roles and permissions once with success, in every spelling. */
import { ROLE } from '../../server/domain/ids.ts'
import type { TestApp } from '../support/app.ts'
import { withApp } from '../support/mfa.ts'
import { makeClient } from '../support/oauth.ts'

type Ok = (method: string, path: string, options: { body?: unknown; token?: string }) => Promise<any>

export async function walkAdmin(app: TestApp, ok: Ok): Promise<void> {
  const token = await app.admin()
  const go = (method: string, path: string, body?: unknown) =>
    ok(method, path, { token, ...(body === undefined ? {} : { body }) })
  const fresh = async () => (await app.person()).id
  await walkUsers(go, fresh)
  await walkRealmUsers(app, go, fresh)
  await walkRoles(go, fresh)
  await walkPermissions(go)
}

type Go = (method: string, path: string, body?: unknown) => Promise<any>

async function walkUsers(go: Go, fresh: () => Promise<string>): Promise<void> {
  const made = await go('POST', '/v1/users', { email: 'walk@example.com', given_name: 'Wal' })
  for (const base of ['/users', '/v1/users']) {
    const id = await fresh()
    await go('GET', base)
    await go('GET', `${base}/${id}`)
    await go('PUT', `${base}/${id}`, { nickname: 'W' })
    await go('DELETE', `${base}/${id}`)
  }
  for (const step of ['disable', 'enable', 'lock', 'unlock', 'invite'])
    await go('POST', `/v1/users/${made.id}/${step}`, {})
  for (const step of ['lock', 'unlock']) await go('POST', `/admin/users/${made.id}/${step}`, {})
  await go('GET', `/users/${made.id}/permissions`)
  await go('GET', `/users/${made.id}/roles`)
  for (const base of ['/users', '/v1/admin/users']) {
    await go('POST', `${base}/${made.id}/roles`, { role_id: ROLE.admin })
    await go('DELETE', `${base}/${made.id}/roles/${ROLE.admin}`)
  }
  await go('POST', '/admin/assign-role', { user_id: made.id, role: 'admin' })
  const person = await fresh()
  const [device] = (await go('GET', `/admin/users/${person}/devices`)).devices
  await go('POST', `/admin/users/${person}/devices/${device.id}/block`, {})
  await go('DELETE', `/admin/users/${person}/devices/${device.id}/block`)
}

async function walkRealmUsers(app: TestApp, go: Go, fresh: () => Promise<string>): Promise<void> {
  const base = '/api/admin/default/users'
  await go('GET', base)
  const { id } = (await go('POST', base, { email: 'realm@example.com', firstName: 'Rea', sendInvitation: false })).data
  const at = `${base}/${id}`
  await go('GET', at)
  await go('PATCH', at, { lastName: 'Lm' })
  await go('PATCH', `${at}/attributes`, { attributes: { a: 1 } })
  await go('POST', `${at}/password/validate`, { password: 'x' })
  await go('POST', `${at}/password/reset`, { newPassword: 'A-Fine-Password-7' })
  for (const step of ['verify-email', 'totp/require', 'totp/email', 'logout', 'logout/all'])
    await go('POST', `${at}/${step}`, {})
  for (const what of ['credentials', 'sessions', 'totp/status', 'roles', 'roles/realm'])
    await go('GET', `${at}/${what}`)
  for (const path of ['credentials/totp', 'totp']) {
    const person = await app.person()
    await withApp(app, person)
    await go('DELETE', `${base}/${person.id}/${path}`)
  }
  for (const step of ['assign', 'remove']) await go('POST', `${at}/roles/realm/${step}`, { roles: ['admin'] })
  const client = await makeClient(app)
  const { tenant_id } = await app.db('clients').where({ id: client.id }).first('tenant_id')
  const role = { tenant_id, id: crypto.randomUUID(), name: 'editor', scope: 'client', owner_id: client.id }
  await app.db('roles').insert(role)
  const ofClient = `${at}/roles/client/${client.clientId}`
  await go('GET', ofClient)
  for (const step of ['assign', 'remove']) await go('POST', `${ofClient}/${step}`, { roles: ['editor'] })
  await go('DELETE', `${base}/${await fresh()}`)
}

async function walkRoles(go: Go, fresh: () => Promise<string>): Promise<void> {
  for (const base of ['/roles', '/v1/admin/roles']) {
    await go('GET', base)
    const { id } = await go('POST', base, { name: 'walker' })
    if (base !== '/roles') await go('GET', `${base}/${id}`)
    await go('PUT', `${base}/${id}`, { description: 'Walks' })
    await go('GET', `${base}/${id}/permissions`)
    await go('POST', `${base}/${id}/permissions`, { permission_id: 'users:read' })
    await go('DELETE', `${base}/${id}/permissions/users:read`)
    await go('DELETE', `${base}/${id}`)
  }
  const realm = '/api/admin/default/roles'
  for (const path of ['', '/stats', '/admin', '/admin/users', '/admin/composites']) await go('GET', realm + path)
  const { id } = (await go('POST', realm, { name: 'inner' })).data
  await go('PATCH', `${realm}/${id}`, { description: 'Inside' })
  await go('POST', `${realm}/composite`, { name: 'outer', roles: ['inner'] })
  for (const step of ['remove', 'add']) await go('POST', `${realm}/outer/composites/${step}`, { roles: ['inner'] })
  await go('DELETE', `${realm}/${id}`)
  await go('GET', '/api/db-roles')
  const role = (await go('POST', '/api/db-roles', { name: 'stored' })).data.id
  const at = `/api/db-roles/${role}`
  const userId = await fresh()
  await go('GET', at)
  await go('PUT', at, { description: 'Stored' })
  await go('POST', `${at}/permissions`, { permissions: ['users:read'] })
  await go('DELETE', `${at}/permissions/users:read`)
  await go('POST', `${at}/assign`, { userId })
  await go('DELETE', `${at}/users/${userId}`)
  await go('DELETE', at)
}

async function walkPermissions(go: Go): Promise<void> {
  for (const path of ['/permissions', '/v1/admin/permissions', '/api/permissions']) await go('GET', path)
  for (const half of ['resources', 'actions']) await go('GET', `/api/permissions/${half}`)
  await go('POST', '/permissions', { name: 'walk:fast' })
  const { id } = (await go('POST', '/api/permissions', { resource: 'walk', action: 'slow' })).data
  await go('GET', `/api/permissions/${id}`)
  await go('PUT', `/api/permissions/${id}`, { description: 'Slow' })
  await go('DELETE', `/api/permissions/${id}`)
}
