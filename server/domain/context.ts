/** What an operation is given: the caller, the tenant, the database, and the ports to the outside. */
import type { Knex } from 'knex'
import type { Geo } from '../../adapters/geo.ts'
import type { Outbound } from '../../adapters/http.ts'
import type { Db } from '../../adapters/knex.ts'
import type { Limits } from '../../adapters/limits.ts'
import type { Logger } from '../../adapters/log.ts'
import type { Passwords } from '../../adapters/passwords.ts'
import type { Sealing } from '../../adapters/sealing.ts'
import type { Texter } from '../../adapters/sms.ts'
import type { Social } from '../../adapters/social.ts'
import type { Config } from '../config.ts'
import { operationsOf } from '../kernel/operation.ts'
import type { Directory, Tenant } from './directory.ts'
import type { Lack } from './login-policy.ts'
import type { Person, Proof } from './proofs.ts'

/** Adapters and process-wide state, made once in server/deps.ts. */
export interface Outside {
  config: Config
  db: Knex
  sealing: Sealing
  passwords: Passwords
  limits: Limits
  outbound: Outbound
  social: Social
  texter: Texter
  geo: Geo
  log: Logger
  directory: Directory
  /** One event outside any transaction, for what must be written although the request fails. */
  recordNow(ctx: Context, type: string, fields: EventFields): Promise<void>
}

/** The one asking: a person through some client, or a client by itself. */
export interface Actor {
  kind: 'user' | 'client'
  userId: string | undefined
  clientId: string
  sessionId: string | undefined
  grantId: string | undefined
  /** The token's own id, for the deny-list. */
  tokenId: string
  scopes: Set<string>
  roles: string[]
  permissions: Set<string>
  /** True for our own clients, whose tokens act with all the person may do; others only with the scopes they hold. */
  firstParty: boolean
  /** The address is proven, or the number of who has none. */
  emailVerified: boolean
  /** Unix seconds. */
  authTime: number | undefined
  expiresAt: number
  user: UserRow | undefined
  /** Who really acts, where the token is one of impersonation. */
  impersonatorId?: string | undefined
  /** What is asked of a sign-in today and this one has not. */
  lacks?: Lack | undefined
}

export interface UserRow {
  id: string
  /** Null for who signs in with a telephone number alone. */
  email: string | null
  email_verified_at: Date | null
  phone_number: string | null
  phone_verified_at: Date | null
  given_name: string | null
  family_name: string | null
  nickname: string | null
  picture: string | null
  locale: string | null
  zoneinfo: string | null
  attributes: Record<string, unknown>
  status: 'active' | 'disabled' | 'deleted'
  locked_until: Date | null
  last_login_at: Date | null
  created_at: Date
  updated_at: Date
}

export interface RequestInfo {
  id: string
  ip: string
  userAgent: string
  /** Preferred languages, best first. */
  locales: string[]
  cookie(name: string): string | undefined
  /** A script of a page at our own origin sent it, and asks that tokens in cookies count. */
  ownPage: boolean
  /** A bearer token about registering clients (RFC 7591, 7592), which stands for nobody. */
  registrationToken?: string | undefined
  /** The secret by which this browser or app is known again: a cookie, or X-Device-Token. */
  deviceToken?: string | undefined
}

export interface EventFields {
  /** Where it must be known beforehand; made otherwise. */
  id?: string
  userId?: string | undefined
  clientId?: string | undefined
  sessionId?: string | undefined
  data?: Record<string, unknown>
}

export interface Context {
  out: Outside
  tenant: Tenant
  actor: Actor | null
  request: RequestInfo
  /** client_id of the app whose sign-in this is part of, for the looks of what it leads to: mails look like that app. */
  cameFrom?: string
  /** The open transaction inside run(), the pool inside prepare(). */
  db: Db
  oidc: OidcPort
  /** What the answer carries besides its body: Set-Cookie lines, an address to go to in place of it, 202 for 200. */
  reply: { cookies: string[]; redirect?: string; accepted?: boolean }
  /** What this operation asks for inside an organization, and whether that was looked at: it must be, before it commits. */
  inside?: { permission: string; entered: boolean }
  /** What was entered last, or made: an answer that is brought again later asks there again. */
  place?: { organizationId: string } | { workspaceId: string }
  /** One append-only fact, committed with the transaction. */
  event(type: string, fields?: EventFields): void
  /** Enqueues a job, committed with the transaction. Runs at once unless `runAt` says when. */
  job(task: string, payload: Record<string, unknown>, runAt?: Date): void
}

export interface TokenSet {
  accessToken: string
  refreshToken: string | undefined
  tokenType: string
  /** Seconds. */
  expiresIn: number
  idToken?: string | undefined
  scope?: string | undefined
}

/** What the domain needs from the OpenID provider; the only port to it. */
export interface OidcPort {
  /** Opens an API session for the user and issues the same kinds of tokens as the token endpoint. */
  signIn(ctx: Context, proof: Proof, details?: { clientId?: string | undefined }): Promise<TokenSet>
  /** An API session and access token of `user` that names who really acts; no refresh token. `lifetime` in seconds. */
  impersonate(
    ctx: Context,
    user: Person,
    details: { impersonatorId: string; lifetime: number },
  ): Promise<{ tokens: TokenSet; sessionId: string }>
  /** Throws VALIDATION_ERROR for metadata the provider would refuse. */
  checkClient(ctx: Context, metadata: Record<string, unknown>): void
  /** The token endpoint's refresh_token grant. */
  refresh(
    ctx: Context,
    input: { refreshToken: string; clientId?: string | undefined; clientSecret?: string | undefined },
  ): Promise<TokenSet>
  /** Whether the client has registered this redirect_uri, compared as the authorization endpoint does. */
  acceptsRedirect(ctx: Context, clientId: string, uri: string): Promise<boolean>
  /**
   * The token endpoint's authorization_code grant of a public client. With `sameBrowser` the code must come of the session
   * whose cookie this request brings. INVALID_CODE for any code, verifier or redirect_uri that does not fit.
   */
  redeem(
    ctx: Context,
    input: { clientId: string; code: string; codeVerifier: string; redirectUri: string; sameBrowser: boolean },
  ): Promise<TokenSet>
}

export const operation = operationsOf<Context>()
