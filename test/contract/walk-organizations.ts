/** Organizations, memberships and workspaces, each row once: the answers are held against their schemas and examples. */
import { expect } from 'chai'
import type { TestApp } from '../support/app.ts'
import { makeClient } from '../support/oauth.ts'

type Ok = (method: string, path: string, options?: any) => Promise<any>

export async function walkOrganizations(app: TestApp, ok: Ok): Promise<void> {
  const token = await app.admin()
  const go = async (method: string, path: string, body?: unknown) =>
    (await ok(method, path, { token, ...(body === undefined ? {} : { body }) })).data
  const person = await app.person()

  const example = { name: 'New Company', description: 'Company description', settings: {} }
  const made = await go('POST', '/api/organizations', example)
  expect(made).to.include({ name: 'New Company', tenant_id: 'new-company', status: 'active' })
  const at = `/api/organizations/${made.id}`
  const [listed] = await go('GET', '/api/organizations')
  expect(listed).to.include.keys('id', 'name', 'tenant_id', 'status', 'member_count', 'owner', 'created_at')
  expect(listed.owner).to.have.all.keys('id', 'email')
  await go('GET', at)
  await go('PUT', at, { description: null, settings: { colour: 'green' } })
  await go('GET', `${at}/stats`)

  const role = await go('POST', `${at}/roles`, { name: 'Recruiter', permissions: ['members:manage'] })
  expect(role).to.have.all.keys('id', 'name', 'description', 'own', 'permissions', 'created_at')
  await go('GET', `${at}/roles`)
  await go('PUT', `${at}/roles/${role.id}`, { permissions: ['workspaces:manage'] })
  await go('DELETE', `${at}/roles/${role.id}`)

  const memberships = '/api/organization-memberships'
  const member = await go('POST', memberships, { user_id: person.id, org_id: made.id, role_id: 'Member' })
  expect(member).to.have.all.keys('id', 'user', 'organization', 'role', 'created_at')
  expect(member.user).to.include({ id: person.id, email: person.email })
  expect(member.organization).to.include({ id: made.id, name: 'New Company' })
  expect(member.role.name).to.equal('Member')
  await go('GET', memberships)
  await go('GET', `${memberships}/${member.id}`)
  await go('PUT', `${memberships}/${member.id}`, { role_id: 'Admin' })
  await go('GET', `${memberships}/user/${person.id}`)
  await go('GET', `${memberships}/stats/overview`)
  const { id: other } = await app.person()
  await go('POST', `${memberships}/bulk-assign`, { org_id: made.id, user_ids: [other] })

  await walkWorkspaces(go, made.id, person.id)
  await go('DELETE', `${memberships}/${member.id}`)
  await go('POST', `${at}/transfer`, { user_id: other })
  await go('DELETE', at)

  const { clientId } = await makeClient(app)
  const onboarded = await go('POST', '/api/onboarding/create', { name: 'My Company', client_key: clientId })
  expect(onboarded.organization).to.include({ name: 'My Company', tenant_id: 'my-company' })
  expect(onboarded.membership).to.deep.equal({ role: 'Owner' })
  expect(onboarded.tenant_mapping).to.deep.equal({ tenant_id: 'my-company', client_key: clientId })
  await go('POST', '/api/onboarding/admin/provision', { name: 'Given', owner_email: person.email })
}

async function walkWorkspaces(
  go: (method: string, path: string, body?: unknown) => Promise<any>,
  org_id: string,
  user_id: string,
): Promise<void> {
  const made = await go('POST', '/api/workspaces', { name: 'Engineering', org_id, description: 'Engineering team' })
  expect(made).to.include({ name: 'Engineering', slug: 'engineering', org_id })
  const at = `/api/workspaces/${made.id}`
  await go('GET', '/api/workspaces')
  await go('GET', at)
  await go('PUT', at, { name: 'Research' })
  await go('POST', `${at}/members`, { user_id, role: 'viewer' })
  await go('GET', `${at}/members`)
  await go('PUT', `${at}/members/${user_id}`, { role: 'admin' })
  await go('DELETE', `${at}/members/${user_id}`)
  await go('DELETE', at)
}
