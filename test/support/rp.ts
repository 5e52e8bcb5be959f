/** A third-party app for tests: openid-client against our provider, and a person at the hosted pages without a browser. */
import * as client from 'openid-client'
import type { TestApp } from './app.ts'

export const REDIRECT = 'https://rp.example.com/callback'

export interface RelyingParty {
  config: client.Configuration
  clientId: string
  clientSecret: string | undefined
}

/** Registers a client as an administrator and discovers the provider as it. */
export async function relyingParty(app: TestApp, fields: Record<string, unknown> = {}): Promise<RelyingParty> {
  const token = await app.admin()
  const body = {
    client_name: 'Third party',
    redirect_uris: [REDIRECT],
    post_logout_redirect_uris: ['https://rp.example.com/bye'],
    ...fields,
  }
  const made = await app.call('POST', '/clients', { token, body })
  if (made.status !== 201) throw new Error(`client: ${made.status} ${JSON.stringify(made.body)}`)
  const { client_id: clientId, client_secret: clientSecret } = made.body
  const config = await client.discovery(new URL(app.url), clientId, clientSecret, undefined, {
    execute: [client.allowInsecureRequests],
  })
  return { config, clientId, clientSecret }
}

/** Cookies and redirects of one browser, followed by hand. */
export class Browser {
  readonly cookies = new Map<string, { value: string; path: string }>()
  readonly base: string
  constructor(base: string) {
    this.base = base
  }

  async request(url: string, init: { method?: string; form?: Record<string, string> } = {}): Promise<Response> {
    const target = new URL(url, this.base)
    const cookie = [...this.cookies.entries()]
      .filter(([, { path }]) => target.pathname.startsWith(path))
      .sort(([, a], [, b]) => b.path.length - a.path.length)
      .map(([key, { value }]) => `${key.split(' ')[0]}=${value}`)
      .join('; ')
    const response = await fetch(target, {
      method: init.method ?? (init.form ? 'POST' : 'GET'),
      redirect: 'manual',
      headers: {
        ...(cookie && { cookie }),
        accept: 'text/html',
        ...(init.form && { 'content-type': 'application/x-www-form-urlencoded', origin: new URL(this.base).origin }),
      },
      ...(init.form && { body: new URLSearchParams(init.form).toString() }),
    })
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(/; */)
      const name = pair.slice(0, pair.indexOf('='))
      const value = pair.slice(pair.indexOf('=') + 1)
      const path = attributes.find((a) => /^path=/i.test(a))?.slice(5) ?? '/'
      const gone = attributes.some((a) => /^expires=Thu, 01 Jan 1970/i.test(a))
      if (gone || value === '') this.cookies.delete(`${name} ${path}`)
      else this.cookies.set(`${name} ${path}`, { value, path })
    }
    return response
  }

  /** Follows redirects on our own host; answers the page, or where another host was meant to be visited. */
  async follow(response: Response): Promise<{ page?: string; url: string; left?: URL; status: number }> {
    let current = response
    let url = response.url
    for (let hops = 0; hops < 15; hops += 1) {
      const location = current.headers.get('location')
      if (!location) return { page: await current.text(), url, status: current.status }
      const next = new URL(location, url)
      if (next.origin !== new URL(this.base).origin) return { url: next.href, left: next, status: current.status }
      url = next.href
      current = await this.request(url)
    }
    throw new Error('too many redirects')
  }

  async open(url: string) {
    return this.follow(await this.request(url))
  }

  /** Posts the page's form whose action contains `action`, with its hidden fields and these. */
  async submit(from: { page?: string; url: string }, fields: Record<string, string>, action = '') {
    const forms = [...(from.page ?? '').matchAll(/<form[^>]*>([\s\S]*?)<\/form>/g)]
    const form = forms.find(([html]) => html.includes('method="post"') && html.includes(action))
    if (!form) throw new Error(`no form in ${from.page?.slice(0, 2000)}`)
    const target = /action="([^"]+)"/.exec(form[0])?.[1]?.replaceAll('&amp;', '&') ?? from.url
    const hidden = Object.fromEntries(
      [...form[0].matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)].map(([, name, value]) => [
        name!,
        value!,
      ]),
    )
    return this.follow(await this.request(new URL(target, from.url).href, { form: { ...hidden, ...fields } }))
  }
}

export interface Request {
  href: string
  verifier: string
  state: string
  nonce: string
}
export interface Flow extends Omit<Request, 'href'> {
  callback: URL
}

/** An authorization request with PKCE, state and nonce. */
export async function authorizationRequest(
  rp: RelyingParty,
  parameters: Record<string, string> = {},
): Promise<Request> {
  const verifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const nonce = client.randomNonce()
  const { href } = client.buildAuthorizationUrl(rp.config, {
    redirect_uri: REDIRECT,
    scope: 'openid profile email',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...parameters,
  })
  return { href, verifier, state, nonce }
}

/** Authorization code with PKCE by pages: signs in (unless the browser is) and allows. Answers the callback address. */
export async function authorize(
  _app: TestApp,
  rp: RelyingParty,
  browser: Browser,
  who: { email: string; password: string },
  extra: Record<string, string> = {},
): Promise<Flow> {
  const { href, ...asked } = await authorizationRequest(rp, extra)
  let at = await browser.open(href)
  if (at.page?.includes('name="password"')) at = await browser.submit(at, { email: who.email, password: who.password })
  if (at.page?.includes('value="allow"')) at = await browser.submit(at, { action: 'allow' })
  if (!at.left) throw new Error(`the flow ended at ${at.url} (${at.status}): ${at.page?.slice(0, 1500)}`)
  return { callback: at.left, ...asked }
}

/** Redeems the code of a flow. */
export const redeem = (rp: RelyingParty, flow: Flow) =>
  client.authorizationCodeGrant(rp.config, flow.callback, {
    pkceCodeVerifier: flow.verifier,
    expectedState: flow.state,
    expectedNonce: flow.nonce,
  })
