/** sso-api: /api and /auth/client… paths, {success, data} envelopes, camelCase but for the resources that say otherwise. */
import type { Failure } from '../kernel/errors.ts'
import { type Json, type Row, type Surface, snake } from '../kernel/surface.ts'

/** Resources the document spells in snake_case. */
const snaked = new Set([
  'Tokens',
  'Authorization',
  'Organization',
  'OrganizationInput',
  'OrganizationName',
  'OrganizationRole',
  'Membership',
  'MembershipInput',
  'Workspace',
  'WorkspaceInput',
  'WorkspaceMember',
  'OrganizationStats',
  'MembershipStats',
  'Onboarded',
  'TenantMapping',
  'Belonging',
  'BulkAssigned',
  'BulkAssignment',
  'Invitation',
  'InvitationOffer',
])
/** Input keys the document spells in snake_case wherever they stand. */
const snakedKeys = new Set([
  'refreshToken',
  'redirectUri',
  'codeChallenge',
  'codeChallengeMethod',
  'orgId',
  'roleId',
  'invitationCode',
  'invitationId',
  'clientKeySnake',
])

/** Names of people as its profile has them. */
const renamed: Record<string, Record<string, string>> = {
  ManagedUser: { givenName: 'firstName', familyName: 'lastName' },
}

/** The document's three names for a fault on our side. */
const faults: Record<string, string> = { GET: 'FETCH_FAILED', HEAD: 'FETCH_FAILED', POST: 'CREATION_FAILED' }

export const sso = (rows: Row[]): Surface => ({
  id: 'sso',
  title: 'Gatehouse SSO API',
  name: (resource, key) =>
    (resource && renamed[resource]?.[key]) ||
    ((resource && snaked.has(resource)) || (!resource && snakedKeys.has(key)) ? snake(key) : key),
  ok: (data: any) =>
    data && typeof data === 'object' && 'page' in data && 'rest' in data
      ? { success: true, data: data.page, pagination: data.rest }
      : { success: true, data },
  okSchema: (json: Json) => ({
    type: 'object',
    properties: { success: { const: true }, data: json },
    required: ['success', 'data'],
  }),
  fail: (failure: Failure, requestId: string, method: string) => ({
    type: 'application/json',
    body: {
      success: false,
      error: {
        code: failure.code === 'INTERNAL_ERROR' ? (faults[method] ?? 'UPDATE_FAILED') : failure.code,
        message: failure.message,
        ...(failure.details !== undefined && { details: failure.details }),
        requestId,
      },
    },
  }),
  failType: 'application/json',
  failSchema: {
    type: 'object',
    title: 'SsoFailure',
    properties: {
      success: { const: false },
      error: {
        type: 'object',
        properties: {
          code: { type: 'string' },
          message: { type: 'string' },
          details: {},
          requestId: { type: 'string' },
        },
        required: ['code', 'message'],
      },
    },
    required: ['success', 'error'],
  },
  rows,
})
