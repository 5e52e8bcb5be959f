/** What an app and a person's browser do at a provider, request by request; the same code for both servers. */
import { createHash } from 'node:crypto'
import { expectStatus, type Http, ISSUER, type Jar } from './http.ts'

export interface Client {
  id: string
  secret: string
  basic: string
}
export interface Person {
  email: string
  password: string
}
export interface Tokens {
  access_token: string
  refresh_token: string
}

export const REDIRECT = 'https://app.example.com/callback'
const verifier = 'a-code-verifier-of-forty-three-characters-or-more'
const challenge = createHash('sha256').update(verifier).digest('base64url')

export const client = (id: string, secret: string): Client => ({
  id,
  secret,
  basic: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`,
})

/** One token request; `scope` asks for less than all. */
export async function grant(http: Http, app: Client, form: Record<string, string>): Promise<Tokens> {
  const answer = await http('/oauth/token', { form, basic: app.basic })
  return JSON.parse(expectStatus(answer, 200, form.grant_type!).body)
}

/** From the authorization request to the tokens. Signs in on the way if the browser is not signed in. */
export async function codeFlow(http: Http, app: Client, jar: Jar, scope: string, who?: Person): Promise<Tokens> {
  const query = new URLSearchParams({
    client_id: app.id,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope,
    state: 'some-state',
    nonce: 'some-nonce',
    code_challenge: challenge,
    code_challenge_method: 'S256',
  })
  let answer = expectStatus(await http(`/oauth/authorize?${query}`, { jar }), 303, 'authorize')
  if (!answer.location.startsWith(REDIRECT)) {
    if (!who) throw new Error(`a session was expected: ${answer.location}`)
    answer = await signIn(http, jar, pathOf(answer.location), who)
  }
  const code = new URL(answer.location).searchParams.get('code')
  if (!code) throw new Error(`no code: ${answer.location}`)
  return grant(http, app, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: REDIRECT,
    code_verifier: verifier,
  })
}

async function signIn(http: Http, jar: Jar, page: string, who: Person) {
  const { body } = expectStatus(await http(page, { jar }), 200, 'sign-in page')
  const hidden = Object.fromEntries(
    [...body.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)].map(([, name, value]) => [
      name!,
      value!,
    ]),
  )
  const posted = await http(page, { jar, form: { ...hidden, email: who.email, password: who.password } })
  expectStatus(posted, 303, 'password')
  return expectStatus(await http(pathOf(posted.location), { jar }), 303, 'resume')
}

const pathOf = (location: string): string => location.replace(ISSUER, '')
