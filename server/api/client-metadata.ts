/** Client metadata as schemas, for administrators and for clients that register themselves. */
import { anything, array, boolean, integer, nullable, oneOf, optional, text, uri } from '../kernel/schema.ts'
import { stringList } from './shapes.ts'

const authMethods = [
  'none',
  'client_secret_basic',
  'client_secret_post',
  'client_secret_jwt',
  'private_key_jwt',
] as const

/** What a client may say of itself: RFC 7591 2, OpenID Connect Registration 2, and what later specifications added. */
export const registrable = {
  clientName: optional(nullable(text(200))),
  applicationType: optional(oneOf(['web', 'native'])),
  redirectUris: optional(stringList()),
  postLogoutRedirectUris: optional(stringList()),
  grantTypes: optional(array(oneOf(['authorization_code', 'refresh_token', 'client_credentials']), { maxItems: 3 })),
  responseTypes: optional(array(oneOf(['code']), { maxItems: 1 })),
  tokenEndpointAuthMethod: optional(oneOf(authMethods)),
  scope: optional(text(4000, { description: 'Scopes this client may ask for, separated by spaces' })),
  contacts: optional(nullable(stringList(20))),
  clientUri: optional(nullable(uri())),
  logoUri: optional(nullable(uri())),
  policyUri: optional(nullable(uri())),
  tosUri: optional(nullable(uri())),
  softwareId: optional(nullable(text(255))),
  softwareVersion: optional(nullable(text(255))),
  jwks: optional(nullable(anything({ type: 'object' }))),
  jwksUri: optional(nullable(uri())),
  idTokenSignedResponseAlg: optional(oneOf(['ES256', 'RS256'])),
  userinfoSignedResponseAlg: optional(nullable(oneOf(['ES256', 'RS256']))),
  tokenEndpointAuthSigningAlg: optional(nullable(text(20))),
  defaultMaxAge: optional(nullable(integer({ minimum: 0, maximum: 31_536_000 }))),
  requireAuthTime: optional(boolean()),
  requirePushedAuthorizationRequests: optional(boolean()),
  dpopBoundAccessTokens: optional(boolean()),
  initiateLoginUri: optional(nullable(uri())),
  backchannelLogoutUri: optional(nullable(uri())),
  backchannelLogoutSessionRequired: optional(boolean()),
}
