/**
 * API keys: bearer credentials a person makes for scripts. Shown once and stored as SHA-256; a key may do what is both among
 * its scopes and among its owner's permissions at the moment of use.
 */
import { named } from '../../adapters/knex.ts'
import { USER_COLUMNS } from '../../adapters/oidc.ts'
import { randomToken, sha256 } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import type { Context, UserRow } from './context.ts'
import type { Tenant } from './directory.ts'
import { newId } from './ids.ts'
import { countOf, type Page, readPage, type Window } from './pages.ts'
import { permissions } from './policy.ts'
import { assertInPerson } from './recent.ts'

export const PREFIX = 'gh_'
const MOST = 50
/** Characters shown to recognise a key by, the prefix included. */
const SHOWN = 10
/** Seconds both keys work after a rotation, unless the caller says otherwise. */
export const OVERLAP = 86_400

export interface ApiKeyRow {
  id: string
  user_id: string
  name: string
  prefix: string
  scopes: string[]
  created_at: Date
  expires_at: Date | null
  last_used_at: Date | null
  last_used_ip: string | null
  revoked_at: Date | null
  replaces: string | null
}
const COLUMNS = [
  'id',
  'user_id',
  'name',
  'prefix',
  'scopes',
  'created_at',
  'expires_at',
  'last_used_at',
  'last_used_ip',
  'revoked_at',
  'replaces',
] as const

export const looksLikeKey = (value: string): boolean => value.startsWith(PREFIX)

const own = (ctx: Context, userId: string) => ctx.db('api_keys').where({ tenant_id: ctx.tenant.id, user_id: userId })
const missing = () => fail('NOT_FOUND', 'No such API key')

/** Keys that are not revoked, the newest first; expired ones stay visible. */
export function list(ctx: Context, userId: string, page: Window): Promise<Page<ApiKeyRow>> {
  const live = own(ctx, userId).whereNull('revoked_at')
  return readPage(live, page, (q) =>
    q
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .select([...COLUMNS]),
  )
}

export async function get(ctx: Context, userId: string, id: string): Promise<ApiKeyRow> {
  const row = await own(ctx, userId)
    .where({ id })
    .whereNull('revoked_at')
    .first([...COLUMNS])
  if (!row) throw missing()
  return row
}

export interface NewKey {
  name: string
  scopes: string[]
  expiresAt?: Date | null | undefined
}

/**
 * Makes a key; `secret` is the only copy. ACCESS_DENIED for a scope the caller does not hold, or when the caller is itself a
 * key or an app of others: what such a one may do must end with it.
 */
export async function create(ctx: Context, input: NewKey): Promise<{ row: ApiKeyRow; secret: string }> {
  assertInPerson(ctx, 'API keys are made')
  const denied = input.scopes.filter((scope) => scope !== 'account' && !ctx.actor!.permissions.has(scope))
  if (denied.length) {
    throw fail('ACCESS_DENIED', `You cannot give what you do not have: ${denied.join(', ')}`, {
      details: { scopes: denied },
    })
  }
  if (input.expiresAt && input.expiresAt <= new Date()) throw fail('VALIDATION_ERROR', 'expires_at is in the past')
  const userId = ctx.actor!.userId!
  // One at a time, so that of two at once one sees the other.
  await ctx.db.raw('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`API keys of ${userId}`])
  if ((await countOf(own(ctx, userId).whereNull('revoked_at'))) >= MOST)
    throw fail('CONFLICT', `Nobody needs more than ${MOST} keys. Revoke one first`)
  const made = await insert(ctx, userId, input)
  ctx.event('api_key.created', { userId, data: { id: made.row.id, name: input.name, scopes: made.row.scopes } })
  return made
}

async function insert(ctx: Context, userId: string, input: NewKey & { replaces?: string }) {
  const secret = PREFIX + randomToken()
  const [row] = await ctx
    .db('api_keys')
    .insert({
      tenant_id: ctx.tenant.id,
      id: newId(),
      user_id: userId,
      name: input.name,
      prefix: secret.slice(0, SHOWN),
      hash: sha256(secret),
      scopes: [...new Set(input.scopes)],
      expires_at: input.expiresAt ?? null,
      replaces: input.replaces ?? null,
    })
    .returning([...COLUMNS])
  return { row: row as ApiKeyRow, secret }
}

/** A revoked key is refused within a second. */
export async function revoke(ctx: Context, userId: string, id: string): Promise<void> {
  const [row] = await own(ctx, userId)
    .where({ id })
    .whereNull('revoked_at')
    .update({ revoked_at: ctx.db.fn.now() })
    .returning(['name'])
  if (!row) throw missing()
  ctx.event('api_key.revoked', { userId, data: { id, name: row.name } })
}

/**
 * A new key with the old one's name and scopes; the old one works for `overlap` seconds more, or ends at once with 0.
 * CONFLICT when it was replaced or has expired already.
 */
export async function rotate(
  ctx: Context,
  id: string,
  input: { overlap?: number | undefined; expiresAt?: Date | null | undefined },
): Promise<{ row: ApiKeyRow; secret: string }> {
  assertInPerson(ctx, 'API keys are made')
  const userId = ctx.actor!.userId!
  const overlap = input.overlap ?? OVERLAP
  // The lock makes one of two rotations at once see the other's key.
  const [old] = await own(ctx, userId)
    .where({ id })
    .whereNull('revoked_at')
    .forUpdate()
    .select([...COLUMNS])
  if (!old) throw missing()
  if (old.expires_at && old.expires_at <= new Date()) throw fail('CONFLICT', 'This key has expired. Make a new one')
  if (await own(ctx, userId).where({ replaces: id }).first('id')) throw fail('CONFLICT', 'This key was rotated already')
  if (input.expiresAt && input.expiresAt <= new Date()) throw fail('VALIDATION_ERROR', 'expires_at is in the past')
  await own(ctx, userId)
    .where({ id })
    .update(
      overlap === 0
        ? { revoked_at: ctx.db.fn.now() }
        : { expires_at: ctx.db.raw('least(expires_at, now() + make_interval(secs => ?))', [overlap]) },
    )
  const expiresAt = input.expiresAt === undefined ? sameLifetime(old) : input.expiresAt
  const made = await insert(ctx, userId, { name: old.name, scopes: old.scopes, expiresAt, replaces: id })
  ctx.event('api_key.rotated', { userId, data: { id: made.row.id, replaces: id, overlap } })
  return made
}

/** A key that was made for 90 days is followed by one for 90 days. */
const sameLifetime = ({ created_at, expires_at }: ApiKeyRow): Date | null =>
  expires_at && new Date(Date.now() + expires_at.getTime() - created_at.getTime())

/** One statement reads key and owner, who must be active and not locked; it writes down the use at most once a minute. */
const USE = `with k as (
    select id, user_id, scopes, created_at, expires_at from api_keys
    where tenant_id = $1 and hash = $2 and revoked_at is null and (expires_at is null or expires_at > now())),
  used as (
    update api_keys set last_used_at = now(), last_used_ip = coalesce($3::inet, last_used_ip)
    where tenant_id = $1 and id = (select id from k) and (last_used_at is null or last_used_at < now() - interval '1 minute'))
  select k.id as key_id, k.scopes, k.created_at as key_created_at, k.expires_at as key_expires_at,
    ${USER_COLUMNS.map((c) => `u.${c}`).join(', ')},
    array(select role_id from user_roles r where r.tenant_id = u.tenant_id and r.user_id = u.id) as role_ids
  from k join users u on u.tenant_id = $1 and u.id = k.user_id
  where u.status = 'active' and u.deleted_at is null and (u.locked_until is null or u.locked_until <= now())`

export interface UsedKey {
  id: string
  /** What it may do now: its scopes that the owner holds, and account. */
  scopes: string[]
  /** Unix seconds. */
  createdAt: number
  expiresAt: number | undefined
  user: UserRow & { role_ids: string[] }
  roles: string[]
}

/** The live key of this secret, with what it may do now. `ip` is written down as the place of use. */
export async function use(
  ctx: { db: Context['db']; tenant: Tenant },
  secret: string,
  ip: string | null,
): Promise<UsedKey | undefined> {
  if (secret.length > 200) return undefined
  const [row] = await named(ctx.db, 'api_key_use', USE, [ctx.tenant.id, sha256(secret), ip])
  if (!row) return undefined
  const { key_id, scopes, key_created_at, key_expires_at, ...user } = row
  const given = user.role_ids.map((id: string) => ctx.tenant.roles.get(id))
  // Roles of a client count there only.
  const roles = given.filter((role: { scope: string } | undefined) => role?.scope === 'tenant')
  const held = new Set<string>(['account', ...roles.flatMap((role: { permissions: string[] }) => role.permissions)])
  return {
    id: key_id,
    scopes: scopes.filter((scope: string) => held.has(scope)),
    createdAt: Math.floor(key_created_at.getTime() / 1000),
    expiresAt: key_expires_at ? Math.floor(key_expires_at.getTime() / 1000) : undefined,
    user,
    roles: roles.map((role: { name: string }) => role.name),
  }
}

export const knownScopes = ['account', ...Object.keys(permissions)]
