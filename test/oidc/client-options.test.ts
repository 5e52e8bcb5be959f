import { expect } from 'chai'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { claimsOf, eventually, makeClient, post, signInto, verifierOf } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

describe('a client', () => {
  let app: TestApp
  let admin: string
  let ada: Person
  before(async () => {
    app = await startApp()
    admin = await app.admin()
    ada = await app.person()
  })
  after(() => app.close())

  it('may have tokens that live shorter than the tenant says', async () => {
    const lifetimes = { access_token: 120, id_token: 60, refresh_token: 600, session: 1000 }
    const client = await makeClient(app, { lifetimes })
    const scope = 'openid offline_access'
    const { body } = await signInto(app, client, ada, { scope, prompt: 'consent' })
    expect(body.expires_in).to.equal(120)
    const life = (jwt: string) => claimsOf(jwt).exp - claimsOf(jwt).iat
    expect([life(body.access_token), life(body.id_token)]).to.deep.equal([120, 60])
    const stored = () =>
      app
        .db('oidc_models')
        .where({ model: 'RefreshToken', client_id: client.clientId, consumed_at: null })
        .first(app.db.raw('extract(epoch from expires_at - now())::int as left'))
    expect((await stored()).left).to.be.within(590, 600)

    // 900 of the 1000 seconds ago the person signed in.
    await app
      .db('oidc_models')
      .where({ model: 'RefreshToken', client_id: client.clientId })
      .update({ payload: app.db.raw(`jsonb_set(payload, '{iiat}', to_jsonb((payload->>'iiat')::int - 900))`) })
    const grant = { grant_type: 'refresh_token', refresh_token: body.refresh_token }
    const refreshed = await post(app, '/oauth/token', grant, { client })
    expect(refreshed.status, JSON.stringify(refreshed.body)).to.equal(200)
    expect((await stored()).left).to.be.within(80, 100)
  })

  it('cannot stretch what the tenant allows, also when the tenant allows less later', async () => {
    const client = await makeClient(app, { grant_types: ['client_credentials'], redirect_uris: [] })
    const put = (lifetimes: object | null) =>
      app.call('PUT', `/clients/${client.id}`, { token: admin, body: { lifetimes } })
    expectProblem(await put({ access_token: 901 }), 400, 'VALIDATION_ERROR')
    expectProblem(await put({ access_token: 59 }), 400, 'VALIDATION_ERROR')
    expect((await put({ access_token: 800 })).body.lifetimes).to.deep.equal({ access_token: 800 })
    const life = async () =>
      (await post(app, '/oauth/token', { grant_type: 'client_credentials' }, { client })).body.expires_in
    await eventually(async () => expect(await life()).to.equal(800))
    const setting = '/v1/admin/settings/access_token_lifetime'
    await app.call('PATCH', setting, { token: admin, body: { value: 300 } })
    await eventually(async () => expect(await life()).to.equal(300))
    await app.call('PATCH', setting, { token: admin, body: { value: null } })
    expect((await put(null)).body.lifetimes).to.deep.equal({})
    await eventually(async () => expect(await life()).to.equal(900))
  })

  it('may give hosted pages its own face and words', async () => {
    const branding = {
      logo_uri: 'https://shop.example.com/logo.svg',
      primary_color: '#aa3300',
      texts: {
        en: {
          title: 'Welcome to <Shop>',
          text: 'Your orders wait.',
          messages: { 'login.submit': 'Go & buy', 'register.title': 'Become a <customer>' },
        },
        de: { title: 'Willkommen' },
      },
    }
    const client = await makeClient(app, { branding })
    const other = await makeClient(app)
    const page = async (client_id: string, ui_locales: string) => {
      const query = new URLSearchParams({
        client_id,
        ui_locales,
        response_type: 'code',
        redirect_uri: REDIRECT,
        scope: 'openid',
        code_challenge: verifierOf().challenge,
        code_challenge_method: 'S256',
      })
      const browser = new Browser(app.url)
      const { page: signIn } = await browser.open(`${app.url}/oauth/authorize?${query}`)
      const [, register] = /href="([^"]*\/register)"/.exec(signIn!)!
      return signIn! + (await browser.open(new URL(register!, app.url).href)).page!
    }
    const english = await page(client.clientId, 'en')
    expect(english).to.include('<h1>Welcome to &lt;Shop&gt;</h1>').and.include('Your orders wait.')
    expect(english).to.include('src="https://shop.example.com/logo.svg"').and.include('--brand:#aa3300')
    expect(english).to.include('Go &amp; buy').and.include('<h1>Become a &lt;customer&gt;</h1>')
    const german = await page(client.clientId, 'de')
    expect(german).to.include('<h1>Willkommen</h1>').and.not.include('Your orders wait.')
    const plain = await page(other.clientId, 'en')
    expect(german + plain)
      .to.not.include('buy')
      .and.not.include('customer')
    expect(plain).to.not.include('Shop').and.not.include('--brand:#aa3300')
    const put = (change: object) =>
      app.call('PUT', `/clients/${client.id}`, { token: admin, body: { branding: change } })
    for (const bad of [
      { logo_uri: 'http://x.example.com/a.svg' },
      { primary_color: 'red' },
      { texts: { 'not a language': { title: 'x' } } },
      { texts: { en: { html: 'x' } } },
      { texts: { en: { messages: { 'no.such': 'x' } } } },
      { texts: { en: { messages: { 'sms.code': '{code}' } } } },
      { texts: { en: { messages: { 'login.submit': 'Hi {name}' } } } },
    ])
      expectProblem(await put(bad), 400, 'VALIDATION_ERROR')
    expect((await put({ texts: null })).body.branding).to.deep.equal({
      logo_uri: branding.logo_uri,
      primary_color: branding.primary_color,
    })
  })
})
