/**
 * SQL round trips per operation, counted where they leave the process (every query of node-postgres, BEGIN and COMMIT
 * included) and only those that the request itself caused: the listener runs inside an AsyncLocalStorage.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import * as client from 'openid-client'
import pg from 'pg'
import { roundTrips } from '../../adapters/knex.ts'
import { createApp } from '../../server/app.ts'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { claimsOf, eventually } from '../support/oauth.ts'
import { authorize, Browser, type RelyingParty, redeem, relyingParty } from '../support/rp.ts'

const wire = new AsyncLocalStorage<string[]>()
const originalQuery = pg.Client.prototype.query

describe('SQL round trips per operation', () => {
  let app: TestApp
  let server: Server
  let firstParty: RelyingParty
  let thirdParty: RelyingParty
  let service: RelyingParty
  let ada: Person
  let listener: RequestListener = (_req, res) => void res.writeHead(503).end()
  let sent: string[] | undefined
  let counted: { count: number; statements: string[] } | undefined

  before(async () => {
    ;(pg.Client.prototype as any).query = function (this: pg.Client, ...args: any[]) {
      const [query] = args
      wire.getStore()?.push(String(query?.name ?? query?.text ?? query))
      return (originalQuery as any).apply(this, args)
    }
    server = createServer((req, res) => {
      if (!sent || !counted) return listener(req, res)
      wire.run(sent, () => roundTrips.run(counted!, () => listener(req, res)))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    // A courier would switch the webhook below off in the midst of a count.
    const started = await startApp({ PUBLIC_URL: url }, { jobs: false })
    app = { ...started, url }
    listener = createApp(app.deps, { ready: true }).listener
    firstParty = await relyingParty(app, { first_party: true })
    thirdParty = await relyingParty(app)
    service = await relyingParty(app, {
      grant_types: ['client_credentials'],
      redirect_uris: [],
      post_logout_redirect_uris: undefined,
      scope: 'users:read',
    })
    ada = await app.person('ada@example.com')
  })
  after(async () => {
    ;(pg.Client.prototype as any).query = originalQuery
    server?.closeAllConnections()
    server?.close()
    await app?.close()
  })

  /** Statements of what `work` made the server do. Runs it once before, so that connections and caches are warm. */
  async function statementsOf(work: () => Promise<unknown>, warmUp = true): Promise<string[]> {
    await app.db('rate_limits').delete()
    if (warmUp) await work()
    sent = []
    counted = { count: 0, statements: [] }
    await work()
    const seen = sent
    expect(counted.count, 'the product counts what it sends').to.equal(seen.length)
    sent = undefined
    counted = undefined
    return seen
  }

  const signIn = (rp: RelyingParty, browser: Browser) => authorize(app, rp, browser, ada)

  it('client_credentials with a JWT needs none', async () => {
    const seen = await statementsOf(() => client.clientCredentialsGrant(service.config, { scope: 'users:read' }))
    expect(seen).to.deep.equal([])
  })

  it('introspection of a JWT needs one, and none again within a second', async () => {
    const tokens = await redeem(firstParty, await signIn(firstParty, new Browser(app.url)))
    const look = () => client.tokenIntrospection(firstParty.config, tokens.access_token)
    await look()
    await pause(1000)
    const seen = await statementsOf(look, false)
    expect(seen, seen.join('\n')).to.have.length(1)
    expect(await statementsOf(look, false)).to.deep.equal([])
    await client.tokenRevocation(firstParty.config, tokens.access_token)
    const { active } = await client.tokenIntrospection(firstParty.config, tokens.access_token)
    expect(active, 'and that one sees a revocation at once').to.equal(false)
  })

  it('userinfo needs one', async () => {
    const tokens = await redeem(firstParty, await signIn(firstParty, new Browser(app.url)))
    const ask = () => client.fetchUserInfo(firstParty.config, tokens.access_token, ada.id)
    await ask()
    await pause(1000)
    const seen = await statementsOf(ask, false)
    expect(seen, seen.join('\n')).to.have.length(1)
  })

  it('refresh with rotation needs two', async () => {
    let { refresh_token: token } = await redeem(firstParty, await signIn(firstParty, new Browser(app.url)))
    const first = token
    const seen = await statementsOf(async () => {
      token = (await client.refreshTokenGrant(firstParty.config, token!)).refresh_token
    })
    expect(seen, seen.join('\n')).to.have.length(2)
    const reused = await client.refreshTokenGrant(firstParty.config, first!).catch((error) => error)
    expect(reused.error, 'and a rotated token stays dead').to.equal('invalid_grant')
  })

  it('a code with an existing session needs at most five, both requests together', async () => {
    const browser = new Browser(app.url)
    await redeem(firstParty, await signIn(firstParty, browser))
    const seen = await statementsOf(async () => redeem(firstParty, await signIn(firstParty, browser)))
    expect(seen.length, seen.join('\n')).to.be.at.most(5)
  })

  it('a code for a third party that Ada allowed before needs at most five as well', async () => {
    const browser = new Browser(app.url)
    await redeem(thirdParty, await signIn(thirdParty, browser))
    const seen = await statementsOf(async () => redeem(thirdParty, await signIn(thirdParty, browser)))
    expect(seen.length, seen.join('\n')).to.be.at.most(5)
  })

  it('a client that demands an organization needs no more, once it is chosen', async () => {
    const team = await relyingParty(app, { first_party: true, login_policy: { organization: 'required' } })
    const tenant_id = DEFAULT_TENANT
    const [id, membership] = [newId(), newId()]
    await app.db('organizations').insert({ tenant_id, id, slug: 'round-trips', name: 'Round trips' })
    const role_id = ROLE.member
    await app.db('memberships').insert({ tenant_id, id: membership, organization_id: id, user_id: ada.id, role_id })
    const browser = new Browser(app.url)
    let { refresh_token: token } = await redeem(team, await signIn(team, browser))
    const code = await statementsOf(async () => redeem(team, await signIn(team, browser)))
    expect(code.length, code.join('\n')).to.be.at.most(5)
    const named = await statementsOf(async () => {
      const { access_token } = await redeem(team, await authorize(app, team, browser, ada, { organization: id }))
      expect(claimsOf(access_token).org_id).to.equal(id)
    })
    expect(named.length, named.join('\n')).to.be.at.most(5)
    const refreshed = await statementsOf(async () => {
      token = (await client.refreshTokenGrant(team.config, token!)).refresh_token
    })
    expect(refreshed, refreshed.join('\n')).to.have.length(2)
  })

  it('a code with a password needs at most nine, from the first redirect to the tokens', async () => {
    const seen = await statementsOf(async () => redeem(firstParty, await signIn(firstParty, new Browser(app.url))))
    expect(seen.length, seen.join('\n')).to.be.at.most(9)
  })

  it('POST /v1/auth/login needs at most five', async () => {
    const seen = await statementsOf(async () => {
      const answer = await fetch(`${app.url}/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ email: ada.email, password: ada.password }),
      })
      expect(answer.status).to.equal(200)
      await answer.text()
    })
    expect(seen.length, seen.join('\n')).to.be.at.most(5)
  })

  it('none is added where a webhook listens: its deliveries are queued by the same statements', async () => {
    const { id: tenant_id } = (await app.deps.out.directory.bySlug('default'))!
    const owner = { tenant_id, owner_id: ada.id, tenant_wide: true }
    const hook = { id: newId(), url: 'https://hooks.invalid/', event_types: ['*'], secret_encrypted: Buffer.alloc(1) }
    await app.db('webhooks').insert({ ...owner, ...hook })
    await eventually(async () => expect((await app.deps.out.directory.byId(tenant_id))!.hasWebhooks).to.equal(true))
    const queued = async () => Number((await app.db('webhook_deliveries').count({ n: '*' }))[0]!.n)
    let { refresh_token: token } = await redeem(firstParty, await signIn(firstParty, new Browser(app.url)))
    const before = await queued()
    const seen = await statementsOf(async () => {
      token = (await client.refreshTokenGrant(firstParty.config, token!)).refresh_token
    })
    expect(seen, seen.join('\n')).to.have.length(2)
    expect(await queued(), 'one for each of two refreshes').to.equal(before + 2)
    const login = await statementsOf(async () => {
      const body = JSON.stringify({ email: ada.email, password: ada.password })
      const headers = { 'content-type': 'application/json' }
      await (await fetch(`${app.url}/v1/auth/login`, { method: 'POST', headers, body })).text()
    })
    expect(login.length, login.join('\n')).to.be.at.most(5)
  })
})
