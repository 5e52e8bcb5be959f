/** A user as OpenID Connect claims. */
import type { UserRow } from '../domain/context.ts'
import type { Tenant } from '../domain/directory.ts'
import { signInName } from '../domain/users.ts'

/** Scopes beyond OIDC Core's and the claims they open. */
export const claimsByScope = {
  openid: ['sub', 'acr', 'amr', 'auth_time', 'org_id'],
  profile: [
    'name',
    'given_name',
    'family_name',
    'nickname',
    'preferred_username',
    'picture',
    'locale',
    'zoneinfo',
    'updated_at',
  ],
  email: ['email', 'email_verified'],
  phone: ['phone_number', 'phone_number_verified'],
  address: ['address'],
  roles: ['roles'],
  permissions: ['permissions'],
  tenant: ['tenant'],
  organizations: ['organizations'],
}

export const fullName = (user: Pick<UserRow, 'given_name' | 'family_name'>): string | undefined =>
  [user.given_name, user.family_name].filter(Boolean).join(' ') || undefined

/** All claims we know of the user; the provider masks them by scope (OIDC Core 5.4). */
export function claimsOf(tenant: Tenant, user: UserRow & { role_ids: string[] }): Record<string, unknown> {
  const roles = user.role_ids.map((id) => tenant.roles.get(id)).filter((role) => role !== undefined)
  return {
    sub: user.id,
    name: fullName(user),
    given_name: user.given_name ?? undefined,
    family_name: user.family_name ?? undefined,
    nickname: user.nickname ?? undefined,
    preferred_username: signInName(user),
    picture: user.picture ?? undefined,
    locale: user.locale ?? undefined,
    zoneinfo: user.zoneinfo ?? undefined,
    updated_at: Math.floor(user.updated_at.getTime() / 1000),
    email: user.email ?? undefined,
    email_verified: user.email ? user.email_verified_at !== null : undefined,
    phone_number: user.phone_number ?? undefined,
    phone_number_verified: user.phone_number ? user.phone_verified_at !== null : undefined,
    address: user.attributes.address,
    roles: roles.map((role) => role.name),
    permissions: [...new Set(roles.flatMap((role) => role.permissions))].sort(),
    tenant: tenant.slug,
  }
}
