/** Answers of the rows about passkeys, devices, API keys and history, for the test that every row answers as it says. */
import { randomBytes } from 'node:crypto'
import type { TestApp } from '../support/app.ts'
import { Authenticator } from '../support/authenticator.ts'

type Ok = (method: string, path: string, options?: { body?: unknown; token?: string }) => Promise<any>

export async function walkDevices(app: TestApp, ok: Ok): Promise<void> {
  const person = await app.person(`walk${randomBytes(4).toString('hex')}@example.com`)
  const token = person.accessToken
  const { devices } = await ok('GET', '/v1/devices', { token })
  const device = `/v1/devices/${devices[0].id}`
  await ok('GET', device, { token })
  await ok('POST', '/auth/fingerprint', { token, body: { fingerprint: 'canvas:1' } })
  const { device: trusted } = await ok('POST', '/v1/auth/mfa/trust-device', { token, body: { days: 1 } })
  await ok('POST', '/v1/auth/mfa/revoke-trust', { token, body: {} })
  const same = `/v1/devices/${trusted.id}`
  await ok('POST', `${same}/trust`, { token, body: {} })
  await ok('DELETE', `${same}/trust`, { token })
  for (const path of [
    '/v1/sessions/history',
    '/auth/logins',
    '/auth/tokens',
    '/api/account/devices',
    '/api/account/audit-logs',
    '/api/account/login-history',
    '/api/account/security-events',
    '/api/account/sessions/stats',
  ])
    await ok('GET', path, { token })

  const made = await ok('POST', '/v1/api-keys', { token, body: { name: 'Script' } })
  await ok('GET', '/v1/api-keys', { token })
  await ok('GET', `/v1/api-keys/${made.id}`, { token })
  const rotated = await ok('POST', `/v1/api-keys/${made.id}/rotate`, { token, body: {} })
  await ok('DELETE', `/v1/api-keys/${rotated.id}`, { token })

  const key = new Authenticator(app.url)
  const webauthn = '/v1/auth/mfa/webauthn'
  const { options } = await ok('POST', `${webauthn}/register/begin`, { token, body: {} })
  const registered = { credential: key.create(options), name: 'Phone' }
  await ok('POST', `${webauthn}/register/finish`, { token, body: registered })
  const { credentials } = await ok('GET', `${webauthn}/credentials`, { token })
  await ok('PATCH', `${webauthn}/credentials/${credentials[0].id}`, { token, body: { name: 'Old phone' } })
  const enter = async (): Promise<string> => {
    const begun = await ok('POST', '/v1/auth/login/mfa/webauthn/begin', { body: {} })
    const credential = key.get(begun.options)
    return (await ok('POST', '/v1/auth/login/mfa/webauthn/finish', { body: { credential } })).tokens.access_token
  }
  const other = await enter()
  const { tokens } = await ok('GET', '/auth/tokens', { token: other })
  await ok('DELETE', `/auth/token/${tokens.find((t: any) => !t.current).id}`, { token: other })
  await ok('DELETE', `${webauthn}/credentials`, { token: other, body: { id: credentials[0].id } })
  const left = (await ok('GET', '/v1/devices', { token: other })).devices
  const gone = left.find((d: any) => !d.current) ?? left[0]
  await ok('POST', `/v1/devices/${gone.id}/block`, { token: other })
  await ok('DELETE', `/v1/devices/${gone.id}/block`, { token: other })
  await ok('DELETE', `/v1/devices/${gone.id}`, { token: other })
  const last = (await app.person()).accessToken
  const [mine] = (await ok('GET', '/v1/devices', { token: last })).devices
  await ok('DELETE', `/api/account/devices/${mine.id}`, { token: last })
}
