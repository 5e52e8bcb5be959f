import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { newId } from '../../server/domain/ids.ts'
import { purge } from '../../server/domain/maintenance.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { introspect, makeClient, post, signInto } from '../support/oauth.ts'
import { sealed } from '../support/sealed.ts'

describe('clean-up', () => {
  let app: TestApp
  let ada: Person
  before(async () => {
    app = await startApp()
    ada = await app.person('ada@example.com')
  })
  after(() => app.close())
  const count = async (table: string, where: object = {}) =>
    Number((await app.db(table).where(where).count({ n: '*' }))[0]!.n)

  it('takes what has expired, in batches, and nothing else', async () => {
    const { tenant_id } = await app.db('users').first('tenant_id')
    const row = (i: number, age: string) => ({
      tenant_id,
      model: 'AuthorizationCode',
      id: `code-${age}-${i}`,
      payload: '{}',
      expires_at: app.db.raw(`now() + interval '${age}'`),
    })
    const rows = Array.from({ length: 25 }, (_, i) => i)
    await app.db('oidc_models').insert(rows.map((i) => row(i, '-1 minute')))
    await app.db('oidc_models').insert(rows.map((i) => row(i, '1 minute')))
    await app.db('secrets').insert({
      tenant_id,
      hash: Buffer.from('old'),
      purpose: 'verify_email',
      expires_at: app.db.raw(`now() - interval '2 days'`),
    })
    await app
      .db('login_counters')
      .insert({ tenant_id, key: Buffer.from('old'), expires_at: app.db.raw(`now() - interval '1 minute'`) })
    await app.db('sessions').insert({
      tenant_id,
      id: 'old',
      kind: 'api',
      payload: '{}',
      expires_at: app.db.raw(`now() - interval '31 days'`),
    })
    const kept = { secrets: (await count('secrets')) - 1, sessions: (await count('sessions')) - 1 }
    const gone = await purge(app.db, 10)
    expect(gone).to.include({ secrets: 1, login_counters: 1, sessions: 1 })
    expect(gone.oidc_models).to.equal(25)
    expect(await app.db('oidc_models').where('expires_at', '<', app.db.fn.now())).to.have.length(0)
    expect(await app.db('oidc_models').whereLike('id', 'code-1 minute-%')).to.have.length(25)
    expect({ secrets: await count('secrets'), sessions: await count('sessions') }).to.deep.equal(kept)
    expect((await purge(app.db, 10)).oidc_models).to.equal(0)
  })

  it('keeps grants of live refresh tokens whose browser session is over, and takes those of nobody', async () => {
    const client = await makeClient(app, { scope: 'openid offline_access' })
    const offline = (await signInto(app, client, ada, { scope: 'openid offline_access', prompt: 'consent' })).body
    expect(offline.scope).to.include('offline_access')
    const online = (await signInto(app, client, ada, { scope: 'openid' })).body
    const grants = await app
      .db('oidc_models')
      .where({ model: 'Grant', client_id: client.clientId })
      .select('id', 'session_id')
    expect(grants).to.have.length(2)
    await app
      .db('sessions')
      .whereIn(
        'id',
        grants.map((g) => g.session_id),
      )
      .update({ ended_at: app.db.fn.now(), end_reason: 'logout', cookie_hash: null })
    await app
      .db('oidc_models')
      .where({ model: 'Grant' })
      .update({ created_at: app.db.raw(`now() - interval '2 hours'`) })
    await app
      .db('oidc_models')
      .where({ model: 'RefreshToken', client_id: client.clientId })
      .whereRaw(`payload->>'scope' not like '%offline_access%'`)
      .delete()
    await purge(app.db)
    expect(await count('oidc_models', { model: 'Grant', client_id: client.clientId })).to.equal(1)
    const fresh = await post(
      app,
      '/oauth/token',
      { grant_type: 'refresh_token', refresh_token: offline.refresh_token },
      { client },
    )
    expect(fresh.status, JSON.stringify(fresh.body)).to.equal(200)
    expect((await introspect(app, client, fresh.body.access_token)).active).to.equal(true)
    expect((await introspect(app, client, online.access_token)).active).to.equal(false)
    expect((await app.call('GET', '/v1/auth/me', { token: ada.accessToken })).status).to.equal(200)
    expect((await app.call('POST', '/v1/auth/refresh', { body: { refresh_token: ada.refreshToken } })).status).to.equal(
      200,
    )
  })

  it('takes API keys 90 days after they were revoked or expired, and never one that works', async () => {
    const { tenant_id } = await app.db('users').first('tenant_id')
    const ago = (days: number) => app.db.raw('now() - make_interval(days => ?)', [days])
    const key = (name: string, ends: object) => ({
      tenant_id,
      id: crypto.randomUUID(),
      user_id: ada.id,
      name,
      prefix: 'gh_test',
      hash: randomBytes(32),
      created_at: ago(400),
      ...ends,
    })
    await app
      .db('api_keys')
      .insert([
        key('revoked long ago', { revoked_at: ago(91) }),
        key('revoked long ago, was to live on', { revoked_at: ago(91), expires_at: ago(-300) }),
        key('expired long ago', { expires_at: ago(91) }),
        key('expired long ago, revoked since', { expires_at: ago(91), revoked_at: ago(1) }),
        key('revoked', { revoked_at: ago(89) }),
        key('expired', { expires_at: ago(89) }),
        key('expires later', { expires_at: ago(-1) }),
        key('for ever', {}),
      ])
    expect((await purge(app.db, 3)).api_keys).to.equal(4)
    const left = await app.db('api_keys').where({ user_id: ada.id }).orderBy('name').pluck('name')
    expect(left).to.deep.equal(['expired', 'expires later', 'for ever', 'revoked'])
  })

  it('takes events after the days the tenant keeps them, and not a day before', async () => {
    const { tenant_id } = await app.db('users').first('tenant_id')
    const writeAndSeal = async (days: number) => {
      await app.db('events').insert({ tenant_id, id: newId(), type: `test.of_day_${days}` })
      await sealed(app, new Date(Date.now() - days * 86_400_000))
    }
    await writeAndSeal(31)
    const old = (await app.db('audit_trees').where({ tenant_id }).first()).size
    await writeAndSeal(29)
    expect((await purge(app.db)).events, 'the default keeps both').to.equal(0)
    await app.db('settings').insert({ tenant_id, key: 'event_retention_days', value: '30' })
    expect((await purge(app.db)).events).to.equal(old)
    expect(await app.db('events').whereLike('type', 'test.of_day%').pluck('type')).to.deep.equal(['test.of_day_29'])
  })
})
