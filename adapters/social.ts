/**
 * Signing in at another identity provider, by openid-client: OpenID Connect with discovery, or plain OAuth 2.0 with a
 * user endpoint. PKCE, state, nonce and iss are always checked; every call goes through the fetch that is given.
 */
import { importPKCS8, SignJWT } from 'jose'
import type { ClientAuth, Configuration } from 'openid-client'
import { lazily } from './lazily.ts'

const openid = lazily<typeof import('openid-client')>('openid-client')

export interface SocialProvider {
  /** Changes with the stored row, so that a changed provider is discovered anew. */
  version: string
  protocol: 'oidc' | 'oauth2'
  clientId: string
  clientSecret: string | undefined
  config: SocialConfig
}
export interface SocialConfig {
  preset?: string
  issuer?: string
  authorization_endpoint?: string
  token_endpoint?: string
  userinfo_endpoint?: string
  /** GitHub's list of addresses, which says which one is primary and verified. */
  emails_endpoint?: string
  scopes: string[]
  /** Our name of a claim → the provider's. */
  claims?: Record<string, string>
  /** Whether its word that an address is verified counts. */
  trust_email: boolean
  /** Further parameters of the authorization request. */
  parameters?: Record<string, string>
  /** Apple: the secret is a key that signs a short-lived assertion. */
  team_id?: string
  key_id?: string
}
export interface Profile {
  subject: string
  email: string | undefined
  /** As the provider says. */
  emailVerified: boolean
  name: string | undefined
  givenName: string | undefined
  familyName: string | undefined
  picture: string | undefined
}
export interface Ticket {
  redirectUri: string
  state: string
  nonce: string
  verifier: string
}
export interface Social {
  authorizationUrl(provider: SocialProvider, ticket: Ticket): Promise<string>
  /** `answer` is what came back to redirectUri. Throws what openid-client throws. */
  exchange(provider: SocialProvider, ticket: Ticket, answer: Record<string, string>): Promise<Profile>
}

type Fetch = (url: string, init: any) => Promise<Response>
const DISCOVERED_MS = 3_600_000
const MAX = 500

/** `insecure` lets providers be reached by http, for development and tests. */
export function createSocial({ fetch, insecure }: { fetch: Fetch; insecure: boolean }): Social {
  const known = new Map<string, { at: number; made: Promise<Configuration> }>()

  const configurationOf = (provider: SocialProvider): Promise<Configuration> => {
    const found = known.get(provider.version)
    if (found && Date.now() - found.at < DISCOVERED_MS) return found.made
    const made = configure(provider, fetch, insecure)
    known.delete(provider.version)
    known.set(provider.version, { at: Date.now(), made })
    made.catch(() => known.delete(provider.version))
    if (known.size > MAX) known.delete(known.keys().next().value!)
    return made
  }

  return {
    async authorizationUrl(provider, { redirectUri, state, nonce, verifier }) {
      const { scopes, parameters } = provider.config
      const url = openid().buildAuthorizationUrl(await configurationOf(provider), {
        ...parameters,
        redirect_uri: redirectUri,
        scope: scopes.join(' '),
        state,
        code_challenge: await openid().calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        ...(provider.protocol === 'oidc' && { nonce }),
      })
      return url.href
    },

    async exchange(provider, { redirectUri, state, nonce, verifier }, answer) {
      const configuration = await configurationOf(provider)
      const url = new URL(redirectUri)
      for (const [key, value] of Object.entries(answer)) url.searchParams.set(key, value)
      const isOidc = provider.protocol === 'oidc'
      const tokens = await openid().authorizationCodeGrant(configuration, url, {
        pkceCodeVerifier: verifier,
        expectedState: state,
        ...(isOidc && { expectedNonce: nonce, idTokenExpected: true }),
      })
      if (!isOidc) return profileOf(provider.config, await userOf(provider.config, tokens.access_token, fetch))
      const claims: Record<string, unknown> = { ...tokens.claims()! }
      if (claims.email === undefined && configuration.serverMetadata().userinfo_endpoint) {
        // fetchUserInfo checks that it speaks of the same subject (OIDC Core 5.3.2).
        Object.assign(claims, await openid().fetchUserInfo(configuration, tokens.access_token, String(claims.sub)))
      }
      return profileOf(provider.config, { ...appleName(answer.user), ...claims })
    },
  }
}

async function configure(provider: SocialProvider, fetch: Fetch, insecure: boolean): Promise<Configuration> {
  const { config, clientId, clientSecret, protocol } = provider
  const metadata = clientSecret && !config.key_id ? { client_secret: clientSecret } : {}
  const execute = insecure ? [openid().allowInsecureRequests] : []
  if (protocol === 'oidc') {
    return openid().discovery(new URL(config.issuer!), clientId, metadata, await authentication(provider), {
      [openid().customFetch]: fetch,
      execute,
      timeout: 10,
    })
  }
  const { authorization_endpoint, token_endpoint } = config as Required<SocialConfig>
  const issuer = config.issuer ?? new URL(authorization_endpoint).origin
  const configuration = new (openid().Configuration)(
    { issuer, authorization_endpoint, token_endpoint },
    clientId,
    metadata,
    await authentication(provider),
  )
  configuration[openid().customFetch] = fetch
  for (const change of execute) change(configuration)
  return configuration
}

/** Apple's secret is a JWT of an hour (here: of five minutes, made for each request). */
async function authentication({ clientId, clientSecret, config }: SocialProvider): Promise<ClientAuth> {
  if (!clientSecret) return openid().None()
  if (!config.key_id) return openid().ClientSecretPost(clientSecret)
  const key = await importPKCS8(clientSecret, 'ES256')
  return (async (_as: unknown, _client: unknown, body: URLSearchParams) => {
    const assertion = await new SignJWT()
      .setProtectedHeader({ alg: 'ES256', kid: config.key_id! })
      .setIssuer(config.team_id!)
      .setSubject(clientId)
      .setAudience(config.issuer!)
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(key)
    body.set('client_id', clientId)
    body.set('client_secret', assertion)
  }) as ClientAuth
}

/** OAuth 2.0 knows no identity: the person is who the user endpoint says the access token is of. */
async function userOf(config: SocialConfig, token: string, fetch: Fetch): Promise<Record<string, unknown>> {
  const get = async (url: string) => {
    const response = await fetch(url, {
      headers: { authorization: `Bearer ${token}`, accept: 'application/json', 'user-agent': 'gatehouse' },
      redirect: 'error',
    })
    if (!response.ok) throw new Error(`${new URL(url).host} answers ${response.status}`)
    return response.json() as Promise<any>
  }
  const user = await get(config.userinfo_endpoint!)
  if (!config.emails_endpoint) return user
  const emails: { email: string; primary: boolean; verified: boolean }[] = await get(config.emails_endpoint)
  const best = emails.find((e) => e.primary && e.verified) ?? emails.find((e) => e.verified) ?? emails[0]
  return { ...user, email: best?.email, email_verified: best?.verified }
}

function profileOf(config: SocialConfig, claims: Record<string, unknown>): Profile {
  const claim = (name: string): unknown => claims[config.claims?.[name] ?? name]
  const words = (name: string, maxLength = 100): string | undefined => {
    const value = claim(name)
    return typeof value === 'string' && value && !value.includes('\u0000') ? value.slice(0, maxLength) : undefined
  }
  const subject = claim('sub')
  if ((typeof subject !== 'string' && typeof subject !== 'number') || subject === '')
    throw new Error('The provider names no subject')
  const email = words('email', 255)
  return {
    subject: String(subject).slice(0, 255),
    email: email && email.length <= 254 && /^[^\s@]+@[^\s@]+$/.test(email) ? email : undefined,
    // Apple says "true".
    emailVerified: claim('email_verified') === true || claim('email_verified') === 'true',
    name: words('name', 200),
    givenName: words('given_name'),
    familyName: words('family_name'),
    picture: words('picture', 2000)?.startsWith('https://') ? words('picture', 2000) : undefined,
  }
}

/** Apple tells the name once, beside the code, and unsigned: good for a first profile only. */
function appleName(user: string | undefined): Record<string, unknown> {
  try {
    const { name } = JSON.parse(user ?? '{}')
    return { given_name: name?.firstName, family_name: name?.lastName }
  } catch {
    return {}
  }
}
