/** A person's own account over the API: another address, apps allowed, everything known, and the end of it. */
import { expect } from 'chai'
import * as client from 'openid-client'
import { erase } from '../../server/domain/deletion.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { authorize, Browser, redeem, relyingParty } from '../support/rp.ts'

describe('an account and its owner', () => {
  let app: TestApp
  before(async () => {
    app = await startApp()
  })
  after(() => app.close())
  beforeEach(() => app.db('rate_limits').delete())

  const verified = async (email: string): Promise<Person> => {
    const person = await app.person(email)
    await app.db('users').where({ id: person.id }).update({ email_verified_at: app.db.fn.now() })
    return person
  }
  const emailOf = async (id: string) => (await app.db('users').where({ id }).first()).email
  const login = (email: string, password: string) => app.call('POST', '/v1/auth/login', { body: { email, password } })
  const post = (path: string, body: object, token?: string) => app.call('POST', path, { body, ...(token && { token }) })
  /** As if the sign-in were an hour ago. */
  const grow = (id: string) =>
    app.db.raw(
      `update sessions set payload = payload || jsonb_build_object('loginTs', (payload ->> 'loginTs')::bigint - 3600) where user_id = ?`,
      [id],
    )
  const tokenOf = (link: string) => new URL(link).searchParams.get('token')!

  describe('another e-mail address', () => {
    it('becomes Ada’s when she proves it, and not before; the old one is told', async () => {
      const ada = await verified('ada@example.com')
      const asked = await post('/v1/account/email', { email: 'Ada.New@example.com' }, ada.accessToken)
      expect(asked.status).to.equal(200)
      const mail = await app.smtp.waitFor('ada.new@example.com', /Is this your new address/)
      await app.smtp.waitFor('ada@example.com', /about to change/)
      expect(await emailOf(ada.id)).to.equal('ada@example.com')
      expect((await login('ada@example.com', ada.password)).status).to.equal(200)
      expectProblem(await login('ada.new@example.com', ada.password), 401, 'INVALID_CREDENTIALS')

      const token = tokenOf(mail.link('account/email/confirm'))
      expect((await post('/v1/account/email/confirm', { token })).status).to.equal(200)
      expectProblem(await post('/v1/account/email/confirm', { token }), 400, 'INVALID_TOKEN')
      const after = await login('ada.new@example.com', ada.password)
      expect(after.body.user).to.include({ id: ada.id, email: 'Ada.New@example.com', is_email_verified: true })
      expectProblem(await login('ada@example.com', ada.password), 401, 'INVALID_CREDENTIALS')
    })

    it('that Mallory asked for is taken back from the old mailbox: her sessions, links and later changes are dead', async () => {
      const bo = await verified('bo@example.com')
      await post('/v1/account/email', { email: 'mallory1@evil.example' }, bo.accessToken)
      const first = tokenOf((await app.smtp.waitFor('mallory1@evil.example')).link('account/email/confirm'))
      const undo = tokenOf((await app.smtp.waitFor('bo@example.com', /about to change/)).link('account/email/undo'))
      await post('/v1/account/email/confirm', { token: first })
      await post('/v1/account/email', { email: 'mallory2@evil.example' }, bo.accessToken)
      const second = tokenOf((await app.smtp.waitFor('mallory2@evil.example')).link('account/email/confirm'))
      const back = tokenOf(
        (await app.smtp.waitFor('mallory1@evil.example', /about to change/)).link('account/email/undo'),
      )
      expect((await post('/v1/account/email/undo', { token: undo })).status).to.equal(200)
      expect(await emailOf(bo.id)).to.equal('bo@example.com')
      for (const [path, token] of [
        ['/v1/account/email/confirm', second],
        ['/v1/account/email/undo', back],
        ['/v1/account/email/undo', undo],
      ] as const) {
        expectProblem(await post(path, { token }), 400, 'INVALID_TOKEN')
      }
      expect(await emailOf(bo.id)).to.equal('bo@example.com')
      expect((await app.call('GET', '/v1/auth/me', { token: bo.accessToken })).status).to.equal(401)
      await app.smtp.waitFor('bo@example.com', /reset-password/)
    })

    it('is refused when it is the own one, somebody’s, or the sign-in was long ago', async () => {
      const cy = await verified('cy@example.com')
      await verified('di@example.com')
      expectProblem(
        await post('/v1/account/email', { email: 'CY@example.com' }, cy.accessToken),
        400,
        'VALIDATION_ERROR',
      )
      expectProblem(await post('/v1/account/email', { email: 'Di@example.com' }, cy.accessToken), 409, 'CONFLICT')
      await grow(cy.id)
      const late = await post('/v1/account/email', { email: 'cy2@example.com' }, cy.accessToken)
      expectProblem(late, 401, 'INSUFFICIENT_AUTHENTICATION')
      expect(late.headers.get('www-authenticate')).to.include('max_age=900')
      expect(app.smtp.mails.filter(({ to }) => to.startsWith('cy2@'))).to.have.length(0)
    })

    it('sends no way back to an address that was never proven, where a stranger may read', async () => {
      const ed = await app.person('typo@example.com')
      await post('/v1/account/email', { email: 'ed@example.com' }, ed.accessToken)
      await app.smtp.waitFor('ed@example.com')
      expect(app.smtp.mails.filter(({ to, raw }) => to === 'typo@example.com' && /undo/.test(raw))).to.have.length(0)
    })

    it('goes to one of two who prove it at the same moment', async () => {
      const [fay, gus] = await Promise.all([verified('fay@example.com'), verified('gus@example.com')])
      await post('/v1/account/email', { email: 'one@example.com' }, fay.accessToken)
      const a = tokenOf((await app.smtp.waitFor('one@example.com')).link('account/email/confirm'))
      app.smtp.mails.length = 0
      await post('/v1/account/email', { email: 'one@example.com' }, gus.accessToken)
      const b = tokenOf((await app.smtp.waitFor('one@example.com')).link('account/email/confirm'))
      const answers = await Promise.all([a, b].map((token) => post('/v1/account/email/confirm', { token })))
      expect(answers.map(({ status }) => status).sort()).to.deep.equal([200, 409])
      expect(await app.db('users').where({ email_key: 'one@example.com' })).to.have.length(1)
    })
  })

  describe('apps', () => {
    it('that Hal allowed are listed; one he takes it back from loses its tokens and must ask again', async () => {
      const rp = await relyingParty(app, { client_name: 'Harbour Notes' })
      const hal = await app.person('hal@example.com')
      const browser = new Browser(app.url)
      const tokens = await redeem(rp, await authorize(app, rp, browser, hal))
      const list = await app.call('GET', '/v1/account/consents', { token: hal.accessToken })
      expect(list.body.consents).to.have.length(1)
      expect(list.body.consents[0]).to.include({ client_id: rp.clientId, name: 'Harbour Notes' })
      expect(list.body.consents[0].scopes).to.have.members(['openid', 'profile', 'email'])

      const other = await app.person()
      const path = `/v1/account/consents/${rp.clientId}`
      expectProblem(await app.call('DELETE', path, { token: other.accessToken }), 404, 'NOT_FOUND')
      expect((await client.tokenIntrospection(rp.config, tokens.access_token)).active).to.equal(true)
      expect((await app.call('DELETE', path, { token: hal.accessToken })).status).to.equal(200)
      expect((await client.tokenIntrospection(rp.config, tokens.access_token)).active).to.equal(false)
      const again = await client.refreshTokenGrant(rp.config, tokens.refresh_token!).catch((error) => error)
      expect(again.error).to.equal('invalid_grant')
      const url = client.buildAuthorizationUrl(rp.config, {
        redirect_uri: 'https://rp.example.com/callback',
        scope: 'openid profile email',
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
      })
      expect((await browser.open(url.href)).page).to.include('value="allow"')
    })
  })

  describe('everything known', () => {
    it('about Ida is hers to download, without what proves who she is', async () => {
      const ida = await app.person('ida@example.com')
      await login('ida@example.com', 'Wrong-Password-1')
      // More than one batch.
      await app.db.raw(
        `insert into events (tenant_id, id, type, user_id) select tenant_id, gen_random_uuid(), 'password.reset_requested', id
         from users, generate_series(1, 1200) where id = ?`,
        [ida.id],
      )
      const answer = await app.call('GET', '/v1/account/export', { token: ida.accessToken })
      expect(answer.status).to.equal(200)
      expect(answer.headers.get('content-type')).to.include('application/json')
      expect(answer.body.account).to.include({ id: ida.id, email: 'ida@example.com' })
      expect(answer.body.roles[0].name).to.equal('user')
      expect(answer.body.sign_in_methods[0].type).to.equal('password')
      expect(answer.body.sessions).to.have.length(1)
      expect(answer.body.events.length).to.be.greaterThan(1200)
      expect(new Set(answer.body.events.map((e: any) => e.id)).size).to.equal(answer.body.events.length)
      expect(JSON.stringify(answer.body)).to.not.match(/argon2|cookie_hash|token_hash|"secret"|code_hash/)
    })
  })

  describe('deleting', () => {
    const remove = (person: Person, body: object) =>
      app.call('DELETE', '/v1/account', { token: person.accessToken, body })

    it('asks Jo for her address, and her password or a recent sign-in', async () => {
      const jo = await app.person('jo@example.com')
      expectProblem(await remove(jo, { confirmation: 'no@example.com' }), 400, 'VALIDATION_ERROR')
      const wrong = await remove(jo, { confirmation: 'jo@example.com', password: 'Wrong-Password-1' })
      expectProblem(wrong, 401, 'INVALID_CREDENTIALS')
      await grow(jo.id)
      expectProblem(await remove(jo, { confirmation: 'jo@example.com' }), 401, 'INSUFFICIENT_AUTHENTICATION')
      expect((await login('jo@example.com', jo.password)).status).to.equal(200)
    })

    it('ends all, frees the address, tells her, and erases her after 30 days', async () => {
      const kim = await app.person('kim@example.com')
      expect((await remove(kim, { confirmation: 'KIM@example.com', password: kim.password })).status).to.equal(200)
      await app.smtp.waitFor('kim@example.com', /deleted/)
      expect((await app.call('GET', '/v1/auth/me', { token: kim.accessToken })).status).to.equal(401)
      const fresh = await post('/v1/auth/refresh', { refresh_token: kim.refreshToken })
      expect(fresh.status).to.be.oneOf([400, 401])
      expectProblem(await login('kim@example.com', kim.password), 401, 'INVALID_CREDENTIALS')

      await app
        .db('users')
        .where({ id: kim.id })
        .update({ deleted_at: app.db.raw(`now() - interval '29 days'`) })
      await erase(app.db)
      expect(await app.db('users').where({ id: kim.id })).to.have.length(1)
      const second = await app.person('kim@example.com')
      expect(second.id).to.not.equal(kim.id)

      await app
        .db('users')
        .where({ id: kim.id })
        .update({ deleted_at: app.db.raw(`now() - interval '31 days'`) })
      expect(await erase(app.db)).to.equal(1)
      for (const table of ['users', 'credentials', 'sessions', 'user_roles'])
        expect(await app.db(table).where({ [table === 'users' ? 'id' : 'user_id']: kim.id })).to.have.length(0)
      const events = await app.db('events').where({ user_id: kim.id })
      expect(events.length).to.be.greaterThan(0)
      for (const { ip, user_agent, data } of events)
        expect({ ip, user_agent, data }).to.deep.equal({ ip: null, user_agent: null, data: {} })
      expect((await login('kim@example.com', second.password)).status).to.equal(200)
    })

    it('is refused to the last super administrator, whoever of two leaves last', async () => {
      const admin = await app.admin()
      const root = { email: 'root@example.com', accessToken: admin } as Person
      expectProblem(await remove(root, { confirmation: root.email }), 409, 'CONFLICT')
      expect((await app.call('GET', '/v1/auth/me', { token: admin })).status).to.equal(200)
      const lee = await app.person('lee@example.com')
      const { tenant_id, role_id } = await app
        .db('user_roles as r')
        .join('roles', 'roles.id', 'r.role_id')
        .where('roles.name', 'super_admin')
        .first('r.tenant_id', 'r.role_id')
      await app.db('user_roles').insert({ tenant_id, user_id: lee.id, role_id })
      const answers = await Promise.all([
        remove(root, { confirmation: root.email }),
        remove(lee, { confirmation: lee.email }),
      ])
      expect(answers.map(({ status }) => status).sort()).to.deep.equal([200, 409])
    })
  })

  it('tells the owner once when strangers closed the account by guessing, and nobody of an unknown one', async () => {
    const mo = await app.person('mo@example.com')
    await app.db('login_counters').delete()
    const guess = async (email: string) => {
      await app.db('rate_limits').delete()
      return login(email, 'Wrong-Password-1')
    }
    for (const email of [mo.email, 'nobody@example.com']) {
      await guess(email)
      await app.db('login_counters').update({ failures: 98, blocked_until: null })
      for (let n = 0; n < 4; n++) {
        await guess(email)
        // Only the account's own counter counts here.
        await app.db('login_counters').where('blocked_until', '<', app.db.raw(`now() + interval '20 minutes'`)).delete()
      }
      await app.db('login_counters').delete()
    }
    await app.smtp.waitFor(mo.email, /locked|failed|attempts/i)
    const locked = app.smtp.mails.filter(({ raw }) => /forgot-password/.test(raw))
    expect(locked.map(({ to }) => to)).to.deep.equal([mo.email])
  })
})
