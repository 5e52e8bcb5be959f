/** Permissions, and which of them the seeded roles hold. Checks look at permissions only, never at role names. */
import { ROLE } from './ids.ts'

/** resource:action → what it allows. */
export const permissions: Record<string, string> = {
  'users:read': 'See users and what belongs to them',
  'users:write': 'Create and change users',
  'users:delete': 'Delete users',
  'users:impersonate': 'Act as another user for support',
  'roles:read': 'See roles and who holds them',
  'roles:write': 'Change and assign roles',
  'permissions:read': 'See permissions',
  'permissions:write': 'Create and change permissions',
  'clients:read': 'See OAuth clients',
  'clients:write': 'Register and change OAuth clients',
  'clients:trust': 'Register and change first-party clients, whose tokens act with all that a person may do',
  'resources:read': 'See API resources',
  'resources:write': 'Register and change API resources',
  'sessions:read': 'See sessions of others',
  'sessions:write': 'End sessions of others',
  'settings:read': 'See settings',
  'settings:write': 'Change settings',
  'keys:read': 'See signing keys',
  'keys:write': 'Rotate and revoke signing keys',
  'audit:read': 'Read the audit log',
  'stats:read': 'Read statistics and service health',
  'organizations:read': 'See all organizations',
  'organizations:write': 'Change all organizations',
  'invitations:read': 'See invitations',
  'invitations:write': 'Invite with any role',
  'webhooks:read': 'See tenant-wide webhooks',
  'webhooks:write': 'Create tenant-wide webhooks',
  'tokens:introspect': 'Introspect tokens of other clients',
  'realm:manage': 'What sso-api keeps for super administrators',
  'tenants:read': 'See all tenants (default tenant only)',
  'tenants:write': 'Create, change and delete tenants (default tenant only)',
}

export const systemRoles = [
  { id: ROLE.user, name: 'user', description: 'Every person: their own account', permissions: [] as string[] },
  {
    id: ROLE.admin,
    name: 'admin',
    description: 'Manages the people, roles and clients of the tenant',
    permissions: Object.keys(permissions).filter(
      (p) => !['realm:manage', 'clients:trust', 'keys:write', 'tenants:write'].includes(p),
    ),
  },
  {
    id: ROLE.superAdmin,
    name: 'super_admin',
    description: 'Everything; in the default tenant also all tenants',
    permissions: Object.keys(permissions),
  },
]
