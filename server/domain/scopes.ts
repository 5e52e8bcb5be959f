/** Scopes that mean something here: of identity (OIDC Core 5.4 and ours) and of our own API; all others belong to API resources. */
import { permissions } from './policy.ts'

/** Scopes a client may be given besides the permissions of our own API. */
export const identityScopes = [
  'openid',
  'profile',
  'email',
  'phone',
  'address',
  'offline_access',
  'roles',
  'permissions',
  'tenant',
  'organizations',
  'account',
]

export const ownScopes: ReadonlySet<string> = new Set([...identityScopes, ...Object.keys(permissions)])

export const words = (scope: unknown): string[] => (typeof scope === 'string' ? scope.split(' ').filter(Boolean) : [])

/**
 * What of a client's scope the OpenID provider knows by itself. Never empty, which it would take for "all": a client with
 * scopes of API resources only may at most ask who somebody is.
 */
export const ownPart = (scope: unknown): string =>
  words(scope)
    .filter((word) => ownScopes.has(word))
    .join(' ') || 'openid'
