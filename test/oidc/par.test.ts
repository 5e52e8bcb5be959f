import { expect } from 'chai'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { makeClient, type OAuthClient, post, verifierOf } from '../support/oauth.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

describe('pushed authorization requests (RFC 9126)', () => {
  let app: TestApp
  let ada: Person
  let client: OAuthClient
  before(async () => {
    app = await startApp()
    ada = await app.person('ada@example.com')
    client = await makeClient(app, { require_pushed_authorization_requests: true, first_party: true })
  })
  after(() => app.close())

  const request = (challenge: string, more: Record<string, string> = {}) => ({
    client_id: client.clientId,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'openid',
    state: 'pushed',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...more,
  })

  it('sign Ada in with what was pushed, whatever the address says', async () => {
    const { verifier, challenge } = verifierOf()
    const pushed = await post(app, '/oauth/par', request(challenge), { client })
    expect(pushed.status).to.equal(201)
    expect(pushed.body.request_uri).to.match(/^urn:/)
    expect(pushed.body.expires_in).to.equal(60)
    const browser = new Browser(app.url)
    const query = new URLSearchParams({
      client_id: client.clientId,
      request_uri: pushed.body.request_uri,
      scope: 'openid email',
      state: 'forged',
    })
    const page = await browser.open(`${app.url}/oauth/authorize?${query}`)
    const { left } = await browser.submit(page, { email: ada.email, password: ada.password })
    expect(left?.searchParams.get('state')).to.equal('pushed')
    const form = {
      grant_type: 'authorization_code',
      code: left!.searchParams.get('code')!,
      redirect_uri: REDIRECT,
      code_verifier: verifier,
    }
    const tokens = await post(app, '/oauth/token', form, { client })
    expect(tokens.status).to.equal(200)
    expect(tokens.body.scope).to.equal('openid')
    const again = await browser.open(`${app.url}/oauth/authorize?${query}`)
    expect(again.left?.searchParams.get('code') ?? null).to.equal(null)
  })

  it('lead to one code, however many use one at once', async () => {
    const browser = new Browser(app.url)
    const { challenge } = verifierOf()
    const { body } = await post(app, '/oauth/par', request(challenge), { client })
    const at = (uri: string) =>
      `${app.url}/oauth/authorize?${new URLSearchParams({ client_id: client.clientId, request_uri: uri })}`
    await browser.submit(await browser.open(at(body.request_uri)), { email: ada.email, password: ada.password })
    const second = await post(app, '/oauth/par', request(challenge), { client })
    const answers = await Promise.all(Array.from({ length: 50 }, () => browser.request(at(second.body.request_uri))))
    const codes = answers.filter((answer) => answer.headers.get('location')?.includes('code='))
    expect(codes).to.have.length(1)
    for (const { status } of answers) expect(status).to.be.below(500)
  })

  it('are demanded of a client that registered so', async () => {
    const { left } = await new Browser(app.url).open(
      `${app.url}/oauth/authorize?${new URLSearchParams(request(verifierOf().challenge))}`,
    )
    expect(left?.searchParams.get('error')).to.equal('invalid_request')
    expect(left?.searchParams.get('code') ?? null).to.equal(null)
  })

  it('are refused to a stranger, to another client, and when they are wrong', async () => {
    const { challenge } = verifierOf()
    expect((await post(app, '/oauth/par', request(challenge))).status).to.equal(401)
    expect((await post(app, '/oauth/par', request(challenge), { client, secret: 'wrong' })).status).to.equal(401)
    const wrong: Record<string, string>[] = [
      { redirect_uri: 'https://evil.example.com/cb' },
      { response_type: 'token' },
      { code_challenge: '' },
      { scope: 'openid users:write' },
      { request_uri: 'urn:x' },
    ]
    for (const more of wrong) {
      const answer = await post(app, '/oauth/par', request(challenge, more), { client })
      expect(answer.status, JSON.stringify(more)).to.equal(400)
      expect(answer.body.error).to.be.a('string')
    }
    const pushed = await post(app, '/oauth/par', request(challenge), { client })
    const other = await makeClient(app)
    const query = new URLSearchParams({ client_id: other.clientId, request_uri: pushed.body.request_uri })
    const at = await new Browser(app.url).open(`${app.url}/oauth/authorize?${query}`)
    expect(at.left?.searchParams.get('code') ?? null).to.equal(null)
    expect(at.page ?? '').to.not.include('name="password"')
  })
})
