/** The sign-in of an app as files: its configuration, a module for the browser, and one for its back end where it has a secret. */

export interface ClientConfig {
  clientKey: string
  clientId: string
  name: string
  issuer: string
  redirectUris: string[]
  postLogoutRedirectUris: string[]
  scope: string
  tokenEndpointAuthMethod: string
}

export function files(config: ClientConfig): Record<string, string> {
  const isPublic = config.tokenEndpointAuthMethod === 'none'
  const { issuer, clientId, name, scope, redirectUris } = config
  const known = { issuer, clientId, name, scope, redirectUri: redirectUris[0], isPublic }
  return {
    'config.js': `// Of ${issuer}. Nothing here is secret.\nexport const config = ${JSON.stringify(known, null, 2)}\n`,
    'sign-in.js': browser,
    ...(!isPublic && { 'exchange.js': backend }),
  }
}

const browser = `// Sign-in by authorization code with PKCE (RFC 6749, RFC 7636). In the page: signIn(). In the page of the callback address:
// await finish(location.href, exchange). Tokens are answered, and kept nowhere: that is yours to decide.
import { config } from './config.js'

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\\+/g, '-').replace(/\\//g, '_').replace(/=+$/, '')
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const KEY = 'sso-sign-in'

/** Where the browser has to go; what the callback needs is remembered in this tab. */
export async function signInUrl() {
  const [verifier, state] = [random(), random()]
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  sessionStorage.setItem(KEY, JSON.stringify({ verifier, state }))
  const query = new URLSearchParams({
    redirect_uri: config.redirectUri,
    code_challenge: base64url(new Uint8Array(hash)),
    code_challenge_method: 'S256',
    state,
    scope: config.scope,
  })
  return \`\${config.issuer}/api/auth/login/\${encodeURIComponent(config.clientId)}?\${query}\`
}

export async function signIn() {
  location.assign(await signInUrl())
}

/**
 * What came to the callback address, as tokens. An app with a secret gives \`exchange\`, which has its back end redeem
 * { code, verifier } (see exchange.js) and answers the tokens.
 */
export async function finish(address, exchange) {
  const params = new URL(address).searchParams
  const { verifier, state } = JSON.parse(sessionStorage.getItem(KEY) ?? '{}')
  sessionStorage.removeItem(KEY)
  if (!state || params.get('state') !== state) throw new Error('This sign-in was not begun here')
  if (params.has('error')) throw new Error(params.get('error_description') ?? params.get('error'))
  const code = params.get('code')
  if (exchange) return exchange({ code, verifier })
  if (!config.isPublic) throw new Error('This app has a secret: its back end has to redeem the code')
  const discovery = await fetch(\`\${config.issuer}/.well-known/openid-configuration\`)
  const { token_endpoint } = await discovery.json()
  const answer = await fetch(token_endpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: config.clientId,
      code,
      code_verifier: verifier,
      redirect_uri: config.redirectUri,
    }),
  })
  const body = await answer.json()
  if (!answer.ok) throw new Error(body.error_description ?? body.error)
  return body
}
`

const backend = `// For the app's back end: redeems the code with the secret, which is in SSO_CLIENT_SECRET and nowhere else.
import { config } from './config.js'

/** { access_token, refresh_token, id_token, expires_in } */
export async function exchange({ code, verifier }, secret = process.env.SSO_CLIENT_SECRET) {
  if (!secret) throw new Error('SSO_CLIENT_SECRET is not set')
  const discovery = await fetch(\`\${config.issuer}/.well-known/openid-configuration\`)
  const { token_endpoint } = await discovery.json()
  // RFC 6749 2.3.1: both parts are form-encoded.
  const basic = btoa(\`\${encodeURIComponent(config.clientId)}:\${encodeURIComponent(secret)}\`)
  const answer = await fetch(token_endpoint, {
    method: 'POST',
    headers: { authorization: \`Basic \${basic}\` },
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: config.redirectUri,
    }),
  })
  const body = await answer.json()
  if (!answer.ok) throw new Error(body.error_description ?? body.error)
  return body
}
`

export function guide(at: { server: string; clientKey: string | undefined; linked: boolean }): string {
  const steps: [boolean, string][] = [
    [at.clientKey !== undefined, 'sso-client init           ask for approval of the app'],
    [
      at.linked,
      'sso-client status --wait  until an administrator has decided; the mail about it has a link that shows the secret once',
    ],
    [at.linked, 'sso-client link-ui        link this folder with the approved app'],
    [false, 'sso-client generate-ui    write config.js, sign-in.js and, for an app with a secret, exchange.js'],
    [false, "In the page: import { signIn } from './sso/sign-in.js'"],
    [false, "At the callback address: import { finish } from './sso/sign-in.js', then await finish(location.href)"],
    [false, 'With a secret: SSO_CLIENT_SECRET for the back end, and finish(location.href, exchange) that calls it'],
  ]
  const lines = steps.map(([isDone, step], i) => `${isDone ? '✓' : `${i + 1}`} ${step}`)
  return [`${at.clientKey ?? 'No app yet'} at ${at.server}`, ...lines].join('\n')
}
