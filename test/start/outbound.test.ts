/** Calls to addresses that clients choose: not into our own network, unless the operator allows it. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import type { TestApp } from '../support/app.ts'
import { authorize, Browser, redeem, relyingParty } from '../support/rp.ts'
import { type Database, ownDatabase } from './database.ts'
import { administrator, type Client, makeClient, PASSWORD, register } from './people.ts'
import { cleanUp, launch, type Program, until } from './program.ts'

interface Seen {
  path: string
  body: string
}

describe('calls to addresses of clients', function () {
  this.timeout(60_000)
  let database: Database
  let inside: Server
  let insideUrl: string
  let seen: Seen[] = []
  let keys: Awaited<ReturnType<typeof generateKeyPair>>
  before(async () => {
    database = await ownDatabase()
    keys = await generateKeyPair('ES256')
    const jwks = JSON.stringify({
      keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }],
    })
    inside = createServer(async (req, res) => {
      seen.push({ path: req.url!, body: await textOf(req) })
      res.setHeader('content-type', 'application/json').end(jwks)
    }).listen(0, '127.0.0.1')
    await once(inside, 'listening')
    insideUrl = `http://127.0.0.1:${(inside.address() as AddressInfo).port}`
  })
  beforeEach(() => {
    seen = []
  })
  after(async () => {
    inside.close()
    await database.remove()
    await cleanUp()
  })

  it('are not made to our own network: no keys from there, and no word of a logout', async () => {
    const program = await start('refused')
    const client = await clientWithKeys(program)
    const answer = await grant(program, client)
    expect(answer.status, JSON.stringify(answer.body)).to.be.within(400, 401)
    expect(JSON.stringify(answer.body)).to.not.contain('127.0.0.1')
    await signInAndOut(program)
    await until('the call is refused', 10_000, () => /job failed.*backchannel-logout/.test(program.output()))
    expect(seen).to.deep.equal([])
    await program.stop()
  })

  it('are made where OUTBOUND_ALLOW says so', async () => {
    const program = await start('allowed', { OUTBOUND_ALLOW: '127.0.0.1/32' })
    const answer = await grant(program, await clientWithKeys(program))
    expect(answer.status, JSON.stringify(answer.body)).to.equal(200)
    expect(seen.map(({ path }) => path)).to.deep.equal(['/jwks'])
    seen = []
    const { clientId, userId } = await signInAndOut(program)
    await until('the logout token arrives', 10_000, () => seen.length > 0)
    expect(seen).to.have.length(1)
    expect(seen[0]!.path).to.equal('/logout')
    const token = new URLSearchParams(seen[0]!.body).get('logout_token')!
    const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(`${program.url}/oauth/jwks`)))
    expect(payload).to.include({ aud: clientId, sub: userId, iss: program.url })
    expect(payload.events).to.have.property('http://schemas.openid.net/event/backchannel-logout')
    await program.stop()
  })

  const start = async (name: string, env: Record<string, string> = {}): Promise<Program> =>
    launch({
      env: { DATABASE_URL: await database.create(name), SECRET_KEY: 'x'.repeat(32), LOG_LEVEL: 'info', ...env },
    })

  const clientWithKeys = async (program: Program): Promise<Client> =>
    makeClient(program, await administrator(program), {
      grant_types: ['authorization_code', 'client_credentials'],
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks_uri: `${insideUrl}/jwks`,
    })

  async function grant(program: Program, client: Client) {
    const assertion = await new SignJWT({ jti: Math.random().toString(36) })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setIssuer(client.client_id)
      .setSubject(client.client_id)
      .setAudience(program.url)
      .setIssuedAt()
      .setExpirationTime('1 minute')
      .sign(keys.privateKey)
    const form = {
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
    }
    return program.call('POST', '/oauth/token', { form })
  }

  /** Ada signs in at an app that wants to hear of logouts, and ends all her sessions. */
  async function signInAndOut(program: Program): Promise<{ clientId: string; userId: string }> {
    const app = { url: program.url, call: program.call, admin: () => administrator(program) } as unknown as TestApp
    const email = await register(program)
    const rp = await relyingParty(app, {
      backchannel_logout_uri: `${insideUrl}/logout`,
      scope: 'openid profile email account',
    })
    const who = { email, password: PASSWORD }
    const flow = await authorize(app, rp, new Browser(program.url), who, { scope: 'openid profile email account' })
    const tokens = await redeem(rp, flow)
    const { status } = await program.call('POST', '/v1/auth/revoke-all-sessions', {
      token: tokens.access_token,
      body: {},
    })
    expect(status).to.equal(200)
    return { clientId: rp.clientId, userId: tokens.claims()!.sub }
  }
})

async function textOf(req: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of req) text += chunk
  return text
}
