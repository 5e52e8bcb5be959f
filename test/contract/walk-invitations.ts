/** Answers of the rows about invitations, for the test that every row answers as it says. */
import { randomBytes } from 'node:crypto'
import { DEFAULT_TENANT, newId } from '../../server/domain/ids.ts'
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
  const own = await ok('POST', at, { token, body: { email: person.email } })
  await ok('GET', `${at}/received`, { token: person.accessToken })
  await ok('POST', `${at}/${own.id}/accept`, { token: person.accessToken })
  await walkInside(app, ok)
}

async function walkInside(app: TestApp, ok: Ok): Promise<void> {
  const token = await app.admin()
  const [organization, team] = [newId(), newId()]
  const tenant = { tenant_id: DEFAULT_TENANT }
  await app.db('organizations').insert({ ...tenant, id: organization, slug: `walk-${organization}`, name: 'Walkers' })
  await app.db('workspaces').insert({ ...tenant, id: team, organization_id: organization, slug: 'team', name: 'Team' })
  const guest = async () => {
    await app.db('rate_limits').delete()
    const person = await app.person()
    await verified(app, person)
    return person
  }
  const [first, second, third] = [await guest(), await guest(), await guest()]
  const secretOf = async (to: string) => {
    const mail = await app.smtp.waitFor(to, /invitation\?token=/)
    return new URL(mail.link('invitation')).searchParams.get('token')
  }
  const at = '/api/onboarding/invitations'
  const invite = async (to: string) =>
    (await ok('POST', at, { token, body: { org_id: organization, email: to, role_id: 'Member' } })).data
  await invite(first.email)
  await ok('GET', at, { token })
  await ok('GET', '/api/onboarding/pending', { token: first.accessToken })
  const body = { invitation_code: await secretOf(first.email) }
  await ok('POST', '/api/onboarding/join', { token: first.accessToken, body })
  await invite(second.email)
  await ok('POST', '/api/onboarding/accept-pending', { token: second.accessToken, body: {} })
  await ok('DELETE', `${at}/${(await invite(third.email)).id}`, { token })

  const inTeam = `/api/workspaces/${team}/invitations`
  const other = await ok('POST', inTeam, { token, body: { email: 'walker@example.com' } })
  await ok('GET', inTeam, { token })
  await ok('DELETE', `${inTeam}/${other.data.id}`, { token })
  const last = await guest()
  await ok('POST', inTeam, { token, body: { email: last.email, role: 'viewer' } })
  const secret = await secretOf(last.email)
  await ok('GET', `/api/workspaces/invitations/preview?token=${secret}`, { token: last.accessToken })
  await ok('POST', '/api/workspaces/invitations/accept', { token: last.accessToken, body: { token: secret } })
}
