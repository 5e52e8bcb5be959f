import { expect } from 'chai'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import { from, pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { withApp } from '../support/mfa.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

const realm = '/api/admin/default'

describe('administration of users', () => {
  let app: TestApp
  let root: string
  let anna: Person
  let ben: Person
  let acme: { id: string; boss: Person }
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    root = await app.admin()
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
    ben = await someone(app, undefined, { email: 'ben@example.com' })
    acme = await withTenant(app, 'acme')
  })
  after(() => app.close())
  const login = (email: string, password: string) =>
    app.call('POST', '/v1/auth/login', { body: { email, password }, headers: from() })
  const typesOf = (userId: string): Promise<string[]> => app.db('events').where({ user_id: userId }).pluck('type')

  it('invites somebody, who chooses a password by the mailed link and signs in', async () => {
    const body = { email: 'Carla@Example.com', first_name: 'Carla', family_name: 'Corso', attributes: { team: 'ops' } }
    const made = await app.call('POST', '/v1/users', { token: anna.accessToken, body })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    expect(made.body).to.include({
      given_name: 'Carla',
      family_name: 'Corso',
      is_email_verified: false,
      status: 'active',
    })
    expect(made.body.attributes).to.deep.equal({ team: 'ops' })
    const mail = await app.smtp.waitFor('carla@example.com', /invitation\?token=/)
    const token = new URL(mail.link('invitation')).searchParams.get('token')
    const choice = { token, password: 'Another-Good-One-42' }
    expect((await app.call('POST', '/v1/invitations/public/accept', { body: choice })).status).to.equal(200)
    expect((await login('carla@example.com', 'Another-Good-One-42')).status).to.equal(200)
    expect(await typesOf(made.body.id)).to.include.members(['user.created', 'invitation.created', 'email.verified'])
    expectProblem(await app.call('POST', '/v1/users', { token: anna.accessToken, body }), 409, 'CONFLICT')
  })

  it('creates somebody with a password and roles, but none that allow more than the creator may', async () => {
    const body = {
      email: 'dora@example.com',
      password: 'Dora-Has-A-Password-1',
      email_verified: true,
      roles: ['admin'],
    }
    const made = await app.call('POST', '/v1/users', { token: anna.accessToken, body })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    expect((await login(body.email, body.password)).status).to.equal(200)
    const more = { ...body, email: 'eve@example.com', roles: ['super_admin'] }
    expectProblem(await app.call('POST', '/v1/users', { token: anna.accessToken, body: more }), 403, 'ACCESS_DENIED')
    const weak = { email: 'eve@example.com', password: 'password' }
    expectProblem(await app.call('POST', '/v1/users', { token: anna.accessToken, body: weak }), 400)
    expect(await app.db('users').where({ email_key: 'eve@example.com' })).to.deep.equal([])
  })

  it('lets people see and change themselves, within bounds, and nobody else', async () => {
    const { accessToken: token, id } = ben
    expect((await app.call('GET', `/users/${id}`, { token })).body.email).to.equal(ben.email)
    const changed = await app.call('PUT', `/users/${id}`, { token, body: { given_name: 'Ben' } })
    expect(changed.body).to.include({ given_name: 'Ben', name: 'Ben' })
    for (const body of [
      { email: 'x@example.com' },
      { email_verified: true },
      { enabled: true },
      { attributes: { a: 1 } },
    ])
      expectProblem(await app.call('PUT', `/users/${id}`, { token, body }), 403, 'ACCESS_DENIED')
    for (const path of [`/users/${anna.id}`, `/v1/users/${id}`, '/users'])
      expectProblem(await app.call('GET', path, { token }), 403, 'ACCESS_DENIED')
    expect((await app.call('GET', `/users/${id}/permissions`, { token })).body).to.deep.equal({
      user_id: id,
      roles: ['user'],
      permissions: [],
    })
    expect((await app.call('GET', `/v1/users/${id}`, { token: anna.accessToken })).body.email_verified_at).to.equal(
      undefined,
    )
    expect((await app.db('users').where({ id }).first()).email).to.equal(ben.email)
  })

  it('clears names by null, in each spelling', async () => {
    const { accessToken: token, id } = ben
    for (const [method, path, name] of [
      ['PUT', `/users/${id}`, 'given_name'],
      ['PUT', `/v1/users/${id}`, 'first_name'],
      ['PATCH', `/api/admin/default/users/${id}`, 'givenName'],
      ['PATCH', `/api/admin/default/users/${id}`, 'firstName'],
    ] as const) {
      await app.call('PUT', `/users/${id}`, { token, body: { given_name: 'Ben' } })
      const cleared = await app.call(method, path, { token: anna.accessToken, body: { [name]: null } })
      expect(cleared.status, JSON.stringify(cleared.body)).to.equal(200)
      expect((await app.db('users').where({ id }).first()).given_name, `${path} ${name}`).to.equal(null)
    }
  })

  it('does not let an administrator take over a super administrator', async () => {
    const { id } = await app.db('users').where({ email_key: 'root@example.com' }).first('id')
    const token = anna.accessToken
    for (const [method, path, body] of [
      ['PUT', `/v1/users/${id}`, { email: 'mine@example.com' }],
      ['DELETE', `/v1/users/${id}`, undefined],
      ['POST', `/v1/users/${id}/disable`, {}],
      ['POST', `/admin/users/${id}/lock`, {}],
      ['DELETE', `/v1/admin/users/${id}/roles/super_admin`, undefined],
      ['DELETE', `/v1/admin/users/${id}/roles/user`, undefined],
      ['POST', `/v1/admin/users/${id}/roles`, { role_id: ROLE.admin }],
      ['POST', `/v1/admin/users/${anna.id}/roles`, { role_id: ROLE.superAdmin }],
    ] as const)
      expectProblem(await app.call(method, path, { token, body }), 403, 'ACCESS_DENIED')
    expect((await app.db('users').where({ id }).first()).status).to.equal('active')
    expect(await app.db('user_roles').where({ user_id: anna.id }).pluck('role_id')).to.not.include(ROLE.superAdmin)
  })

  it('disables, enables, locks and unlocks: at once, with all sessions', async () => {
    const fay = await someone(app, undefined, { email: 'fay@example.com' })
    const at = `/v1/users/${fay.id}`
    const token = anna.accessToken
    expect((await app.call('POST', `${at}/disable`, { token, body: {} })).body).to.include({
      status: 'disabled',
      enabled: false,
    })
    expect((await login(fay.email, fay.password)).status).to.equal(403)
    await eventually(async () =>
      expect((await app.call('GET', '/v1/auth/me', { token: fay.accessToken })).status).to.equal(401),
    )
    expect((await app.call('POST', `${at}/enable`, { token, body: {} })).body.status).to.equal('active')
    const locked = await app.call('POST', `/admin/users/${fay.id}/lock`, { token, body: { reason: 'test' } })
    expect(Date.parse(locked.body.locked_until)).to.be.greaterThan(Date.now())
    expect((await login(fay.email, fay.password)).body.code).to.equal('ACCOUNT_LOCKED')
    expect((await app.call('POST', `/admin/users/${fay.id}/unlock`, { token, body: {} })).body.locked_until).to.equal(
      null,
    )
    expect((await login(fay.email, fay.password)).status).to.equal(200)
    expect(await typesOf(fay.id)).to.include.members(['user.disabled', 'user.enabled', 'user.locked', 'user.unlocked'])
  })

  it('locks out a sign-in that is under way', async () => {
    const ola = await someone(app, undefined, { email: 'ola@example.com' })
    // As if the session had been opened a moment after the lock ended all there were.
    await app.db('users').where({ id: ola.id }).update({ locked_until: '9999-12-31T00:00:00Z' })
    await pause(1100)
    expectProblem(await app.call('GET', '/v1/auth/me', { token: ola.accessToken }), 401, 'UNAUTHORIZED')
    const refresh = { refresh_token: ola.refreshToken }
    expectProblem(await app.call('POST', '/v1/auth/refresh', { body: refresh }), 401, 'UNAUTHORIZED')
    await app.call('POST', `/admin/users/${ola.id}/unlock`, { token: anna.accessToken, body: {} })
    await pause(1100)
    expectProblem(await app.call('GET', '/v1/auth/me', { token: ola.accessToken }), 401, 'UNAUTHORIZED')
    expect((await login(ola.email, ola.password)).status).to.equal(200)
  })

  it('deletes softly: signed out, address free, gone from the list', async () => {
    const gus = await someone(app, undefined, { email: 'gus@example.com' })
    const token = anna.accessToken
    expect((await app.call('DELETE', `/users/${gus.id}`, { token })).status).to.equal(200)
    expectProblem(await app.call('GET', `/v1/users/${gus.id}`, { token }), 404, 'NOT_FOUND')
    expectProblem(await app.call('DELETE', `/users/${gus.id}`, { token }), 404, 'NOT_FOUND')
    const deleted = await app.call('GET', '/v1/users?status=deleted', { token })
    expect(deleted.body.users.map((u: any) => u.id)).to.include(gus.id)
    expect((await login(gus.email, gus.password)).status).to.equal(401)
    expect((await someone(app, undefined, { email: 'gus@example.com' })).id).to.not.equal(gus.id)
  })

  it('lists by text, status, role, verification and time, in every order, by cursor and by offset', async () => {
    const token = anna.accessToken
    const rows = Array.from({ length: 25 }, (_, i) => ({
      tenant_id: DEFAULT_TENANT,
      id: `00000000-0000-7000-9000-0000000000${String(i).padStart(2, '0')}`,
      email: `zed${i}@list.example`,
      email_key: `zed${i}@list.example`,
      given_name: i % 2 ? 'Zoë' : 'Zed',
      family_name: `Ümlaut${i}`,
      email_verified_at: i < 5 ? new Date() : null,
      created_at: new Date(Date.UTC(2020, 0, 1 + (i >> 1))),
      last_login_at: i % 3 ? new Date(Date.UTC(2021, 0, 1 + i)) : null,
    }))
    await app.db('users').insert(rows)
    const all = async (query: string): Promise<string[]> => {
      const seen: string[] = []
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const path = `/v1/users?limit=7&${query}${cursor && `&cursor=${cursor}`}`
        const { body, status } = await app.call('GET', path, { token })
        expect(status, JSON.stringify(body)).to.equal(200)
        seen.push(...body.users.map((u: any) => u.email))
        cursor = body.next_cursor
      }
      return seen
    }
    for (const sort of ['created_at', '-created_at', 'email', '-email', 'last_login_at', '-last_login_at']) {
      const found = await all(`q=zed&sort=${sort}`)
      expect(new Set(found).size, sort).to.equal(25)
      const offset: string[] = []
      for (const at of [0, 10, 20])
        offset.push(
          ...(await app.call('GET', `/v1/users?limit=10&offset=${at}&q=ZED&sort=${sort}`, { token })).body.users.map(
            (u: any) => u.email,
          ),
        )
      expect(offset).to.deep.equal(found)
    }
    expect((await all('q=zoë')).length).to.equal(12)
    expect((await all('q=zed%20%C3%BCml')).length).to.equal(13)
    expect((await all('q=zed&email_verified=true')).length).to.equal(5)
    expect((await all('q=zed&created_before=2020-01-03T00:00:00Z')).length).to.equal(4)
    expect((await all('q=zed&last_login_after=2021-01-20T00:00:00Z')).length).to.equal(4)
    expect(await all('role=super_admin')).to.deep.equal(['root@example.com'])
    const page = (await app.call('GET', '/v1/users?q=zed&limit=5', { token })).body
    expect(page).to.include({ count: 5, total: 25, total_estimated: false, limit: 5, offset: 0 })
    expect((await all('q=%25')).length).to.equal(0)
    for (const bad of [
      'cursor=abc',
      'sort=name',
      'limit=101',
      'offset=100001',
      'q=z&offset=10001',
      'status=gone',
      'created_after=x',
    ])
      expectProblem(await app.call('GET', `/v1/users?${bad}`, { token }), 400, 'VALIDATION_ERROR')
    expectProblem(await app.call('GET', `/v1/users?cursor=${page.next_cursor}&sort=email`, { token }), 400)
  })

  it('finds the few whom two large groups have in common, and estimates what it does not count', async () => {
    const token = anna.accessToken
    const [{ id: roleId }] = (
      await app.db.raw(`insert into roles (tenant_id, id, name) values (?, gen_random_uuid(), 'crowd') returning id`, [
        DEFAULT_TENANT,
      ])
    ).rows
    // Every other person has the role; of the names in the second half but every thousandth.
    await app.db.raw(
      `insert into users (tenant_id, id, email, email_key, given_name, created_at)
       select ?, gen_random_uuid(), 'crowd' || n || '@example.com', 'crowd' || n || '@example.com',
         case when n % 1000 = 0 or n % 2 = 1 then 'Quorum' else 'Quota' end, now() - n * interval '1 second'
       from generate_series(1, 14000) n`,
      [DEFAULT_TENANT],
    )
    await app.db.raw(
      `insert into user_roles (tenant_id, user_id, role_id)
       select tenant_id, id, ? from users where email like 'crowd%' and substring(email from '\\d+')::int % 2 = 0`,
      [roleId],
    )
    await app.db.raw('analyze users, user_roles')
    for (const sort of ['created_at', '-created_at', 'email']) {
      const { body } = await app.call('GET', `/v1/users?q=quorum&role=crowd&sort=${sort}&limit=10`, { token })
      expect(body, sort).to.include({ count: 10, total: 14, total_estimated: false })
      const rest = await app.call('GET', `/v1/users?q=quorum&role=crowd&sort=${sort}&cursor=${body.next_cursor}`, {
        token,
      })
      expect(rest.body, sort).to.include({ count: 4, total: 14 }).and.not.have.property('next_cursor')
    }
    const many = (await app.call('GET', '/v1/users?q=quo&role=crowd&limit=5', { token })).body
    expect(many).to.include({ count: 5, total_estimated: true })
    expect(many.total).to.be.within(3000, 15_000)
    await app.db('user_roles').where({ role_id: roleId }).delete()
    await app.db('users').whereLike('email', 'crowd%').delete()
  })

  it('keeps tenants apart: a person of another one is not there; only super administrators of the default one cross', async () => {
    for (const path of [`/v1/users/${acme.boss.id}`, `/users/${acme.boss.id}/roles`, `${realm}/users/${acme.boss.id}`])
      expect((await app.call('GET', path, { token: root })).status, path).to.equal(404)
    const inside = await app.call('GET', `/api/admin/acme/users/${acme.boss.id}`, { token: root })
    expect(inside.body.data.email).to.equal('boss@acme.example')
    const made = await app.call('POST', '/api/admin/acme/users', {
      token: root,
      body: { email: 'new@acme.example', firstName: 'Nia' },
    })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    expect(made.body.data).to.include({ firstName: 'Nia', email: 'new@acme.example' })
    expect((await app.db('users').where({ id: made.body.data.id }).first()).tenant_id).to.equal(acme.id)
    expect((await app.smtp.waitFor('new@acme.example', /token=/)).link('invitation')).to.match(/\/t\/acme\//)
    expectSsoFailure(await app.call('GET', '/api/admin/acme/users', { token: anna.accessToken }), 404, 'NOT_FOUND')
    expectSsoFailure(await app.call('GET', '/api/admin/nowhere/users', { token: root }), 404, 'NOT_FOUND')
    const { accessToken } = acme.boss
    expectSsoFailure(await app.call('GET', '/t/acme/api/admin/default/users', { token: accessToken }), 404, 'NOT_FOUND')
    const own = await app.call('GET', '/t/acme/api/admin/acme/users', { token: accessToken })
    expect(own.body.data.map((u: any) => u.email)).to.include('boss@acme.example')
  })

  it('sees and removes credentials, requires an app, resets passwords, ends sessions', async () => {
    const hal = await someone(app, undefined, { email: 'hal@example.com' })
    const at = `${realm}/users/${hal.id}`
    await withApp(app, hal)
    const status = await app.call('GET', `${at}/totp/status`, { token: root })
    expect(status.body.data).to.include({ enabled: true, required: false })
    expectSsoFailure(await app.call('POST', `${at}/totp/email`, { token: root, body: {} }), 409, 'CONFLICT')
    const held = await app.call('GET', `${at}/credentials`, { token: root })
    expect(held.body.data.map((c: any) => c.type)).to.have.members(['password', 'totp', 'backup_codes'])
    expect(JSON.stringify(held.body)).to.not.match(/argon2|secret/)
    expectSsoFailure(await app.call('GET', `${at}/credentials`, { token: anna.accessToken }), 403, 'ACCESS_DENIED')
    expect((await app.call('DELETE', `${at}/totp`, { token: root })).status).to.equal(200)
    expectSsoFailure(await app.call('DELETE', `${at}/credentials/totp`, { token: root }), 404, 'NOT_FOUND')
    expect((await app.call('POST', `${at}/totp/email`, { token: root, body: {} })).status).to.equal(200)
    await app.smtp.waitFor('hal@example.com', /authenticator/)
    const next = await login(hal.email, hal.password)
    expect(next.body).to.include({ mfa_required: true })
    expect((await app.call('POST', `${at}/totp/require`, { token: root, body: { required: false } })).status).to.equal(
      200,
    )
    const [one, two] = [await login(hal.email, hal.password), await login(hal.email, hal.password)]
    const listed = await app.call('GET', `${at}/sessions`, { token: root })
    expect(listed.body.data.length).to.be.greaterThan(1)
    const end = { sessionId: listed.body.data[0].id }
    expect((await app.call('POST', `${at}/logout`, { token: root, body: end })).status).to.equal(200)
    expect((await app.call('POST', `${at}/logout/all`, { token: root, body: {} })).status).to.equal(200)
    await eventually(async () => {
      for (const { body } of [one, two])
        expect((await app.call('GET', '/v1/auth/me', { token: body.tokens.access_token })).status).to.equal(401)
    })
    const judged = await app.call('POST', `${at}/password/validate`, {
      token: anna.accessToken,
      body: { password: 'hal' },
    })
    expect(judged.body.data.valid).to.equal(false)
    expect((await app.call('POST', `${at}/password/reset`, { token: root, body: {} })).status).to.equal(200)
    await app.smtp.waitFor('hal@example.com', /reset-password\?token=/)
    const set = await app.call('POST', `${at}/password/reset`, {
      token: root,
      body: { newPassword: 'Fresh-Start-2026!' },
    })
    expect(set.status).to.equal(200)
    expect((await login(hal.email, hal.password)).status).to.equal(401)
    expect((await login(hal.email, 'Fresh-Start-2026!')).status).to.equal(200)
    expect((await app.call('POST', `${at}/verify-email`, { token: root, body: {} })).status).to.equal(200)
  })

  it('blacklists a device: its sessions end and nobody signs in from it', async () => {
    const ida = await someone(app, undefined, { email: 'ida@example.com' })
    const token = anna.accessToken
    const devices = await app.call('GET', `/admin/users/${ida.id}/devices`, { token })
    const [device] = devices.body.devices
    expect(device).to.include({ blocked_at: null })
    const at = `/admin/users/${ida.id}/devices/${device.id}/block`
    expect((await app.call('POST', at, { token, body: {} })).body.blocked_at).to.be.a('string')
    await eventually(async () =>
      expect((await app.call('GET', '/v1/auth/me', { token: ida.accessToken })).status).to.equal(401),
    )
    expect((await app.call('DELETE', at, { token })).body.blocked_at).to.equal(null)
    expectProblem(await app.call('POST', `/admin/users/${ben.id}/devices/${device.id}/block`, { token, body: {} }), 404)
  })

  it('never loses its last super administrator, not even to two at once', async () => {
    const { id: first } = await app.db('users').where({ email_key: 'root@example.com' }).first('id')
    expectProblem(
      await app.call('DELETE', `/v1/admin/users/${first}/roles/super_admin`, { token: root }),
      409,
      'CONFLICT',
    )
    expectProblem(await app.call('POST', `/v1/users/${first}/disable`, { token: root, body: {} }), 409, 'CONFLICT')
    expectProblem(await app.call('POST', `/v1/users/${first}/lock`, { token: root, body: {} }), 409, 'CONFLICT')
    expectProblem(await app.call('DELETE', `/v1/users/${first}`, { token: root }), 409, 'CONFLICT')
    const second = await someone(app, ROLE.superAdmin, { email: 'second@example.com' })
    const answers = await Promise.all([
      app.call('DELETE', `/v1/admin/users/${first}/roles/super_admin`, { token: second.accessToken }),
      app.call('POST', `/v1/users/${second.id}/disable`, { token: root, body: {} }),
    ])
    expect(answers.map((a) => a.status).sort()).to.deep.equal([200, 409])
    const left = await app
      .db('user_roles')
      .join('users', 'users.id', 'user_roles.user_id')
      .where({ role_id: ROLE.superAdmin, status: 'active', 'user_roles.tenant_id': DEFAULT_TENANT })
    expect(left.length).to.equal(1)
    await app.db('users').where({ id: second.id }).update({ status: 'active' })
    await app.db('users').where({ id: second.id }).update({ locked_until: '9999-12-31T00:00:00Z' })
    const leave = { confirmation: 'root@example.com' }
    await app
      .db('user_roles')
      .insert({ tenant_id: DEFAULT_TENANT, user_id: first, role_id: ROLE.superAdmin })
      .onConflict()
      .ignore()
    expectProblem(await app.call('DELETE', '/v1/account', { token: root, body: leave }), 409, 'CONFLICT')
    await app.db('users').where({ id: second.id }).update({ locked_until: null })
    await app
      .db('user_roles')
      .insert({ tenant_id: DEFAULT_TENANT, user_id: first, role_id: ROLE.superAdmin })
      .onConflict()
      .ignore()
    await pause(1100)
  })

  it('refuses a change of what was changed meanwhile, if it is asked to (If-Match)', async () => {
    const token = anna.accessToken
    const at = `/v1/users/${ben.id}`
    const read = await app.call('GET', at, { token })
    const etag = read.headers.get('etag')!
    expect(etag).to.match(/^"[\w-]{22}"$/)
    const again = await fetch(app.url + at, { headers: { authorization: `Bearer ${token}`, 'if-none-match': etag } })
    expect(again.status).to.equal(304)
    const write = (nickname: string, match: string) =>
      app.call('PUT', at, { token, body: { nickname }, headers: { 'if-match': match } })
    const both = await Promise.all([write('one', etag), write('two', etag)])
    expect(both.map(({ status }) => status).sort()).to.deep.equal([200, 412])
    const won = both.find(({ status }) => status === 200)!
    expect(won.headers.get('etag')).to.not.equal(etag)
    expect((await app.call('GET', at, { token })).headers.get('etag')).to.equal(won.headers.get('etag'))
    expectProblem(await app.call('DELETE', at, { token, headers: { 'if-match': etag } }), 412, 'PRECONDITION_FAILED')
    expect((await write('three', '*')).body.nickname).to.equal('three')
  })

  it('refuses fields it does not know, and ids that are none', async () => {
    const token = root
    for (const body of [{ tenant_id: acme.id }, { status: 'deleted' }, { password: 'x' }, { created_at: null }])
      expectProblem(await app.call('PUT', `/v1/users/${ben.id}`, { token, body }), 400, 'VALIDATION_ERROR')
    expectProblem(await app.call('GET', '/v1/users/none', { token }), 400, 'VALIDATION_ERROR')
  })

  it('takes time zones that exist, and names of which something shows', async () => {
    const token = root
    const zone = (zoneinfo: string) => app.call('PUT', `/v1/users/${ben.id}`, { token, body: { zoneinfo } })
    expect((await zone('Europe/Berlin')).status).to.equal(200)
    expectProblem(await zone('Mars/Olympus'), 400, 'VALIDATION_ERROR')
    expect((await app.db('users').where({ id: ben.id }).first('zoneinfo')).zoneinfo).to.equal('Europe/Berlin')
    for (const name of ['\u200b', ' ', 'a\u200bb'])
      expectProblem(await app.call('POST', '/v1/admin/roles', { token, body: { name } }), 400, 'VALIDATION_ERROR')
    for (const name of ['\u200b', '  '])
      expectProblem(
        await app.call('POST', '/v1/tenants', { token, body: { name, slug: 'unseen' } }),
        400,
        'VALIDATION_ERROR',
      )
    expect(await app.db('tenants').where({ slug: 'unseen' })).to.deep.equal([])
    expect(await app.db('roles').whereILike('name', '%\u200b%')).to.deep.equal([])
  })
})
