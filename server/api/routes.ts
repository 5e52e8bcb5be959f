/** Paths of what people do for themselves, by document. */
import { type Row, row } from '../kernel/surface.ts'
import * as account from './account.ts'
import * as apiKeys from './api-keys.ts'
import * as auth from './auth.ts'
import * as clientRequests from './client-requests.ts'
import * as devices from './devices.ts'
import * as email from './email.ts'
import * as history from './history.ts'
import * as identities from './identities.ts'
import * as impersonation from './impersonation.ts'
import * as insideInvitations from './inside-invitations.ts'
import * as acceptance from './invitation-acceptance.ts'
import * as invitations from './invitations.ts'
import * as magicLink from './magic-link.ts'
import * as memberships from './memberships.ts'
import * as mfa from './mfa.ts'
import * as mfaLogin from './mfa-login.ts'
import * as organizationRoles from './organization-roles.ts'
import * as organizations from './organizations.ts'
import * as otp from './otp.ts'
import * as passkeys from './passkeys.ts'
import * as password from './password.ts'
import * as passwordPolicy from './password-policy.ts'
import * as profile from './profile.ts'
import * as registration from './registration.ts'
import * as sessions from './sessions.ts'
import * as social from './social.ts'
import * as ssoLogin from './sso-login.ts'
import * as webhookDeliveries from './webhook-deliveries.ts'
import * as webhooks from './webhooks.ts'
import * as workspaces from './workspaces.ts'

/** RFC 7591 and 7592: apps register and manage themselves. */
export const oauthRows: Row[] = [
  row('POST', '/oauth/register', registration.register, { status: 201 }),
  row('GET', '/oauth/register/{id}', registration.read),
  row('PUT', '/oauth/register/{id}', registration.replace),
  row('DELETE', '/oauth/register/{id}', registration.remove, { status: 204 }),
]

export const v1Rows: Row[] = [
  row('POST', '/v1/auth/register', auth.register, { status: 201 }),
  row('POST', '/v1/auth/login', auth.signIn),
  row('POST', '/v1/auth/refresh', auth.refresh),
  row('POST', '/v1/auth/logout', auth.signOut),
  row('GET', '/v1/auth/me', auth.me),
  row('GET', '/v1/auth/settings', auth.settings),
  row('POST', '/v1/auth/send-verification', email.sendVerification),
  row('POST', '/v1/auth/verify-email', email.verify),
  row('POST', '/v1/auth/forgot-password', password.forgot),
  row('POST', '/v1/auth/reset-password', password.reset),
  row('POST', '/v1/auth/change-password', password.change),
  row('GET', '/v1/oauth/providers', social.list),
  row('GET', '/v1/oauth/{provider}/authorize', social.authorize),
  row('GET', '/v1/oauth/{provider}/callback', social.callback, { fixed: { via: 'get' } }),
  row('POST', '/v1/oauth/{provider}/callback', social.callback, { fixed: { via: 'post' }, form: true }),
  row('POST', '/v1/auth/magic-link/send', magicLink.send),
  row('POST', '/v1/auth/magic-link/verify', magicLink.verify),
  row('POST', '/v1/auth/revoke-all-sessions', sessions.endAll),
  row('GET', '/v1/sessions', sessions.list, { as: 'sessions' }),

  row('GET', '/v1/auth/mfa/status', mfa.status),
  row('POST', '/v1/auth/mfa/setup', mfa.setUp),
  row('POST', '/v1/auth/mfa/enable', mfa.enable),
  row('POST', '/v1/auth/mfa/disable', mfa.disable),
  row('POST', '/v1/auth/mfa/backup-codes', mfa.newBackupCodes),
  row('GET', '/v1/auth/mfa/backup-codes/count', mfa.countBackupCodes),
  row('POST', '/v1/auth/mfa/preferred', mfa.prefer),
  row('POST', '/v1/auth/mfa/email/enable', mfa.enableEmail),
  row('POST', '/v1/auth/mfa/email/disable', mfa.disable, { fixed: { method: 'email' } }),
  row('POST', '/v1/auth/mfa/sms/setup', mfa.setUp, { fixed: { method: 'sms' } }),
  row('POST', '/v1/auth/mfa/sms/enable', mfa.enable, { fixed: { method: 'sms' } }),
  row('POST', '/v1/auth/mfa/sms/disable', mfa.disable, { fixed: { method: 'sms' } }),
  row('POST', '/v1/auth/login/mfa', mfaLogin.login),
  row('POST', '/v1/auth/login/mfa/enrol', mfaLogin.beginEnrolment),
  row('POST', '/v1/auth/login/mfa/enrol/verify', mfaLogin.finishEnrolment),
  row('POST', '/v1/auth/login/actions', mfaLogin.act),
  row('POST', '/v1/auth/login/mfa/backup', mfaLogin.loginByBackupCode),
  row('POST', '/v1/auth/login/mfa/email/send', mfaLogin.sendEmail),
  row('POST', '/v1/auth/login/mfa/email', mfaLogin.loginByEmail),
  row('POST', '/v1/auth/login/mfa/sms/send', mfaLogin.sendSms),
  row('POST', '/v1/auth/login/mfa/sms', mfaLogin.loginBySms),
]

const webauthn = '/v1/auth/mfa/webauthn'
v1Rows.push(
  row('POST', `${webauthn}/register/begin`, passkeys.beginRegistration),
  row('POST', `${webauthn}/register/finish`, passkeys.finishRegistration, { status: 201 }),
  row('GET', `${webauthn}/credentials`, passkeys.list, { as: 'credentials' }),
  row('DELETE', `${webauthn}/credentials`, passkeys.remove),
  row('DELETE', `${webauthn}/credentials/:id`, passkeys.remove),
  row('PATCH', `${webauthn}/credentials/:id`, passkeys.rename),
  row('POST', '/v1/auth/login/mfa/webauthn/begin', passkeys.beginSignIn),
  row('POST', '/v1/auth/login/mfa/webauthn/finish', passkeys.finishSignIn),
)

v1Rows.push(
  row('GET', '/v1/webhooks', webhooks.list, { as: 'webhooks' }),
  row('POST', '/v1/webhooks', webhooks.create, { status: 201 }),
  row('GET', '/v1/webhooks/event-types', webhooks.types),
  row('GET', '/v1/webhooks/{id}', webhooks.get),
  row('PUT', '/v1/webhooks/{id}', webhooks.update),
  row('DELETE', '/v1/webhooks/{id}', webhooks.remove),
  row('POST', '/v1/webhooks/{id}/secret/rotate', webhooks.rotateSecret, { status: 201 }),
  row('POST', '/v1/webhooks/{id}/test', webhookDeliveries.trial, { status: 202 }),
  row('GET', '/v1/webhooks/{id}/deliveries', webhookDeliveries.list, { as: 'deliveries' }),
  row('GET', '/v1/webhooks/{id}/deliveries/{deliveryId}', webhookDeliveries.get, {
    names: { deliveryId: 'delivery_id' },
  }),
  row('POST', '/v1/webhooks/{id}/deliveries/{deliveryId}/redeliver', webhookDeliveries.redeliver, {
    status: 202,
    names: { deliveryId: 'delivery_id' },
  }),
)

v1Rows.push(
  row('POST', '/v1/account/email', account.changeEmail),
  row('POST', '/v1/account/email/confirm', account.confirmEmail),
  row('POST', '/v1/account/email/undo', account.undoEmail),
  row('GET', '/v1/account/consents', account.listConsents),
  row('DELETE', '/v1/account/consents/:client_id', account.revokeConsent),
  row('GET', '/v1/account/export', account.exportData),
  row('DELETE', '/v1/account', account.remove),
)

v1Rows.push(
  row('GET', '/v1/api-keys', apiKeys.list, { as: 'api_keys' }),
  row('POST', '/v1/api-keys', apiKeys.create, { status: 201 }),
  row('GET', '/v1/api-keys/{id}', apiKeys.get),
  row('DELETE', '/v1/api-keys/{id}', apiKeys.revoke),
  row('POST', '/v1/api-keys/{id}/rotate', apiKeys.rotate, { status: 201 }),
)

v1Rows.push(
  row('GET', '/v1/devices', devices.list, { as: 'devices' }),
  row('GET', '/v1/devices/{id}', devices.get),
  row('DELETE', '/v1/devices/{id}', devices.remove),
  row('POST', '/v1/devices/{id}/trust', devices.trust),
  row('DELETE', '/v1/devices/{id}/trust', devices.distrust),
  row('POST', '/v1/devices/{id}/block', devices.block),
  row('DELETE', '/v1/devices/{id}/block', devices.unblock),
  row('POST', '/v1/auth/mfa/trust-device', devices.trustMine),
  row('POST', '/v1/auth/mfa/revoke-trust', devices.distrustMine),
  row('GET', '/v1/sessions/history', history.logins, { as: 'history' }),
)

export const plainRows: Row[] = [
  row('POST', '/auth/register', auth.register, { status: 201 }),
  row('POST', '/auth/signup', auth.register, { status: 201 }),
  row('POST', '/auth/login', auth.signIn),
  row('POST', '/auth/logout', auth.signOut),
  row('POST', '/auth/refresh-token', auth.refresh),
  row('POST', '/auth/token/refresh', auth.refresh),
  row('POST', '/auth/verify-email', email.verify),
  row('POST', '/auth/email/verify', email.verify),
  row('POST', '/auth/resend-verification', email.resendVerification),
  row('POST', '/auth/email/send-verification', email.sendVerification),
  row('POST', '/auth/otp/send', otp.send),
  row('POST', '/auth/otp/verify', otp.verify),
  row('POST', '/auth/forgot-password', password.forgot),
  row('POST', '/auth/password/reset-request', password.forgot),
  row('POST', '/auth/reset-password', password.reset),
  row('POST', '/auth/password/reset', password.reset),
  row('POST', '/auth/change-password', password.change),
  row('POST', '/auth/password/change', password.change),
  row('GET', '/auth/user-info', auth.me),
  row('GET', '/users/me', auth.me),
  row('PUT', '/users/me', profile.update),
  row('GET', '/sessions', sessions.list, { as: 'sessions' }),
  row('DELETE', '/sessions/{sessionId}', sessions.end, { names: { sessionId: 'session_id' } }),
  row('POST', '/sessions/logout-all', sessions.endAll),

  row('POST', '/auth/mfa/setup', mfa.setUp),
  row('POST', '/auth/mfa/verify', mfaLogin.verify),
  row('POST', '/auth/2fa/enable', mfa.setUp),
  row('POST', '/auth/2fa/verify', mfaLogin.verify),
]

export const ssoRows: Row[] = [
  row('POST', '/auth/client-requests', clientRequests.submit, { status: 201 }),
  row('GET', '/auth/client-requests/:clientKey/status', clientRequests.look),
  row('POST', '/auth/client-requests/secret', clientRequests.takeSecret),
  row('GET', '/auth/clients/:clientKey/config', clientRequests.config),
  row('POST', '/api/auth/refresh', auth.refresh),
  row('POST', '/api/auth/logout', auth.signOut),
  row('GET', '/api/account/sessions', sessions.list),
  row('DELETE', '/api/account/sessions/:id', sessions.end, { names: { id: 'sessionId' } }),
  row('DELETE', '/api/account/sessions', sessions.endAll),
  row('PUT', '/api/account/password', password.change),
  row('GET', '/api/account/federated-identities', identities.list),
  row('POST', '/api/account/federated-identities/:provider', identities.link),
  row('DELETE', '/api/account/federated-identities/:provider', identities.unlink),
  row('POST', '/api/account/password/validate', passwordPolicy.validate),

  row('PUT', '/api/account/security', mfa.updateSecurity),
  row('POST', '/api/account/2fa/setup', mfa.setUp),
  row('POST', '/api/account/2fa/verify', mfa.enable),
  row('DELETE', '/api/account/2fa', mfa.disable, { fixed: { method: 'all' } }),
  row('GET', '/api/account/profile', profile.complete),
  row('PUT', '/api/account/profile', profile.updateComplete),
  row('GET', '/api/account/profile/summary', profile.summary),
]

plainRows.push(
  row('POST', '/auth/fingerprint', devices.fingerprint),
  row('GET', '/auth/logins', history.logins, { as: 'logins' }),
  row('GET', '/auth/tokens', history.tokens, { as: 'tokens' }),
  row('DELETE', '/auth/token/{token_id}', history.revokeToken),
)

ssoRows.push(
  row('GET', '/api/account/devices', devices.list),
  row('DELETE', '/api/account/devices/:id', devices.remove),
  row('GET', '/api/account/audit-logs', history.auditLogs),
  row('GET', '/api/account/login-history', history.logins),
  row('GET', '/api/account/security-events', history.securityEvents),
  row('GET', '/api/account/sessions/stats', history.stats),
)

// Acting as somebody else: the side of whoever holds the token.
v1Rows.push(
  row('GET', '/v1/auth/impersonation/status', impersonation.status),
  row('POST', '/v1/auth/impersonation/end', impersonation.end),
)

ssoRows.push(
  row('GET', '/api/auth/login/:client', ssoLogin.login),
  row('GET', '/api/auth/callback/:client', ssoLogin.callback),
)

v1Rows.push(
  row('GET', '/v1/invitations', invitations.list, { as: 'invitations' }),
  row('POST', '/v1/invitations', invitations.create, { status: 201 }),
  row('GET', '/v1/invitations/received', acceptance.received, { as: 'invitations' }),
  row('GET', '/v1/invitations/{id}', invitations.get),
  row('DELETE', '/v1/invitations/{id}', invitations.revoke),
  row('POST', '/v1/invitations/{id}/resend', invitations.resend),
  row('POST', '/v1/invitations/{id}/accept', acceptance.acceptReceived),
  row('POST', '/v1/invitations/public/validate', acceptance.validate),
  row('POST', '/v1/invitations/public/accept', acceptance.accept),
)

const made = { status: 201 }
const ofMember = { names: { userId: 'user_id' } }
const ofRole = { names: { roleId: 'role_id' } }
ssoRows.push(
  row('GET', '/api/organizations', organizations.list),
  row('POST', '/api/organizations', organizations.create, made),
  row('GET', '/api/organizations/:id', organizations.get),
  row('PUT', '/api/organizations/:id', organizations.update),
  row('DELETE', '/api/organizations/:id', organizations.remove),
  row('GET', '/api/organizations/:id/stats', organizations.stats),
  row('POST', '/api/organizations/:id/transfer', organizations.transfer),
  row('GET', '/api/organizations/:id/roles', organizationRoles.list),
  row('POST', '/api/organizations/:id/roles', organizationRoles.create, made),
  row('PUT', '/api/organizations/:id/roles/:roleId', organizationRoles.update, ofRole),
  row('DELETE', '/api/organizations/:id/roles/:roleId', organizationRoles.remove, ofRole),
  row('POST', '/api/onboarding/create', organizations.onboard, made),
  row('POST', '/api/onboarding/admin/provision', organizations.provision, { ...made, permission: 'realm:manage' }),
  row('GET', '/api/organization-memberships', memberships.list),
  row('POST', '/api/organization-memberships', memberships.create, made),
  row('POST', '/api/organization-memberships/bulk-assign', memberships.bulkAssign),
  row('GET', '/api/organization-memberships/stats/overview', memberships.overview),
  row('GET', '/api/organization-memberships/user/:userId', memberships.ofUser, ofMember),
  row('GET', '/api/organization-memberships/:id', memberships.get),
  row('PUT', '/api/organization-memberships/:id', memberships.update),
  row('DELETE', '/api/organization-memberships/:id', memberships.remove),
  row('GET', '/api/workspaces', workspaces.list),
  row('POST', '/api/workspaces', workspaces.create, made),
  row('GET', '/api/workspaces/:id', workspaces.get),
  row('PUT', '/api/workspaces/:id', workspaces.update),
  row('DELETE', '/api/workspaces/:id', workspaces.remove),
  row('GET', '/api/workspaces/:id/members', workspaces.members),
  row('POST', '/api/workspaces/:id/members', workspaces.addMember, made),
  row('PUT', '/api/workspaces/:id/members/:userId', workspaces.changeMember, ofMember),
  row('DELETE', '/api/workspaces/:id/members/:userId', workspaces.removeMember, ofMember),
)
ssoRows.push(
  row('POST', '/api/onboarding/join', acceptance.join),
  row('POST', '/api/onboarding/accept-pending', acceptance.acceptPending),
  row('GET', '/api/onboarding/pending', acceptance.received),
  row('POST', '/api/onboarding/invitations', insideInvitations.create, { status: 201 }),
  row('GET', '/api/onboarding/invitations', insideInvitations.list),
  row('DELETE', '/api/onboarding/invitations/{id}', insideInvitations.revoke),
  row('POST', '/api/workspaces/{id}/invitations', insideInvitations.createInWorkspace, { status: 201 }),
  row('GET', '/api/workspaces/{id}/invitations', insideInvitations.listInWorkspace),
  row('DELETE', '/api/workspaces/{id}/invitations/{invId}', insideInvitations.revokeInWorkspace),
  row('GET', '/api/workspaces/invitations/preview', acceptance.preview),
  row('POST', '/api/workspaces/invitations/accept', acceptance.acceptByToken),
)
