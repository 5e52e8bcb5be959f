/**
 * The yardstick: oidc-provider as it comes, on its own in-memory adapter, with the features, keys and kinds of tokens we
 * have, and a sign-in page that believes any password. Runs as a child process; IPC tells the port.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Provider } from 'oidc-provider'
import { REDIRECT } from './flows.ts'
import { ISSUER } from './http.ts'

const API = 'https://api.example.com'
const clients = Number(process.argv[2] ?? 500)
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwk = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'bench' }
const common = { client_secret: 'a-secret-of-the-bench-0123456789-0123456789', id_token_signed_response_alg: 'ES256' }
const app = {
  ...common,
  redirect_uris: [REDIRECT],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
}
const service = { ...common, redirect_uris: [], grant_types: ['client_credentials'], response_types: [] }

const provider = new Provider(ISSUER, {
  clients: [
    { client_id: 'app', ...app },
    // Its tokens are opaque: the library does not accept its own JWTs at introspection and userinfo.
    { client_id: 'opaque', ...app },
    ...Array.from({ length: clients }, (_, i) => ({ client_id: `service-${i}`, ...service })),
  ],
  jwks: { keys: [jwk] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  scopes: ['openid', 'offline_access'],
  claims: { openid: ['sub'], profile: ['name', 'given_name', 'family_name', 'preferred_username'], email: ['email'] },
  responseTypes: ['code'],
  pkce: { required: () => true },
  conformIdTokenClaims: true,
  routes: {
    authorization: '/oauth/authorize',
    token: '/oauth/token',
    userinfo: '/oauth/userinfo',
    introspection: '/oauth/introspect',
    revocation: '/oauth/revoke',
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    backchannelLogout: { enabled: true },
    dPoP: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_ctx: unknown, client: any) => (client.clientId === 'opaque' ? undefined : API),
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'users:read',
        audience: API,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 900,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  findAccount: (_ctx: unknown, sub: string) => ({
    accountId: sub,
    claims: async () => ({ sub, email: sub, name: 'A Person', preferred_username: sub }),
  }),
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  loadExistingGrant,
  interactions: { url: (_ctx: unknown, interaction: any) => `/interaction/${interaction.uid}` },
  ttl: { AccessToken: 900, ClientCredentials: 900, IdToken: 900, Session: 86_400, Grant: 86_400, Interaction: 3600 },
} as any)
provider.proxy = true
provider.on('server_error', (_ctx: unknown, error: Error) => console.error(error))

/** As for a first-party app: nobody is asked for consent. */
async function loadExistingGrant(ctx: any): Promise<any> {
  const { client, session, provider: models } = ctx.oidc
  const existing = session.grantIdFor(client.clientId)
  if (existing) return models.Grant.find(existing)
  const made = new models.Grant({ accountId: session.accountId, clientId: client.clientId })
  made.addOIDCScope('openid profile email offline_access')
  made.addResourceScope(API, 'users:read')
  await made.save()
  return made
}

const handle = provider.callback()
const page = (uid: string) =>
  `<!doctype html><title>Sign in</title><form method="post" action="/interaction/${uid}">
  <input name="email"><input name="password" type="password"><button>Sign in</button></form>`

const server = createServer(async (req, res) => {
  if (!req.url?.startsWith('/interaction/')) return handle(req, res)
  try {
    const { uid } = await provider.interactionDetails(req, res)
    if (req.method === 'GET') return void res.writeHead(200, { 'content-type': 'text/html' }).end(page(uid))
    let body = ''
    for await (const chunk of req) body += chunk
    const accountId = new URLSearchParams(body).get('email')!
    await provider.interactionFinished(req, res, { login: { accountId } })
  } catch (error) {
    console.error(error)
    res.writeHead(500).end()
  }
})
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('SIGTERM', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
