import { expect } from 'chai'
import * as client from 'openid-client'
import { startApp, type TestApp } from '../support/app.ts'
import { authorize, Browser, type RelyingParty, redeem, relyingParty } from '../support/rp.ts'

describe('a refresh token used a second time, long after the first', () => {
  let app: TestApp
  let rp: RelyingParty
  before(async () => {
    app = await startApp()
    rp = await relyingParty(app)
  })
  after(() => app.close())

  it('ends all that came of the sign-in, and is written down with whose it was', async () => {
    const ada = await app.person('ada@example.com')
    const first = await redeem(rp, await authorize(app, rp, new Browser(app.url), ada))
    const second = await client.refreshTokenGrant(rp.config, first.refresh_token!)
    const again = await client.refreshTokenGrant(rp.config, first.refresh_token!).catch((error) => error)
    expect(again.error).to.equal('invalid_grant')
    expect((await client.tokenIntrospection(rp.config, second.access_token)).active).to.equal(false)
    expect((await client.tokenIntrospection(rp.config, second.refresh_token!)).active).to.equal(false)
    const events = await app.db('events').where({ type: 'token.reuse_detected' })
    expect(events).to.have.length(1)
    expect(events[0]).to.include({ user_id: ada.id, client_id: rp.clientId })
  })

  it('is not suspected when a person or an app takes a token back', async () => {
    const bea = await app.person('bea@example.com')
    const tokens = await redeem(rp, await authorize(app, rp, new Browser(app.url), bea))
    await client.tokenRevocation(rp.config, tokens.refresh_token!)
    expect(await app.db('events').where({ type: 'token.reuse_detected', user_id: bea.id })).to.have.length(0)
  })
})
