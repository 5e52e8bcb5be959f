/** API keys: made, used, introspected, rotated and revoked; never worth more than their owner. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import * as client from 'openid-client'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { relyingParty } from '../support/rp.ts'

describe('API keys', () => {
  let app: TestApp
  let root: string
  let ada: Person
  before(async () => {
    app = await startApp()
    root = await app.admin()
    ada = await app.person('ada@example.com')
  })
  after(() => app.close())

  const make = (token: string, body: object) =>
    app.call('POST', '/v1/api-keys', { token, body: { name: 'Script', ...body } })
  const key = async (token: string, scopes: string[], more: object = {}) => {
    const made = await make(token, { scopes, ...more })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    return made.body as { id: string; key: string; prefix: string }
  }

  it('shows a key once, and keeps only its hash', async () => {
    const made = await key(ada.accessToken, ['account'])
    expect(made.key).to.match(/^gh_[\w-]{43}$/)
    expect(made.key.startsWith(made.prefix)).to.equal(true)
    const listed = await app.call('GET', '/v1/api-keys', { token: ada.accessToken })
    const seen = await app.call('GET', `/v1/api-keys/${made.id}`, { token: ada.accessToken })
    for (const answer of [listed, seen]) expect(JSON.stringify(answer.body)).to.not.include(made.key)
    expect(listed.body.api_keys[0]).to.include({ id: made.id, name: 'Script', last_used_at: null })
    const [row] = await app.db('api_keys').where({ id: made.id })
    expect(JSON.stringify(row)).to.not.include(made.key.slice(12))
  })

  it('opens the API as its owner, only as far as its scopes, and notes the use', async () => {
    const own = await key(ada.accessToken, ['account'])
    const me = await app.call('GET', '/v1/auth/me', { token: own.key })
    expect(me.body.email).to.equal(ada.email)
    const [row] = await app.db('api_keys').where({ id: own.id })
    expect(row.last_used_at).to.be.a('date')
    expect(row.last_used_ip).to.equal('127.0.0.1')
    const reader = await key(root, ['clients:read'])
    expect((await app.call('GET', '/clients', { token: reader.key })).status).to.equal(200)
    const written = await app.call('POST', '/clients', {
      token: reader.key,
      body: { client_name: 'x', redirect_uris: [] },
    })
    expect(written.status).to.equal(403)
    expect((await app.call('GET', '/v1/auth/me', { token: reader.key })).status, 'no account scope').to.equal(403)
  })

  it('cannot be given what its owner does not have, and loses what the owner loses', async () => {
    const refused = await make(ada.accessToken, { scopes: ['users:read', 'account'] })
    expect(refused.status).to.equal(403)
    expect(refused.body.errors.scopes).to.deep.equal(['users:read'])
    const grace = await app.person()
    const admin = '00000000-0000-0000-0000-000000000002'
    const role = { tenant_id: '00000000-0000-7000-8000-000000000001', user_id: grace.id, role_id: admin }
    await app.db('user_roles').insert(role)
    await sleep(1100)
    const reader = await key(grace.accessToken, ['clients:read'])
    expect((await app.call('GET', '/clients', { token: reader.key })).status).to.equal(200)
    await app.db('user_roles').where(role).delete()
    await sleep(1100)
    expect((await app.call('GET', '/clients', { token: reader.key })).status).to.equal(403)
  })

  it('cannot make, rotate or outlive: keys come from people', async () => {
    const own = await key(ada.accessToken, ['account'])
    const bred = await make(own.key, { scopes: ['account'] })
    expect(bred.status).to.be.oneOf([401, 403])
    const rotated = await app.call('POST', `/v1/api-keys/${own.id}/rotate`, { token: own.key, body: {} })
    expect(rotated.status).to.be.oneOf([401, 403])
    await app.db('users').where({ id: ada.id }).update({ status: 'disabled' })
    await sleep(1100)
    expect((await app.call('GET', '/v1/auth/me', { token: own.key })).status).to.equal(401)
    await app.db('users').where({ id: ada.id }).update({ status: 'active' })
  })

  it('is one of fifty at most, however many are made at once', async () => {
    const max = await app.person('max@example.com')
    const answers = await Promise.all(Array.from({ length: 60 }, () => make(max.accessToken, {})))
    expect(answers.filter(({ status }) => status === 201)).to.have.length(50)
    expect(await app.db('api_keys').where({ user_id: max.id })).to.have.length(50)
  })

  it('ends when it is revoked or expires, within a second', async () => {
    const own = await key(ada.accessToken, ['account'])
    expect((await app.call('GET', '/v1/auth/me', { token: own.key })).status).to.equal(200)
    expect((await app.call('DELETE', `/v1/api-keys/${own.id}`, { token: ada.accessToken })).status).to.equal(200)
    await sleep(1100)
    const after = await app.call('GET', '/v1/auth/me', { token: own.key })
    expect(after.status).to.equal(401)
    expect(after.headers.get('www-authenticate')).to.include('invalid_token')
    expect((await app.call('GET', `/v1/api-keys/${own.id}`, { token: ada.accessToken })).status).to.equal(404)
    const brief = await key(ada.accessToken, ['account'], { expires_at: new Date(Date.now() + 700).toISOString() })
    await sleep(800)
    expect((await app.call('GET', '/v1/auth/me', { token: brief.key })).status).to.equal(401)
    const past = await make(ada.accessToken, { scopes: [], expires_at: '2020-01-01T00:00:00Z' })
    expect(past.status).to.equal(400)
  })

  it('rotates with an overlap, once', async () => {
    const old = await key(ada.accessToken, ['account'])
    const rotate = (id: string, body: object) =>
      app.call('POST', `/v1/api-keys/${id}/rotate`, { token: ada.accessToken, body })
    const all = await Promise.all(Array.from({ length: 5 }, () => rotate(old.id, { overlap: 60 })))
    const made = all.filter((a) => a.status === 201)
    expect(made).to.have.length(1)
    expect(all.filter((a) => a.status === 409)).to.have.length(4)
    const { key: fresh, replaces, id } = made[0]!.body
    expect(replaces).to.equal(old.id)
    for (const token of [old.key, fresh]) expect((await app.call('GET', '/v1/auth/me', { token })).status).to.equal(200)
    const now = await rotate(id, { overlap: 0 })
    expect(now.status).to.equal(201)
    await sleep(1100)
    expect((await app.call('GET', '/v1/auth/me', { token: fresh })).status).to.equal(401)
    expect((await app.call('GET', '/v1/auth/me', { token: now.body.key })).status).to.equal(200)
  })

  it('is introspected by clients with tokens:introspect, and by no others', async () => {
    const own = await key(ada.accessToken, ['account'], { expires_at: '2099-01-01T00:00:00Z' })
    const gateway = await relyingParty(app, { scope: 'openid tokens:introspect' })
    const seen = await client.tokenIntrospection(gateway.config, own.key)
    expect(seen).to.include({
      active: true,
      sub: ada.id,
      scope: 'account',
      token_type: 'Bearer',
      iss: app.url,
      jti: own.id,
    })
    expect(seen.exp).to.equal(Date.parse('2099-01-01T00:00:00Z') / 1000)
    const plain = await relyingParty(app)
    expect(await client.tokenIntrospection(plain.config, own.key)).to.deep.equal({ active: false })
    const info = await fetch(`${app.url}/oauth/userinfo`, { headers: { authorization: `Bearer ${own.key}` } })
    expect(info.status, 'a key is no access token of OpenID Connect').to.equal(401)
    await app.call('DELETE', `/v1/api-keys/${own.id}`, { token: ada.accessToken })
    expect(await client.tokenIntrospection(gateway.config, own.key)).to.deep.equal({ active: false })
  })

  it('belongs to one person and one tenant', async () => {
    const own = await key(ada.accessToken, ['account'])
    const eve = await app.person()
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/rotate'],
    ] as const) {
      const body = method === 'POST' ? { body: {} } : {}
      const refused = await app.call(method, `/v1/api-keys/${own.id}${path}`, { token: eve.accessToken, ...body })
      expect(refused.status).to.equal(404)
    }
    expect((await app.call('GET', '/v1/auth/me', { token: own.key })).status).to.equal(200)
    expect((await app.call('GET', '/v1/auth/me', { token: 'gh_guessed' })).status).to.equal(401)
  })
})
