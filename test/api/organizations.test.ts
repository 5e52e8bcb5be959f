import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually, makeClient, signInto } from '../support/oauth.ts'
import { someone, withTenant } from '../support/roles.ts'

describe('organizations', () => {
  let app: TestApp
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
  })
  after(() => app.close())

  const verified = async () => {
    const person = await someone(app)
    await app.db('users').where({ id: person.id }).update({ email_verified_at: new Date() })
    return person
  }
  const call = (who: Person | string, method: string, path: string, body?: unknown) =>
    app.call(method, `/api${path}`, {
      token: typeof who === 'string' ? who : who.accessToken,
      ...(body === undefined ? {} : { body }),
    })
  const make = async (owner: Person, name = 'Acme Corp') => {
    await app.db('rate_limits').delete()
    const made = await call(owner, 'POST', '/organizations', { name })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    return made.body.data
  }
  const join = async (by: Person, organization: { id: string }, person: Person, role = 'Member') => {
    const body = { org_id: organization.id, user_id: person.id, role_id: role }
    const added = await call(by, 'POST', '/organization-memberships', body)
    expect(added.status, JSON.stringify(added.body)).to.equal(201)
    return added.body.data.id as string
  }
  const membershipOf = async (organization: { id: string }, person: Person) =>
    app.db('memberships').where({ organization_id: organization.id, user_id: person.id }).first()
  const set = async (settings: Record<string, unknown>) => {
    const changed = await app.call('PUT', '/admin/settings', { token: await app.admin(), body: settings })
    expect(changed.status).to.equal(200)
  }
  const eventTypes = (id: string) =>
    app.db('events').whereRaw(`data->>'organization' = ?`, [id]).orderBy('id').pluck('type')

  it('are made by a person with a verified address, who is their Owner and sees only their own', async () => {
    const [olga, otto] = [await verified(), await verified()]
    const fresh = await someone(app)
    const refused = await call(fresh, 'POST', '/organizations', { name: 'Too soon' })
    expect(refused.status).to.equal(403)
    expect(refused.body.error.code).to.equal('EMAIL_VERIFICATION_REQUIRED')
    expect(await app.db('organizations').where({ name: 'Too soon' })).to.have.lengthOf(0)

    const acme = await make(olga, 'Äcme & Söhne')
    expect(acme).to.include({ tenant_id: 'acme-sohne', status: 'active', member_count: 1 })
    expect(acme.owner).to.deep.equal({ id: olga.id, email: olga.email })
    expect((await make(otto, 'Äcme & Söhne')).tenant_id).to.equal('acme-sohne-2')
    const listed = await call(olga, 'GET', '/organizations')
    expect(listed.body.data.map(({ id }: any) => id)).to.deep.equal([acme.id])
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/stats'],
      ['PUT', ''],
      ['DELETE', ''],
    ] as const) {
      const answer = await call(
        otto,
        method,
        `/organizations/${acme.id}${path}`,
        method === 'PUT' ? { name: 'X' } : undefined,
      )
      expect(answer.status, `${method} ${path}`).to.equal(404)
    }
    expect((await call(olga, 'GET', `/organizations/${acme.id}`)).body.data.name).to.equal('Äcme & Söhne')
    expect(await eventTypes(acme.id)).to.deep.equal(['organization.created', 'membership.created'])
  })

  it('are run by Owners and Admins; Members look on', async () => {
    const [olga, anna, mia, stranger] = [await verified(), await verified(), await verified(), await verified()]
    const acme = await make(olga)
    await join(olga, acme, anna, 'Admin')
    const mias = await join(anna, acme, mia)
    const at = `/organizations/${acme.id}`
    expect((await call(mia, 'GET', at)).status).to.equal(200)
    expect((await call(mia, 'GET', `${at}/stats`)).body.data).to.include({ members: 3, workspaces: 0 })
    const denied = await call(mia, 'PUT', at, { name: 'Mine' })
    expect(denied.status).to.equal(403)
    expect(denied.body.error.details).to.deep.equal({ permission: 'organization:manage' })
    expect((await call(mia, 'GET', `/organization-memberships?org_id=${acme.id}`)).status).to.equal(403)
    expect((await call(mia, 'GET', '/organization-memberships')).body.data).to.deep.equal([])
    expect((await call(mia, 'GET', `/organization-memberships/${mias}`)).status).to.equal(200)
    const annas = await membershipOf(acme, anna)
    expect((await call(mia, 'GET', `/organization-memberships/${annas.id}`)).status).to.equal(404)
    const body = { org_id: acme.id, user_id: stranger.id }
    expect((await call(mia, 'POST', '/organization-memberships', body)).status).to.equal(403)
    expect(await membershipOf(acme, stranger)).to.equal(undefined)

    expect((await call(anna, 'PUT', at, { name: 'Acme Inc', settings: { a: 1, b: 2 } })).status).to.equal(200)
    const changed = (await call(anna, 'PUT', at, { settings: { a: null } })).body.data
    expect(changed).to.deep.include({ name: 'Acme Inc', settings: { b: 2 } })
    expect((await call(anna, 'DELETE', at)).status).to.equal(403)
    expect((await call(anna, 'PUT', at, { status: 'suspended' })).status).to.equal(403)
    expect((await call(anna, 'GET', `/organization-memberships?org_id=${acme.id}`)).body.pagination.total).to.equal(3)
    expect((await call(olga, 'DELETE', at)).status).to.equal(200)
    expect(await app.db('memberships').where({ organization_id: acme.id })).to.have.lengthOf(0)
    expect((await call(mia, 'GET', at)).status).to.equal(404)
  })

  it('nobody gives or takes more than they hold, and the last Owner stays', async () => {
    const [olga, anna, mia] = [await verified(), await verified(), await verified()]
    const acme = await make(olga)
    const annas = await join(olga, acme, anna, 'Admin')
    const mias = await join(olga, acme, mia)
    const olgas = (await membershipOf(acme, olga)).id
    const at = '/organization-memberships'
    for (const [id, role] of [
      [mias, 'Owner'],
      [annas, 'Owner'],
      [olgas, 'Member'],
    ])
      expect((await call(anna, 'PUT', `${at}/${id}`, { role_id: role })).status).to.equal(403)
    expect((await call(anna, 'DELETE', `${at}/${olgas}`)).status).to.equal(403)
    expect((await membershipOf(acme, olga)).role_id).to.equal(ROLE.owner)
    for (const role of ['admin', ROLE.superAdmin, 'Nobody'])
      expect((await call(olga, 'PUT', `${at}/${mias}`, { role_id: role })).status, role).to.equal(400)
    expect((await call(olga, 'PUT', `${at}/${olgas}`, { role_id: 'Member' })).status).to.equal(409)
    expect((await call(olga, 'DELETE', `${at}/${olgas}`)).status).to.equal(409)
    expect((await membershipOf(acme, olga)).role_id).to.equal(ROLE.owner)

    expect((await call(anna, 'POST', `/organizations/${acme.id}/transfer`, { user_id: anna.id })).status).to.equal(403)
    const handed = await call(olga, 'POST', `/organizations/${acme.id}/transfer`, { user_id: mia.id })
    expect(handed.body.data.owner.id).to.equal(mia.id)
    expect((await membershipOf(acme, olga)).role_id).to.equal(ROLE.organizationAdmin)
    expect((await call(olga, 'DELETE', `${at}/${olgas}`)).status).to.equal(200)
    expect((await call(olga, 'GET', `/organizations/${acme.id}`)).status).to.equal(404)
  })

  it('keep an Owner when all of them leave at once', async () => {
    const owners = await Promise.all(Array.from({ length: 6 }, verified))
    const acme = await make(owners[0]!)
    for (const owner of owners.slice(1)) await join(owners[0]!, acme, owner, 'Owner')
    const rows = await app.db('memberships').where({ organization_id: acme.id })
    const left = await Promise.all(
      owners.map((owner) =>
        call(owner, 'DELETE', `/organization-memberships/${rows.find(({ user_id }) => user_id === owner.id).id}`),
      ),
    )
    expect(left.map(({ status }) => status).sort()).to.deep.equal([200, 200, 200, 200, 200, 409])
    expect(await app.db('memberships').where({ organization_id: acme.id, role_id: ROLE.owner })).to.have.lengthOf(1)
  })

  it('of another tenant are not there, nor do its people belong here', async () => {
    const olga = await verified()
    const acme = await make(olga)
    const { boss } = await withTenant(app, 'elsewhere')
    const there = `/t/elsewhere/api/organizations/${acme.id}`
    for (const method of ['GET', 'DELETE'])
      expect((await app.call(method, there, { token: boss.accessToken })).status).to.equal(404)
    const body = { org_id: acme.id, user_id: boss.id }
    expect((await call(olga, 'POST', '/organization-memberships', body)).status).to.equal(404)
    expect(await app.db('memberships').where({ organization_id: acme.id })).to.have.lengthOf(1)
  })

  it('administrators see, suspend and provide for all; a suspended one stands still', async () => {
    const [olga, mia] = [await verified(), await verified()]
    const admin = await someone(app, ROLE.admin)
    const acme = await make(olga, 'Suspended Ltd')
    const found = await call(admin, 'GET', '/organizations?q=suspended')
    expect(found.body.data.map(({ id }: any) => id)).to.deep.equal([acme.id])
    expect((await call(admin, 'PUT', `/organizations/${acme.id}`, { status: 'suspended' })).status).to.equal(200)
    expect((await call(olga, 'PUT', `/organizations/${acme.id}`, { name: 'Free' })).status).to.equal(403)
    expect((await call(olga, 'GET', `/organizations/${acme.id}`)).body.data).to.include({
      name: 'Suspended Ltd',
      status: 'suspended',
    })
    expect((await call(admin, 'GET', '/organizations?status=suspended')).body.pagination.total).to.equal(1)
    expect((await call(admin, 'POST', '/onboarding/admin/provision', { name: 'P' })).status).to.equal(403)
    const root = await app.admin()
    const given = await call(root, 'POST', '/onboarding/admin/provision', { name: 'Given', owner_id: mia.id })
    expect(given.status).to.equal(201)
    expect((await call(mia, 'GET', `/organizations/${given.body.data.organization.id}`)).status).to.equal(200)
    const nobody = { name: 'Nobody', owner_email: 'nobody@nowhere.example' }
    expect((await call(root, 'POST', '/onboarding/admin/provision', nobody)).status).to.equal(404)
    expect(await app.db('organizations').where({ name: 'Nobody' })).to.have.lengthOf(0)
  })

  it('in bulk: everybody is told what came of them', async () => {
    const [olga, mia, tom] = [await verified(), await verified(), await verified()]
    const acme = await make(olga)
    await join(olga, acme, mia)
    const gone = '00000000-0000-4000-8000-000000000000'
    const body = { org_id: acme.id, user_ids: [mia.id, tom.id, gone] }
    const answer = (await call(olga, 'POST', '/organization-memberships/bulk-assign', body)).body.data
    expect(answer.added).to.equal(1)
    expect(answer.results.map(({ status }: any) => status)).to.deep.equal(['already_member', 'added', 'not_found'])
    const numbers = (await call(olga, 'GET', `/organization-memberships/stats/overview?org_id=${acme.id}`)).body.data
    expect(numbers).to.include({ memberships: 3, users: 3, organizations: 1 })
    expect(numbers.roles).to.deep.equal([
      { role: 'Member', members: 2 },
      { role: 'Owner', members: 1 },
    ])
    expect((await call(mia, 'GET', `/organization-memberships/user/${olga.id}`)).status).to.equal(404)
    expect((await call(mia, 'GET', `/organization-memberships/user/${mia.id}`)).body.data[0].organization.id).to.equal(
      acme.id,
    )
  })

  it('in single mode a person has one, however many they ask for at once', async () => {
    const [olga, mia] = [await verified(), await verified()]
    const first = await make(olga)
    await set({ organization_mode: 'single' })
    try {
      await app.db('rate_limits').delete()
      const made = await Promise.all(
        Array.from({ length: 50 }, (_, i) => call(mia, 'POST', '/onboarding/create', { name: `Try ${i}` })),
      )
      expect(made.filter(({ status }) => status === 201)).to.have.lengthOf(1)
      // A busy machine may send some away unheard.
      const refused = made.filter(({ status }) => status !== 201 && status !== 503)
      expect(refused).to.not.have.lengthOf(0)
      for (const { body } of refused) expect(body.error.code).to.equal('SINGLE_ORGANIZATION_MODE')
      expect(await app.db('memberships').where({ user_id: mia.id })).to.have.lengthOf(1)
      expect(await app.db('organizations').whereLike('name', 'Try %')).to.have.lengthOf(1)
      const body = { org_id: first.id, user_id: mia.id }
      expect((await call(olga, 'POST', '/organization-memberships', body)).status).to.equal(409)
    } finally {
      await set({ organization_mode: null })
    }
    await set({ organization_mode: 'none' })
    expect((await call(await app.admin(), 'POST', '/organizations', { name: 'None' })).status).to.equal(403)
    await set({ organization_mode: null, organization_creation: 'off' })
    expect((await call(olga, 'POST', '/organizations', { name: 'Off' })).status).to.equal(403)
    await set({ organization_creation: null, organizations_per_person: 1 })
    expect((await call(olga, 'POST', '/organizations', { name: 'Two' })).status).to.equal(409)
    await set({ organizations_per_person: null })
    expect(await app.db('organizations').whereIn('name', ['None', 'Off', 'Two'])).to.have.lengthOf(0)
  })

  it('have workspaces: seen by their members, run by their admins and by who runs the organization', async () => {
    const [olga, wanda, mia, tom] = [await verified(), await verified(), await verified(), await verified()]
    const acme = await make(olga)
    for (const person of [wanda, mia]) await join(olga, acme, person)
    expect((await call(wanda, 'POST', '/workspaces', { name: 'Own', org_id: acme.id })).status).to.equal(403)
    const made = await call(olga, 'POST', '/workspaces', { name: 'Engineering', org_id: acme.id })
    expect(made.body.data).to.include({ slug: 'engineering', org_id: acme.id })
    expect((await call(olga, 'POST', '/workspaces', { name: 'Engineering', org_id: acme.id })).status).to.equal(409)
    const at = `/workspaces/${made.body.data.id}`
    expect((await call(wanda, 'GET', at)).status).to.equal(404)
    expect((await call(tom, 'GET', at)).status).to.equal(404)
    expect((await call(olga, 'POST', `${at}/members`, { user_id: wanda.id, role: 'admin' })).status).to.equal(201)
    expect((await call(wanda, 'GET', '/workspaces')).body.data.map(({ id }: any) => id)).to.deep.equal([
      made.body.data.id,
    ])
    expect((await call(wanda, 'POST', `${at}/members`, { user_id: tom.id })).status).to.equal(400)
    expect((await call(wanda, 'POST', `${at}/members`, { user_id: mia.id })).status).to.equal(201)
    expect((await call(mia, 'PUT', `${at}/members/${mia.id}`, { role: 'admin' })).status).to.equal(403)
    expect((await call(mia, 'PUT', at, { name: 'Mine' })).status).to.equal(403)
    expect((await call(mia, 'DELETE', `${at}/members/${wanda.id}`)).status).to.equal(403)
    expect((await call(mia, 'GET', `${at}/members`)).body.pagination.total).to.equal(3)
    expect((await call(mia, 'DELETE', `${at}/members/${mia.id}`)).status).to.equal(200)
    // Who leaves the organization leaves its workspaces.
    const wandas = await membershipOf(acme, wanda)
    expect((await call(wanda, 'DELETE', `/organization-memberships/${wandas.id}`)).status).to.equal(200)
    expect((await call(wanda, 'GET', at)).status).to.equal(404)
    expect(await app.db('workspace_members').where({ user_id: wanda.id })).to.have.lengthOf(0)
    expect((await call(olga, 'DELETE', at)).status).to.equal(200)
  })

  it('have roles of their own, which cannot be deleted while somebody holds them', async () => {
    const [olga, mia] = [await verified(), await verified()]
    const [acme, other] = [await make(olga), await make(olga, 'Other')]
    const mias = await join(olga, acme, mia)
    const role = { id: crypto.randomUUID(), name: 'Curator', scope: 'organization', owner_id: acme.id }
    const { tenant_id } = await app.db('organizations').where({ id: acme.id }).first('tenant_id')
    await app.db('roles').insert({ tenant_id, ...role })
    const changed = await call(olga, 'PUT', `/organization-memberships/${mias}`, { role_id: 'Curator' })
    expect(changed.body.data.role).to.deep.equal({ id: role.id, name: 'Curator' })
    const body = { org_id: other.id, user_id: mia.id, role_id: role.id }
    expect((await call(olga, 'POST', '/organization-memberships', body)).status).to.equal(400)
    const kept = await app.call('DELETE', `/v1/admin/roles/${role.id}`, { token: await app.admin() })
    expect([kept.status, kept.body.code]).to.include('CONFLICT')
    expect((await call(olga, 'DELETE', `/organizations/${acme.id}`)).status).to.equal(200)
    expect(await app.db('roles').where({ id: role.id })).to.have.lengthOf(0)
  })

  it('get roles of their own from those who manage them, within what they hold there', async () => {
    await app.db('rate_limits').delete()
    const [olga, adam, mia, eve] = [await verified(), await verified(), await verified(), await verified()]
    const [acme, other] = [await make(olga), await make(eve, 'Other')]
    await join(olga, acme, adam, 'Admin')
    const at = `/organizations/${acme.id}/roles`
    const recruiter = { name: 'Recruiter', permissions: ['members:manage'] }
    const made = await call(adam, 'POST', at, recruiter)
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    expect(made.body.data).to.deep.include({ ...recruiter, own: true })
    const { id } = made.body.data
    const boss = { name: 'Boss', permissions: ['organization:delete'] }
    const refused = await call(adam, 'POST', at, boss)
    expect([refused.status, refused.body.error.code]).to.deep.equal([403, 'ACCESS_DENIED'])
    expect((await call(adam, 'PUT', `${at}/${id}`, { permissions: ['organization:delete'] })).status).to.equal(403)
    expect((await call(adam, 'POST', at, { name: 'King', permissions: ['users:read'] })).status).to.equal(403)
    expect(await app.db('roles').whereIn('name', ['Boss', 'King'])).to.deep.equal([])
    const bosses = (await call(olga, 'POST', at, boss)).body.data.id
    for (const [method, body] of [['PUT', { name: 'Mine' }], ['DELETE']] as const)
      expect((await call(adam, method, `${at}/${bosses}`, body)).status, method).to.equal(403)
    for (const name of ['Recruiter', 'Owner'])
      expect((await call(olga, 'POST', at, { name })).status, name).to.equal(409)

    const mias = await join(adam, acme, mia, 'Recruiter')
    const may = () => call(mia, 'GET', `/organization-memberships?org_id=${acme.id}`)
    await eventually(async () => expect((await may()).status).to.equal(200))
    expect((await call(mia, 'POST', at, { name: 'More' })).status, 'who manages members makes no roles').to.equal(403)
    const listed: any[] = (await call(mia, 'GET', at)).body.data
    const allows = Object.fromEntries(listed.map((role) => [role.name, role.permissions]))
    expect(allows).to.deep.include({ Recruiter: recruiter.permissions, Boss: boss.permissions })
    expect(allows.Owner).to.include('organization:delete')
    const names = listed.map((role) => role.name)
    expect(names).to.include.members(['Boss', 'Recruiter', 'Owner', 'Member'])
    const changed = await call(adam, 'PUT', `${at}/${id}`, { name: 'Greeter', permissions: [] })
    expect(changed.body.data).to.deep.include({ name: 'Greeter', permissions: [] })
    await eventually(async () => expect((await may()).status).to.equal(403))

    for (const [method, path] of [
      ['GET', at],
      ['PUT', `${at}/${id}`],
      ['DELETE', `${at}/${id}`],
      ['DELETE', `/organizations/${other.id}/roles/${id}`],
      ['PUT', `/organizations/${other.id}/roles/${ROLE.member}`],
    ] as const)
      expect((await call(eve, method, path, method === 'PUT' ? { name: 'x' } : undefined)).status, path).to.equal(404)
    expect((await call(adam, 'DELETE', `${at}/${id}`)).status, 'Mia holds it').to.equal(409)
    await call(adam, 'PUT', `/organization-memberships/${mias}`, { role_id: 'Member' })
    expect((await call(adam, 'DELETE', `${at}/${id}`)).status).to.equal(200)
    await set({ organization_roles: 1 })
    await eventually(async () => expect((await call(olga, 'POST', at, { name: 'One too many' })).status).to.equal(409))
    await set({ organization_roles: null as any })
  })

  it('are listed by cursor as by offset, and so are memberships', async () => {
    const owner = await verified()
    for (const name of ['One', 'Two', 'Three', 'Four', 'Five']) await make(owner, `List ${name}`)
    for (const path of ['/organizations?q=List', `/organization-memberships/user/${owner.id}?`]) {
      const whole = (await call(owner, 'GET', path)).body.data.map(({ id }: any) => id)
      expect(whole).to.have.length(5)
      const seen: string[] = []
      for (let cursor = ''; ; ) {
        const { data, pagination } = (await call(owner, 'GET', `${path}&limit=2${cursor}`)).body
        seen.push(...data.map(({ id }: any) => id))
        if (!pagination.nextCursor) break
        cursor = `&cursor=${pagination.nextCursor}`
      }
      expect(seen, path).to.deep.equal(whole)
      const forged = Buffer.from(JSON.stringify(['-created_at', 'now', owner.id])).toString('base64url')
      for (const cursor of ['x', forged])
        expect((await call(owner, 'GET', `${path}&cursor=${cursor}`)).status).to.equal(400)
    }
  })

  it('are known to the profile, the export, the list of people and the tokens that ask for them', async () => {
    const olga = await verified()
    const acme = await make(olga, 'Known')
    const belongs = { id: acme.id, name: 'Known', tenant_id: 'known', role: 'Owner' }
    const profile = (await call(olga, 'GET', '/account/profile')).body.data
    expect(profile.organizations).to.deep.equal([belongs])
    expect(profile.authorization.database_roles).to.deep.equal(['Owner'])
    const token = await app.admin()
    for (const organization of [acme.id, 'known']) {
      const { users } = (await app.call('GET', `/v1/users?organization=${organization}`, { token })).body
      expect(users.map(({ id }: any) => id)).to.deep.equal([olga.id])
    }
    expect((await app.call('GET', '/v1/users?organization=unknown', { token })).status).to.equal(404)

    const client = await makeClient(app, { scope: 'openid organizations', first_party: true })
    const { body } = await signInto(app, client, olga, { scope: 'openid organizations' })
    const info = await app.call('GET', '/oauth/userinfo', { token: body.access_token })
    expect(info.body.organizations).to.deep.equal([{ id: acme.id, name: 'Known', slug: 'known', role: 'Owner' }])
  })

  it('do not lose their last Owner with an account; what was hers alone goes with her', async () => {
    const [olga, mia] = [await verified(), await verified()]
    const [shared, alone] = [await make(olga, 'Shared'), await make(olga, 'Alone')]
    await join(olga, shared, mia)
    const leave = () =>
      app.call('DELETE', '/v1/account', {
        token: olga.accessToken,
        body: { confirmation: olga.email, password: olga.password },
      })
    const kept = await leave()
    expect(kept.status, JSON.stringify(kept.body)).to.equal(409)
    expect(await membershipOf(shared, olga)).to.include({ role_id: ROLE.owner })
    expect((await call(olga, 'POST', `/organizations/${shared.id}/transfer`, { user_id: mia.id })).status).to.equal(200)
    expect((await leave()).status).to.equal(200)
    expect(await app.db('organizations').where({ id: alone.id })).to.have.lengthOf(0)
    expect((await call(mia, 'GET', `/organizations/${shared.id}`)).body.data.member_count).to.equal(1)
    // An administrator may, and names another Owner.
    const gone = await app.call('DELETE', `/v1/users/${mia.id}`, { token: await app.admin() })
    expect(gone.status).to.equal(200)
    expect(await eventTypes(alone.id)).to.include('organization.deleted')
  })
})
