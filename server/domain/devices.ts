/**
 * Devices: one row a person and browser or app. It is known again by a secret it keeps (a cookie on pages, X-Device-Token over
 * REST); its id is made from that secret and the person, so that signing in needs no look-up. Without a secret a device is
 * only told by user agent and network: it is listed, and never trusted.
 */
import { agentLabel } from '../../adapters/agents.ts'
import type { Place } from '../../adapters/geo.ts'
import type { Db } from '../../adapters/knex.ts'
import { randomToken, sha256 } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import { networkOf } from './callers.ts'
import type { Context, Outside, RequestInfo } from './context.ts'
import type { Tenant } from './directory.ts'
import { looksOf } from './events.ts'
import { newId } from './ids.ts'
import type { Part, Person } from './proofs.ts'

const TOKEN = /^[\w-]{32,128}$/
export const isToken = (value: unknown): value is string => typeof value === 'string' && TOKEN.test(value)
/** A secret for a browser or app that has none yet. */
export const newToken = (): string => randomToken()

/** __Host- asks for the path /; a mounted tenant's cookie stays below its address. */
const prefixOf = (tenant: Tenant) => (tenant.mountPath ? '__Secure-' : '__Host-')

/** The cookie's name; with https no sibling host can plant one. */
export const cookieName = (out: Pick<Outside, 'config'>, tenant: Tenant): string =>
  `${out.config.publicUrl.startsWith('https:') ? prefixOf(tenant) : ''}gh_device${tenant.mountPath ? `_${tenant.slug}` : ''}`

interface Headers {
  headers: Record<string, string | string[] | undefined>
}
/** The device's secret in a request: X-Device-Token, else the cookie. */
export function deviceToken(out: Pick<Outside, 'config'>, tenant: Tenant, req: Headers): string | undefined {
  const sent = req.headers['x-device-token']
  if (sent !== undefined) return isToken(sent) ? sent : undefined
  const name = `${cookieName(out, tenant)}=`
  const cookies = String(req.headers.cookie ?? '').split(/; */)
  const value = cookies.find((pair) => pair.startsWith(name))?.slice(name.length)
  return isToken(value) ? value : undefined
}

/** Addresses of one provider and region, since people's addresses change daily. */
const nearby = (ip: string) => (ip.includes(':') ? networkOf(ip) : ip.split('.').slice(0, 2).join('.'))

type Caller = Pick<RequestInfo, 'ip' | 'userAgent' | 'deviceToken'>

/** The device's id for this person, as a UUID of our own making (RFC 9562 version 8). */
export function idFor(userId: string, caller: Caller): string {
  const what = caller.deviceToken ? `token\n${caller.deviceToken}` : `caller\n${nearby(caller.ip)}\n${caller.userAgent}`
  const bytes = sha256(`device\n${userId}\n${what}`).subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** What a new session remembers of where it was opened. */
export const placeOf =
  (out: Outside, caller: Caller) =>
  (userId: string): { deviceId: string } & Place => ({ deviceId: idFor(userId, caller), ...out.geo.place(caller.ip) })

/**
 * Parts of the statement that ends a sign-in: the device is noted, and where it is new to a person who has others, or its
 * country is, the person is told by mail. All in one statement, so signing in costs no further round trip. With
 * `trustDays`, from a sign-in with two factors only, the device skips the second one from now on.
 */
export function recognise(ctx: Context, user: Pick<Person, 'id'>, clientId?: string, trustDays = 0): Part[] {
  const { ip, userAgent, id: requestId, locales } = ctx.request
  const id = idFor(user.id, ctx.request)
  const { country, city } = ctx.out.geo.place(ip)
  const label = agentLabel(userAgent)
  const trusted = trustDays > 0 && ctx.request.deviceToken !== undefined
  if (trusted) ctx.event('device.trusted', { userId: user.id, data: { id, name: label, days: trustDays } })
  const mail = {
    tenantId: ctx.tenant.id,
    template: 'new-sign-in',
    userId: user.id,
    locales,
    ip,
    device: label,
    ...(country && { country }),
    ...(city && { city }),
    ...looksOf(ctx),
  }
  return [
    {
      shape: trusted ? 'device-trusted' : 'device',
      sql: (
        bind,
      ) => `insert into devices (tenant_id, id, user_id, bound, name, ip, country, city, user_agent${trusted ? ', trusted_at, trusted_until' : ''})
        select $1, ${bind(id, 'uuid')}, ${bind(user.id, 'uuid')}, ${bind(Boolean(ctx.request.deviceToken), 'boolean')},
          ${bind(label, 'text')}, ${bind(ip, 'inet')}, ${bind(country, 'text')},
          ${bind(city, 'text')}, ${bind(userAgent, 'text')}
          ${trusted ? `, now(), now() + make_interval(days => ${bind(trustDays, 'int')})` : ''}
        on conflict (tenant_id, id) do update set last_used_at = now(), ip = excluded.ip,
          country = coalesce(excluded.country, devices.country),
          city = case when excluded.country is null then devices.city else excluded.city end, user_agent = excluded.user_agent
          ${trusted ? ', trusted_at = excluded.trusted_at, trusted_until = excluded.trusted_until' : ''}`,
    },
    {
      // Sees the devices as they were before: all parts of a statement look at one snapshot.
      shape: 'device-news',
      isEvent: true,
      sql: (bind) => {
        const [device, person, place] = [bind(id, 'uuid'), bind(user.id, 'uuid'), bind(country, 'text')]
        return `insert into events (tenant_id, id, type, actor_id, user_id, client_id, ip, user_agent, request_id, data)
        select $1, ${bind(newId(), 'uuid')}, case when is_new then 'device.added' else 'login.new_country' end, ${person}, ${person},
          ${bind(clientId ?? null, 'text')}, ${bind(ip, 'inet')}, ${bind(userAgent, 'text')}, ${bind(requestId, 'text')},
          jsonb_build_object('device', ${device}, 'name', ${bind(label, 'text')}, 'country', ${place}, 'mail',
            case when has_others then (graphile_worker.add_job('mail', ${bind(JSON.stringify(mail), 'json')})).id end)
        from (select not exists (select 1 from devices where tenant_id = $1 and id = ${device}) as is_new,
            exists (select 1 from devices where tenant_id = $1 and user_id = ${person}) as has_others,
            ${place} is not null
              and exists (select 1 from devices where tenant_id = $1 and user_id = ${person} and country is not null)
              and not exists (select 1 from devices where tenant_id = $1 and user_id = ${person} and country = ${place})
              as is_elsewhere) news
        where is_new or is_elsewhere`
      },
    },
  ]
}

/**
 * Whether this device skips the second factor: bound by its secret, trusted, not blocked, and trusted since the person has
 * second factors at all, so that nobody can trust a device ahead of that.
 */
export async function isTrusted(
  { tenant, request, db }: { tenant: Tenant; request: Caller; db: Db },
  userId: string,
): Promise<boolean> {
  if (!request.deviceToken || tenant.settings.device_trust_days === 0) return false
  return isTrustedId({ tenant, db }, userId, idFor(userId, request))
}

/** The same of a device by its id, such as that of a session. */
async function isTrustedId({ tenant, db }: { tenant: Tenant; db: Db }, userId: string, id: string): Promise<boolean> {
  const { rows } = await db.raw(
    `select 1 from devices d where d.tenant_id = :tenant and d.id = :id and d.user_id = :user and d.bound
       and d.trusted_until > now() and d.blocked_at is null
       and d.trusted_at >= (select min(c.verified_at) from credentials c where c.tenant_id = d.tenant_id
         and c.user_id = d.user_id and c.type not in ('password', 'backup_codes'))`,
    { tenant: tenant.id, id, user: userId },
  )
  return rows.length > 0
}

/** Whether the device that the session was opened on skips the second factor now. */
export async function isSessionTrusted(
  where: { tenant: Tenant; db: Db },
  userId: string,
  sessionId: string,
): Promise<boolean> {
  const { tenant, db } = where
  if (tenant.settings.device_trust_days === 0) return false
  const row = await db('sessions').where({ tenant_id: tenant.id, id: sessionId, user_id: userId }).first('device_id')
  return row?.device_id ? isTrustedId(where, userId, row.device_id) : false
}

/** ACCESS_DENIED on a device its owner, or an administrator, has blocked. */
export function assertNotBlocked(ctx: Context, user: Pick<Person, 'id'> & { blocked_devices?: string[] }): void {
  if (user.blocked_devices?.includes(idFor(user.id, ctx.request)))
    throw fail('ACCESS_DENIED', 'Sign-in from this device is blocked')
}
