/** OpenID Connect Back-Channel Logout: an app is told once when its session ends, whichever way that is. */
import { expect } from 'chai'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as client from 'openid-client'
import { from } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'
import { authorize, Browser, type RelyingParty, redeem, relyingParty } from '../support/rp.ts'

const SCOPE = 'openid profile email account'

describe('back-channel logout', () => {
  let app: TestApp
  let receiver: Receiver
  before(async () => {
    receiver = await startReceiver()
    app = await startApp({ TRUST_PROXY: '1', OUTBOUND_ALLOW: '127.0.0.1/32' })
  })
  after(async () => {
    await app?.close()
    await receiver?.close()
  })

  interface Story {
    rp: RelyingParty
    ada: Person
    browser: Browser
    token: string
    idToken: string
  }
  let stories = 0

  /** Signed in at an app that wants to be told; `end` ends that session. Answers the one logout token. */
  async function told(end: (story: Story) => Promise<unknown>) {
    stories += 1
    const path = `/ok/logout-${stories}`
    const rp = await relyingParty(app, { backchannel_logout_uri: receiver.url + path, scope: SCOPE })
    const ada = await app.person()
    const browser = new Browser(app.url)
    const tokens = await redeem(rp, await authorize(app, rp, browser, ada, { scope: SCOPE }))
    const sid = JSON.parse(Buffer.from(tokens.access_token.split('.')[1]!, 'base64url').toString()).sid
    await end({ rp, ada, browser, token: tokens.access_token, idToken: tokens.id_token! })
    const [message] = await receiver.waitFor(path)
    const { payload, protectedHeader } = await jwtVerify(
      new URLSearchParams(message!.body).get('logout_token')!,
      createRemoteJWKSet(new URL(`${app.url}/oauth/jwks`)),
      { issuer: app.url, audience: rp.clientId },
    )
    expect(protectedHeader.typ).to.equal('logout+jwt')
    expect(payload).to.include({ sub: ada.id })
    if (payload.sid !== undefined) expect(payload.sid).to.equal(sid)
    expect(payload).to.not.have.property('nonce')
    const seen = await client.tokenIntrospection(rp.config, tokens.access_token)
    expect(seen.active).to.equal(false)
    return { count: async () => (await receiver.messages(path)).length }
  }
  const ended = async (answer: { status: number; body: unknown }) =>
    expect(answer.status, JSON.stringify(answer.body)).to.be.below(300)

  it('by the list of sessions', async () => {
    const { count } = await told(async ({ ada, token }) => {
      const { body } = await app.call('GET', '/v1/sessions', { token })
      const { id } = body.sessions.find((one: { current: boolean }) => one.current)
      await ended(await app.call('DELETE', `/sessions/${id}`, { token: ada.accessToken }))
    })
    expect(await count()).to.equal(1)
  })

  it('by ending all, or by another password', async () => {
    await told(async ({ ada }) =>
      ended(await app.call('POST', '/v1/auth/revoke-all-sessions', { token: ada.accessToken, body: {} })),
    )
    await told(async ({ ada }) =>
      ended(
        await app.call('POST', '/v1/auth/change-password', {
          token: ada.accessToken,
          body: { current_password: ada.password, new_password: 'Another-Harbour-77' },
          headers: from(),
        }),
      ),
    )
  })

  it('by an administrator, who locks the account', async () => {
    const token = await app.admin()
    await told(async ({ ada }) => ended(await app.call('POST', `/v1/users/${ada.id}/lock`, { token, body: {} })))
  })

  it('by a mailed link that signs somebody else in in the same browser', async () => {
    const bob = await app.person()
    const { count } = await told(async ({ browser }) => {
      await app.call('POST', '/v1/auth/magic-link/send', { body: { email: bob.email }, headers: from() })
      const { link } = await app.smtp.waitFor(bob.email, /magic-link\?token=/)
      await browser.submit(await browser.open(link('magic-link')), {})
      expect((await browser.open('/account')).page).to.include('/account/two-step')
      expect(await app.db('sessions').where({ user_id: bob.id, kind: 'browser', ended_at: null })).to.have.length(1)
    })
    expect(await count()).to.equal(1)
  })

  it('by the end-session endpoint', async () => {
    const { count } = await told(async ({ rp, browser, idToken }) => {
      const url = client.buildEndSessionUrl(rp.config, {
        id_token_hint: idToken,
        post_logout_redirect_uri: 'https://rp.example.com/bye',
      })
      await browser.submit(await browser.open(url.href), { logout: 'yes' }, 'op.logoutForm')
    })
    expect(await count()).to.equal(1)
  })
})
