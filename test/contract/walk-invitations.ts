/** Answers of the rows about invitations, for the test that every row answers as it says. */
import { randomBytes } from 'node:crypto'
import type { TestApp } from '../support/app.ts'
import { verified } from '../support/mfa.ts'

type Ok = (method: string, path: string, options?: { body?: unknown; token?: string }) => Promise<any>

export async function walkInvitations(app: TestApp, ok: Ok): Promise<void> {
  const token = await app.admin()
  const stranger = () => `guest${randomBytes(4).toString('hex')}@example.com`
  const at = '/v1/invitations'
  const email = stranger()
  const { id } = await ok('POST', at, { token, body: { email, roles: ['admin'] } })
  await ok('GET', at, { token })
  await ok('GET', `${at}/${id}`, { token })
  const mail = await app.smtp.waitFor(email, /invitation\?token=/)
  const secret = new URL(mail.link('invitation')).searchParams.get('token')
  await ok('POST', `${at}/public/validate`, { body: { token: secret } })
  await ok('POST', `${at}/public/accept`, { body: { token: secret, password: 'SecurePassword123!' } })

  const other = await ok('POST', at, { token, body: { email: stranger() } })
  await ok('POST', `${at}/${other.id}/resend`, { token })
  await ok('DELETE', `${at}/${other.id}`, { token })

  const person = await app.person()
  await verified(app, person)
  const own = await ok('POST', at, { token, body: { email: person.email, roles: ['admin'] } })
  await ok('GET', `${at}/received`, { token: person.accessToken })
  await ok('POST', `${at}/${own.id}/accept`, { token: person.accessToken })
}
