/** Settings, audit log, tenants and statistics, each row once: the answers are held against their schemas. */
import type { TestApp } from '../support/app.ts'

type Ok = (method: string, path: string, options?: any) => Promise<any>

export async function walkTenants(app: TestApp, ok: Ok): Promise<void> {
  const token = await app.admin()
  const go = (method: string, path: string, body?: unknown) =>
    ok(method, path, { token, ...(body === undefined ? {} : { body }) })
  for (const path of ['/admin/audit-logs', '/v1/audit/logs', '/admin/stats', '/v1/admin/stats', '/v1/admin/services'])
    await go('GET', path)
  await go('GET', '/v1/admin/settings')
  await go('PATCH', '/v1/admin/settings/support_url', { value: 'https://help.example.com' })
  await go('GET', '/admin/settings')
  await go('PUT', '/admin/settings', { support_url: null })
  const realm = '/api/admin/default'
  await go('GET', `${realm}/security/config`)
  await go('PUT', `${realm}/security/config`, { passwordHistory: null })
  await go('GET', `${realm}/analytics/session-stats`)
  await go('GET', `${realm}/analytics/login-stats`)
  const { id } = await go('POST', '/v1/tenants', { name: 'Walk', branding: { primary_color: '#123456' } })
  await go('GET', '/v1/tenants')
  await go('GET', `/v1/tenants/${id}`)
  await go('PUT', `/v1/tenants/${id}`, { name: 'Walked', branding: { primary_color: null } })
  const person = await app.person()
  await go('POST', `/v1/tenants/${id}/users/${person.id}`, {})
  await go('GET', `/v1/tenants/${id}/users`)
  await go('GET', `/v1/tenants/${id}/stats`)
  await go('DELETE', `/v1/tenants/${id}/users/${person.id}`)
  await go('GET', '/v1/admin/branding')
  await go('PATCH', '/v1/admin/branding', { primary_color: '#ffcc00' })
  await go('PUT', '/v1/admin/branding/logo', { data: Buffer.from('GIF89a').toString('base64') })
  await go('DELETE', '/v1/admin/branding/logo')
  await go('GET', '/v1/admin/texts/en?limit=5')
  await go('PATCH', '/v1/admin/texts/de', { texts: { 'login.title': 'Willkommen' } })
  await go('GET', '/v1/admin/mail-templates')
  const mail = '/v1/admin/mail-templates/welcome/de'
  await go('GET', mail)
  await go('PUT', mail, { blocks: { subject: 'Hallo' } })
  await go('POST', `${mail}/preview`, {})
  await go('DELETE', mail)
  const configuration = await go('GET', '/v1/admin/configuration')
  await go('POST', '/v1/admin/configuration/apply', { configuration, dry_run: true })
  await go('GET', '/v1/admin/keys')
  const { keys } = await go('POST', '/v1/admin/keys/rotate', { algs: ['ES256'] })
  const next = keys.find((key: { status: string }) => key.status === 'next')
  await go('POST', `/v1/admin/keys/${next.kid}/revoke`, {})
  const theirs = await go('GET', `/v1/tenants/${id}/keys`)
  await go('POST', `/v1/tenants/${id}/keys/rotate`, { immediately: true })
  await go('POST', `/v1/tenants/${id}/keys/${theirs.keys[0].kid}/revoke`, {})
  await go('DELETE', `/v1/tenants/${id}`)
}
