import { expect } from 'chai'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as client from 'openid-client'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { authorize, Browser, type RelyingParty, redeem, relyingParty } from '../support/rp.ts'

describe('authorization code with PKCE by a third party', () => {
  let app: TestApp
  let rp: RelyingParty
  let ada: Person
  before(async () => {
    app = await startApp()
    rp = await relyingParty(app)
    ada = await app.person('ada@example.com')
  })
  after(() => app.close())

  it('signs Ada in, gives tokens, refreshes, answers userinfo, introspects, revokes', async () => {
    const browser = new Browser(app.url)
    const tokens = await redeem(rp, await authorize(app, rp, browser, ada))
    expect(tokens.token_type).to.equal('bearer')
    expect(tokens.claims()?.sub).to.equal(ada.id)
    const { payload, protectedHeader } = await jwtVerify(
      tokens.access_token,
      createRemoteJWKSet(new URL(`${app.url}/oauth/jwks`)),
      {
        issuer: app.url,
        audience: app.url,
        typ: 'at+jwt',
      },
    )
    expect(protectedHeader.alg).to.equal('ES256')
    expect(payload.client_id).to.equal(rp.clientId)
    expect(payload.sid).to.equal(tokens.claims()?.sid ?? payload.sid)

    const info = await client.fetchUserInfo(rp.config, tokens.access_token, ada.id)
    expect(info.email).to.equal('ada@example.com')
    const fresh = await client.refreshTokenGrant(rp.config, tokens.refresh_token!)
    expect(fresh.refresh_token).to.not.equal(tokens.refresh_token)
    const seen = await client.tokenIntrospection(rp.config, fresh.access_token)
    expect(seen).to.include({ active: true, sub: ada.id, client_id: rp.clientId, iss: app.url })
    await client.tokenRevocation(rp.config, fresh.access_token)
    expect((await client.tokenIntrospection(rp.config, fresh.access_token)).active).to.equal(false)
  })

  it('needs no password and no consent a second time in the same browser', async () => {
    const browser = new Browser(app.url)
    await redeem(rp, await authorize(app, rp, browser, ada))
    const again = await authorize(app, rp, browser, { email: 'nobody@example.com', password: 'unused' })
    expect(again.callback.searchParams.get('code')).to.be.a('string')
    expect(again.callback.searchParams.get('iss')).to.equal(app.url)
  })

  it('refuses an authorization request without PKCE', async () => {
    const url = client.buildAuthorizationUrl(rp.config, {
      redirect_uri: 'https://rp.example.com/callback',
      scope: 'openid',
    })
    const { left } = await new Browser(app.url).open(url.href)
    expect(left?.searchParams.get('error')).to.equal('invalid_request')
  })

  it('sends nobody on with a code that could not be stored', async () => {
    const browser = new Browser(app.url)
    await redeem(rp, await authorize(app, rp, browser, ada))
    const url = client.buildAuthorizationUrl(rp.config, {
      redirect_uri: 'https://rp.example.com/callback',
      scope: 'openid profile email',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
      nonce: '\u0000',
    })
    const answer = await browser.request(url.href)
    expect(answer.status).to.equal(400)
    expect(answer.headers.get('location')).to.equal(null)
  })

  it('gives one of fifty parallel redemptions of a code tokens, and revokes them', async () => {
    const flow = await authorize(app, rp, new Browser(app.url), ada)
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => redeem(rp, flow)))
    const won = results.filter((r) => r.status === 'fulfilled')
    expect(won).to.have.length(1)
    const lost = results.filter((r) => r.status === 'rejected')
    for (const { reason } of lost) expect(reason.error).to.equal('invalid_grant')
    const { access_token } = (won[0] as PromiseFulfilledResult<{ access_token: string }>).value
    expect((await client.tokenIntrospection(rp.config, access_token)).active).to.equal(false)
    const events = await app.db('events').where({ type: 'token.reuse_detected' })
    expect(events.length).to.be.greaterThan(0)
  })

  it('gives one of fifty parallel uses of a refresh token tokens, and revokes them', async () => {
    const { refresh_token } = await redeem(rp, await authorize(app, rp, new Browser(app.url), ada))
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, () => client.refreshTokenGrant(rp.config, refresh_token!)),
    )
    const won = results.filter((r) => r.status === 'fulfilled')
    expect(won).to.have.length(1)
    const { access_token, refresh_token: next } = (won[0] as PromiseFulfilledResult<any>).value
    expect((await client.tokenIntrospection(rp.config, access_token)).active).to.equal(false)
    const again = await client.refreshTokenGrant(rp.config, next).catch((error) => error)
    expect(again.error).to.equal('invalid_grant')
  })

  it('signs Ada out at the end-session endpoint, and her tokens with the session', async () => {
    const browser = new Browser(app.url)
    const tokens = await redeem(rp, await authorize(app, rp, browser, ada))
    const url = client.buildEndSessionUrl(rp.config, {
      id_token_hint: tokens.id_token!,
      post_logout_redirect_uri: 'https://rp.example.com/bye',
      state: 'x1',
    })
    const page = await browser.open(url.href)
    expect(page.page).to.include('logout')
    const { left } = await browser.submit(page, { logout: 'yes' }, 'op.logoutForm')
    expect(left?.href).to.equal('https://rp.example.com/bye?state=x1')
    expect((await client.tokenIntrospection(rp.config, tokens.access_token)).active).to.equal(false)
    const again = await client.refreshTokenGrant(rp.config, tokens.refresh_token!).catch((error) => error)
    expect(again.error).to.equal('invalid_grant')
    const me = await app.call('GET', '/v1/auth/me', { token: tokens.access_token })
    expect(me.status).to.equal(401)
  })
})
