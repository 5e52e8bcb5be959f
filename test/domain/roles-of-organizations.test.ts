/** Thousands of organizations with roles of their own: what a process holds of them, and what a change costs. */
import { expect } from 'chai'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'
import { someone } from '../support/roles.ts'

const ORGANIZATIONS = 3000
const EACH = 3

describe('roles of thousands of organizations', () => {
  let app: TestApp
  let organizations: string[]
  let mia: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    organizations = Array.from({ length: ORGANIZATIONS }, () => newId())
    const db = app.db
    await db.raw(
      `insert into organizations (tenant_id, id, slug, name) select ?, id, 'o' || id, 'O' from unnest(?::uuid[]) id`,
      [DEFAULT_TENANT, organizations],
    )
    await db.raw(
      `with made as (insert into roles (tenant_id, id, name, scope, owner_id)
         select ?, gen_random_uuid(), 'Role ' || n, 'organization', id from unnest(?::uuid[]) id, generate_series(1, ?) n returning *)
       insert into role_permissions select made.tenant_id, made.id, p.id from made join permissions p
         on p.tenant_id = made.tenant_id and p.name in ('members:manage', 'workspaces:manage') where made.name <> 'Role 3'`,
      [DEFAULT_TENANT, organizations, EACH],
    )
    mia = await someone(app)
  })
  after(() => app.close())

  const roleOf = async (organization: string, name: string): Promise<string> =>
    (await app.db('roles').where({ owner_id: organization, name }).first('id')).id
  const join = async (organization: string, role_id: string) =>
    app.db('memberships').insert({
      tenant_id: DEFAULT_TENANT,
      id: newId(),
      organization_id: organization,
      user_id: mia.id,
      role_id,
    })
  const tenant = async () => (await app.deps.out.directory.byId(DEFAULT_TENANT))!
  const members = async (organization: string) =>
    (await app.call('GET', `/api/organization-memberships?org_id=${organization}`, { token: mia.accessToken })).status

  it('are not part of the tenant that processes hold', async () => {
    app.deps.out.directory.drop(DEFAULT_TENANT)
    const { roles } = await tenant()
    const [{ n }] = (await app.db('roles').whereNot({ scope: 'organization' }).count({ n: '*' })) as [{ n: string }]
    expect(roles.size).to.equal(Number(n)).and.be.lessThan(20)
  })

  it('count from the moment they change, and nothing is read anew for it', async () => {
    const [organization] = organizations as [string]
    const [first, third] = [await roleOf(organization, 'Role 1'), await roleOf(organization, 'Role 3')]
    await join(organization, first)
    const before = await tenant()
    expect(await members(organization)).to.equal(200)
    const admin = await app.admin()
    const put = async (permissions: string[]) => {
      const path = `/api/organizations/${organization}/roles/${first}`
      const changed = await app.call('PUT', path, { token: admin, body: { permissions } })
      expect(changed.status, JSON.stringify(changed.body)).to.equal(200)
    }
    await put([])
    expect(await members(organization)).to.equal(403)
    await app.db('role_parts').insert({ tenant_id: DEFAULT_TENANT, role_id: third, part_id: first })
    await app.db('memberships').where({ user_id: mia.id }).update({ role_id: third })
    expect(await members(organization)).to.equal(403)
    await put(['members:manage'])
    expect(await members(organization), 'by a role within the role').to.equal(200)
    expect(await members(organizations[1]!)).to.equal(404)
    expect(await tenant(), 'the same object').to.equal(before)
    expect((await app.db('tenants').where({ id: DEFAULT_TENANT }).first()).version).to.equal(before.version)
  })

  it('tell processes of the version before, which hold them, to read the tenant anew', async () => {
    const connection = await app.db.client.acquireConnection()
    const heard: string[] = []
    connection.on('notification', ({ payload }: { payload: string }) => heard.push(payload))
    try {
      await connection.query('listen gatehouse')
      await app
        .db('role_permissions')
        .where({ role_id: await roleOf(organizations[5]!, 'Role 1') })
        .delete()
      await eventually(async () => {
        await connection.query('select 1')
        expect(heard.map((payload) => JSON.parse(payload).tenant)).to.include(DEFAULT_TENANT)
      })
    } finally {
      connection.removeAllListeners('notification')
      await connection.query('unlisten gatehouse')
      await app.db.client.releaseConnection(connection)
    }
  })

  it('say in which of hundreds of organizations somebody manages members', async () => {
    const some = organizations.slice(1000, 1300)
    const [yes, no] = [some.slice(0, 150), some.slice(150)]
    for (const organization of yes) await join(organization, await roleOf(organization, 'Role 2'))
    for (const organization of no) await join(organization, await roleOf(organization, 'Role 3'))
    await app.db('memberships').insert({
      tenant_id: DEFAULT_TENANT,
      id: newId(),
      organization_id: organizations[2000]!,
      user_id: mia.id,
      role_id: ROLE.organizationAdmin,
    })
    const { body } = await app.call('GET', '/api/organization-memberships?limit=1', { token: mia.accessToken })
    // 150, the one of before, and one as Admin.
    expect(body.pagination.total).to.equal(152)
  })

  it('leave roles of the tenant as they were: read anew by everybody', async () => {
    const before = await tenant()
    const id = newId()
    await app.db('roles').insert({ tenant_id: DEFAULT_TENANT, id, name: 'helper' })
    const permission = await app.db('permissions').where({ tenant_id: DEFAULT_TENANT, name: 'users:read' }).first('id')
    await app.db('role_permissions').insert({ tenant_id: DEFAULT_TENANT, role_id: id, permission_id: permission.id })
    await eventually(async () => expect((await tenant()).roles.get(id)?.permissions).to.deep.equal(['users:read']))
    await app.db('roles').where({ id }).delete()
    await eventually(async () => expect((await tenant()).roles.has(id)).to.equal(false))
    expect((await app.db('tenants').where({ id: DEFAULT_TENANT }).first()).version).to.be.greaterThan(before.version)
  })
})
