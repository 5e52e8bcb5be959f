/** A person's own devices: what signed in where, which skip the second factor, which may not sign in any more. */

import { type Context, operation } from '../domain/context.ts'
import * as devices from '../domain/devices/owned.ts'
import { versionBy } from '../domain/versions.ts'
import {
  boolean,
  instant,
  integer,
  nullable,
  object,
  optional,
  page,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { Done, done, paged, pageInput } from './shapes.ts'

const tag = 'Devices'

const Device = resource('Device', {
  id: uuid(),
  name: string({ description: 'In words, such as Firefox on Linux' }),
  current: boolean({ description: 'The one this request is signed in on' }),
  ip: nullable(string()),
  country: nullable(string({ description: 'ISO 3166-1 alpha-2' })),
  city: nullable(string()),
  userAgent: nullable(string()),
  trusted: boolean({ description: 'Skips the second factor' }),
  trustedUntil: nullable(instant()),
  blocked: boolean({ description: 'May not sign in' }),
  sessions: integer({ description: 'Live sessions on it' }),
  createdAt: instant(),
  lastUsedAt: instant(),
})

const view = (row: devices.DeviceRow) => {
  const trusted = row.bound && row.trusted_until !== null && row.trusted_until > new Date()
  return {
    id: row.id,
    name: row.name ?? 'Unknown device',
    current: row.current,
    ip: row.ip,
    country: row.country,
    city: row.city,
    userAgent: row.user_agent,
    trusted,
    trustedUntil: trusted ? row.trusted_until : null,
    blocked: row.blocked_at !== null,
    sessions: row.sessions,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  }
}
const me = (ctx: Context) => ctx.actor!.userId!
const byId = object({ id: uuid() })
const days = optional(
  integer({
    minimum: 1,
    maximum: 365,
    description: 'At most, and unless you say otherwise, the setting device_trust_days',
  }),
)
const Trusted = object({
  device: Device,
  deviceToken: optional(
    string({
      description: 'Keep it and send it as X-Device-Token when signing in: it is what is trusted. Shown only now',
    }),
  ),
  message: string(),
})

/** Signing in on a device does not change what is decided about it. */
const version = versionBy('device', ['id'], async (ctx, { id }) => {
  const { trusted, trustedUntil, blocked } = view(await devices.get(ctx, me(ctx), id))
  return [id, trusted, trustedUntil, blocked]
})

export const list = operation({
  id: 'devices.list',
  summary: 'List all registered devices',
  description:
    'An app is known again by the X-Device-Token it sends when signing in: a random value of its own, 32 to 128 URL-safe characters. Without one, devices are told by user agent and network.',
  tag,
  auth: 'user',
  effect: 'read',
  input: object(pageInput),
  output: page(Device),
  run: (ctx, input) => paged(input, (window) => devices.list(ctx, me(ctx), window), view),
})

export const get = operation({
  id: 'devices.get',
  summary: 'Get device details',
  tag,
  auth: 'user',
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: byId,
  output: Device,
  version,
  run: async (ctx, input) => view(await devices.get(ctx, me(ctx), input.id)),
})

export const remove = operation({
  id: 'devices.remove',
  summary: 'Remove/Logout a device',
  description: 'Ends its sessions and forgets it, with its trust.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: byId,
  output: Done,
  version,
  async run(ctx, input) {
    await devices.remove(ctx, me(ctx), input.id)
    return done('The device is signed out and forgotten')
  },
})

async function trusted(ctx: Context, id: string, wanted: number | undefined) {
  const { device, deviceToken } = await devices.trust(ctx, id, wanted)
  return { device: view(device), deviceToken, message: 'This device skips the second factor' }
}

export const trust = operation({
  id: 'devices.trust',
  summary: 'Mark device as trusted',
  description:
    'It skips the second factor for some days. Who has a second factor must have used it in this session. An app that sent no X-Device-Token is given one.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND', 'VALIDATION_ERROR', 'ACCESS_DENIED', 'CONFLICT', 'INSUFFICIENT_AUTHENTICATION'],
  input: object({ id: uuid(), days }),
  example: { days: 30 },
  output: Trusted,
  run: (ctx, input) => trusted(ctx, input.id, input.days),
})

export const trustMine = operation({
  id: 'devices.trust_current',
  summary: 'Trust device for MFA (skip MFA for N days)',
  description: 'The device of this session, or the one named. See the other way to trust a device.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND', 'VALIDATION_ERROR', 'ACCESS_DENIED', 'CONFLICT', 'INSUFFICIENT_AUTHENTICATION'],
  input: object({ deviceId: optional(uuid()), days }),
  example: { days: 30 },
  output: Trusted,
  run: async (ctx, input) => trusted(ctx, input.deviceId ?? (await devices.current(ctx)), input.days),
})

export const distrust = operation({
  id: 'devices.distrust',
  summary: 'Remove trust from device',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: byId,
  output: Done,
  async run(ctx, input) {
    await devices.distrust(ctx, me(ctx), input.id)
    return done('This device is asked for the second factor again')
  },
})

export const distrustMine = operation({
  id: 'devices.distrust_any',
  summary: 'Revoke MFA trust from a device',
  description: 'The device named, or all of yours with `all`, else the one of this session.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ deviceId: optional(uuid()), all: optional(boolean({ default: false })) }),
  example: { all: true },
  output: Done,
  async run(ctx, input) {
    const id = input.all ? undefined : (input.deviceId ?? (await devices.current(ctx)))
    const count = await devices.distrust(ctx, me(ctx), id)
    return done(`${count} device${count === 1 ? ' is' : 's are'} asked for the second factor again`)
  },
})

export const block = operation({
  id: 'devices.block',
  summary: 'Block a device from signing in to your account',
  description:
    'Ends its sessions. Its secret, or its user agent and network where it has none, is refused from now on.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: byId,
  output: Device,
  run: async (ctx, input) => view(await devices.block(ctx, me(ctx), input.id)),
})

export const unblock = operation({
  id: 'devices.unblock',
  summary: 'Let a blocked device sign in again',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: byId,
  output: Device,
  run: async (ctx, input) => view(await devices.unblock(ctx, me(ctx), input.id)),
})

export const fingerprint = operation({
  id: 'devices.fingerprint',
  summary: 'Save or compare a device fingerprint',
  description:
    'The first one is saved with the device of this session; later ones are compared with it. Kept as a hash; a difference is written to the security events.',
  tag,
  auth: 'user',
  effect: 'write',
  errors: ['NOT_FOUND', 'VALIDATION_ERROR'],
  input: object({ fingerprint: text(4096) }),
  example: { fingerprint: 'c2f4…' },
  output: object({ deviceId: uuid(), saved: boolean(), match: boolean() }),
  run: (ctx, input) => devices.fingerprint(ctx, input.fingerprint),
})
