import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { createLocalJWKSet, createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import * as client from 'openid-client'
import { rotateDue } from '../../server/domain/key-rotation.ts'
import { pause } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { withTenant } from '../support/roles.ts'
import { authorize, Browser, redeem, relyingParty } from '../support/rp.ts'

const DAY = 86_400_000

describe('signing keys over time', () => {
  let app: TestApp
  let second: TestApp
  let root: string
  before(async () => {
    app = await startApp()
    second = await startApp({ PUBLIC_URL: app.url }, { databaseUrl: app.databaseUrl })
    root = await app.admin()
  })
  after(async () => {
    await second.stop()
    await app.close()
  })

  const keys = async (status?: string): Promise<any[]> => {
    const { body } = await app.call('GET', '/v1/admin/keys', { token: root })
    return body.keys.filter((k: any) => status === undefined || k.status === status)
  }
  const rotate = (body: object = {}) => app.call('POST', '/v1/admin/keys/rotate', { token: root, body })
  const kid = (token: string) => decodeProtectedHeader(token).kid
  const published = async (at = app): Promise<string[]> =>
    (await at.call('GET', '/oauth/jwks')).body.keys.map((key: any) => key.kid)
  const signsIn = async () => (await app.person()).accessToken
  /** As the clock would have it: the waiting keys were published long enough ago. */
  const timePasses = async () => {
    const back = (column: string) => app.db.raw(`${column} - interval '24 hours'`)
    await app.db('signing_keys').update({ signs_at: back('signs_at'), retired_at: back('retired_at') })
  }

  it('a new one is published first, signs later, and the old one is kept for what it signed', async () => {
    const rp = await relyingParty(app)
    const ada = await app.person('ada@example.com')
    const old = await redeem(rp, await authorize(app, rp, new Browser(app.url), ada))
    const early = await signsIn()
    const before = await keys('signing')
    expect(before.map((k) => k.alg)).to.have.members(['ES256', 'RS256'])
    const rotated = await rotate()
    expect(rotated.status, JSON.stringify(rotated.body)).to.equal(200)
    const next = await keys('next')
    expect(next.map((k) => k.alg)).to.have.members(['ES256', 'RS256'])
    expect(Date.parse(next[0].signs_at) - Date.now()).to.be.within(0.99 * DAY, 1.01 * DAY)
    const ahead = createRemoteJWKSet(new URL(`${app.url}/oauth/jwks`))
    await eventually(async () => expect(await published()).to.include.members(next.map((k) => k.kid)))
    await eventually(async () => expect(await published(second)).to.include.members(next.map((k) => k.kid)))
    await jwtVerify(old.access_token, ahead)
    expect(kid(await signsIn())).to.equal(kid(old.access_token))
    expectProblem(await rotate(), 409, 'CONFLICT')

    await timePasses()
    const fresh = await client.refreshTokenGrant(rp.config, old.refresh_token!)
    const token = await eventually(async () => {
      const signed = await signsIn()
      expect(kid(signed)).to.be.oneOf(next.map((k) => k.kid))
      return signed
    })
    // A resource server that keeps the keys it read before the change knows the new one.
    await jwtVerify(token, createLocalJWKSet(ahead.jwks()!))
    for (const signed of [old.access_token, old.id_token!, fresh.access_token, fresh.id_token!])
      await jwtVerify(signed, createRemoteJWKSet(new URL(`${app.url}/oauth/jwks`)))
    expect((await client.tokenIntrospection(rp.config, old.access_token)).active).to.equal(true)
    expect((await app.call('GET', '/v1/auth/me', { token: early })).status).to.equal(200)
    const retired = await keys('retired')
    expect(retired.map((k) => k.kid)).to.have.members(before.map((k) => k.kid))
    const kept = Date.parse(retired[0].expires_at) - Date.parse(retired[0].retired_at)
    expect(kept).to.be.greaterThan(14 * DAY)
    for (const key of (await app.call('GET', '/oauth/jwks')).body.keys)
      expect(key).to.not.have.any.keys('d', 'p', 'q', 'dp', 'dq', 'qi')
    expect(JSON.stringify(await keys())).to.not.match(/"(d|p|q)":/)
    await app.db('signing_keys').whereNotNull('retired_at').update({ expires_at: app.db.fn.now() })
    await eventually(async () => expect(await published()).to.have.length(2))
    expect((await app.call('GET', '/v1/auth/me', { token: early })).status).to.equal(401)
    root = await app.admin()
  })

  it('the change needs nobody: processes look at the clock', async function () {
    this.timeout(20_000)
    await rotate({ algs: ['ES256'] })
    const [next] = await keys('next')
    const soon = app.db.raw(`now() + interval '1 second'`)
    await app.db('signing_keys').where({ kid: next.kid }).update({ signs_at: soon })
    await app
      .db('signing_keys')
      .where({ alg: 'ES256' })
      .where('retired_at', '>', app.db.fn.now())
      .update({ retired_at: soon })
    await eventually(async () => expect(await published()).to.include(next.kid))
    const deadline = Date.now() + 12_000
    const mine = await app.person()
    const signs = async () =>
      kid(
        (await app.call('POST', '/v1/auth/login', { body: { email: mine.email, password: mine.password } })).body.tokens
          .access_token,
      )
    while (Date.now() < deadline && (await signs()) !== next.kid) {
      await app.db('rate_limits').delete()
      await pause(500)
    }
    expect(await signs()).to.equal(next.kid)
  })

  it('of many rotations at once one takes place', async () => {
    await app.db('rate_limits').delete()
    const before = (await keys()).length
    const statuses = await Promise.all(
      Array.from({ length: 10 }, async () => (await rotate({ algs: ['ES256'] })).status),
    )
    expect(statuses.filter((s) => s === 200)).to.have.length(1)
    expect(statuses.filter((s) => s === 409)).to.have.length(9)
    expect((await keys()).length).to.equal(before + 1)
    const [next] = await keys('next')
    const now = await rotate({ algs: ['ES256'], immediately: true })
    expect(now.status).to.equal(200)
    expect((await keys('signing')).map((k) => k.kid)).to.include(next.kid)
    await eventually(async () => expect(kid(await signsIn())).to.equal(next.kid))
  })

  it('a revoked one is gone at once, with what it signed, in every process', async () => {
    await app.db('rate_limits').delete()
    const mallory = await app.person()
    const stolen = kid(mallory.accessToken)!
    root = await app.admin()
    const path = `/v1/admin/keys/${stolen}/revoke`
    const revoked = await app.call('POST', path, { token: root, body: { reason: 'lost backup' } })
    expect(revoked.status, JSON.stringify(revoked.body)).to.equal(200)
    for (const process of [app, second]) {
      await eventually(async () => {
        expect(await published(process)).to.not.include(stolen)
        const refused = await process.call('GET', '/v1/auth/me', { token: mallory.accessToken })
        expect(refused.status).to.equal(401)
      })
    }
    const body = { refresh_token: mallory.refreshToken }
    const renewed = await app.call('POST', '/v1/auth/refresh', { body })
    expect(renewed.status).to.equal(200)
    const token = renewed.body.access_token ?? renewed.body.tokens.access_token
    expect(kid(token)).to.not.equal(stolen)
    expect((await app.call('GET', '/v1/auth/me', { token })).status).to.equal(200)
    root = await app.admin()
    expectProblem(await app.call('POST', path, { token: root, body: {} }), 404, 'NOT_FOUND')
    const unknown = randomBytes(32).toString('base64url')
    expectProblem(await app.call('POST', `/v1/admin/keys/${unknown}/revoke`, { token: root, body: {} }), 404)
    const [told] = await app.db('events').where({ type: 'key.revoked' })
    expect(told.data).to.include({ kid: stolen, reason: 'lost backup', status: 'signing' })
    expect((await keys('revoked')).map((k) => k.kid)).to.deep.equal([stolen])
  })

  it('revoking one that waits lets the present one go on', async () => {
    await rotate({ algs: ['RS256'] })
    const [[next], [present]] = [await keys('next'), (await keys('signing')).filter((k) => k.alg === 'RS256')]
    expect(present.retired_at).to.equal(next.signs_at)
    await app.call('POST', `/v1/admin/keys/${next.kid}/revoke`, { token: root, body: {} })
    const after = (await keys()).find((k) => k.kid === present.kid)
    expect(after).to.include({ status: 'signing', retired_at: null, expires_at: null })
  })

  it('the clock rotates those that are old enough, once', async () => {
    const { out } = app.deps
    expect(await rotateDue(out, app.db)).to.equal(0)
    await app
      .db('signing_keys')
      .whereNull('retired_at')
      .update({ signs_at: app.db.raw(`now() - interval '89 days 1 hour'`) })
    const made = await Promise.all([rotateDue(out, app.db), rotateDue(out, app.db)])
    expect(made[0]! + made[1]!).to.equal(2)
    expect(await rotateDue(out, app.db)).to.equal(0)
    const waiting = await keys('next')
    expect(waiting).to.have.length(2)
    const told = (await app.db('events').where({ type: 'key.rotated' })).filter((e: any) => e.data.scheduled)
    expect(told.map((e: any) => e.data.kid)).to.have.members(waiting.map((k) => k.kid))
    await app.db('signing_keys').where('signs_at', '>', app.db.fn.now()).delete()
    await app.db('signing_keys').update({ retired_at: null, expires_at: null })
    const setting = '/v1/admin/settings/key_rotation_days'
    expect((await app.call('PATCH', setting, { token: root, body: { value: 0 } })).status).to.equal(200)
    expect(await rotateDue(out, app.db)).to.equal(0)
  })

  it('belong to their tenant; another one’s are for who manages all tenants', async () => {
    await app.db('rate_limits').delete()
    const { id, boss } = await withTenant(app, 'acme')
    const theirs = await app.call('GET', `/v1/tenants/${id}/keys`, { token: root })
    expect(theirs.body.keys).to.have.length(2)
    const ours = (await keys()).map((k) => k.kid)
    const [key] = theirs.body.keys
    expect(ours).to.not.include(key.kid)
    expectProblem(
      await app.call('POST', `/v1/admin/keys/${key.kid}/revoke`, { token: root, body: {} }),
      404,
      'NOT_FOUND',
    )
    expectProblem(
      await app.call('POST', '/v1/admin/keys/rotate', { token: root, body: { tenant: 'acme' } }),
      400,
      'VALIDATION_ERROR',
    )
    const list = await app.call('GET', '/t/acme/v1/admin/keys', { token: boss.accessToken })
    expect(list.body.keys.map((k: any) => k.kid)).to.have.members(theirs.body.keys.map((k: any) => k.kid))
    const foreign = await app.call('POST', '/t/acme/v1/tenants/default/keys/rotate', {
      token: boss.accessToken,
      body: {},
    })
    expectProblem(foreign, 404, 'NOT_FOUND')
    expect((await keys()).map((k) => k.kid)).to.have.members(ours)
    const rotated = await app.call('POST', '/v1/tenants/acme/keys/rotate', { token: root, body: { algs: ['ES256'] } })
    expect(rotated.body.keys.filter((k: any) => k.status === 'next')).to.have.length(1)
    expect(await app.db('events').where({ tenant_id: id, type: 'key.rotated' })).to.have.length(1)
  })
})
