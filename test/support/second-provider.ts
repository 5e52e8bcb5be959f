/** Other identity providers for tests: a bare oidc-provider, and an OAuth 2.0 server that imitates GitHub. */
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Provider } from 'oidc-provider'

export interface SecondProvider {
  url: string
  clientId: string
  clientSecret: string
  /** Whoever comes to it is this person, without a question; undefined refuses. */
  who: Record<string, any> | undefined
  /** Requests by path. */
  seen: string[]
  close(): Promise<void>
}

async function listen(handler: () => RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer((req, res) => handler()(req, res))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
const close = (server: Server) =>
  new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

export async function startOidc(redirectUris: string[]): Promise<SecondProvider> {
  let handler: RequestListener = (_req, res) => void res.writeHead(503).end()
  const { server, url } = await listen(() => handler)
  const second: SecondProvider = {
    url,
    clientId: 'gatehouse-over-there',
    clientSecret: randomBytes(24).toString('base64url'),
    who: undefined,
    seen: [],
    close: () => close(server),
  }
  const provider = new Provider(url, {
    clients: [
      {
        client_id: second.clientId,
        client_secret: second.clientSecret,
        redirect_uris: redirectUris,
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'given_name', 'family_name'] },
    conformIdTokenClaims: true,
    features: { devInteractions: { enabled: false } },
    cookies: { keys: ['test'] },
    interactions: { url: (_ctx: unknown, interaction: { uid: string }) => `/login/${interaction.uid}` },
    async findAccount(_ctx: unknown, sub: string) {
      return { accountId: sub, claims: async () => ({ ...second.who, sub }) }
    },
    async loadExistingGrant({ oidc }: any) {
      const grant = new oidc.provider.Grant({ accountId: oidc.session.accountId, clientId: oidc.client.clientId })
      grant.addOIDCScope('openid email profile')
      await grant.save()
      return grant
    },
  } as any)
  const serve = provider.callback()
  handler = (req, res) => {
    second.seen.push(`${req.method} ${req.url!.split('?')[0]}`)
    if (!req.url!.startsWith('/login/')) return void serve(req, res)
    const result = second.who
      ? { login: { accountId: String(second.who.sub) } }
      : { error: 'access_denied', error_description: 'no, thank you' }
    void provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false })
  }
  return second
}

/** GitHub's four addresses, with PKCE checked and form-encoded requests answered by JSON. */
export async function startGithub(): Promise<SecondProvider> {
  const codes = new Map<string, { challenge: string; redirectUri: string; who: Record<string, any> }>()
  const tokens = new Map<string, Record<string, any>>()
  const second = {
    clientId: 'Iv1.test',
    clientSecret: 'github-secret',
    who: undefined,
    seen: [],
  } as unknown as SecondProvider
  const handler: RequestListener = async (req, res) => {
    const url = new URL(req.url!, second.url)
    second.seen.push(`${req.method} ${url.pathname}`)
    const json = (status: number, body: unknown) =>
      void res.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body))
    if (url.pathname === '/login/oauth/authorize') {
      const back = new URL(url.searchParams.get('redirect_uri')!)
      back.searchParams.set('state', url.searchParams.get('state')!)
      if (second.who) {
        const code = randomBytes(10).toString('hex')
        codes.set(code, {
          challenge: url.searchParams.get('code_challenge')!,
          redirectUri: url.searchParams.get('redirect_uri')!,
          who: second.who,
        })
        back.searchParams.set('code', code)
      } else back.searchParams.set('error', 'access_denied')
      return void res.writeHead(302, { location: back.href }).end()
    }
    if (url.pathname === '/login/oauth/access_token') {
      const form = new URLSearchParams(await text(req))
      const found = codes.get(form.get('code') ?? '')
      codes.delete(form.get('code') ?? '')
      const challenge = createHash('sha256')
        .update(form.get('code_verifier') ?? '')
        .digest('base64url')
      const isGood =
        found?.challenge === challenge &&
        found.redirectUri === form.get('redirect_uri') &&
        form.get('client_secret') === second.clientSecret
      if (!isGood) return json(200, { error: 'bad_verification_code' })
      const token = `gho_${randomBytes(10).toString('hex')}`
      tokens.set(token, found!.who)
      return json(200, { access_token: token, token_type: 'bearer', scope: 'read:user,user:email' })
    }
    const who = tokens.get((req.headers.authorization ?? '').replace('Bearer ', ''))
    if (!who) return json(401, { message: 'Bad credentials' })
    if (url.pathname === '/user') return json(200, { id: who.id, login: who.login, name: who.name, email: null })
    if (url.pathname === '/user/emails') return json(200, who.emails)
    json(404, { message: 'Not Found' })
  }
  const { server, url } = await listen(() => handler)
  return Object.assign(second, { url, close: () => close(server) })
}

async function text(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
