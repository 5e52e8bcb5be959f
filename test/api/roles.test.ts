import { expect } from 'chai'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { makeClient } from '../support/oauth.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

const realm = '/api/admin/default'

describe('roles and permissions', () => {
  let app: TestApp
  let root: string
  let anna: Person
  let ben: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    root = await app.admin()
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
    ben = await someone(app, undefined, { email: 'ben@example.com' })
  })
  after(() => app.close())
  const admin = (method: string, path: string, body?: unknown) =>
    app.call(method, path, { token: anna.accessToken, ...(body !== undefined && { body }) })
  const sso = (method: string, path: string, body?: unknown) =>
    app.call(method, path, { token: root, ...(body !== undefined && { body }) })

  it('a role is meant by its id before another by its name', async () => {
    const inside = await sso('POST', '/api/db-roles', { name: 'Inside', scope: 'organization' })
    const { id } = inside.body.data
    const decoy = await admin('POST', '/v1/admin/roles', { name: id })
    expect((await admin('GET', `/v1/admin/roles/${id}`)).body).to.include({ id, name: 'Inside' })
    expect((await admin('DELETE', `/v1/admin/roles/${decoy.body.id}`)).status).to.equal(200)
    expect((await admin('DELETE', `/v1/admin/roles/${id}`)).status).to.equal(200)
  })

  it('a role is made, given permissions and given to somebody, who may at once; and may no more when it is taken', async () => {
    const made = await admin('POST', '/v1/admin/roles', {
      name: 'reader',
      description: 'Reads',
      tenant_id: DEFAULT_TENANT,
    })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    expect(made.body).to.include({ name: 'reader', system: false, scope: 'tenant', composite: false })
    const { id } = made.body
    expectProblem(await admin('POST', '/v1/admin/roles', { name: 'reader' }), 409, 'CONFLICT')
    const read = (await admin('GET', '/v1/admin/permissions')).body.permissions.find(
      (p: any) => p.name === 'users:read',
    )
    expect(
      (await admin('POST', `/v1/admin/roles/${id}/permissions`, { permission_id: read.id })).body.permissions,
    ).to.deep.equal(['users:read'])
    const { accessToken: token } = ben
    expectProblem(await app.call('GET', '/v1/users', { token }), 403, 'ACCESS_DENIED')
    expect((await admin('POST', `/v1/admin/users/${ben.id}/roles`, { role_id: id })).status).to.equal(200)
    await pause(1000)
    expect((await app.call('GET', '/v1/users', { token })).status).to.equal(200)
    expect((await admin('GET', `/users/${ben.id}/permissions`)).body.permissions).to.deep.equal(['users:read'])
    expect((await admin('DELETE', `/v1/admin/roles/${id}/permissions/${read.id}`)).status).to.equal(200)
    await pause(1000)
    expectProblem(await app.call('GET', '/v1/users', { token }), 403, 'ACCESS_DENIED')
    expect((await admin('POST', `/roles/${id}/permissions`, { permissions: ['users:read'] })).status).to.equal(200)
    expect((await admin('DELETE', `/users/${ben.id}/roles/${id}`)).status).to.equal(200)
    expectProblem(await admin('DELETE', `/users/${ben.id}/roles/${id}`), 404, 'NOT_FOUND')
    await pause(1000)
    expectProblem(await app.call('GET', '/v1/users', { token }), 403, 'ACCESS_DENIED')
    expect((await admin('POST', '/admin/assign-role', { user_id: ben.id, role: 'reader' })).body.roles.length).to.equal(
      2,
    )
    expect((await admin('PUT', `/v1/admin/roles/${id}`, { name: 'watcher' })).body).to.include({
      name: 'watcher',
      description: 'Reads',
    })
    expect((await admin('DELETE', `/roles/${id}`)).status).to.equal(200)
    expect((await admin('GET', `/users/${ben.id}/roles`)).body.roles.map((r: any) => r.name)).to.deep.equal(['user'])
    const types = await app.db('events').whereILike('type', 'role.%').pluck('type')
    expect(types).to.include.members([
      'role.created',
      'role.assigned',
      'role.unassigned',
      'role.updated',
      'role.deleted',
    ])
  })

  it('nobody gives what they do not hold, by any way', async () => {
    const strong = (await sso('POST', `${realm}/roles`, { name: 'strong', permissions: ['tenants:write'] })).body.data
    for (const [method, path, body] of [
      ['POST', '/roles', { name: 'mine', permissions: ['tenants:write'] }],
      ['POST', `/v1/admin/users/${anna.id}/roles`, { role_id: strong.id }],
      ['POST', `/v1/admin/roles/${strong.id}/permissions`, { permission_id: 'users:read' }],
      ['DELETE', `/v1/admin/roles/${strong.id}/permissions/tenants:write`, undefined],
      ['PUT', `/v1/admin/roles/${strong.id}`, { name: 'weak' }],
      ['DELETE', `/v1/admin/roles/${strong.id}`, undefined],
      ['DELETE', `/v1/admin/users/${anna.id}/roles/${strong.id}`, undefined],
    ] as const)
      expectProblem(await admin(method, path, body), 403, 'ACCESS_DENIED')
    const mine = (await admin('POST', '/roles', { name: 'mine' })).body
    expectProblem(await admin('POST', `/roles/${mine.id}/permissions`, { permission_id: 'realm:manage' }), 403)
    expect((await app.db('role_permissions').where({ role_id: mine.id })).length).to.equal(0)
    expect(await app.db('user_roles').where({ user_id: anna.id }).pluck('role_id')).to.have.members([
      ROLE.user,
      ROLE.admin,
    ])
  })

  it('system roles and permissions stay as they are, even for super administrators', async () => {
    for (const name of ['user', 'admin', 'super_admin']) {
      expectSsoFailure(await sso('PATCH', `${realm}/roles/${name}`, { name: 'x' }), 403, 'ACCESS_DENIED')
      expectSsoFailure(await sso('DELETE', `${realm}/roles/${name}`), 403, 'ACCESS_DENIED')
      expectSsoFailure(await sso('POST', `/api/db-roles/${name}/permissions`, { permissions: ['users:read'] }), 403)
      expectSsoFailure(await sso('POST', `${realm}/roles/${name}/composites/add`, { roles: ['admin'] }), 403)
    }
    expectSsoFailure(await sso('PUT', '/api/permissions/users:read', { description: 'x' }), 403, 'ACCESS_DENIED')
    expectSsoFailure(await sso('DELETE', '/api/permissions/users:read'), 403, 'ACCESS_DENIED')
    expect((await sso('GET', `${realm}/roles/admin`)).body.data.permissions).to.include('users:read')
  })

  it('composites add up, count once, and never contain themselves', async () => {
    const name = (await sso('POST', `${realm}/roles/composite`, { name: 'lead', roles: ['admin'] })).body.data
    expect(name).to.include({ name: 'lead', composite: true })
    expect(name.permissions).to.include('users:write')
    for (const role of ['a', 'b', 'c'])
      expect((await sso('POST', `${realm}/roles`, { name: role })).status).to.equal(201)
    const add = (role: string, part: string) => sso('POST', `${realm}/roles/${role}/composites/add`, { roles: [part] })
    expect((await add('a', 'b')).status).to.equal(200)
    expect((await add('b', 'c')).status).to.equal(200)
    expectSsoFailure(await add('c', 'a'), 409, 'CONFLICT')
    expectSsoFailure(await add('a', 'a'), 409, 'CONFLICT')
    await sso('POST', `${realm}/roles`, { name: 'd' })
    await sso('POST', `${realm}/roles`, { name: 'e' })
    const both = await Promise.all([add('d', 'e'), add('e', 'd')])
    expect(both.map((answer) => answer.status).sort()).to.deep.equal([200, 409])
    expect((await sso('POST', '/api/db-roles/c/permissions', { permissions: ['stats:read'] })).status).to.equal(200)
    const held = (await sso('GET', `${realm}/roles/a`)).body.data.permissions
    expect(held).to.deep.equal(['stats:read'])
    const inherited = (await admin('GET', '/roles/a/permissions')).body.permissions
    expect(inherited[0]).to.include({ name: 'stats:read', inherited: true })
    expect((await sso('GET', `${realm}/roles/a/composites`)).body.data.map((r: any) => r.name)).to.deep.equal(['b'])
    expect(
      (await sso('POST', `${realm}/roles/a/composites/remove`, { roles: ['b'] })).body.data.permissions,
    ).to.deep.equal([])
    expectSsoFailure(await sso('POST', `${realm}/roles/a/composites/remove`, { roles: ['b'] }), 404)
  })

  it('realm and client roles are given and taken by name; client roles count at their client only', async () => {
    const shop = await makeClient(app)
    const role = newId()
    await app
      .db('roles')
      .insert({ tenant_id: DEFAULT_TENANT, id: role, name: 'editor', scope: 'client', owner_id: shop.id })
    const { id: permission } = await app
      .db('permissions')
      .where({ tenant_id: DEFAULT_TENANT, name: 'audit:read' })
      .first('id')
    await app.db('role_permissions').insert({ tenant_id: DEFAULT_TENANT, role_id: role, permission_id: permission })
    const at = `${realm}/users/${ben.id}/roles`
    expect((await sso('POST', `${at}/realm/assign`, { roles: ['lead'] })).status).to.equal(200)
    expect((await sso('POST', `${at}/client/${shop.clientId}/assign`, { roles: ['editor'] })).status).to.equal(200)
    expectSsoFailure(await sso('POST', `${at}/realm/assign`, { roles: ['editor'] }), 404, 'NOT_FOUND')
    expectSsoFailure(await sso('POST', `${at}/client/${shop.clientId}/assign`, { roles: ['lead'] }), 404, 'NOT_FOUND')
    const names = async (path: string) => (await sso('GET', path)).body.data.map((r: any) => r.name)
    expect(await names(`${at}/client/${shop.clientId}`)).to.deep.equal(['editor'])
    expect(await names(`${at}/realm`)).to.have.members(['user', 'lead'])
    expect(await names(at)).to.have.members(['user', 'lead', 'editor'])
    expect((await sso('POST', `${at}/realm/remove`, { roles: ['lead'] })).status).to.equal(200)
    await pause(1000)
    const profile = await app.call('GET', '/api/account/profile', { token: ben.accessToken })
    expect(JSON.stringify(profile.body)).to.not.include('audit:read')
    expect((await sso('POST', `${at}/client/${shop.id}/remove`, { roles: ['editor'] })).status).to.equal(200)
    expect(await names(at)).to.deep.equal(['user'])
  })

  it('own permissions are made, changed and deleted; the lists of halves follow', async () => {
    const made = await admin('POST', '/permissions', { name: 'invoices:approve', description: 'Approve' })
    expect(made.body).to.include({ resource: 'invoices', action: 'approve', system: false })
    expectProblem(await admin('POST', '/permissions', { resource: 'invoices', action: 'approve' }), 409, 'CONFLICT')
    expectProblem(await admin('POST', '/permissions', { name: 'tenants:write' }), 409, 'CONFLICT')
    for (const body of [{}, { name: 'x' }, { name: 'A:b' }, { name: 'a:b:c' }])
      expectProblem(await admin('POST', '/permissions', body), 400, 'VALIDATION_ERROR')
    expectSsoFailure(
      await app.call('POST', '/api/permissions', { token: anna.accessToken, body: { name: 'q:r' } }),
      403,
      'ACCESS_DENIED',
    )
    const { id } = made.body
    expect((await sso('PUT', `/api/permissions/${id}`, { action: 'pay' })).body.data.name).to.equal('invoices:pay')
    expect((await sso('GET', `/api/permissions/${id}`)).body.data.description).to.equal('Approve')
    const halves = async (which: string) =>
      (await sso('GET', `/api/permissions/${which}`)).body.data.map((h: any) => h.name)
    expect(await halves('resources')).to.include.members(['users', 'invoices'])
    expect(await halves('actions')).to.include.members(['read', 'pay'])
    expect((await sso('GET', '/api/permissions?resource=invoices')).body.data.length).to.equal(1)
    const role = await admin('POST', '/roles', { name: 'clerk', permissions: ['invoices:pay'] })
    expect(role.status, JSON.stringify(role.body)).to.equal(201)
    expect((await sso('DELETE', `/api/permissions/${id}`)).status).to.equal(200)
    expectSsoFailure(await sso('GET', `/api/permissions/${id}`), 404, 'NOT_FOUND')
    expect((await admin('GET', `/v1/admin/roles/clerk`)).body.permissions).to.deep.equal([])
  })

  it('database roles are listed, made, given and taken by sso-api', async () => {
    const made = await sso('POST', '/api/db-roles', { name: 'support', permissions: ['users:read'] })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    const { id } = made.body.data
    expect((await sso('PUT', `/api/db-roles/${id}`, { description: 'Helps' })).body.data.description).to.equal('Helps')
    expect((await sso('GET', '/api/db-roles')).body.data.map((r: any) => r.name)).to.include('support')
    expect((await sso('GET', `/api/db-roles/${id}`)).body.data.permissions).to.deep.equal(['users:read'])
    expect((await sso('POST', `/api/db-roles/${id}/assign`, { userId: ben.id })).status).to.equal(200)
    const inRole = await sso('GET', `${realm}/roles/support/users`)
    expect(inRole.body.data.map((u: any) => u.id)).to.deep.equal([ben.id])
    const stats = (await sso('GET', `${realm}/roles/stats`)).body.data
    expect(stats.roles.find((r: any) => r.name === 'support')).to.include({ users: 1, permissions: 1 })
    expect(stats.system).to.equal(3)
    expect((await sso('DELETE', `/api/db-roles/${id}/permissions/users:read`)).status).to.equal(200)
    expect((await sso('DELETE', `/api/db-roles/${id}/users/${ben.id}`)).status).to.equal(200)
    expect((await sso('DELETE', `/api/db-roles/${id}`)).status).to.equal(200)
    const inside = await sso('POST', '/api/db-roles', { name: 'member', scope: 'organization' })
    expectSsoFailure(await sso('POST', `/api/db-roles/${inside.body.data.id}/assign`, { userId: ben.id }), 400)
  })

  it('roles of another tenant are not there, nor can its people be given ours', async () => {
    const acme = await withTenant(app, 'acme')
    const theirs = await app.call('POST', '/v1/admin/roles', { token: root, body: { name: 'far', tenant_id: acme.id } })
    expect(theirs.status).to.equal(201)
    expectProblem(await admin('GET', `/v1/admin/roles/${theirs.body.id}`), 404, 'NOT_FOUND')
    expectProblem(
      await admin('POST', `/v1/admin/users/${acme.boss.id}/roles`, { role_id: ROLE.admin }),
      404,
      'NOT_FOUND',
    )
    expect(
      await app.db('events').where({ type: 'role.created' }).whereRaw(`data->>'name' = 'far'`).pluck('tenant_id'),
    ).to.deep.equal([acme.id])
    expectProblem(await admin('POST', '/v1/admin/roles', { name: 'far', tenant_id: acme.id }), 404, 'NOT_FOUND')
    const seen = await app.call('GET', '/t/acme/v1/admin/roles', { token: acme.boss.accessToken })
    expect(seen.body.roles.map((r: any) => r.name)).to.include('far')
  })
})
