import { expect } from 'chai'
import { decodeJwt } from 'jose'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'

describe('acting as somebody else', () => {
  let app: TestApp
  let root: string
  let ada: Person
  before(async () => {
    app = await startApp()
    ada = await app.person('ada@example.com')
    root = await app.admin()
  })
  after(() => app.close())
  const impersonate = (token: string, id: string, body: object = { reason: 'Support ticket #12345' }) =>
    app.call('POST', `/v1/admin/users/${id}/impersonate`, { token, body })

  it('gives a token that says who really acts, and tells the person', async () => {
    const { status, body } = await impersonate(root, ada.id)
    expect(status).to.equal(201)
    expect(body).to.not.have.property('refresh_token')
    const claims = decodeJwt(body.access_token)
    expect(claims.sub).to.equal(ada.id)
    expect(claims.exp! - claims.iat!).to.be.at.most(3600)
    const admin = await app.db('users').where({ email_key: 'root@example.com' }).first('id')
    expect(claims.act).to.deep.equal({ sub: admin.id })
    const me = await app.call('GET', '/v1/auth/me', { token: body.access_token })
    expect(me.body.email).to.equal('ada@example.com')
    const now = await app.call('GET', '/v1/auth/impersonation/status', { token: body.access_token })
    expect(now.body).to.include({
      is_impersonation: true,
      reason: 'Support ticket #12345',
      impersonator_email: 'root@example.com',
    })
    const own = await app.call('GET', '/v1/auth/impersonation/status', { token: ada.accessToken })
    expect(own.body).to.deep.equal({ is_impersonation: false })
    await app.smtp.waitFor('ada@example.com', /act in your account|acting in your account/)
  })

  it('is not had of somebody who is locked', async () => {
    const eve = await app.person('eve@example.com')
    await app.call('POST', `/v1/users/${eve.id}/lock`, { token: root, body: {} })
    expect((await impersonate(root, eve.id)).body.code).to.equal('CONFLICT')
    expect(await app.db('sessions').where({ user_id: eve.id, ended_at: null })).to.deep.equal([])
  })

  it('writes in every event who really acted', async () => {
    const { body } = await impersonate(root, ada.id)
    await app.call('PUT', '/users/me', { token: body.access_token, body: { given_name: 'Ada' } })
    const admin = await app.db('users').where({ email_key: 'root@example.com' }).first('id')
    const event = await app.db('events').where({ type: 'user.updated', user_id: ada.id }).first()
    expect(event.actor_id).to.equal(admin.id)
    expect(event.data.impersonated).to.equal(true)
  })

  it('cannot change how the person signs in, nor go on to a third', async () => {
    const { body } = await impersonate(root, ada.id)
    const token = body.access_token
    const before = await app.db('credentials').where({ user_id: ada.id })
    const tries = [
      app.call('POST', '/v1/auth/change-password', {
        token,
        body: { current_password: ada.password, new_password: 'Another-Password-123!' },
      }),
      app.call('POST', '/v1/api-keys', { token, body: { name: 'mine now' } }),
      app.call('POST', '/v1/auth/mfa/setup', { token }),
      app.call('POST', '/v1/auth/mfa/webauthn/register/begin', { token }),
      app.call('POST', '/v1/account/email', { token, body: { email: 'evil@example.com' } }),
    ]
    for (const { status } of await Promise.all(tries)) expect(status).to.equal(403)
    expect(await app.db('credentials').where({ user_id: ada.id })).to.deep.equal(before)
    expect(await app.db('api_keys')).to.have.length(0)
  })

  it('is ended by who acts, and by the person; the person’s own sessions go on', async () => {
    const first = (await impersonate(root, ada.id)).body
    expect((await app.call('POST', '/v1/auth/impersonation/end', { token: first.access_token })).status).to.equal(200)
    expect((await app.call('GET', '/v1/auth/me', { token: first.access_token })).status).to.equal(401)
    expect((await app.call('GET', '/v1/auth/me', { token: ada.accessToken })).status).to.equal(200)
    const second = (await impersonate(root, ada.id)).body
    const id = second.impersonation.id
    const listed = await app.call('GET', '/v1/sessions', { token: ada.accessToken })
    const marked = listed.body.sessions.filter((s: any) => s.impersonated).map((s: any) => s.id)
    expect(marked)
      .to.include(id)
      .and.not.include(listed.body.sessions.find((s: any) => s.current).id)
    expect((await app.call('DELETE', `/sessions/${id}`, { token: ada.accessToken })).status).to.equal(200)
    expect((await app.call('GET', '/v1/auth/me', { token: second.access_token })).status).to.equal(401)
    const ends = await app.db('events').where({ type: 'impersonation.ended', user_id: ada.id }).orderBy('id')
    expect(ends.map((e) => [e.session_id, e.actor_id === ada.id])).to.deep.equal([
      [first.impersonation.id, false],
      [id, true],
    ])
    const none = await app.call('POST', '/v1/auth/impersonation/end', { token: ada.accessToken })
    expect(none.status).to.equal(409)
    const { body } = await app.call('GET', '/v1/admin/impersonation-sessions', { token: root })
    expect(body.sessions.find((s: any) => s.id === id)).to.include({ user_id: ada.id, active: false })
  })

  it('is over when who acts signs out everywhere', async () => {
    const dan = await app.person('dan@example.com')
    await app.call('POST', `/v1/admin/users/${dan.id}/roles`, { token: root, body: { role: 'admin' } })
    const { body } = await impersonate(dan.accessToken, ada.id)
    const me = () => app.call('GET', '/v1/auth/me', { token: body.access_token })
    expect((await me()).status).to.equal(200)
    const all = await app.call('POST', '/v1/auth/revoke-all-sessions', {
      token: dan.accessToken,
      body: { except_current: true },
    })
    expect(all.status).to.equal(200)
    expect((await me()).status).to.equal(401)
    const ended = await app.db('events').where({ type: 'impersonation.ended', user_id: ada.id, actor_id: dan.id })
    expect(ended.map((e) => [e.session_id, e.data.impersonator])).to.deep.equal([[body.impersonation.id, dan.id]])
    expect((await app.call('GET', '/v1/auth/me', { token: dan.accessToken })).status).to.equal(200)
  })

  it('is over as soon as who acts could not start it any more', async () => {
    const bob = await app.person('bob@example.com')
    const cleo = await app.person('cleo@example.com')
    const give = (id: string, role: string) =>
      app.call('POST', `/v1/admin/users/${id}/roles`, { token: root, body: { role } })
    const begin = async () => {
      await app.db('rate_limits').delete()
      const { body: cleoNow } = await app.call('POST', '/v1/auth/login', {
        body: { email: cleo.email, password: cleo.password },
      })
      const { status, body } = await impersonate(cleoNow.tokens.access_token, bob.id)
      expect(status).to.equal(201)
      const me = () => app.call('GET', '/v1/auth/me', { token: body.access_token })
      expect((await me()).status).to.equal(200)
      return async (why: string) => {
        await new Promise((resolve) => setTimeout(resolve, 1100))
        expect((await me()).status, why).to.equal(401)
        const seen = await app.call('GET', '/oauth/userinfo', { token: body.access_token })
        expect(seen.status, why).to.equal(401)
      }
    }
    await give(cleo.id, 'admin')
    let isOver = await begin()
    await app.call('POST', `/v1/users/${cleo.id}/disable`, { token: root, body: {} })
    await isOver('disabled')
    await app.call('POST', `/v1/users/${cleo.id}/enable`, { token: root, body: {} })
    isOver = await begin()
    await give(bob.id, 'super_admin')
    await isOver('the person may do more by now')
    await app.call('DELETE', `/v1/admin/users/${bob.id}/roles/super_admin`, { token: root })
    isOver = await begin()
    await app.call('DELETE', `/v1/admin/users/${cleo.id}/roles/admin`, { token: root })
    await isOver('without the role')
    await give(cleo.id, 'admin')
    isOver = await begin()
    await app.call('DELETE', `/v1/users/${cleo.id}`, { token: root })
    await isOver('deleted')
  })

  it('is not given to people without the permission, of somebody with more rights, nor without a reason', async () => {
    const bea = await app.person('bea@example.com')
    const admin = await app.db('users').where({ email_key: 'root@example.com' }).first('id')
    expect((await impersonate(bea.accessToken, ada.id)).status).to.equal(403)
    await app.db('user_roles').insert({ tenant_id: DEFAULT_TENANT, user_id: bea.id, role_id: ROLE.admin })
    await new Promise((resolve) => setTimeout(resolve, 1100))
    expect((await impersonate(bea.accessToken, ada.id)).status).to.equal(201)
    expect((await impersonate(bea.accessToken, admin.id)).status).to.equal(403)
    expect((await impersonate(root, ada.id, {})).status).to.equal(400)
    expect((await impersonate(root, ada.id, { reason: '   ' })).status).to.equal(400)
    const started = await app.db('sessions').where({ user_id: admin.id }).whereNotNull('impersonator_id')
    expect(started).to.have.length(0)
  })
})
