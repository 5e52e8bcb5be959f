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
  'organization:manage': 'Change an organization',
  'organization:delete': 'Delete an organization',
  'members:manage': 'Add, change and remove members of an organization, and invite to it',
  'workspaces:manage': 'Make, change and delete workspaces of an organization',
  'invitations:read': 'See invitations',
  'invitations:write': 'Invite with any role',
  'webhooks:read': 'See tenant-wide webhooks',
  'webhooks:write': 'Create tenant-wide webhooks',
  'tokens:introspect': 'Introspect tokens of other clients',
  'realm:manage': 'What sso-api keeps for super administrators',
  'tenants:read': 'See all tenants (default tenant only)',
  'tenants:write': 'Create, change and delete tenants (default tenant only)',
}

/** What roles of organizations allow there; who holds one by a role of the tenant holds it for giving, not for doing. */
export const organizationPermissions = [
  'organization:manage',
  'organization:delete',
  'members:manage',
  'workspaces:manage',
] as const

interface SystemRole {
  id: string
  name: string
  description: string
  permissions: string[]
  scope?: 'organization'
}

export const systemRoles: SystemRole[] = [
  { id: ROLE.user, name: 'user', description: 'Every person: their own account', permissions: [] },
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
  // Held by members, and counting within their organization only.
  {
    id: ROLE.owner,
    name: 'Owner',
    scope: 'organization',
    description: 'Everything in the organization',
    permissions: [...organizationPermissions],
  },
  {
    id: ROLE.organizationAdmin,
    name: 'Admin',
    scope: 'organization',
    description: 'Manages the organization, its members and workspaces',
    permissions: ['organization:manage', 'members:manage', 'workspaces:manage'],
  },
  {
    id: ROLE.member,
    name: 'Member',
    scope: 'organization',
    description: 'Belongs to the organization',
    permissions: [],
  },
]
