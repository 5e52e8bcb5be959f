/** The devices of a person, as they are listed, trusted, blocked and forgotten. */
import { sha256 } from '../../../adapters/sealing.ts'
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { idFor, newToken } from '../devices.ts'
import { type Page, readPage, type Window } from '../pages.ts'
import { insufficient, sessionProof } from '../recent.ts'
import * as sessions from '../sessions.ts'

export interface DeviceRow {
  id: string
  bound: boolean
  name: string | null
  ip: string | null
  country: string | null
  city: string | null
  user_agent: string | null
  trusted_until: Date | null
  blocked_at: Date | null
  fingerprint: string | null
  created_at: Date
  last_used_at: Date
  /** Live sessions on it. */
  sessions: number
  current: boolean
}

const own = (ctx: Context, userId: string) => ctx.db('devices').where({ tenant_id: ctx.tenant.id, user_id: userId })
const missing = () => fail('NOT_FOUND', 'No such device')
const withUse = (ctx: Context) => [
  'devices.*',
  ctx.db.raw(
    `(select count(*) from sessions s where s.tenant_id = devices.tenant_id and s.device_id = devices.id
      and s.ended_at is null and s.expires_at > now())::int as sessions`,
  ),
  ctx.db.raw(
    `exists (select 1 from sessions s where s.tenant_id = devices.tenant_id and s.device_id = devices.id and s.id = ?) as current`,
    [ctx.actor?.sessionId ?? ''],
  ),
]

/** The person's devices, the last used first. */
export function list(ctx: Context, userId: string, page: Window): Promise<Page<DeviceRow>> {
  return readPage(own(ctx, userId), page, (q) => q.orderBy('last_used_at', 'desc').orderBy('id').select(withUse(ctx)))
}

export async function get(ctx: Context, userId: string, id: string): Promise<DeviceRow> {
  const row = await own(ctx, userId).where({ id }).first(withUse(ctx))
  if (!row) throw missing()
  return row
}

/** Forgets the device and ends its sessions; the next sign-in there is one on a new device. */
export async function remove(ctx: Context, userId: string, id: string): Promise<void> {
  const [row] = await own(ctx, userId).where({ id }).delete().returning(['name'])
  if (!row) throw missing()
  await sessions.endOfDevice(ctx, userId, id)
  ctx.event('device.removed', { userId, data: { id, name: row.name } })
}

/** The device of the caller's own session. NOT_FOUND where it was opened without one, or the device is removed. */
export async function current(ctx: Context): Promise<string> {
  const { sessionId, userId } = ctx.actor!
  const row =
    sessionId &&
    (await ctx
      .db('sessions')
      .join('devices', (on) => on.on('devices.tenant_id', 'sessions.tenant_id').on('devices.id', 'sessions.device_id'))
      .where({ 'sessions.tenant_id': ctx.tenant.id, 'sessions.id': sessionId, 'devices.user_id': userId })
      .first('devices.id'))
  if (!row) throw fail('NOT_FOUND', 'This session is on no known device')
  return row.id
}

const DAY = 86_400

/**
 * The device skips the second factor for `days` (at most, and unless said otherwise, as the tenant allows). Who has a second
 * factor must have used it in the session that asks. An app that kept no secret is given one: `deviceToken`, to be sent as
 * X-Device-Token from now on; the device has another id then.
 */
export async function trust(
  ctx: Context,
  id: string,
  days?: number,
): Promise<{ device: DeviceRow; deviceToken: string | undefined }> {
  const { userId, sessionId } = ctx.actor!
  const most = ctx.tenant.settings.device_trust_days
  if (most === 0) throw fail('ACCESS_DENIED', 'Devices cannot be trusted here')
  if (days !== undefined && days > most)
    throw fail('VALIDATION_ERROR', `A device may be trusted for ${most} days at most`, { details: { maximum: most } })
  const row = await get(ctx, userId!, id)
  if (row.blocked_at) throw fail('CONFLICT', 'This device is blocked')
  const { amr } = await sessionProof(ctx)
  if (!amr.includes('mfa') && (await hasSecondFactor(ctx, userId!))) throw insufficient({ mfa: true })
  if (!row.bound && !row.current)
    throw fail('CONFLICT', 'This device cannot be told from others like it. Trust it from the device itself')
  const deviceToken = row.bound ? undefined : newToken()
  const bound = deviceToken ? idFor(userId!, { ...ctx.request, deviceToken }) : id
  await own(ctx, userId!)
    .where({ id })
    .update({
      id: bound,
      bound: true,
      trusted_at: ctx.db.fn.now(),
      trusted_until: ctx.db.raw('now() + make_interval(secs => ?)', [(days ?? most) * DAY]),
    })
  if (deviceToken && sessionId)
    await ctx.db('sessions').where({ tenant_id: ctx.tenant.id, id: sessionId }).update({ device_id: bound })
  ctx.event('device.trusted', { userId, data: { id: bound, name: row.name, days: days ?? most } })
  return { device: await get(ctx, userId!, bound), deviceToken }
}

const hasSecondFactor = async (ctx: Context, userId: string): Promise<boolean> =>
  (await ctx
    .db('credentials')
    .where({ tenant_id: ctx.tenant.id, user_id: userId })
    .whereNotIn('type', ['password', 'backup_codes'])
    .whereNotNull('verified_at')
    .first('id')) !== undefined

/** Asks for the second factor again, there or, without `id`, on all devices of the person. Answers how many. */
export async function distrust(ctx: Context, userId: string, id?: string): Promise<number> {
  const query = own(ctx, userId).update({ trusted_until: null, trusted_at: null })
  const changed = await (id ? query.where({ id }) : query.whereNotNull('trusted_until'))
  if (id && changed === 0) throw missing()
  if (changed) ctx.event('device.distrusted', { userId, data: { id: id ?? 'all' } })
  return changed
}

/** A blocked device's sessions end, and nobody signs in to this account from it until it is unblocked. */
export async function block(ctx: Context, userId: string, id: string): Promise<DeviceRow> {
  const changed = await own(ctx, userId)
    .where({ id })
    .update({ blocked_at: ctx.db.raw('coalesce(blocked_at, now())'), trusted_until: null, trusted_at: null })
  if (changed === 0) throw missing()
  await sessions.endOfDevice(ctx, userId, id)
  ctx.event('device.blocked', { userId, data: { id } })
  return get(ctx, userId, id)
}

export async function unblock(ctx: Context, userId: string, id: string): Promise<DeviceRow> {
  const changed = await own(ctx, userId).where({ id }).update({ blocked_at: null })
  if (changed === 0) throw missing()
  ctx.event('device.unblocked', { userId, data: { id } })
  return get(ctx, userId, id)
}

/** Compares with what the device of this session was saved with; the first one is saved. Kept as SHA-256. */
export async function fingerprint(
  ctx: Context,
  value: string,
): Promise<{ deviceId: string; saved: boolean; match: boolean }> {
  const { userId } = ctx.actor!
  const deviceId = await current(ctx)
  const hashed = sha256(value).toString('base64url')
  const saved = await own(ctx, userId!).where({ id: deviceId, fingerprint: null }).update({ fingerprint: hashed })
  const row = await own(ctx, userId!).where({ id: deviceId }).first('fingerprint')
  const match = row?.fingerprint === hashed
  if (saved) ctx.event('device.fingerprint_saved', { userId, data: { id: deviceId } })
  else if (!match) ctx.event('device.fingerprint_mismatch', { userId, data: { id: deviceId } })
  return { deviceId, saved: saved === 1, match }
}
