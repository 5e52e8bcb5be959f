import { expect } from 'chai'
import { DEFAULT_TENANT, ROLE } from '../../server/domain/ids.ts'
import { from, pause } from '../support/address.ts'
import { type Answer, startApp, type TestApp } from '../support/app.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { authorizationRequest, Browser, type RelyingParty, redeem, relyingParty } from '../support/rp.ts'
import { type SecondProvider, startGithub, startOidc } from '../support/second-provider.ts'

let count = 0
const someone = (more: object = {}) => {
  count += 1
  return {
    sub: `over-there-${count}`,
    email: `guest${count}@example.org`,
    email_verified: true,
    name: 'Grace Hopper',
    ...more,
  }
}

describe('signing in with an account elsewhere', () => {
  let app: TestApp
  let rp: RelyingParty
  let admin: string
  let trusted: SecondProvider
  let loose: SecondProvider
  let github: SecondProvider
  const callback = (slug: string) => `${app.url}/v1/oauth/${slug}/callback`

  before(async () => {
    app = await startApp({ TRUST_PROXY: '1', OUTBOUND_ALLOW: '127.0.0.1/32' })
    rp = await relyingParty(app, { first_party: true })
    admin = await app.admin()
    ;[trusted, loose, github] = await Promise.all([
      startOidc([callback('acme'), callback('acme-form')]),
      startOidc([callback('loose')]),
      startGithub(),
    ])
    const add = async (body: { client_secret: string; [key: string]: unknown }) => {
      const made = await app.call('POST', '/v1/admin/identity-providers', { token: admin, body })
      expect(made.status, JSON.stringify(made.body)).to.equal(201)
      expect(JSON.stringify(made.body)).to.not.include(body.client_secret)
    }
    const of = (second: SecondProvider) => ({ client_id: second.clientId, client_secret: second.clientSecret })
    await add({ slug: 'acme', name: 'Acme', issuer: trusted.url, trust_email: true, ...of(trusted) })
    await add({ slug: 'loose', name: 'Loose', issuer: loose.url, ...of(loose) })
    await add({
      slug: 'github',
      preset: 'github',
      issuer: github.url,
      authorization_endpoint: `${github.url}/login/oauth/authorize`,
      token_endpoint: `${github.url}/login/oauth/access_token`,
      userinfo_endpoint: `${github.url}/user`,
      emails_endpoint: `${github.url}/user/emails`,
      ...of(github),
    })
    await pause(300)
  })
  after(async () => {
    await Promise.all([trusted, loose, github].map((s) => s?.close()))
    await app.close()
  })

  /** An app's way: asks for the address, visits it, and answers what the provider sent back. */
  async function visit(slug: string, second: SecondProvider, start?: { body: any }) {
    const begun = start ?? (await app.call('GET', `/v1/oauth/${slug}/authorize`, { headers: from() }))
    const { authorization_url: url, binding, state } = begun.body.data ?? begun.body
    const address = url ?? begun.body.data.authorizationUrl
    const { left } = await new Browser(second.url).open(address)
    expect(`${left!.origin}${left!.pathname}`).to.equal(callback(slug))
    return { answer: Object.fromEntries(left!.searchParams), binding, state, left: left! }
  }
  const finish = (slug: string, body: object): Promise<Answer> =>
    app.call('POST', `/v1/oauth/${slug}/callback`, { body, headers: from() })
  async function signIn(slug: string, second: SecondProvider) {
    const { answer, binding } = await visit(slug, second)
    return finish(slug, { ...answer, binding })
  }

  /** The login page of an authorization request. */
  async function arrive() {
    await app.db('rate_limits').delete()
    const browser = new Browser(app.url)
    const { href, ...flow } = await authorizationRequest(rp, { scope: 'openid email' })
    const at = await browser.open(href)
    const press = async (slug: string, second: SecondProvider) => {
      const href = new RegExp(`href="([^"]*/social/${slug})"`).exec(at.page!)![1]!
      const { left } = await browser.open(href)
      const back = await new Browser(second.url).open(left!.href)
      return back.left!
    }
    return { browser, at, press, flow }
  }

  it('lists the providers and hides those that are off', async () => {
    const { body } = await app.call('GET', '/v1/oauth/providers')
    expect(body.providers.map((p: any) => p.id)).to.deep.equal(['acme', 'github', 'loose'])
    const off = await app.call('PATCH', '/v1/admin/identity-providers/loose', {
      token: admin,
      body: { enabled: false },
    })
    expect(off.body.enabled).to.equal(false)
    await pause(300)
    expectProblem(await app.call('GET', '/v1/oauth/loose/authorize', { headers: from() }), 404, 'NOT_FOUND')
    await app.call('PATCH', '/v1/admin/identity-providers/loose', { token: admin, body: { enabled: true } })
    await pause(300)
    const ada = await app.person()
    const stranger = await app.call('GET', '/v1/admin/identity-providers', { token: ada.accessToken })
    expectProblem(stranger, 403, 'ACCESS_DENIED')
    const [row] = await app.db('identity_providers').where({ slug: 'acme' })
    expect(row.client_secret_encrypted.includes(trusted.clientSecret)).to.equal(false)
  })

  it('makes an account for a newcomer over the API, and finds it again by the subject', async () => {
    trusted.who = someone()
    const first = await signIn('acme', trusted)
    expect(first.status, JSON.stringify(first.body)).to.equal(200)
    expect(first.body.user).to.include({
      email: trusted.who.email,
      is_email_verified: true,
      given_name: 'Grace',
      family_name: 'Hopper',
    })
    expect(first.body.tokens.access_token).to.match(/^eyJ/)
    trusted.who = { ...trusted.who, email: 'moved@example.org' }
    const again = await signIn('acme', trusted)
    expect(again.body.user.id).to.equal(first.body.user.id)
    expect(await app.db('users').where({ email_key: 'moved@example.org' })).to.have.length(0)
    const [session] = await app.db('sessions').where({ user_id: first.body.user.id })
    expect(session.payload.amr).to.deep.equal(['fed'])
  })

  it('signs in with GitHub, which knows OAuth only', async () => {
    github.who = {
      id: 4711,
      login: 'ada',
      name: 'Ada L',
      emails: [
        { email: 'spare@example.org', primary: false, verified: true },
        { email: 'ada@github.example', primary: true, verified: true },
      ],
    }
    const first = await signIn('github', github)
    expect(first.status, JSON.stringify(first.body)).to.equal(200)
    expect(first.body.user).to.include({ email: 'ada@github.example', is_email_verified: true })
    expect((await signIn('github', github)).body.user.id).to.equal(first.body.user.id)
    const [identity] = await app.db('identities').where({ provider: 'github' })
    expect(identity.subject).to.equal('4711')
  })

  it('takes an answer once, from who began only', async () => {
    trusted.who = someone()
    const { answer, binding } = await visit('acme', trusted)
    const other = await visit('acme', trusted)
    expectProblem(await finish('acme', { ...answer, binding: other.binding }), 400, 'INVALID_TOKEN')
    expectProblem(await finish('loose', { ...answer, binding }), 400, 'INVALID_TOKEN')
    const cookieless = await app.call('GET', `/v1/oauth/acme/callback?${new URLSearchParams(answer)}`, {
      headers: from(),
    })
    expectProblem(cookieless, 400, 'INVALID_TOKEN')
    expectProblem(await finish('acme', { ...other.answer, state: answer.state, binding }), 403)
    const parallel = await visit('acme', trusted)
    const results = await Promise.all(
      Array.from({ length: 50 }, () => finish('acme', { ...parallel.answer, binding: parallel.binding })),
    )
    expect(results.filter((r) => r.status === 200)).to.have.length(1)
    for (const lost of results.filter((r) => r.status !== 200)) expectProblem(lost, 400, 'INVALID_TOKEN')
  })

  it('checks who answers: iss, state and nonce', async () => {
    trusted.who = someone()
    const forged = await visit('acme', trusted)
    expectProblem(
      await finish('acme', { ...forged.answer, iss: loose.url, binding: forged.binding }),
      403,
      'ACCESS_DENIED',
    )
    const missing = await visit('acme', trusted)
    const { iss, ...without } = missing.answer
    expect(iss).to.equal(trusted.url)
    expectProblem(await finish('acme', { ...without, binding: missing.binding }), 403, 'ACCESS_DENIED')
    // A code of another sign-in carries another nonce and another challenge.
    const [a, b] = [await visit('acme', trusted), await visit('acme', trusted)]
    expectProblem(await finish('acme', { ...a.answer, code: b.answer.code, binding: a.binding }), 403, 'ACCESS_DENIED')
    expect(await app.db('users').where({ email_key: trusted.who.email })).to.have.length(0)
  })

  it('binds a browser by a cookie, and turns a cross-site form into a GET that brings it', async () => {
    trusted.who = someone()
    const browser = new Browser(app.url)
    const begun = JSON.parse((await browser.open(`${app.url}/v1/oauth/acme/authorize`)).page!)
    expect([...browser.cookies.keys()]).to.deep.equal(['gh_social /v1/oauth'])
    const { left } = await new Browser(trusted.url).open(begun.authorization_url)
    const posted = await fetch(callback('acme'), {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: trusted.url },
      body: `${left!.searchParams}&session_state=unknown`,
    })
    expect(posted.status).to.equal(303)
    const answer = await browser.open(new URL(posted.headers.get('location')!, app.url).href)
    expect(JSON.parse(answer.page!).user.email).to.equal(trusted.who.email)
  })

  it('says so when the provider refuses or is away', async () => {
    trusted.who = undefined
    expectProblem(await signIn('acme', trusted), 403, 'ACCESS_DENIED')
    const gone = await startOidc([])
    await app.call('POST', '/v1/admin/identity-providers', {
      token: admin,
      body: { slug: 'gone', client_id: 'x', client_secret: 'y', issuer: gone.url },
    })
    await gone.close()
    await pause(300)
    const refused = await app.call('GET', '/v1/oauth/gone/authorize', { headers: from() })
    expectProblem(refused, 503, 'UNAVAILABLE')
    await app.call('DELETE', '/v1/admin/identity-providers/gone', { token: admin })
    await pause(300)
  })

  it('joins the verified account of an address that a trusted provider vouches for, and tells the owner', async () => {
    const bea = await app.person()
    await app.db('users').where({ id: bea.id }).update({ email_verified_at: app.db.fn.now() })
    trusted.who = someone({ email: bea.email })
    const answer = await signIn('acme', trusted)
    expect(answer.body.user.id).to.equal(bea.id)
    await app.smtp.waitFor(bea.email, /Acme/)
    const login = await app.call('POST', '/v1/auth/login', {
      body: { email: bea.email, password: bea.password },
      headers: from(),
    })
    expect(login.status, 'the password stays').to.equal(200)
  })

  it('joins nobody who administers: who may only set a provider up would become somebody who may do more', async () => {
    const boss = await app.person()
    const user_id = boss.id
    await app.db('users').where({ id: user_id }).update({ email_verified_at: app.db.fn.now() })
    await app.db('user_roles').insert({ tenant_id: DEFAULT_TENANT, user_id, role_id: ROLE.superAdmin })
    trusted.who = someone({ email: boss.email })
    expectProblem(await signIn('acme', trusted), 409, 'CONFLICT')
    expect(await app.db('identities').where({ user_id })).to.have.length(0)
    await app.db('user_roles').where({ user_id, role_id: ROLE.superAdmin }).delete()
  })

  it('lets no unverified address take an account over', async () => {
    const cy = await app.person()
    await app.db('users').where({ id: cy.id }).update({ email_verified_at: app.db.fn.now() })
    trusted.who = someone({ email: cy.email, email_verified: false })
    loose.who = someone({ email: cy.email, email_verified: true })
    expectProblem(await signIn('acme', trusted), 409, 'CONFLICT')
    expectProblem(await signIn('loose', loose), 409, 'CONFLICT')
    expect(await app.db('identities').where({ user_id: cy.id })).to.have.length(0)
  })

  it('drops password and sessions of who registered the address before its owner arrived', async () => {
    const thief = await app.person('owner@example.org', 'ThiefsPassword123!')
    trusted.who = someone({ email: 'owner@example.org' })
    const owner = await signIn('acme', trusted)
    expect(owner.body.user).to.include({ id: thief.id, is_email_verified: true })
    expect((await app.call('GET', '/v1/auth/me', { token: thief.accessToken })).status).to.equal(401)
    const login = await app.call('POST', '/v1/auth/login', {
      body: { email: thief.email, password: thief.password },
      headers: from(),
    })
    expectProblem(login, 401, 'INVALID_CREDENTIALS')
    expect((await app.call('GET', '/v1/auth/me', { token: owner.body.tokens.access_token })).status).to.equal(200)
  })

  it('drops the link of who came with the unverified address before its owner arrived', async () => {
    loose.who = someone({ email: 'owner2@example.org' })
    const thief = await signIn('loose', loose)
    expect(thief.body.user.is_email_verified).to.equal(false)
    trusted.who = someone({ email: 'owner2@example.org' })
    const owner = await signIn('acme', trusted)
    expect(owner.body.user.id).to.equal(thief.body.user.id)
    expect((await app.call('GET', '/v1/auth/me', { token: thief.body.tokens.access_token })).status).to.equal(401)
    expectProblem(await signIn('loose', loose), 409, 'CONFLICT')
  })

  const addTotp = (userId: string) =>
    app
      .db('credentials')
      .insert({ tenant_id: DEFAULT_TENANT, id: crypto.randomUUID(), user_id: userId, type: 'totp', secret: 'x' })

  it('never skips a second factor, and takes no account that has one without a verified address', async () => {
    trusted.who = someone()
    const { user } = (await signIn('acme', trusted)).body
    await addTotp(user.id)
    const answer = await signIn('acme', trusted)
    expect(answer.body).to.include({ mfa_required: true, user_id: user.id }).and.to.not.have.property('tokens')

    const di = await app.person()
    await addTotp(di.id)
    trusted.who = someone({ email: di.email })
    expectProblem(await signIn('acme', trusted), 409, 'CONFLICT')
    expect(await app.db('credentials').where({ user_id: di.id })).to.have.length(2)
  })

  it('finishes the hosted sign-in that waits, in that browser only', async () => {
    trusted.who = someone()
    const { browser, press, flow } = await arrive()
    const back = await press('acme', trusted)
    const thief = await new Browser(app.url).open(back.href)
    expect(thief.left).to.equal(undefined)
    expect(thief.status).to.equal(401)
    const { left } = await browser.open(back.href)
    const tokens = await redeem(rp, { ...flow, callback: left! })
    const [identity] = await app.db('identities').where({ subject: trusted.who.sub })
    expect(tokens.claims()?.sub).to.equal(identity.user_id)
    const binding = await finish('acme', { ...Object.fromEntries(back.searchParams), binding: 'x' })
    expectProblem(binding, 400, 'INVALID_TOKEN')
  })

  it('shows the login page again, in words, when it did not work', async () => {
    trusted.who = undefined
    const first = await arrive()
    const refused = await first.browser.open((await first.press('acme', trusted)).href)
    expect(refused.status).to.equal(403)
    expect(refused.page).to.include('Acme').and.include('name="password"')
    const ed = await app.person()
    loose.who = someone({ email: ed.email })
    const second = await arrive()
    const taken = await second.browser.open((await second.press('loose', loose)).href)
    expect(taken.status).to.equal(409)
    expect(taken.page).to.include('name="password"')
    expect(await app.db('identities').where({ user_id: ed.id })).to.have.length(0)
  })

  it('links and unlinks for who is signed in; the last way in stays', async () => {
    const fay = await app.person()
    const account = (method: string, path = '') =>
      app.call(method, `/api/account/federated-identities${path}`, { token: fay.accessToken, headers: from() })
    loose.who = someone()
    const link = async () => {
      const begun = await account('POST', '/loose')
      expect(begun.status, JSON.stringify(begun.body)).to.equal(200)
      const { answer } = await visit('loose', loose, begun)
      return finish('loose', { ...answer, binding: begun.body.data.binding })
    }
    expect((await link()).body).to.deep.equal({ linked: 'loose' })
    const listed = await account('GET')
    expect(listed.body.data).to.have.length(1)
    expect(listed.body.data[0]).to.include({ provider: 'loose', email: loose.who!.email })
    expect((await signIn('loose', loose)).body.user.id).to.equal(fay.id)
    await app.smtp.waitFor(fay.email, /Loose/)

    const gus = await app.person()
    const begun = await app.call('POST', '/api/account/federated-identities/loose', { token: gus.accessToken })
    const { answer } = await visit('loose', loose, begun)
    expectProblem(await finish('loose', { ...answer, binding: begun.body.data.binding }), 409, 'CONFLICT')

    expect((await account('DELETE', '/loose')).status).to.equal(200)
    expectSsoFailure(await account('DELETE', '/loose'), 404, 'NOT_FOUND')
    await link()
    await app.db('credentials').where({ user_id: fay.id }).delete()
    expectSsoFailure(await account('DELETE', '/loose'), 409, 'CONFLICT')
    expect(await app.db('identities').where({ user_id: fay.id })).to.have.length(1)
    await app
      .db('sessions')
      .where({ user_id: fay.id })
      .update({ payload: app.db.raw(`payload || '{"loginTs": 1}'`) })
    expectSsoFailure(await account('DELETE', '/loose'), 401, 'INSUFFICIENT_AUTHENTICATION')
    expectSsoFailure(await account('POST', '/acme'), 401, 'INSUFFICIENT_AUTHENTICATION')
  })

  it('makes no account where registration is off', async () => {
    await app.db('settings').insert({ tenant_id: DEFAULT_TENANT, key: 'registration_enabled', value: 'false' })
    await pause(300)
    trusted.who = someone()
    expectProblem(await signIn('acme', trusted), 403, 'REGISTRATION_DISABLED')
    expect(await app.db('users').where({ email_key: trusted.who.email })).to.have.length(0)
    await app.db('settings').where({ key: 'registration_enabled' }).delete()
    await pause(300)
  })

  it('forgets the links of a deleted provider, so that another of its name inherits nobody', async () => {
    loose.who = someone()
    expect((await signIn('loose', loose)).status).to.equal(200)
    await app.call('DELETE', '/v1/admin/identity-providers/loose', { token: admin })
    expect(await app.db('identities').where({ provider: 'loose' })).to.have.length(0)
    const changed = await app.call('PATCH', '/v1/admin/identity-providers/acme', {
      token: admin,
      body: { issuer: loose.url },
    })
    expectProblem(changed, 400, 'VALIDATION_ERROR')
  })
})
