/** A client of a Keycloak realm in RFC 7591's words. */
import {
  anything,
  array,
  boolean,
  nullable,
  object,
  optional,
  record,
  type Static,
  string,
  text,
} from '../../kernel/schema.ts'
import type { NewClient } from '../clients.ts'

/** What is read of it; there is more. */
export const KeycloakClient = object(
  {
    clientId: text(255),
    name: optional(nullable(string())),
    protocol: optional(nullable(string())),
    enabled: optional(boolean()),
    bearerOnly: optional(boolean()),
    publicClient: optional(boolean()),
    clientAuthenticatorType: optional(string()),
    secret: optional(nullable(string())),
    rootUrl: optional(nullable(string())),
    baseUrl: optional(nullable(string())),
    redirectUris: optional(array(string())),
    standardFlowEnabled: optional(boolean()),
    implicitFlowEnabled: optional(boolean()),
    directAccessGrantsEnabled: optional(boolean()),
    serviceAccountsEnabled: optional(boolean()),
    protocolMappers: optional(array(anything())),
    attributes: optional(record(string({ maxLength: 100_000 }))),
  },
  { additionalProperties: true },
)
type Raw = Static<typeof KeycloakClient>

const METHODS: Record<string, string> = {
  'client-secret': 'client_secret_basic',
  'client-secret-jwt': 'client_secret_jwt',
  'client-jwt': 'private_key_jwt',
}

/** Undefined, with a note, for what is no client of OpenID Connect or cannot be one here. */
export function clientOf(raw: Raw, note: (what: string) => void): NewClient | undefined {
  const attributes: Record<string, string> = raw.attributes ?? {}
  if ((raw.protocol ?? 'openid-connect') !== 'openid-connect') return void note(`speaks ${raw.protocol}`)
  if (raw.bearerOnly) return void note('is a resource server only; register it as an API resource')
  if (raw.enabled === false) return void note('is disabled')
  const method = raw.publicClient ? 'none' : METHODS[raw.clientAuthenticatorType ?? 'client-secret']
  if (!method) return void note(`authenticates by ${raw.clientAuthenticatorType}`)
  if (method === 'private_key_jwt' && !attributes['jwks.url']) return void note('has its keys in a certificate')
  if (raw.implicitFlowEnabled) note('the implicit flow')
  if (raw.directAccessGrantsEnabled) note('the password grant')
  if (raw.protocolMappers?.length) note('protocol mappers')
  const secret = secretOf(raw, method)
  if (method.startsWith('client_secret') && !secret) note('its secret is not in the file; make a new one')
  const grants = grantsOf(raw)
  const redirects = grants.includes('authorization_code') ? addresses(raw.redirectUris, raw.rootUrl, note) : []
  return {
    clientId: raw.clientId,
    ...(secret && { clientSecret: secret }),
    // Without this an app that sends no code challenge would stand still; public ones must send one.
    policy: { requirePkce: method === 'none' || attributes['pkce.code.challenge.method'] === 'S256' },
    metadata: {
      client_name: raw.name && !raw.name.startsWith('${') ? raw.name : raw.clientId,
      token_endpoint_auth_method: method,
      grant_types: grants,
      redirect_uris: redirects,
      post_logout_redirect_uris: logoutAddresses(raw, redirects, note),
      ...(method === 'private_key_jwt' && { jwks_uri: attributes['jwks.url'] }),
      ...(raw.baseUrl && URL.canParse(raw.baseUrl) && { client_uri: raw.baseUrl }),
      ...(attributes['backchannel.logout.url'] && { backchannel_logout_uri: attributes['backchannel.logout.url'] }),
    },
  }
}

/** The console writes stars in place of secrets. */
const secretOf = (raw: Raw, method: string): string | undefined =>
  method.startsWith('client_secret') && raw.secret && !/^\*+$/.test(raw.secret) ? raw.secret : undefined

function grantsOf(raw: Raw): string[] {
  return [
    ...(raw.standardFlowEnabled === false ? [] : ['authorization_code', 'refresh_token']),
    ...(raw.serviceAccountsEnabled && !raw.publicClient ? ['client_credentials'] : []),
  ]
}

/** Absolute addresses as they are, relative ones behind the root. Patterns would let codes go anywhere. */
function addresses(
  list: string[] | undefined,
  root: string | null | undefined,
  note: (what: string) => void,
): string[] {
  return (list ?? []).flatMap((address) => {
    if (address.includes('*')) {
      note(`the redirect address ${address}, which is a pattern`)
      return []
    }
    const whole = address.startsWith('/') && root ? root.replace(/\/$/, '') + address : address
    return URL.canParse(whole) ? [whole] : []
  })
}

/** "+" stands for the redirect addresses, "-" for none. */
function logoutAddresses(raw: Raw, redirects: string[], note: (what: string) => void): string[] {
  const listed = (raw.attributes?.['post.logout.redirect.uris'] ?? '').split('##').filter((one) => one && one !== '-')
  const all = listed.flatMap((one) => (one === '+' ? redirects : addresses([one], raw.rootUrl, note)))
  return [...new Set(all)]
}
