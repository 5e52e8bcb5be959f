/** Names in a Keycloak realm that mean something else here, or nothing. */
import { systemRoles } from '../policy.ts'

const CLIENTS = new Set([
  'account',
  'account-console',
  'admin-cli',
  'broker',
  'realm-management',
  'security-admin-console',
])
/** Every realm has them by itself. */
export const isBuiltInClient = (clientId: string): boolean => CLIENTS.has(clientId) || clientId.endsWith('-realm')
export const isBuiltInRole = (name: string): boolean =>
  name === 'offline_access' || name === 'uma_authorization' || name.startsWith('default-roles-')
/** Somebody's `admin` there must not become an administrator here. */
export const isOurs = (name: string): boolean =>
  systemRoles.some((role) => role.name === name && role.scope === undefined)
