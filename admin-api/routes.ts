/** Paths of administration, by document. */

import * as impersonation from '../server/api/impersonation.ts'
import { type Row, row } from '../server/kernel/surface.ts'
import * as audit from './audit.ts'
import * as clientRequests from './client-requests.ts'
import * as clientRoles from './client-roles.ts'
import * as clients from './clients.ts'
import * as identityProviders from './identity-providers.ts'
import * as imports from './imports.ts'
import * as initialTokens from './initial-access-tokens.ts'
import * as keys from './keys.ts'
import * as permissions from './permissions.ts'
import * as resources from './resources.ts'
import * as roles from './roles.ts'
import * as serviceAccounts from './service-accounts.ts'
import * as settings from './settings.ts'
import * as stats from './stats.ts'
import * as tenants from './tenants.ts'
import * as userExport from './user-export.ts'
import * as userRoles from './user-roles.ts'
import * as security from './user-security.ts'
import * as users from './users.ts'

export const plainRows: Row[] = [
  row('GET', '/clients', clients.list, { as: 'clients' }),
  row('POST', '/clients', clients.create, { status: 201 }),
  row('GET', '/clients/{id}', clients.get),
  row('PUT', '/clients/{id}', clients.update),
  row('DELETE', '/clients/{id}', clients.remove),
  row('GET', '/clients/{id}/secret', clients.secret),
  row('POST', '/clients/{id}/secret/regenerate', clients.regenerateSecret),
]

export const v1Rows: Row[] = [
  row('GET', '/v1/admin/identity-providers', identityProviders.list, { as: 'identity_providers' }),
  row('POST', '/v1/admin/identity-providers', identityProviders.create, { status: 201 }),
  row('GET', '/v1/admin/identity-providers/{slug}', identityProviders.get),
  row('PATCH', '/v1/admin/identity-providers/{slug}', identityProviders.update),
  row('DELETE', '/v1/admin/identity-providers/{slug}', identityProviders.remove),
  row('GET', '/v1/admin/initial-access-tokens', initialTokens.list, { as: 'tokens' }),
  row('POST', '/v1/admin/initial-access-tokens', initialTokens.create, { status: 201 }),
  row('DELETE', '/v1/admin/initial-access-tokens/{id}', initialTokens.remove),
  row('GET', '/v1/resources', resources.list, { as: 'resources' }),
  row('POST', '/v1/resources', resources.create, { status: 201 }),
  row('GET', '/v1/resources/{id}', resources.get),
  row('PUT', '/v1/resources/{id}', resources.update),
  row('PATCH', '/v1/resources/{id}', resources.update),
  row('DELETE', '/v1/resources/{id}', resources.remove),
]

export const ssoRows: Row[] = []

const list = { as: 'users' }
const made = { status: 201 }

plainRows.push(
  row('GET', '/users', users.list, list),
  row('GET', '/users/{id}', users.get),
  row('PUT', '/users/{id}', users.update),
  row('DELETE', '/users/{id}', users.remove),
  row('GET', '/users/{id}/roles', userRoles.list, { as: 'roles', names: { id: 'user_id' } }),
  row('POST', '/users/{id}/roles', userRoles.assign, { as: 'roles', names: { id: 'user_id' } }),
  row('DELETE', '/users/{id}/roles/{roleId}', userRoles.unassign, { names: { id: 'user_id', roleId: 'role' } }),
  row('GET', '/users/{id}/permissions', userRoles.effective),
  row('GET', '/roles', roles.list, { as: 'roles' }),
  row('POST', '/roles', roles.create, made),
  row('PUT', '/roles/{id}', roles.update, { names: { id: 'role' } }),
  row('DELETE', '/roles/{id}', roles.remove, { names: { id: 'role' } }),
  row('GET', '/permissions', permissions.list, { as: 'permissions' }),
  row('POST', '/permissions', permissions.create, made),
  row('GET', '/roles/{id}/permissions', roles.listPermissions, { as: 'permissions', names: { id: 'role' } }),
  row('POST', '/roles/{id}/permissions', roles.allow, { names: { id: 'role' } }),
  row('DELETE', '/roles/{id}/permissions/{permissionId}', roles.disallow, {
    names: { id: 'role', permissionId: 'permission' },
  }),
  row('POST', '/admin/assign-role', userRoles.assign, { as: 'roles' }),
  row('POST', '/admin/users/{id}/lock', users.lock),
  row('POST', '/admin/users/{id}/unlock', users.unlock),
  row('GET', '/admin/users/{id}/devices', security.listDevices, { as: 'devices' }),
  row('POST', '/admin/users/{id}/devices/{deviceId}/block', security.blockDevice, { names: { deviceId: 'device_id' } }),
  row('DELETE', '/admin/users/{id}/devices/{deviceId}/block', security.unblockDevice, {
    names: { deviceId: 'device_id' },
  }),
)

v1Rows.push(
  row('GET', '/v1/users', users.list, list),
  row('POST', '/v1/users', users.create, made),
  row('GET', '/v1/users/{id}', users.get, { permission: 'users:read' }),
  row('PUT', '/v1/users/{id}', users.update, { permission: 'users:write' }),
  row('DELETE', '/v1/users/{id}', users.remove),
  row('POST', '/v1/users/{id}/disable', users.disable),
  row('POST', '/v1/users/{id}/enable', users.enable),
  row('POST', '/v1/users/{id}/lock', users.lock),
  row('POST', '/v1/users/{id}/unlock', users.unlock),
  row('POST', '/v1/users/{id}/invite', security.invite),
  row('GET', '/v1/admin/roles', roles.list, { as: 'roles' }),
  row('POST', '/v1/admin/roles', roles.create, made),
  row('GET', '/v1/admin/roles/{id}', roles.get, { names: { id: 'role' } }),
  row('PUT', '/v1/admin/roles/{id}', roles.update, { names: { id: 'role' } }),
  row('DELETE', '/v1/admin/roles/{id}', roles.remove, { names: { id: 'role' } }),
  row('GET', '/v1/admin/roles/{id}/permissions', roles.listPermissions, { as: 'permissions', names: { id: 'role' } }),
  row('POST', '/v1/admin/roles/{id}/permissions', roles.allow, { names: { id: 'role' } }),
  row('DELETE', '/v1/admin/roles/{id}/permissions/{permissionId}', roles.disallow, {
    names: { id: 'role', permissionId: 'permission' },
  }),
  row('GET', '/v1/admin/permissions', permissions.list, { as: 'permissions' }),
  row('POST', '/v1/admin/users/{id}/roles', userRoles.assign, { as: 'roles', names: { id: 'user_id' } }),
  row('DELETE', '/v1/admin/users/{id}/roles/{roleId}', userRoles.unassign, {
    names: { id: 'user_id', roleId: 'role' },
  }),
)

/** What sso-api marks with two locks is for super administrators. */
const top = { permission: 'realm:manage' }
const realm = '/api/admin/:realm'
const person = `${realm}/users/:userId`
const whose = { names: { userId: 'id' } }

ssoRows.push(
  row('GET', `${realm}/users`, users.list),
  row('GET', person, users.get, { ...whose, permission: 'users:read' }),
  row('POST', `${realm}/users`, users.create, { ...made, ...top }),
  row('PATCH', person, users.update, { ...whose, permission: 'users:write' }),
  row('DELETE', person, users.remove, { ...whose, ...top }),
  row('POST', `${person}/password/reset`, security.resetPassword, { ...whose, ...top }),
  row('POST', `${person}/password/validate`, security.validatePassword, whose),
  row('PATCH', `${person}/attributes`, users.updateAttributes, whose),
  row('POST', `${person}/verify-email`, security.sendVerification, { ...whose, ...top }),
  row('GET', `${person}/credentials`, security.listCredentials, { ...whose, ...top }),
  row('DELETE', `${person}/credentials/:type`, security.removeCredential, { ...whose, ...top }),
  row('POST', `${person}/logout/all`, security.logoutAll, { ...whose, ...top }),
  row('POST', `${person}/logout`, security.logout, { ...whose, ...top }),
  row('GET', `${person}/sessions`, security.listSessions, { ...whose, ...top }),
  row('GET', `${person}/totp/status`, security.totpStatus, { ...whose, ...top }),
  row('POST', `${person}/totp/require`, security.requireTotp, { ...whose, ...top }),
  row('POST', `${person}/totp/email`, security.mailTotp, { ...whose, ...top }),
  row('DELETE', `${person}/totp`, security.removeCredential, { ...whose, ...top, fixed: { type: 'totp' } }),
  row('GET', `${person}/roles`, userRoles.list),
  row('GET', `${person}/roles/realm`, userRoles.listRealm),
  row('POST', `${person}/roles/realm/assign`, userRoles.assignRealm, top),
  row('POST', `${person}/roles/realm/remove`, userRoles.unassignRealm, top),
  row('GET', `${person}/roles/client/:clientId`, userRoles.listClient),
  row('POST', `${person}/roles/client/:clientId/assign`, userRoles.assignClient, top),
  row('POST', `${person}/roles/client/:clientId/remove`, userRoles.unassignClient, top),
)

const byName = { names: { roleName: 'role', roleId: 'role' } }
ssoRows.push(
  row('GET', `${realm}/roles`, roles.list, { fixed: { scope: 'tenant' } }),
  row('GET', `${realm}/roles/:roleName`, roles.get, { ...byName, fixed: { scope: 'tenant' } }),
  row('POST', `${realm}/roles`, roles.create, { ...made, ...top, fixed: { scope: 'tenant' } }),
  row('PATCH', `${realm}/roles/:roleId`, roles.update, { ...byName, ...top, fixed: { scope: 'tenant' } }),
  row('DELETE', `${realm}/roles/:roleId`, roles.remove, { ...byName, ...top, fixed: { scope: 'tenant' } }),
  row('GET', `${realm}/roles/stats`, roles.stats),
  row('GET', `${realm}/roles/:roleName/users`, roles.holders, byName),
  row('POST', `${realm}/roles/composite`, roles.createComposite, { ...made, ...top }),
  row('GET', `${realm}/roles/:roleName/composites`, roles.parts, byName),
  row('POST', `${realm}/roles/:roleName/composites/add`, roles.addParts, { ...byName, ...top }),
  row('POST', `${realm}/roles/:roleName/composites/remove`, roles.removeParts, { ...byName, ...top }),
)

const database = { names: { id: 'role', permId: 'permission' }, fixed: { scope: 'database' } }
ssoRows.push(
  row('GET', '/api/permissions', permissions.list),
  row('GET', '/api/permissions/resources', permissions.resources),
  row('GET', '/api/permissions/actions', permissions.actions),
  row('GET', '/api/permissions/:id', permissions.get),
  row('POST', '/api/permissions', permissions.create, { ...made, ...top }),
  row('PUT', '/api/permissions/:id', permissions.update, top),
  row('DELETE', '/api/permissions/:id', permissions.remove, top),
  row('GET', '/api/db-roles', roles.list, { fixed: { scope: 'database' } }),
  row('GET', '/api/db-roles/:id', roles.get, database),
  row('POST', '/api/db-roles', roles.create, { ...made, ...top }),
  row('PUT', '/api/db-roles/:id', roles.update, { ...database, ...top }),
  row('DELETE', '/api/db-roles/:id', roles.remove, { ...database, ...top }),
  row('POST', '/api/db-roles/:id/permissions', roles.allow, { ...database, ...top }),
  row('DELETE', '/api/db-roles/:id/permissions/:permId', roles.disallow, { ...database, ...top }),
  row('POST', '/api/db-roles/:id/assign', userRoles.assignHere, { names: { id: 'role' }, ...top }),
  row('DELETE', '/api/db-roles/:id/users/:userId', userRoles.unassign, { names: { id: 'role' }, ...top }),
)

// Clients, as both parts of sso-api spell them, and the roles that count at one of them.
const client = `${realm}/clients/:clientId`
const which = { names: { clientId: 'id', clientKey: 'id' } }
const ofClient = { names: { clientId: 'client', id: 'client', roleName: 'role' } }
ssoRows.push(
  row('GET', `${realm}/clients`, clients.list),
  row('GET', client, clients.get, which),
  row('POST', `${realm}/clients`, clients.create, { ...made, ...top }),
  row('PATCH', client, clients.update, { ...which, ...top }),
  row('DELETE', client, clients.remove, { ...which, ...top }),
  row('GET', `${client}/secret`, clients.secret, { ...which, ...top }),
  row('POST', `${client}/secret/regenerate`, clients.regenerateSecret, { ...which, ...top }),
  row('GET', `${client}/roles`, clientRoles.list, ofClient),
  row('POST', `${client}/roles`, clientRoles.create, { ...ofClient, ...made, ...top }),
  row('GET', `${client}/roles/:roleName`, clientRoles.get, ofClient),
  row('PATCH', `${client}/roles/:roleName`, clientRoles.update, { ...ofClient, ...top }),
  row('DELETE', `${client}/roles/:roleName`, clientRoles.remove, { ...ofClient, ...top }),
  row('GET', '/auth/admin/client-requests', clientRequests.list),
  row('POST', '/auth/admin/client-requests/:id/approve', clientRequests.approve, top),
  row('POST', '/auth/admin/client-requests/:id/reject', clientRequests.reject, top),
  row('GET', '/auth/clients', clients.list),
  row('GET', '/auth/clients/:clientKey', clients.get, which),
  row('PUT', '/auth/clients/:clientKey', clients.update, { ...which, ...top }),
  row('DELETE', '/auth/clients/:clientKey', clients.remove, { ...which, ...top }),
)
plainRows.push(
  row('GET', '/clients/{id}/roles', clientRoles.list, { ...ofClient, as: 'roles' }),
  row('POST', '/clients/{id}/roles', clientRoles.create, { ...ofClient, ...made }),
  row('GET', '/clients/{id}/roles/{roleName}', clientRoles.get, ofClient),
  row('PUT', '/clients/{id}/roles/{roleName}', clientRoles.update, ofClient),
  row('DELETE', '/clients/{id}/roles/{roleName}', clientRoles.remove, ofClient),
  row('GET', '/clients/{id}/service-account/roles', serviceAccounts.list, { ...ofClient, as: 'roles' }),
  row('POST', '/clients/{id}/service-account/roles', serviceAccounts.assign, {
    ...ofClient,
    as: 'roles',
    permission: 'clients:write',
  }),
  row('DELETE', '/clients/{id}/service-account/roles/{roleName}', serviceAccounts.unassign, {
    ...ofClient,
    permission: 'clients:write',
  }),
)

// Acting as somebody else, for support.
v1Rows.push(
  row('POST', '/v1/admin/users/{id}/impersonate', impersonation.start, { status: 201, names: { id: 'user_id' } }),
  row('GET', '/v1/admin/impersonation-sessions', impersonation.list, { as: 'sessions' }),
)

// Settings and the audit log.
plainRows.push(
  row('GET', '/admin/settings', settings.getConfiguration),
  row('PUT', '/admin/settings', settings.putConfiguration),
  row('GET', '/admin/audit-logs', audit.list, { as: 'logs' }),
)
v1Rows.push(
  row('GET', '/v1/admin/settings', settings.list, { as: 'settings' }),
  row('PATCH', '/v1/admin/settings/{key}', settings.change),
  row('GET', '/v1/audit/logs', audit.list, { as: 'logs' }),
)
ssoRows.push(
  row('GET', `${realm}/security/config`, settings.getConfiguration),
  row('PUT', `${realm}/security/config`, settings.putConfiguration, top),
)

// Tenants, and statistics.
const inTenant = { names: { userId: 'user_id' } }
v1Rows.push(
  row('GET', '/v1/tenants', tenants.list, { as: 'tenants' }),
  row('POST', '/v1/tenants', tenants.create, made),
  row('GET', '/v1/tenants/{id}', tenants.get),
  row('PUT', '/v1/tenants/{id}', tenants.update),
  row('DELETE', '/v1/tenants/{id}', tenants.remove),
  row('GET', '/v1/tenants/{id}/stats', tenants.getStats, { permission: 'stats:read' }),
  row('GET', '/v1/tenants/{id}/users', tenants.users, { ...list, permission: 'users:read' }),
  row('POST', '/v1/tenants/{id}/users/{userId}', tenants.assignUser, { ...inTenant, permission: 'users:write' }),
  row('DELETE', '/v1/tenants/{id}/users/{userId}', tenants.unassignUser, { ...inTenant, permission: 'users:write' }),
  row('GET', '/v1/admin/stats', stats.get),
  row('GET', '/v1/admin/services', stats.services),
)
plainRows.push(row('GET', '/admin/stats', stats.get))
ssoRows.push(
  row('GET', `${realm}/analytics/session-stats`, stats.sessionStats),
  row('GET', `${realm}/analytics/login-stats`, stats.loginStats),
)

// Signing keys, of one's own tenant and of any.
const ofTenant = { as: 'keys', names: { id: 'tenant' } }
// Nobody names another tenant there, where no permission about tenants is asked for.
const own = { as: 'keys', fixed: { tenant: undefined } }
v1Rows.push(
  row('GET', '/v1/admin/keys', keys.list, own),
  row('POST', '/v1/admin/keys/rotate', keys.rotate, own),
  row('POST', '/v1/admin/keys/{kid}/revoke', keys.revoke, own),
  row('GET', '/v1/tenants/{id}/keys', keys.list, { ...ofTenant, permission: 'tenants:read' }),
  row('POST', '/v1/tenants/{id}/keys/rotate', keys.rotate, { ...ofTenant, permission: 'tenants:write' }),
  row('POST', '/v1/tenants/{id}/keys/{kid}/revoke', keys.revoke, { ...ofTenant, permission: 'tenants:write' }),
)
// Many people at once.
v1Rows.push(
  row('GET', '/v1/admin/users/export', userExport.exportAll),
  row('POST', '/v1/admin/users/import', imports.importUsers),
  row('POST', '/v1/admin/users/import/csv', imports.importCsv),
  row('POST', '/v1/admin/imports/auth0', imports.importAuth0),
  row('POST', '/v1/admin/imports/cognito', imports.importCognito),
  row('POST', '/v1/admin/imports/keycloak', imports.importKeycloak),
  row('GET', '/v1/admin/imports', imports.list, { as: 'imports' }),
  row('GET', '/v1/admin/imports/{id}', imports.get),
  row('GET', '/v1/admin/imports/{id}/results', imports.results, { as: 'results' }),
  row('POST', '/v1/admin/imports/{id}/cancel', imports.cancel),
)
