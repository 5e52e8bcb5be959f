/** How other people sign in, and where they are signed in: credentials, resets, second factors, sessions, devices. */
import { Done, done, Password, paged, pageInput, Session } from '../server/api/shapes.ts'
import * as accounts from '../server/domain/accounts.ts'
import { assertMayManage } from '../server/domain/authority.ts'
import { operation } from '../server/domain/context.ts'
import * as devices from '../server/domain/devices/owned.ts'
import * as invitations from '../server/domain/invitations.ts'
import { explanations, weaknesses } from '../server/domain/password-policy.ts'
import { personOf } from '../server/domain/roles/members.ts'
import * as sessions from '../server/domain/sessions.ts'
import * as credentials from '../server/domain/user-admin/credentials.ts'
import * as people from '../server/domain/user-admin.ts'
import * as users from '../server/domain/users.ts'
import {
  array,
  boolean,
  instant,
  nullable,
  object,
  oneOf,
  optional,
  page,
  resource,
  string,
  text,
  uuid,
} from '../server/kernel/schema.ts'
import { wholePage } from './shapes.ts'

const tag = 'User security'
const read = { permission: 'users:read' }
const write = { permission: 'users:write' }
const id = uuid()

export const resetPassword = operation({
  id: 'users.reset_password',
  summary: 'Reset password',
  description: 'Mails a link to choose a new one; or sets new_password at once, which ends all sessions.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'WEAK_PASSWORD', 'CONFLICT'],
  input: object({ id, newPassword: optional(Password) }),
  example: {},
  output: Done,
  prepare: async (ctx, input) =>
    input.newPassword === undefined
      ? undefined
      : people.prepareHash(ctx, input.newPassword, await personOf(ctx, input.id)),
  async run(ctx, input, hash) {
    await people.resetPassword(ctx, input.id, hash)
    return done(hash ? 'The password is changed' : 'A link is on its way')
  },
})

export const validatePassword = operation({
  id: 'users.validate_password',
  summary: 'Validate password',
  description: 'Whether the password meets the policy for this person. Never tells whether it is theirs.',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id, password: Password }),
  example: { password: 'NewSecurePassword123!' },
  output: object({ valid: boolean(), errors: array(object({ rule: string(), message: string() })) }),
  async run(ctx, input) {
    const broken = weaknesses(ctx, input.password, await personOf(ctx, input.id))
    return {
      valid: broken.length === 0,
      errors: broken.map((rule) => ({ rule, message: `The password ${explanations[rule]}` })),
    }
  },
})

export const sendVerification = operation({
  id: 'users.send_verification',
  summary: 'Send verification email',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id }),
  output: Done,
  async run(ctx, input) {
    const user = await personOf(ctx, input.id)
    accounts.sendVerification(ctx, user)
    return done(user.email_verified_at ? 'The address is verified already' : 'A link is on its way')
  },
})

export const invite = operation({
  id: 'users.invite',
  summary: 'Mail a link to choose a first password',
  description: 'An invitation like others: listed among them, sent again or revoked there. An earlier link ends.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT', 'RATE_LIMITED'],
  input: object({ id }),
  output: Done,
  prepare: async (ctx, input) => invitations.prepare(ctx, users.addressOf(await personOf(ctx, input.id))),
  async run(ctx, input) {
    await people.invite(ctx, input.id)
    return done('A link is on its way')
  },
})

const Credential = resource('Credential', {
  id: uuid(),
  type: oneOf(credentials.TYPES),
  name: nullable(string()),
  createdAt: instant(),
  lastUsedAt: nullable(instant()),
})

export const listCredentials = operation({
  id: 'users.credentials',
  summary: 'Get credentials',
  description: 'Which there are; never their secrets.',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id }),
  output: page(Credential),
  run: async (ctx, input) => wholePage(await credentials.list(ctx, input.id)),
})

export const removeCredential = operation({
  id: 'users.remove_credential',
  summary: 'Delete credential',
  description: 'All of this type. Sessions end, and the owner is told.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ id, type: oneOf(credentials.TYPES) }),
  output: Done,
  async run(ctx, input) {
    await credentials.remove(ctx, input.id, input.type)
    return done('The credential is deleted')
  },
})

export const totpStatus = operation({
  id: 'users.totp_status',
  summary: 'Get TOTP status',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id }),
  output: object({
    enabled: boolean(),
    required: boolean({ description: 'To be set up at the next sign-in' }),
    createdAt: nullable(instant()),
    lastUsedAt: nullable(instant()),
  }),
  run: (ctx, input) => credentials.totpStatus(ctx, input.id),
})

export const requireTotp = operation({
  id: 'users.require_totp',
  summary: 'Require TOTP',
  description: 'The next sign-in leads through setting up a second factor.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ id, required: optional(boolean({ default: true })) }),
  example: { required: true },
  output: Done,
  async run(ctx, input) {
    await credentials.requireTotp(ctx, input.id, input.required ?? true)
    return done(input.required === false ? 'TOTP is not required any more' : 'TOTP is required')
  },
})

export const mailTotp = operation({
  id: 'users.mail_totp',
  summary: 'Send TOTP email',
  description: 'Asks the person by mail to set up an authenticator app, and requires it.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id }),
  output: Done,
  async run(ctx, input) {
    await credentials.mailTotp(ctx, input.id)
    return done('A mail is on its way')
  },
})

export const listSessions = operation({
  id: 'users.sessions',
  summary: 'Get sessions',
  tag,
  auth: { permission: 'sessions:read' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id, ...pageInput }),
  output: page(Session),
  async run(ctx, input) {
    await personOf(ctx, input.id)
    return paged(input, (window) => sessions.list(ctx, input.id, window))
  },
})

export const logout = operation({
  id: 'users.logout',
  summary: 'Logout user',
  description: 'Ends session_id, or without it the session used last.',
  tag,
  auth: { permission: 'sessions:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ id, sessionId: optional(text(128)) }),
  example: {},
  output: Done,
  async run(ctx, input) {
    await personOf(ctx, input.id)
    await assertMayManage(ctx, input.id)
    const latest = input.sessionId ?? (await sessions.list(ctx, input.id, { limit: 1, offset: 0 })).items[0]?.id
    if (latest !== undefined) await sessions.end(ctx, input.id, latest)
    return done(latest === undefined ? 'The user is not signed in' : 'The session is over')
  },
})

export const logoutAll = operation({
  id: 'users.logout_all',
  summary: 'Force logout all',
  tag,
  auth: { permission: 'sessions:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ id }),
  output: Done,
  async run(ctx, input) {
    await personOf(ctx, input.id)
    await assertMayManage(ctx, input.id)
    const count = await sessions.endAll(ctx, input.id)
    return done(`${count} session${count === 1 ? '' : 's'} signed out`)
  },
})

const Device = resource('UserDevice', {
  id: uuid(),
  name: nullable(string()),
  ip: nullable(string()),
  country: nullable(string()),
  trustedUntil: nullable(instant()),
  blockedAt: nullable(instant()),
  createdAt: instant(),
  lastUsedAt: instant(),
})
const deviceView = (row: devices.DeviceRow) => ({
  id: row.id,
  name: row.name,
  ip: row.ip,
  country: row.country,
  trustedUntil: row.trusted_until,
  blockedAt: row.blocked_at,
  createdAt: row.created_at,
  lastUsedAt: row.last_used_at,
})

export const listDevices = operation({
  id: 'users.devices',
  summary: 'List the devices of a user',
  tag,
  auth: { permission: 'sessions:read' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id, ...pageInput }),
  output: page(Device),
  async run(ctx, input) {
    await personOf(ctx, input.id)
    return paged(input, (window) => devices.list(ctx, input.id, window), deviceView)
  },
})

const blocking = (opId: string, summary: string, change: typeof devices.block) =>
  operation({
    id: opId,
    summary,
    tag,
    auth: { permission: 'sessions:write' },
    effect: 'write',
    errors: ['NOT_FOUND'],
    input: object({ id, deviceId: uuid() }),
    output: Device,
    async run(ctx, input) {
      await personOf(ctx, input.id)
      await assertMayManage(ctx, input.id)
      return deviceView(await change(ctx, input.id, input.deviceId))
    },
  })
export const blockDevice = blocking(
  'users.block_device',
  'Blacklist a device: its sessions end, no sign-in from it',
  devices.block,
)
export const unblockDevice = blocking('users.unblock_device', 'Take a device off the blacklist', devices.unblock)
