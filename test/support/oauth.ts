/** The OAuth endpoints by plain HTTP, for what a well-behaved library would not send. */
import { createHash, randomBytes } from 'node:crypto'
import { pause } from './address.ts'
import type { Answer, TestApp } from './app.ts'
import { Browser, REDIRECT } from './rp.ts'

export interface OAuthClient {
  id: string
  clientId: string
  clientSecret: string | undefined
}

/** Registers a client as an administrator. */
export async function makeClient(app: TestApp, fields: Record<string, unknown> = {}): Promise<OAuthClient> {
  const body = { client_name: 'Client', redirect_uris: [REDIRECT], ...fields }
  const made = await app.call('POST', '/clients', { token: await app.admin(), body })
  if (made.status !== 201) throw new Error(`client: ${made.status} ${JSON.stringify(made.body)}`)
  return { id: made.body.id, clientId: made.body.client_id, clientSecret: made.body.client_secret }
}

export const basic = (client: OAuthClient, secret = client.clientSecret ?? '') => ({
  authorization: `Basic ${Buffer.from(`${encodeURIComponent(client.clientId)}:${encodeURIComponent(secret)}`).toString('base64')}`,
})

/** Posts a form to an endpoint of the provider; as the client where one is given. */
export async function post(
  app: TestApp,
  path: string,
  form: Record<string, string> | [string, string][],
  options: { client?: OAuthClient | undefined; secret?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const params = new URLSearchParams(form)
  if (options.client && !options.client.clientSecret) params.set('client_id', options.client.clientId)
  const response = await fetch(app.url + path, {
    method: 'POST',
    redirect: 'manual',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(options.client?.clientSecret && basic(options.client, options.secret)),
      ...options.headers,
    },
    body: params,
  })
  const text = await response.text()
  const json = /json/.test(response.headers.get('content-type') ?? '')
  return { status: response.status, headers: response.headers, body: json && text ? JSON.parse(text) : text }
}

export const verifierOf = () => {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}

/** An authorization code with PKCE by pages; answers the parameters of the callback. */
export async function codeFor(
  app: TestApp,
  client: OAuthClient,
  who: { email: string; password: string },
  extra: Record<string, string> = {},
  browser = new Browser(app.url),
): Promise<{ code: string; verifier: string; params: URLSearchParams }> {
  const { verifier, challenge } = verifierOf()
  const query = new URLSearchParams({
    client_id: client.clientId,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'openid',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...extra,
  })
  await app.db('rate_limits').delete()
  let at = await browser.open(`${app.url}/oauth/authorize?${query}`)
  if (at.page?.includes('name="password"')) at = await browser.submit(at, { email: who.email, password: who.password })
  if (at.page?.includes('value="allow"')) at = await browser.submit(at, { action: 'allow' })
  if (!at.left) throw new Error(`the flow ended at ${at.url} (${at.status}): ${at.page?.slice(0, 1500)}`)
  return { code: at.left.searchParams.get('code') ?? '', verifier, params: at.left.searchParams }
}

/** A person signs in to the client; answers the token endpoint's answer. */
export async function signInto(
  app: TestApp,
  client: OAuthClient,
  who: { email: string; password: string },
  extra: Record<string, string> = {},
  more: Record<string, string> = {},
): Promise<Answer> {
  const { code, verifier } = await codeFor(app, client, who, extra)
  return post(
    app,
    '/oauth/token',
    { grant_type: 'authorization_code', code, redirect_uri: REDIRECT, code_verifier: verifier, ...more },
    { client },
  )
}

export const introspect = async (app: TestApp, client: OAuthClient, token: string) =>
  (await post(app, '/oauth/introspect', { token }, { client })).body

export const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1]!, 'base64url').toString())
export const headerOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[0]!, 'base64url').toString())

/** Waits for what other processes learn a moment later: up to 3 s until it no longer throws. */
export async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + 3000
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await pause(50)
    }
  }
}
