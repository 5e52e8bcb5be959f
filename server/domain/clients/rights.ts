/** What a client may do by itself, with nobody behind it (RFC 6749 4.4): by its registration, and by roles it holds. */
import type { ClientRecord, Role, Tenant } from '../directory.ts'
import { words } from '../scopes.ts'

/** A client's roles count at that client; those of organizations within these. */
export const countsAt = (role: Role | undefined, client: ClientRecord): role is Role =>
  role?.scope === 'tenant' || (role?.scope === 'client' && role.ownerId === client.id)

export const rolesOf = (tenant: Tenant, client: ClientRecord): Role[] =>
  client.roleIds.map((id) => tenant.roles.get(id)).filter((role) => countsAt(role, client))

/** All scopes it may ask for by itself, as of now. */
export const scopesByItself = (tenant: Tenant, client: ClientRecord): string[] => [
  ...words(client.metadata.scope),
  ...rolesOf(tenant, client).flatMap((role) => role.permissions),
]

/** What is left of the scope that a token was given: roles and registrations are taken back while tokens live. */
export function stillByItself(tenant: Tenant, client: ClientRecord, scope: unknown): string[] {
  const allowed = new Set(scopesByItself(tenant, client))
  return words(scope).filter((word) => allowed.has(word))
}
