/** Webhooks: whose events they hear, how messages prove where they come from, who may set them up and see them. */
import { expect } from 'chai'
import { Webhook } from 'standardwebhooks'
import * as heads from '../../server/domain/audit/heads.ts'
import { seal } from '../../server/domain/audit/seal.ts'
import { insertEvent, insertEvents } from '../../server/domain/events.ts'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { catchUp } from '../../server/domain/webhooks/queue.ts'
import { pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually, makeClient, signInto } from '../support/oauth.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'
import { someone, withTenant } from '../support/roles.ts'
import { sealed } from '../support/sealed.ts'
import { deliveriesOf, delivery, LOCAL, subscribe } from '../support/webhooks.ts'

describe('webhooks', () => {
  let app: TestApp
  let receiver: Receiver
  let ada: Person
  let root: string
  before(async () => {
    receiver = await startReceiver()
    app = await startApp({ ...LOCAL, TRUST_PROXY: '1' })
    ada = await app.person('ada@example.com')
    root = await app.admin()
  })
  after(async () => {
    await app.close()
    await receiver.close()
  })
  afterEach(() => app.db('webhooks').delete())

  const login = (person: Person) =>
    app.call('POST', '/v1/auth/login', { body: { email: person.email, password: person.password } })
  const rename = (person: Person, name: string) =>
    app.call('PUT', '/users/me', { token: person.accessToken, body: { given_name: name } })
  const typesOf = async (path: string) => (await receiver.messages(path)).map((m) => JSON.parse(m.body).type)

  it('carry what happens to an account, signed so that others can check it', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/ok/signed`)
    await rename(ada, 'Ada')
    const [message] = await receiver.waitFor('/ok/signed')
    const { type, timestamp, data }: any = new Webhook(hook.secret).verify(message!.body, message!.headers)
    expect(type).to.equal('user.updated')
    expect(Date.now() - Date.parse(timestamp)).to.be.within(0, 60_000)
    expect(data).to.include({ user_id: ada.id, actor_id: ada.id, tenant_id: DEFAULT_TENANT, ip: '127.0.0.1' })
    expect(data.details).to.deep.equal({ fields: ['given_name'] })
    expect(message!.headers['content-type']).to.equal('application/json')
    const event = await app.db('events').where({ id: message!.headers['webhook-id']! }).first()
    expect(event).to.include({ type: 'user.updated', user_id: ada.id })
    const forged = new Webhook(`whsec_${Buffer.alloc(32).toString('base64')}`)
    expect(() => forged.verify(message!.body, message!.headers)).to.throw('No matching signature')
    const log = await delivery(app, ada.accessToken, hook.id, 'user.updated', 'delivered')
    expect(log).to.include({ id: message!.headers['webhook-id'], attempts: 1, response_status: 200 })
    expect(log.response_body).to.equal('thanks')
  })

  it('miss no event of any way in, whichever statement wrote it', async () => {
    await subscribe(app, root, `${receiver.url}/ok/all`, { tenant_wide: true })
    const { rows } = await app.db.raw('select now() as now')
    const bea = await app.person('bea@example.com')
    await login({ ...bea, password: 'wrong' })
    const client = await makeClient(app)
    const tokens = (await signInto(app, client, bea)).body
    const spent = { grant_type: 'refresh_token', refresh_token: bea.refreshToken, client_id: 'gatehouse' }
    for (let i = 0; i < 2; i += 1)
      await fetch(`${app.url}/oauth/token`, { method: 'POST', body: new URLSearchParams(spent) })
    expect(tokens.access_token).to.be.a('string')
    await rename(bea, 'Bea')
    await app.call('POST', '/v1/tenants', { token: root, body: { name: 'Heard', slug: 'heard' } })
    await app.call('POST', `/v1/tenants/heard/users/${bea.id}`, { token: root, body: {} })
    const since = { tenant_id: DEFAULT_TENANT }
    const written = await app.db('events').where(since).where('created_at', '>', rows[0].now)
    const types = new Set(written.map((e) => e.type))
    for (const type of ['user.registered', 'login.success', 'login.failed', 'device.added', 'authorization.granted'])
      expect(types, type).to.include(type)
    for (const type of [
      'token.issued',
      'token.refreshed',
      'token.reuse_detected',
      'tenant.user_moved',
      'user.moved_away',
    ])
      expect(types, type).to.include(type)
    await pause(1000)
    const messages = await receiver.waitFor('/ok/all', written.length)
    // Its own making may have come before.
    const ids = messages
      .filter((m) => JSON.parse(m.body).type !== 'webhook.created')
      .map((m) => m.headers['webhook-id'])
    expect(ids).to.have.members(written.map((e) => e.id))
  }).timeout(30_000)

  it('are told only of what they subscribe to: a type, a group', async () => {
    await subscribe(app, ada.accessToken, `${receiver.url}/ok/group`, { event_types: ['login.*'] })
    await subscribe(app, ada.accessToken, `${receiver.url}/ok/type`, { event_types: ['user.updated'] })
    await login(ada)
    await rename(ada, 'A.')
    await receiver.waitFor('/ok/group')
    await receiver.waitFor('/ok/type')
    await pause(700)
    expect(await typesOf('/ok/type')).to.deep.equal(['user.updated'])
    expect((await typesOf('/ok/group')).every((type) => type.startsWith('login.'))).to.equal(true)
    const body = { url: `${receiver.url}/ok`, event_types: ['user.update'] }
    const typo = await app.call('POST', '/v1/webhooks', { token: ada.accessToken, body })
    expect(typo.status).to.equal(400)
    expect(typo.body.detail).to.include('user.update')
    const known = await app.call('GET', '/v1/webhooks/event-types', { token: ada.accessToken })
    expect(known.body.event_types).to.include.members(['user.updated', 'user.moved_away', 'login.new_country'])
  })

  it("hear of one's own account only; tenant-wide ones need the permission", async () => {
    const eve = await app.person()
    await subscribe(app, eve.accessToken, `${receiver.url}/ok/eve`)
    const refused = await app.call('POST', '/v1/webhooks', {
      token: eve.accessToken,
      body: { url: `${receiver.url}/ok/eve-all`, event_types: ['*'], tenant_wide: true },
    })
    expect(refused.status).to.equal(403)
    await subscribe(app, root, `${receiver.url}/ok/root`, { tenant_wide: true, event_types: ['user.*'] })
    await rename(ada, 'Ada L.')
    await receiver.waitFor('/ok/root')
    await pause(700)
    expect(await receiver.messages('/ok/eve')).to.deep.equal([])
  })

  it('tell owners of their organizations, members nothing', async () => {
    const [owner, member] = [await app.person(), await app.person()]
    const tenant_id = DEFAULT_TENANT
    const organization = { tenant_id, id: newId(), slug: 'heard-org', name: 'Heard' }
    await app.db('organizations').insert(organization)
    const join = (user_id: string, role_id: string) =>
      app.db('memberships').insert({ tenant_id, id: newId(), organization_id: organization.id, user_id, role_id })
    await join(owner.id, ROLE.owner)
    await join(member.id, ROLE.member)
    await subscribe(app, owner.accessToken, `${receiver.url}/ok/owner`, { event_types: ['membership.*'] })
    await subscribe(app, member.accessToken, `${receiver.url}/ok/member`, { event_types: ['membership.*'] })
    const event = {
      type: 'membership.created',
      userId: ada.id,
      ip: '203.0.113.9',
      data: { organization: organization.id },
    }
    await insertEvent(app.db, tenant_id, event)
    const [message] = await receiver.waitFor('/ok/owner')
    expect(JSON.parse(message!.body).data).to.deep.equal({
      tenant_id,
      user_id: ada.id,
      actor_id: null,
      client_id: null,
      details: { organization: organization.id },
    })
    await pause(700)
    expect(await receiver.messages('/ok/member')).to.deep.equal([])
  })

  it('tell owners of the end of an organization, as which they own nothing any more', async () => {
    const [owner, member] = [await app.person(), await app.person()]
    await app.db('users').where({ id: owner.id }).update({ email_verified_at: new Date() })
    const asOwner = (method: string, path: string, body?: object) =>
      app.call(method, path, { token: owner.accessToken, body })
    const { id } = (await asOwner('POST', '/api/organizations', { name: 'Ending' })).body.data
    const join = { user_id: member.id, org_id: id }
    expect((await asOwner('POST', '/api/organization-memberships', join)).status).to.equal(201)
    const event_types = ['organization.*']
    await subscribe(app, owner.accessToken, `${receiver.url}/ok/ending`, { event_types })
    await subscribe(app, member.accessToken, `${receiver.url}/ok/bystander`, { event_types })
    await subscribe(app, root, `${receiver.url}/ok/overseer`, { event_types, tenant_wide: true })
    expect((await asOwner('DELETE', `/api/organizations/${id}`)).status).to.equal(200)
    const [message] = await receiver.waitFor('/ok/ending')
    const [same] = await receiver.waitFor('/ok/overseer')
    const { type, data } = JSON.parse(message!.body)
    expect(type).to.equal('organization.deleted')
    expect(data.details).to.deep.include({ organization: id, name: 'Ending', members: 2 })
    expect(same!.headers['webhook-id']).to.equal(message!.headers['webhook-id'])
    await pause(700)
    expect(await receiver.messages('/ok/overseer')).to.have.length(1)
    expect(await receiver.messages('/ok/bystander')).to.deep.equal([])
  })

  it('carry each new head of the audit log away, and none that only says so', async () => {
    await subscribe(app, root, `${receiver.url}/ok/heads`, { tenant_wide: true, event_types: ['audit.head_signed'] })
    await rename(ada, 'Ada H.')
    await sealed(app)
    const [message] = await receiver.waitFor('/ok/heads')
    const { details } = JSON.parse(message!.body).data
    const statement = await heads.open(app.db, DEFAULT_TENANT, details.jws)
    expect(statement).to.include({ tree_size: details.size, root_hash: details.root })
    const told = async () => (await app.db('events').where({ type: 'audit.head_signed' })).length
    // What else has happened meanwhile may make another one; that one was made does not.
    await eventually(async () => {
      const before = await told()
      for (const _ of [1, 2]) await seal(app.deps.out, app.db)
      expect(await told()).to.equal(before)
    })
  })

  it('tell whoever may not read the audit log who and what, and no more', async () => {
    const body = { name: 'hooks', permissions: ['webhooks:read', 'webhooks:write'] }
    const role = (await app.call('POST', '/v1/admin/roles', { token: root, body })).body
    const ops = await someone(app, role.id)
    await subscribe(app, ops.accessToken, `${receiver.url}/ok/ops`, {
      tenant_wide: true,
      event_types: ['user.created'],
    })
    const bob = await app.person()
    const [message] = await receiver.waitFor('/ok/ops')
    expect(JSON.parse(message!.body).data).to.deep.equal({
      tenant_id: DEFAULT_TENANT,
      user_id: bob.id,
      actor_id: bob.id,
      client_id: null,
    })
    expect(message!.body).to.not.include(bob.email)
  })

  it('end with the account or the permission of whoever set them up', async () => {
    const [gone, off, demoted] = [await app.person(), await app.person(), await someone(app, ROLE.admin)]
    const own = await subscribe(app, gone.accessToken, `${receiver.url}/ok/gone`)
    await subscribe(app, off.accessToken, `${receiver.url}/ok/off`)
    const wide = await subscribe(app, demoted.accessToken, `${receiver.url}/ok/demoted`, { tenant_wide: true })
    await app.call('DELETE', `/v1/users/${gone.id}`, { token: root })
    await app.call('POST', `/v1/users/${off.id}/disable`, { token: root, body: {} })
    await app.call('DELETE', `/v1/admin/users/${demoted.id}/roles/admin`, { token: root })
    expect(await app.db('webhooks').where({ id: own.id })).to.deep.equal([])
    const before = (await receiver.messages('/ok/demoted')).length
    await eventually(async () => {
      await rename(ada, 'Nobody hears this')
      const row = await app.db('webhooks').where({ id: wide.id }).first()
      expect(row).to.include({ enabled: false, disabled_reason: 'not_allowed' })
    })
    const heard = (await receiver.messages('/ok/demoted')).slice(before).map((m) => m.body)
    expect(heard.filter((text) => text.includes(ada.id))).to.deep.equal([])
    expect(await typesOf('/ok/off')).to.not.include('user.disabled')
    const again = await app.call('PUT', `/v1/webhooks/${wide.id}`, {
      token: root,
      body: { url: `${receiver.url}/ok/root2` },
    })
    expect(again.body.owner_id, 'who changes the address answers for it').to.not.equal(demoted.id)
  })

  it('are seen and changed by their owner, tenant-wide ones by who may, others not at all', async () => {
    const eve = await app.person()
    const reader = (
      await app.call('POST', '/v1/admin/roles', { token: root, body: { name: 'look', permissions: ['webhooks:read'] } })
    ).body
    const viewer = await someone(app, reader.id)
    const own = await subscribe(app, ada.accessToken, `${receiver.url}/ok/own`)
    const wide = await subscribe(app, root, `${receiver.url}/ok/wide`, { tenant_wide: true, event_types: ['role.*'] })
    const acme = await withTenant(app, 'acme')
    const paths = (id: string) =>
      [
        ['GET', `/v1/webhooks/${id}`],
        ['PUT', `/v1/webhooks/${id}`, { description: 'mine now' }],
        ['DELETE', `/v1/webhooks/${id}`],
        ['GET', `/v1/webhooks/${id}/deliveries`],
        ['POST', `/v1/webhooks/${id}/test`, {}],
        ['POST', `/v1/webhooks/${id}/secret/rotate`, {}],
      ] as const
    const as =
      (token: string, base = '') =>
      async (id: string) => {
        const statuses: number[] = []
        for (const [method, path, body] of paths(id))
          statuses.push((await app.call(method, base + path, { token, body })).status)
        return statuses
      }
    const hidden = [404, 404, 404, 404, 404, 404]
    expect(await as(eve.accessToken)(own.id)).to.deep.equal(hidden)
    expect(await as(eve.accessToken)(wide.id)).to.deep.equal(hidden)
    expect(await as(root)(own.id), 'not even an administrator').to.deep.equal(hidden)
    expect(await as(acme.boss.accessToken, '/t/acme')(wide.id)).to.deep.equal(hidden)
    expect(await as(viewer.accessToken)(wide.id)).to.deep.equal([200, 403, 403, 200, 403, 403])
    const [made] = await app.db('events').where({ type: 'webhook.created', user_id: ada.id }).orderBy('id', 'desc')
    expect(JSON.stringify(made.data), 'paths may be secrets').to.not.include('/ok')
    const [first, second] = await app.db('webhooks').whereIn('id', [own.id, wide.id]).orderBy('id')
    expect([first.description, second.description]).to.deep.equal([null, null])
    const list = async (token: string) =>
      (await app.call('GET', '/v1/webhooks', { token })).body.webhooks.map((w: any) => w.id)
    expect(await list(ada.accessToken)).to.deep.equal([own.id])
    expect(await list(viewer.accessToken)).to.deep.equal([wide.id])
    expect(await list(eve.accessToken)).to.deep.equal([])
    expect((await as(ada.accessToken)(own.id)).slice(0, 3)).to.deep.equal([200, 200, 200])
  })

  it('are set up in person: not by a key, not while acting as somebody else', async () => {
    const made = await app.call('POST', '/v1/api-keys', {
      token: root,
      body: { name: 'k', scopes: ['account', 'webhooks:write', 'webhooks:read'] },
    })
    const body = { url: `${receiver.url}/ok/x`, event_types: ['*'] }
    const byKey = await app.call('POST', '/v1/webhooks', { token: made.body.key, body })
    expect(byKey.status).to.equal(403)
    const acting = await app.call('POST', `/v1/admin/users/${ada.id}/impersonate`, {
      token: root,
      body: { reason: 'Support ticket #12345' },
    })
    const asAda = await app.call('POST', '/v1/webhooks', { token: acting.body.access_token, body })
    expect(asAda.status).to.equal(403)
    expect(await app.db('webhooks')).to.deep.equal([])
    const hook = await subscribe(app, root, body.url, { tenant_wide: true })
    const elsewhere = { token: made.body.key, body: { url: `${receiver.url}/ok/y` } }
    expect((await app.call('PUT', `/v1/webhooks/${hook.id}`, elsewhere)).status).to.equal(403)
    const rotated = await app.call('POST', `/v1/webhooks/${hook.id}/secret/rotate`, { token: made.body.key, body: {} })
    expect(rotated.status).to.equal(403)
    expect((await app.call('GET', `/v1/webhooks/${hook.id}`, { token: made.body.key })).body.url).to.equal(body.url)
  })

  it('show a secret once, keep it sealed, and sign with two while it is replaced', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/ok/rotate`, { event_types: ['user.updated'] })
    expect(hook.secret).to.match(/^whsec_[A-Za-z0-9+/]{43}=$/)
    const seen = await app.call('GET', `/v1/webhooks/${hook.id}`, { token: ada.accessToken })
    expect(JSON.stringify(seen.body)).to.not.include('whsec_')
    const raw = JSON.stringify(await app.db.raw('select * from webhooks'))
    const plain = hook.secret.slice(6)
    expect(raw).to.not.include(plain).and.not.include(Buffer.from(plain, 'base64').toString('hex'))
    const rotate = (body: object) =>
      app.call('POST', `/v1/webhooks/${hook.id}/secret/rotate`, { token: ada.accessToken, body })
    const fresh = (await rotate({ overlap: 600 })).body
    expect(Date.parse(fresh.previous_secret_expires_at) - Date.now()).to.be.within(590_000, 610_000)
    await rename(ada, 'Two')
    const [message] = await receiver.waitFor('/ok/rotate')
    for (const secret of [hook.secret, fresh.secret]) new Webhook(secret).verify(message!.body, message!.headers)
    const last = (await rotate({ overlap: 0 })).body
    await rename(ada, 'One')
    const message2 = (await receiver.waitFor('/ok/rotate', 2))[1]!
    new Webhook(last.secret).verify(message2.body, message2.headers)
    for (const old of [hook.secret, fresh.secret])
      expect(() => new Webhook(old).verify(message2.body, message2.headers)).to.throw('No matching signature')
    const told = await app.db('events').where({ type: 'webhook.secret_rotated' })
    expect(JSON.stringify(told)).to.not.include('whsec_')
  })

  it('lead to addresses that are allowed, written without credentials', async () => {
    const attempt = (url: string) =>
      app.call('POST', '/v1/webhooks', { token: ada.accessToken, body: { url, event_types: ['*'] } })
    for (const url of [
      'http://10.0.0.1/x',
      'https://[::ffff:10.1.2.3]/',
      'http://169.254.169.254/latest',
      'http://0x7f.1/',
      'https://user:password@example.com/',
      'ftp://example.com/',
      'javascript:alert(1)',
      'https://',
      `https://example.com/${'x'.repeat(2000)}`,
    ]) {
      const refused = await attempt(url)
      if (url.includes('0x7f')) expect(refused.status, 'loopback is allowed in this test').to.equal(201)
      else expect(refused.status, url).to.equal(400)
    }
  })

  it('are limited in number, also by parallel requests', async () => {
    const bob = await app.person()
    const body = { url: `${receiver.url}/ok/many`, event_types: ['user.updated'], enabled: false }
    const all = await Promise.all(
      Array.from({ length: 50 }, () => app.call('POST', '/v1/webhooks', { token: bob.accessToken, body })),
    )
    expect(all.filter((a) => a.status === 201)).to.have.length(10)
    expect(all.filter((a) => a.status === 409)).to.have.length(40)
  })

  it('get what was written before every process knew of them', async () => {
    const acme = await withTenant(app, 'late')
    const ignorant = (await app.deps.out.directory.byId(acme.id))!
    expect(ignorant.hasWebhooks).to.equal(false)
    const hook = await app.call('POST', '/t/late/v1/webhooks', {
      token: acme.boss.accessToken,
      body: { url: `${receiver.url}/ok/late`, event_types: ['setting.changed'], tenant_wide: true },
    })
    expect(hook.status).to.equal(201)
    const id = newId()
    await insertEvents(app.db, ignorant, [{ id, type: 'setting.changed', data: { key: 'x' } }])
    expect(await app.db('webhook_deliveries').where({ event_id: id })).to.deep.equal([])
    const [message] = await receiver.waitFor('/ok/late')
    expect(message!.headers['webhook-id']).to.equal(id)
    const catchUps = await app.db('graphile_worker.jobs').where({ task_identifier: 'webhook-catch-up' })
    expect(catchUps.length, 'and another look a minute later').to.be.greaterThan(0)
    await catchUp(app.db, { tenantId: acme.id, id: hook.body.id })
    expect(await app.db('webhook_deliveries').where({ event_id: id })).to.have.length(1)
  })

  it('are tried with a trial message, and have a log that is paged', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/ok/trial`, { event_types: ['user.deleted'] })
    const other = await subscribe(app, ada.accessToken, `${receiver.url}/ok/bystander`)
    for (let i = 0; i < 3; i += 1) {
      const sent = await app.call('POST', `/v1/webhooks/${hook.id}/test`, { token: ada.accessToken, body: {} })
      expect(sent.status).to.equal(202)
      expect(sent.body).to.include({ event_type: 'webhook.test', status: 'pending' })
    }
    await receiver.waitFor('/ok/trial', 3)
    const one = await app.call('GET', `/v1/webhooks/${hook.id}/deliveries?limit=2`, { token: ada.accessToken })
    expect(one.body).to.include({ count: 2, limit: 2 })
    const two = await deliveriesOf(app, ada.accessToken, hook.id, `?limit=2&cursor=${one.body.next_cursor}`)
    expect(two).to.have.length(1)
    expect(new Set([...one.body.deliveries, ...two].map((d: any) => d.id)).size).to.equal(3)
    expect(await typesOf('/ok/bystander')).to.not.include('webhook.test')
    await app.call('PUT', `/v1/webhooks/${other.id}`, { token: ada.accessToken, body: { enabled: false } })
    const off = await app.call('POST', `/v1/webhooks/${other.id}/test`, { token: ada.accessToken, body: {} })
    expect(off.status).to.equal(409)
  })

  it('do not stay when the owner of an address takes over an account made with it', async () => {
    const squatter = await app.person('victim@example.com')
    await subscribe(app, squatter.accessToken, `${receiver.url}/ok/squat`)
    await app.db('rate_limits').delete()
    await app.call('POST', '/v1/auth/magic-link/send', { body: { email: squatter.email } })
    const mail = await app.smtp.waitFor(squatter.email, /magic-link\?token=/)
    const token = new URL(mail.link('magic-link')).searchParams.get('token')
    const owner = await app.call('POST', '/v1/auth/magic-link/verify', { body: { token } })
    expect(owner.status, JSON.stringify(owner.body)).to.equal(200)
    expect(await app.db('webhooks').where({ owner_id: squatter.id })).to.deep.equal([])
  })
})
