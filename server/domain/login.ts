/**
 * Signing in with a password. One statement counts the attempt and reads the person before anything is hashed, so
 * that parallel guesses are counted one by one; unknown accounts take the same steps and the same time.
 */
import { addJobs } from '../../adapters/jobs.ts'
import { named } from '../../adapters/knex.ts'
import type { Along, Rule } from '../../adapters/limits.ts'
import { USER_COLUMNS } from '../../adapters/oidc.ts'
import { sha256 } from '../../adapters/sealing.ts'
import { type Failure, fail } from '../kernel/errors.ts'
import type { LimitState } from '../kernel/operation.ts'
import { assertMaySignIn } from './attempts.ts'
import { networkOf } from './callers.ts'
import type { Context, UserRow } from './context.ts'
import { looksOf } from './events.ts'
import { PERSON_EXTRAS, type Person, type Proof } from './proofs.ts'
import { emailKey, signInName } from './users.ts'

/** Failures from one address on one account before back-off starts; then 30 s, doubling to 15 min. */
const PAIR_FREE = 5
/** Failures on one account from anywhere within the hour; then only addresses that signed in before may try. */
const ACCOUNT_FREE = 100

export interface PasswordProof {
  user: Person
  credentialId: string
  /** The stored hash was made with other parameters: replace it. */
  rehash: string | undefined
  counters: Buffer[]
}

/** `limit` counts the address's attempt along; over it, nothing is counted on the account. */
const begin = (limit?: Along) => `with ${limit ? `spent as (${limit.sql('$6', '$7')}), ` : ''}hit as (
    insert into login_counters (tenant_id, key, failures, expires_at)
      select $1::uuid, key, 1, now() + interval '1 hour' from (values ($2::bytea), ($3::bytea)) counter (key)
      ${limit ? 'where (select count from spent) <= $8::int' : ''}
    on conflict (tenant_id, key) do update set
      refused = coalesce(login_counters.blocked_until > now(), false),
      failures = case when login_counters.expires_at <= now() then 1
        when login_counters.blocked_until > now() then login_counters.failures else login_counters.failures + 1 end,
      blocked_until = case
        when login_counters.expires_at <= now() then null
        when login_counters.blocked_until > now() then login_counters.blocked_until
        when excluded.key = $2 and login_counters.failures + 1 >= ${PAIR_FREE}
          then now() + least(interval '15 minutes', interval '30 seconds' * power(2, least(login_counters.failures + 1 - ${PAIR_FREE}, 10)))
        when excluded.key = $3 and login_counters.failures + 1 >= ${ACCOUNT_FREE} then login_counters.expires_at
        end,
      expires_at = case when login_counters.expires_at <= now() then now() + interval '1 hour'
        when excluded.key = $2 then greatest(login_counters.expires_at, now() + interval '30 minutes')
        else login_counters.expires_at end
    returning key, refused, blocked_until)
  select (select coalesce(bool_or(refused), false) from hit where key = $2) as pair_refused,
    (select coalesce(bool_or(refused), false) from hit where key = $3) as account_refused,
    (select ceil(extract(epoch from max(blocked_until) - now()))::int from hit where refused) as retry_after,
    (select ceil(extract(epoch from max(blocked_until) - now()))::int from hit
      where key = $3 and not refused and blocked_until > now()) as locked_for,
    case when exists (select 1 from hit where key = $3 and refused) then
      exists (select 1 from sessions s where s.tenant_id = $1 and s.user_id = u.id and s.ip <<= $5::inet
        and s.created_at > now() - interval '90 days') end as known_address,
    ${limit ? '(select row_to_json(spent) from spent)' : 'null'} as spent,
    ${USER_COLUMNS.map((c) => `u.${c}`).join(', ')},
    ${PERSON_EXTRAS},
    c.id as credential_id, c.secret
  from (select 1) one
  left join users u on u.tenant_id = $1 and u.email_key = $4 and u.deleted_at is null
  left join credentials c on c.tenant_id = $1 and c.user_id = u.id and c.type = 'password'`

/** Keys of the counters an attempt moves: of this account from this address, and of this account. */
function countersOf(ctx: Context, key: string): [pair: Buffer, account: Buffer] {
  return [sha256(`pair ${key} ${networkOf(ctx.request.ip)}`), sha256(`account ${key}`)]
}

/** Who proved the account in another way starts afresh at this address. */
export async function forgiveFailures(ctx: Context, user: Pick<UserRow, 'email' | 'phone_number'>): Promise<void> {
  await ctx
    .db('login_counters')
    .where({ tenant_id: ctx.tenant.id })
    .whereIn('key', countersOf(ctx, emailKey(signInName(user))))
    .delete()
}

/**
 * Proves the password of who signs in with this address or number. Fails with INVALID_CREDENTIALS (also for unknown accounts and accounts without a password),
 * ACCOUNT_DISABLED (after the right password only), RATE_LIMITED (back-off, or over `limit` of the caller's address: then
 * with details), UNAVAILABLE (hashing is overloaded).
 */
export async function provePassword(
  ctx: Context,
  input: { name: string; password: string },
  limit?: { name: string } & Rule,
): Promise<PasswordProof> {
  const key = emailKey(input.name)
  const [pair, account] = countersOf(ctx, key)
  const found = await beginAttempt(ctx, [ctx.tenant.id, pair, account, key, networkOf(ctx.request.ip)], limit)
  if (found.pair_refused || (found.account_refused && !found.known_address)) {
    throw fail('RATE_LIMITED', 'Too many failed attempts. Wait a moment, or reset your password', {
      retryAfter: found.retry_after ?? 60,
    })
  }
  const { ok, rehash } = found.secret
    ? await ctx.out.passwords.verify(found.secret, input.password)
    : await pretend(ctx, input.password)
  if (!ok) {
    if (found.locked_for !== null) await tellLocked(ctx, found.id ?? undefined, found.locked_for)
    throw await refused(ctx, found.id ?? undefined, wrong(key))
  }
  const {
    credential_id,
    secret,
    pair_refused,
    account_refused,
    retry_after,
    known_address,
    spent,
    locked_for,
    ...user
  } = found
  try {
    assertMaySignIn(ctx, user)
  } catch (error) {
    throw await refused(ctx, user.id, error as Failure)
  }
  return {
    user,
    credentialId: credential_id,
    rehash: rehash ? await ctx.out.passwords.hash(input.password) : undefined,
    counters: [pair, account],
  }
}

/** An account that is not known has nulls for all that is the person's. */
type Begun = Person & {
  credential_id: string
  secret: string | null
  pair_refused: boolean
  account_refused: boolean
  /** Seconds. */
  retry_after: number | null
  locked_for: number | null
  known_address: boolean | null
  spent: { count: number; reset: number; wait: number } | null
}

/** Counts and reads in one round trip; the limit of the caller's address too, unless Redis counts those. */
async function beginAttempt(
  ctx: Context,
  values: unknown[],
  limit: ({ name: string } & Rule) | undefined,
): Promise<Begun> {
  if (!limit) return (await named<Begun>(ctx.out.db, 'login_begin', begin(), values))[0]!
  const rule = { count: limit.count, seconds: limit.seconds }
  const name = `${ctx.tenant.id}:${limit.name}:${networkOf(ctx.request.ip)}`
  const along = ctx.out.limits.along(name, rule)
  if (!along) {
    refuseOver(await ctx.out.limits.hit(name, rule))
    return beginAttempt(ctx, values, undefined)
  }
  const bound = [...values, ...along.values, rule.count]
  const [found] = await named<Begun>(ctx.out.db, 'login_begin_limited', begin(along), bound)
  refuseOver(along.settle(found!.spent!))
  return found!
}

function refuseOver({ ok, retryAfter }: LimitState): void {
  if (!ok) throw fail('RATE_LIMITED', 'Too many requests', { retryAfter, details: { of: 'address' } })
}

/** This very failure closed the account to strangers for a while: its owner is told, once. Unknown accounts cost the same. */
async function tellLocked(ctx: Context, userId: string | undefined, seconds: number): Promise<void> {
  const mail = { template: 'locked', userId, seconds, locales: ctx.request.locales, ...looksOf(ctx) }
  const payload = { tenantId: ctx.tenant.id, ...(userId && mail) }
  await addJobs(ctx.out.db, [{ task: userId ? 'mail' : 'nothing', payload }])
}

async function pretend(ctx: Context, password: string): Promise<{ ok: false; rehash: false }> {
  await ctx.out.passwords.dummy(password)
  return { ok: false, rehash: false }
}

const wrong = (key: string): Failure =>
  fail('INVALID_CREDENTIALS', `Wrong ${key.includes('@') ? 'e-mail address' : 'telephone number'} or password`)

/** Writes the failure down by itself: prepare() runs before the transaction. */
async function refused(ctx: Context, userId: string | undefined, failure: Failure): Promise<Failure> {
  const reason = failure.code.toLowerCase()
  await ctx.out.recordNow(ctx, 'login.failed', { userId, data: { reason } })
  return failure
}

/** The proof, with what a right password leaves behind: counters cleared, use noted, an outdated hash replaced. */
export function proofOf({ user, credentialId, rehash, counters }: PasswordProof): Proof {
  return {
    user,
    amr: ['pwd'],
    also: [
      {
        shape: 'login-pair',
        sql: (bind) => `delete from login_counters where tenant_id = $1 and key = ${bind(counters[0], 'bytea')}`,
      },
      {
        shape: 'login-account',
        sql: (bind) => `update login_counters set failures = greatest(0, failures - 1)
          where tenant_id = $1 and key = ${bind(counters[1], 'bytea')}`,
      },
      {
        shape: 'login-credential',
        sql: (
          bind,
        ) => `update credentials set last_used_at = now(), secret = coalesce(${bind(rehash ?? null, 'text')}, secret)
          where tenant_id = $1 and id = ${bind(credentialId, 'uuid')}`,
      },
    ],
  }
}
