import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually, makeClient, post, signInto } from '../support/oauth.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

/** As sso-api shows it. */
const EXAMPLE = {
  name: 'My App',
  clientKey: 'my-app',
  redirectUrl: 'https://my-app.local.test',
  callbackUrl: 'https://my-app.local.test/callback',
  description: 'App description',
  developerEmail: 'dev@example.com',
  developerName: 'John Doe',
  framework: 'React + Vite',
  purpose: 'Development',
  requiresOrganization: true,
  organizationModel: 'multi',
  organizationFeatures: ['user_management', 'workspaces'],
  onboardingFlow: 'flexible',
}
const SUPPORT = {
  enabled: true,
  model: 'multi',
  features: ['user_management', 'workspaces'],
  onboardingFlow: 'flexible',
}

describe('apps that ask for approval', () => {
  let app: TestApp
  let admin: string
  let ada: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    admin = await app.admin()
    ada = await app.person()
  })
  after(() => app.close())

  let number = 0
  const ask = async (fields: object = {}) => {
    const clientKey = `app-${++number}`
    const body = { ...EXAMPLE, clientKey, developerEmail: `${clientKey}@example.com`, callbackUrl: REDIRECT, ...fields }
    return app.call('POST', '/auth/client-requests', { body, headers: from() })
  }
  const asked = async (fields: object = {}) => {
    const answer = await ask(fields)
    expect(answer.status, JSON.stringify(answer.body)).to.equal(201)
    return answer.body.data.request
  }
  const decide = (id: string, how: 'approve' | 'reject', body: object = {}, token = admin) =>
    app.call('POST', `/auth/admin/client-requests/${id}/${how}`, { token, body })
  const secretLink = async (clientKey: string) => {
    const mail = await app.smtp.waitFor(`${clientKey}@example.com`, /client-secret/)
    return mail.link('client-secret')
  }
  const take = (link: string) =>
    app.call('POST', '/auth/client-requests/secret', {
      body: { token: new URL(link).searchParams.get('token') },
      headers: from(),
    })

  it('answer as sso-api shows, and can be looked up by their key, without the developer', async () => {
    const answer = await app.call('POST', '/auth/client-requests', { body: EXAMPLE })
    expect(answer.status).to.equal(201)
    const { request, message } = answer.body.data
    expect(answer.body.success).to.equal(true)
    expect(message).to.equal('Client registration request submitted successfully')
    expect(request.id).to.match(/^req_/)
    expect(request).to.deep.equal({
      id: request.id,
      clientKey: 'my-app',
      status: 'pending',
      organizationSupport: SUPPORT,
    })
    const status = await app.call('GET', '/auth/client-requests/my-app/status')
    expect(status.body.data).to.include({ id: request.id, clientKey: 'my-app', status: 'pending', decidedAt: null })
    expect(JSON.stringify(status.body)).to.not.match(/dev@|John|description/)
    const mail = await app.smtp.waitFor('dev@example.com', /register an app/)
    expect(mail.raw).to.not.match(/my-app|My App|John/)
    const listed = (await app.call('GET', '/auth/admin/client-requests', { token: admin })).body.data
    expect(listed[0]).to.deep.include({
      developerEmail: 'dev@example.com',
      developerName: 'John Doe',
      framework: 'React + Vite',
    })
    expectSsoFailure(await app.call('GET', '/auth/client-requests/unheard/status'), 404, 'NOT_FOUND')
    expectSsoFailure(await app.call('GET', '/auth/clients/my-app/config'), 404, 'NOT_FOUND')
  })

  it('are approved once, of fifty at once as well; the developer fetches a secret that works, once', async () => {
    const { id, clientKey } = await asked()
    const answers = await Promise.all(Array.from({ length: 50 }, () => decide(id, 'approve')))
    const done = answers.filter(({ status }) => status === 200)
    expect(done).to.have.length(1)
    expect(done[0]!.body.data.request).to.include({ clientKey, status: 'approved' })
    expect(JSON.stringify(done[0]!.body)).to.not.match(/secret/i)
    for (const answer of answers.filter(({ status }) => status !== 200)) expectSsoFailure(answer, 409, 'CONFLICT')
    expectSsoFailure(await decide(id, 'reject'), 409, 'CONFLICT')
    const rows = await app.db('clients').where({ client_id: clientKey })
    expect(rows).to.have.length(1)
    expect(rows[0]).to.include({ origin: 'request', first_party: false, require_pkce: true })

    const link = await secretLink(clientKey)
    const taken = await Promise.all(Array.from({ length: 50 }, () => take(link)))
    const given = taken.filter(({ status }) => status === 200)
    expect(given).to.have.length(1)
    for (const answer of taken.filter(({ status }) => status !== 200)) expectSsoFailure(answer, 400, 'INVALID_TOKEN')
    expect(await app.db('client_secrets').where({ client: rows[0].id })).to.have.length(1)
    const client = { id: rows[0].id, clientId: clientKey, clientSecret: given[0]!.body.data.clientSecret }
    await eventually(async () => expect((await signInto(app, client, ada)).status).to.equal(200))

    const config = (await app.call('GET', `/auth/clients/${clientKey}/config`)).body.data
    expect(config).to.deep.include({ clientKey, name: 'My App', issuer: app.url, organizationSupport: SUPPORT })
    expect(config.redirectUris).to.deep.equal([REDIRECT])
    expect(JSON.stringify(config)).to.not.match(/@example|secret"/)
    const types = await app.db('events').where({ client_id: clientKey }).orderBy('id').pluck('type')
    expect(types).to.include.members(['client_request.submitted', 'client_request.approved', 'client.created'])
  })

  it('show their secret on a page, not to mail scanners that only open the link', async () => {
    const { id, clientKey } = await asked()
    await decide(id, 'approve')
    const link = await secretLink(clientKey)
    const browser = new Browser(app.url)
    for (let i = 0; i < 2; i++) expect((await browser.open(link)).page).to.include('Show the secret')
    const at = await browser.submit(await browser.open(link), { action: 'show' })
    const secret = /class="key">([\w-]{40,})</.exec(at.page!)?.[1]
    expect(secret, at.page).to.be.a('string')
    const again = await browser.open(link)
    expect(again.page).to.include('link').and.not.include(secret!)
    const { body } = await post(
      app,
      '/oauth/token',
      { grant_type: 'authorization_code', code: 'x', redirect_uri: REDIRECT, code_verifier: 'x'.repeat(43) },
      { client: { id: '', clientId: clientKey, clientSecret: secret } },
    )
    expect(body.error).to.equal('invalid_grant')
  })

  it('without a back end get no secret, but word', async () => {
    const { id, clientKey } = await asked({ callbackUrl: 'http://localhost:5173/callback', redirectUrl: null })
    const approved = await decide(id, 'approve', { tokenEndpointAuthMethod: 'none', scope: 'openid email' })
    expect(approved.status).to.equal(200)
    const mail = await app.smtp.waitFor(`${clientKey}@example.com`, /auth\/clients/)
    expect(mail.raw).to.not.include('client-secret')
    const config = (await app.call('GET', `/auth/clients/${clientKey}/config`)).body.data
    expect(config).to.include({ tokenEndpointAuthMethod: 'none', scope: 'openid email' })
  })

  it('are declined with a reason, and may be asked for again', async () => {
    const { id, clientKey } = await asked()
    const reason = 'We do not know <you>'
    expect((await decide(id, 'reject', { reason })).body.data.request).to.include({ status: 'rejected', reason })
    const mail = await app.smtp.waitFor(`${clientKey}@example.com`, /We do not know/)
    expect(mail.raw).to.include('We do not know &lt;you&gt;')
    const status = (await app.call('GET', `/auth/client-requests/${clientKey}/status`)).body.data
    expect(status.status).to.equal('rejected')
    expect(status).to.not.have.property('reason')
    expectSsoFailure(await decide(id, 'approve'), 409, 'CONFLICT')
    expect(await app.db('clients').where({ client_id: clientKey })).to.have.length(0)
    const again = await asked({ clientKey })
    expect(again.id).to.not.equal(id)
    expect((await app.call('GET', `/auth/client-requests/${clientKey}/status`)).body.data.status).to.equal('pending')
  })

  it('take no key that is in use, in parallel either, and lead people nowhere strange', async () => {
    const client = await makeClient(app, { client_id: 'taken' })
    expectSsoFailure(await ask({ clientKey: 'taken' }), 409, 'CONFLICT')
    expectSsoFailure(await ask({ clientKey: 'gatehouse' }), 409, 'CONFLICT')
    const many = await Promise.all(
      Array.from({ length: 10 }, (_, i) => ask({ clientKey: 'race', developerEmail: `r${i}@example.com` })),
    )
    expect(many.filter(({ status }) => status === 201)).to.have.length(1)
    const bad: object[] = [
      { callbackUrl: 'http://app.example.com/cb' },
      { callbackUrl: 'javascript:alert(1)' },
      { callbackUrl: 'https://app.example.com/cb#x' },
      { redirectUrl: 'com.example.app:/' },
      { redirectUrl: 'http://app.example.com' },
      { clientKey: client.id },
      { clientKey: 'Upper' },
      { clientKey: '' },
      { name: '' },
      { name: 'a\u0000b' },
      { developerEmail: 'nobody' },
      { organizationFeatures: 'all' },
      { organizationModel: { $ne: 1 } },
      { admin: true },
    ]
    const before = (await app.db('client_requests')).length
    for (const fields of bad) expectSsoFailure(await ask(fields), 400, 'VALIDATION_ERROR')
    expect(await app.db('client_requests')).to.have.length(before)
  })

  it('are decided by super administrators of their own tenant', async () => {
    const { id, clientKey } = await asked()
    const rita = await someone(app, ROLE.admin)
    const list = (token: string, base = '') =>
      app.call('GET', `${base}/auth/admin/client-requests?limit=100`, { token })
    expect((await list(rita.accessToken)).body.data.map((r: any) => r.clientKey)).to.include(clientKey)
    expectSsoFailure(await decide(id, 'approve', {}, rita.accessToken), 403, 'ACCESS_DENIED')
    expectSsoFailure(await decide(id, 'reject', {}, ada.accessToken), 403, 'ACCESS_DENIED')
    const acme = await withTenant(app, 'acme')
    const there = { token: acme.boss.accessToken, body: {} }
    expectSsoFailure(
      await app.call('POST', `/t/acme/auth/admin/client-requests/${id}/approve`, there),
      404,
      'NOT_FOUND',
    )
    expect((await list(acme.boss.accessToken, '/t/acme')).body.data).to.have.length(0)
    expectSsoFailure(await app.call('GET', `/t/acme/auth/client-requests/${clientKey}/status`), 404, 'NOT_FOUND')
    for (const nonsense of ['req_1', 'x', '00000000-0000-4000-8000-000000000000'])
      expectSsoFailure(await decide(nonsense, 'approve'), 404, 'NOT_FOUND')
    expect((await app.call('GET', `/auth/client-requests/${clientKey}/status`)).body.data.status).to.equal('pending')
  })

  it('get nothing a link in a mailbox should give, once the client was given rights', async () => {
    const { id, clientKey } = await asked()
    await decide(id, 'approve')
    const link = await secretLink(clientKey)
    const change = { token: admin, body: { scope: 'openid users:write' } }
    expect((await app.call('PUT', `/clients/${clientKey}`, change)).status).to.equal(200)
    const before = await app.db('client_secrets').pluck('id')
    expectSsoFailure(await take(link), 403, 'ACCESS_DENIED')
    expect(await app.db('client_secrets').pluck('id')).to.have.members(before)
  })

  it('are slowed down by network and by mailbox, and can be switched off', async () => {
    const first = await asked()
    const body = (i: number) => ({ ...EXAMPLE, clientKey: `flood-${i}`, developerEmail: 'victim@example.com' })
    const answers = []
    for (let i = 0; i < 12; i++) answers.push(await app.call('POST', '/auth/client-requests', { body: body(i) }))
    expect(answers.filter(({ status }) => status === 201)).to.have.length(10)
    expectSsoFailure(answers.at(-1)!, 429, 'RATE_LIMITED')
    const elsewhere = await app.call('POST', '/auth/client-requests', { body: body(99), headers: from() })
    expectSsoFailure(elsewhere, 429, 'RATE_LIMITED')
    const set = (value: unknown) =>
      app.call('PATCH', '/v1/admin/settings/client_requests_enabled', { token: admin, body: { value } })
    expect((await set(false)).status).to.equal(200)
    await eventually(async () => expectSsoFailure(await ask(), 403, 'ACCESS_DENIED'))
    expect((await decide(first.id, 'approve')).status).to.equal(200)
    await set(true)
    await eventually(async () => expect((await ask()).status).to.equal(201))
  })

  it('go with the client', async () => {
    const { id, clientKey } = await asked()
    await decide(id, 'approve')
    const link = await secretLink(clientKey)
    expect((await app.call('DELETE', `/auth/clients/${clientKey}`, { token: admin })).status).to.equal(200)
    expect(await app.db('client_requests').where({ client_key: clientKey })).to.have.length(0)
    expectSsoFailure(await take(link), 400, 'INVALID_TOKEN')
    expectSsoFailure(await app.call('GET', `/auth/clients/${clientKey}/config`), 404, 'NOT_FOUND')
    expectProblem(await app.call('GET', `/clients/${clientKey}`, { token: admin }), 404, 'NOT_FOUND')
  })
})
