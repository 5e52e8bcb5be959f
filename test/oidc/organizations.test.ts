/** Clients that demand an organization, and requests that name one: what is asked, what tokens say, and when they end. */
import { expect } from 'chai'
import * as client from 'openid-client'
import { pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { claimsOf, eventually } from '../support/oauth.ts'
import { someone } from '../support/roles.ts'
import { authorizationRequest, Browser, type RelyingParty, redeem, relyingParty } from '../support/rp.ts'

type At = Awaited<ReturnType<Browser['open']>>
type Asked = Awaited<ReturnType<typeof authorizationRequest>>
interface Organization {
  id: string
  slug: string
}

describe('signing in as a member of an organization', () => {
  let app: TestApp
  /** Demands one. */
  let team: RelyingParty
  /** Takes one that is named. */
  let notes: RelyingParty
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    team = await relyingParty(app, { first_party: true, login_policy: { organization: 'required' } })
    notes = await relyingParty(app, { first_party: true })
  })
  after(() => app.close())
  beforeEach(async () => void (await app.db('rate_limits').delete()))

  let made = 0
  const admin = async (method: string, path: string, body?: unknown) => {
    const answer = await app.call(method, `/api${path}`, { token: await app.admin(), ...(body ? { body } : {}) })
    expect(answer.status, JSON.stringify(answer.body)).to.be.within(200, 204)
    return answer.body?.data
  }
  const organization = async (...members: Person[]): Promise<Organization> => {
    made += 1
    const { id, tenant_id } = await admin('POST', '/organizations', { name: `Works ${made}` })
    for (const { id: user_id } of members) await join({ id }, user_id)
    return { id, slug: tenant_id }
  }
  const join = ({ id: org_id }: { id: string }, user_id: string): Promise<{ id: string }> =>
    admin('POST', '/organization-memberships', { org_id, user_id, role_id: 'Member' })
  const leave = async (where: Organization, who: Person) => {
    const { id } = await app.db('memberships').where({ organization_id: where.id, user_id: who.id }).first('id')
    await admin('DELETE', `/organization-memberships/${id}`)
  }
  const suspend = (where: Organization, status: string) => admin('PUT', `/organizations/${where.id}`, { status })

  const asked = (rp: RelyingParty, extra: Record<string, string> = {}) =>
    authorizationRequest(rp, { scope: 'openid email', ...extra })
  const signIn = (browser: Browser, at: At, { email, password }: Person) => browser.submit(at, { email, password })
  /** Opens a request in the browser, signing in where that is asked. */
  const come = async (browser: Browser, request: Asked, who: Person): Promise<At> => {
    const at = await browser.open(request.href)
    return at.page?.includes('name="password"') ? signIn(browser, at, who) : at
  }
  const tokensOf = async (rp: RelyingParty, request: Asked, at: At) => {
    expect(at.left?.searchParams.get('code'), at.page?.slice(0, 1500) ?? at.left?.href).to.be.a('string')
    const tokens = await redeem(rp, { ...request, callback: at.left! })
    return { ...tokens, access: claimsOf(tokens.access_token), id: tokens.claims()! }
  }
  /** A whole sign-in in a browser; `pick` answers the page that asks. */
  const arrive = async (rp: RelyingParty, browser: Browser, who: Person, extra = {}, pick?: Organization) => {
    const request = await asked(rp, extra)
    const at = await come(browser, request, who)
    return tokensOf(rp, request, pick ? await choose(browser, at, pick) : at)
  }
  const choose = (browser: Browser, at: At, { id }: Organization) => {
    expect(at.page, at.left?.href).to.include('Which organisation?')
    return browser.submit(at, { organization: id }, '/organization')
  }
  const cancel = async (browser: Browser, at: At) =>
    (await browser.submit(at, { action: 'cancel' }, '/organization')).left!.searchParams
  const isActive = async (rp: RelyingParty, token: string) => (await client.tokenIntrospection(rp.config, token)).active
  const refresh = (rp: RelyingParty, token: string) =>
    client.refreshTokenGrant(rp.config, token).catch((error: { error: string }) => error.error)

  describe('at a client that demands one', () => {
    it('who is in just one is not asked, and all tokens say which', async () => {
      const ada = await someone(app)
      const works = await organization(ada)
      const tokens = await arrive(team, new Browser(app.url), ada)
      expect(tokens.id.org_id).to.equal(works.id)
      expect(tokens.access.org_id).to.equal(works.id)
      expect((await client.fetchUserInfo(team.config, tokens.access_token, ada.id)).org_id).to.equal(works.id)
      expect(await client.tokenIntrospection(team.config, tokens.access_token)).to.include({ org_id: works.id })
      const fresh = (await refresh(team, tokens.refresh_token!)) as client.TokenEndpointResponse
      expect(claimsOf(fresh.access_token).org_id, 'a refresh keeps it').to.equal(works.id)
      expect(claimsOf(fresh.id_token!).org_id).to.equal(works.id)
    })

    it('who is in several chooses once for a session, and again where the app has them choose', async () => {
      const ada = await someone(app)
      const [one, two, foreign] = [await organization(ada), await organization(ada), await organization()]
      const browser = new Browser(app.url)
      const silent = () => asked(team, { prompt: 'none' })
      const first = await asked(team)
      const page = await come(browser, first, ada)
      expect(page.page).to.include(one.slug).and.include(two.slug).and.not.include(foreign.slug)
      expect((await browser.open((await silent()).href)).left!.searchParams.get('error')).to.equal(
        'interaction_required',
      )
      const again = await browser.submit(page, { organization: foreign.id }, '/organization')
      expect(again.left, 'another one is no answer').to.equal(undefined)
      expect((await tokensOf(team, first, await choose(browser, again, two))).id.org_id).to.equal(two.id)

      expect((await arrive(team, browser, ada)).id.org_id, 'remembered').to.equal(two.id)
      expect((await arrive(team, browser, ada, { prompt: 'none' })).id.org_id).to.equal(two.id)
      expect((await arrive(team, browser, ada, { prompt: 'login' }, one)).id.org_id).to.equal(one.id)
      expect((await arrive(team, browser, ada)).id.org_id).to.equal(one.id)
      const selecting = await asked(team, { prompt: 'select_account' })
      const accounts = await browser.open(selecting.href)
      const onward = await browser.submit(accounts, { action: 'continue' }, '/account')
      expect((await tokensOf(team, selecting, await choose(browser, onward, two))).id.org_id).to.equal(two.id)
      expect((await arrive(team, new Browser(app.url), ada, {}, one)).id.org_id, 'other sessions ask').to.equal(one.id)
    })

    it('a request may name one, by slug or id, whatever was chosen before', async () => {
      const ada = await someone(app)
      const [one, two] = [await organization(ada), await organization(ada)]
      const browser = new Browser(app.url)
      expect((await arrive(team, browser, ada, { organization: one.slug })).id.org_id).to.equal(one.id)
      expect((await arrive(team, browser, ada, { organization: two.id })).id.org_id).to.equal(two.id)
      expect((await arrive(team, browser, ada, { organization: two.id, prompt: 'none' })).id.org_id).to.equal(two.id)
      expect((await arrive(team, browser, ada)).id.org_id, 'the last one stays').to.equal(two.id)
      const pushed = await client.buildAuthorizationUrlWithPAR(
        team.config,
        Object.fromEntries(new URL((await asked(team, { organization: one.slug, prompt: 'none' })).href).searchParams),
      )
      const { left } = await browser.open(pushed.href)
      expect(left!.searchParams.get('code'), 'also when pushed').to.be.a('string')
    })

    it('who is in none, or not in the named one, sees why, and the app learns access_denied', async () => {
      const [ada, bob] = [await someone(app), await someone(app)]
      const [hers, his] = [await organization(ada), await organization(bob)]
      await suspend(his, 'suspended')
      const stranger = new Browser(app.url)
      const none = await come(stranger, await asked(team), bob)
      expect(none.status).to.equal(403)
      expect(none.page).to.include('You are in no organisation').and.not.include(his.slug)
      const denied = await cancel(stranger, none)
      expect(denied.get('error')).to.equal('access_denied')
      expect(denied.get('error_description')).to.equal('The person is a member of no active organization')

      const browser = new Browser(app.url)
      for (const organization of [his.slug, his.id, 'no-such', 'A'.repeat(500)]) {
        const at = await come(browser, await asked(team, { organization }), ada)
        expect(at.status).to.equal(403)
        expect(at.page).to.include('You are not a member').and.not.include(hers.slug).and.not.include('Works')
        const forced = await browser.submit(at, { organization: his.id }, '/organization')
        expect(forced.status).to.equal(403)
        const silent = await browser.open((await asked(team, { organization, prompt: 'none' })).href)
        expect(silent.left!.searchParams.get('error')).to.equal('interaction_required')
        const refused = await cancel(browser, forced)
        expect(refused.get('error')).to.equal('access_denied')
        expect(refused.get('error_description')).to.include('no member of an active organization')
      }
      const ids = [ada.id, bob.id]
      expect(await app.db('oidc_models').whereIn('user_id', ids).where({ client_id: team.clientId })).to.deep.equal([])
    })

    it('who was invited meanwhile goes on where they are', async () => {
      const ada = await someone(app)
      const browser = new Browser(app.url)
      const request = await asked(team)
      const none = await come(browser, request, ada)
      const works = await organization(ada)
      expect((await tokensOf(team, request, await browser.open(none.url))).id.org_id).to.equal(works.id)

      const other = await organization()
      const named = await asked(team, { organization: other.slug })
      const at = await browser.open(named.href)
      await join(other, ada.id)
      expect((await tokensOf(team, named, await browser.open(at.url))).id.org_id).to.equal(other.id)
    })

    it('another account may go on from there, and what the first one chose is not theirs', async () => {
      const [ada, bob] = [await someone(app), await someone(app)]
      const [one, two] = [await organization(ada, bob), await organization(ada, bob)]
      const third = await relyingParty(app, { login_policy: { organization: 'required' } })
      const browser = new Browser(app.url)
      const request = await asked(third)
      const consent = await choose(browser, await come(browser, request, ada), one)
      expect(consent.page).to.include('As a member of').and.include('value="allow"')
      const login = await browser.open(`${consent.url}?other=1`)
      const leaving = await signIn(browser, login, bob)
      const his = leaving.page?.includes('name="xsrf"') ? await browser.submit(leaving, {}, 'xsrf') : leaving
      const allowed = await browser.submit(await choose(browser, his, two), { action: 'allow' })
      const tokens = await tokensOf(third, request, allowed)
      expect(tokens.id).to.include({ sub: bob.id, org_id: two.id })
    })

    it('tabs with different organizations do not undo each other', async () => {
      const ada = await someone(app)
      const [one, two] = [await organization(ada), await organization(ada)]
      const browser = new Browser(app.url)
      await arrive(notes, browser, ada)
      const [left, right] = [await asked(team), await asked(team)]
      const [leftPage, rightPage] = [await browser.open(left.href), await browser.open(right.href)]
      const ofRight = await tokensOf(team, right, await choose(browser, rightPage, two))
      const ofLeft = await tokensOf(team, left, await choose(browser, leftPage, one))
      expect([ofLeft.id.org_id, ofRight.id.org_id]).to.deep.equal([one.id, two.id])
      for (const [tokens, { id }] of [
        [ofLeft, one],
        [ofRight, two],
      ] as const) {
        const fresh = (await refresh(team, tokens.refresh_token!)) as client.TokenEndpointResponse
        expect(claimsOf(fresh.access_token).org_id).to.equal(id)
      }
    })
  })

  it('signing out of the client alone ends what it has for every organization, and of no other client', async () => {
    const ada = await someone(app)
    const [one, two] = [await organization(ada), await organization(ada)]
    const browser = new Browser(app.url)
    const other = await arrive(notes, browser, ada)
    const ofOne = await arrive(team, browser, ada, { organization: one.slug })
    const ofTwo = await arrive(team, browser, ada, { organization: two.slug })
    const leaving = await browser.open(client.buildEndSessionUrl(team.config, { id_token_hint: ofTwo.id_token! }).href)
    const { page } = await browser.submit(leaving, { logout: '' }, 'xsrf')
    expect(page).to.include('You are signed in')
    for (const { access_token, refresh_token } of [ofOne, ofTwo]) {
      expect(await isActive(team, access_token)).to.equal(false)
      expect(await refresh(team, refresh_token!)).to.equal('invalid_grant')
    }
    const fresh = (await refresh(notes, other.refresh_token!)) as client.TokenEndpointResponse
    expect(fresh.access_token).to.be.a('string')
  })

  it('a client that demands none takes a named one, and without a name tokens are of none', async () => {
    const ada = await someone(app)
    const works = await organization(ada)
    const browser = new Browser(app.url)
    const plain = await arrive(notes, browser, ada)
    expect(plain.id).to.not.have.property('org_id')
    expect(plain.access).to.not.have.property('org_id')
    expect((await arrive(notes, browser, ada, { organization: works.slug })).access.org_id).to.equal(works.id)
    expect((await arrive(notes, browser, ada)).access).to.not.have.property('org_id')
    const fresh = (await refresh(notes, plain.refresh_token!)) as client.TokenEndpointResponse
    expect(claimsOf(fresh.access_token), 'what was issued for none stays so').to.not.have.property('org_id')
  })

  it('opaque tokens say it as well, where they are introspected', async () => {
    const ada = await someone(app)
    const works = await organization(ada)
    const fields = { first_party: true, access_token_format: 'opaque', login_policy: { organization: 'required' } }
    const opaque = await relyingParty(app, fields)
    const request = await asked(opaque)
    const at = await come(new Browser(app.url), request, ada)
    const { access_token: token } = await redeem(opaque, { ...request, callback: at.left! })
    expect(token).to.match(/^at_/)
    expect(await client.tokenIntrospection(opaque.config, token)).to.include({ active: true, org_id: works.id })
    await leave(works, ada)
    expect(await isActive(opaque, token)).to.equal(false)
  })

  describe('what was issued for one', () => {
    it('ends with the membership, at once, and only that', async () => {
      const ada = await someone(app)
      const [one, two] = [await organization(ada), await organization(ada)]
      const browser = new Browser(app.url)
      const ofOne = await arrive(team, browser, ada, { organization: one.slug })
      const ofTwo = await arrive(team, browser, ada, { organization: two.slug })
      const request = await asked(team, { organization: two.slug })
      const code = await browser.open(request.href)
      expect(await isActive(team, ofTwo.access_token)).to.equal(true)
      await leave(two, ada)
      expect(await isActive(team, ofTwo.access_token)).to.equal(false)
      expect(await isActive(team, ofTwo.refresh_token!)).to.equal(false)
      expect(await refresh(team, ofTwo.refresh_token!)).to.equal('invalid_grant')
      const userinfo = await app.call('GET', '/oauth/userinfo', { token: ofTwo.access_token })
      expect(userinfo.status).to.equal(401)
      const late = await redeem(team, { ...request, callback: code.left! }).catch((error) => error)
      expect(late.error, 'a code as well').to.equal('invalid_grant')
      expect(await isActive(team, ofOne.access_token), 'the other one goes on').to.equal(true)
      expect((await arrive(team, browser, ada)).id.org_id, 'and is what is left').to.equal(one.id)
    })

    it('is not what a request goes on with that was under way', async () => {
      const ada = await someone(app)
      const works = await organization(ada)
      const browser = new Browser(app.url)
      await arrive(team, browser, ada)
      await pause(2100)
      const login = await browser.open((await asked(team, { max_age: '1' })).href)
      expect(login.page).to.include('name="password"')
      await leave(works, ada)
      expect((await signIn(browser, login, ada)).page).to.include('You are in no organisation')
    })

    it('rests while the organization is suspended, and ends when it is deleted', async () => {
      const ada = await someone(app)
      const works = await organization(ada)
      const browser = new Browser(app.url)
      const tokens = await arrive(team, browser, ada)
      await suspend(works, 'suspended')
      expect(await isActive(team, tokens.access_token)).to.equal(false)
      expect(await refresh(team, tokens.refresh_token!)).to.equal('invalid_grant')
      expect((await browser.open((await asked(team)).href)).page).to.include('You are in no organisation')
      await suspend(works, 'active')
      expect(await isActive(team, tokens.access_token)).to.equal(true)
      expect(((await refresh(team, tokens.refresh_token!)) as client.TokenEndpointResponse).access_token).to.be.a(
        'string',
      )
      await admin('DELETE', `/organizations/${works.id}`)
      expect(await isActive(team, tokens.access_token)).to.equal(false)
    })

    it('a row that goes by hand is noticed within a second', async () => {
      const ada = await someone(app)
      const works = await organization(ada)
      const tokens = await arrive(team, new Browser(app.url), ada)
      expect(await isActive(team, tokens.access_token)).to.equal(true)
      await app.db('memberships').where({ organization_id: works.id }).delete()
      await eventually(async () => expect(await isActive(team, tokens.access_token)).to.equal(false))
    })
  })

  it('a client that begins to demand one sends its people through signing in again', async () => {
    const ada = await someone(app)
    const works = await organization(ada)
    const late = await relyingParty(app, { first_party: true, scope: 'openid email account' })
    const browser = new Browser(app.url)
    const before = await arrive(late, browser, ada, { scope: 'openid email account' })
    const me = (token: string) => app.call('GET', '/v1/auth/me', { token })
    expect((await me(before.access_token)).status).to.equal(200)
    const body = { login_policy: { organization: 'required' } }
    expect((await app.call('PUT', `/clients/${late.clientId}`, { token: await app.admin(), body })).status).to.equal(
      200,
    )
    await eventually(async () => expect(await refresh(late, before.refresh_token!)).to.equal('invalid_grant'))
    const refused = await me(before.access_token)
    expect(refused.status).to.equal(401)
    expect(refused.headers.get('www-authenticate'))
      .to.include('insufficient_user_authentication')
      .and.include('asks for an organization')
      .and.not.include('acr_values')
    const after = await arrive(late, browser, ada, { scope: 'openid email account' })
    expect(after.id.org_id).to.equal(works.id)
    expect((await me(after.access_token)).status).to.equal(200)
  })

  it('machines of such a client are asked for none', async () => {
    const fields = { grant_types: ['client_credentials'], redirect_uris: [], post_logout_redirect_uris: undefined }
    const machine = await relyingParty(app, { ...fields, login_policy: { organization: 'required' } })
    const { access_token } = await client.clientCredentialsGrant(machine.config)
    expect(claimsOf(access_token)).to.not.have.property('org_id')
    expect(await isActive(machine, access_token)).to.equal(true)
  })

  it('the built-in client of direct logins cannot be made to demand one', async () => {
    const body = { login_policy: { organization: 'required' } }
    const answer = await app.call('PUT', '/clients/gatehouse', { token: await app.admin(), body })
    expect(answer.status).to.equal(403)
    expect(claimsOf((await someone(app)).accessToken)).to.not.have.property('org_id')
  })
})
