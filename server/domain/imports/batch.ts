/**
 * Writes some hundred rows at once, in the caller's transaction, by a handful of statements. What is wrong with one row is
 * its result and disturbs no other. Rows go in the order of their addresses, so that two imports of the same people wait
 * for each other in one direction only.
 */
import { sqlState } from '../../../adapters/knex.ts'
import type { Problem } from '../../kernel/validate.ts'
import type { Context } from '../context.ts'
import { assertStrong } from '../passwords.ts'
import { emailKey } from '../users.ts'
import { create } from './create.ts'
import { resolveOrganizations } from './memberships.ts'
import { resolveRoles } from './roles.ts'
import { type Candidate, candidateOf } from './rows.ts'
import type { Entry } from './sources.ts'
import type { Options, Outcome, Result } from './store.ts'
import { type Existing, update } from './update.ts'
import { messageOf, refuse, type Work } from './work.ts'

/**
 * One result for each entry, in their order. `hashes` has those of passwords in the clear, by the place of their entry.
 * Should the database refuse a value after all, each row is tried alone, so that only that one fails.
 */
export async function apply(
  ctx: Context,
  importId: string,
  entries: Entry[],
  options: Options,
  hashes: Map<number, string> = new Map(),
): Promise<Result[]> {
  const whole = await attempt(ctx, (inner) => applyAll(inner, importId, entries, options, hashes))
  if (whole) return whole
  const results: Result[] = []
  for (const [i, entry] of entries.entries()) {
    const hash = hashes.get(i)
    const own = new Map(hash === undefined ? [] : [[0, hash]])
    const alone = await attempt(ctx, (inner) => applyAll(inner, importId, [entry], options, own))
    results.push(alone?.[0] ?? { line: entry.line, email: null, outcome: 'failed', userId: null, errors: [UNFIT] })
  }
  return results
}

const UNFIT: Problem = { field: '', message: 'holds a value that cannot be stored' }

/** Undefined where a value or a constraint was refused; nothing is left of it then, nor of its events and jobs. */
async function attempt<T>(ctx: Context, fn: (inner: Context) => Promise<T>): Promise<T | undefined> {
  const later: (() => void)[] = []
  const event: Context['event'] = (...all) => void later.push(() => ctx.event(...all))
  const job: Context['job'] = (...all) => void later.push(() => ctx.job(...all))
  try {
    const value = await ctx.db.transaction((trx) => fn({ ...ctx, db: trx, event, job }))
    for (const say of later) say()
    return value
  } catch (error) {
    if (/^2[23]/.test(sqlState(error) ?? '')) return undefined
    throw error
  }
}

async function applyAll(
  ctx: Context,
  importId: string,
  entries: Entry[],
  options: Options,
  hashes: Map<number, string>,
): Promise<Result[]> {
  const results: Result[] = []
  const works: Work[] = []
  for (const [i, entry] of entries.entries()) {
    const result: Result = { line: entry.line, email: null, outcome: 'failed', userId: null }
    results.push(result)
    const work = workOf(ctx, importId, entry, options, result)
    if (!work) continue
    const hash = hashes.get(i)
    if (hash !== undefined) work.passwordHash = hash
    works.push(work)
  }
  await resolveRoles(ctx, works)
  await resolveOrganizations(ctx, works)
  works.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  // An address that is there twice meets itself as one that exists.
  for (let left = works.filter((work) => !work.ended); left.length > 0; ) {
    const now = left.filter((work, i) => i === 0 || left[i - 1]!.key !== work.key)
    await write(ctx, now, options)
    const done = new Set(now)
    left = left.filter((work) => !done.has(work))
  }
  return results
}

function workOf(ctx: Context, importId: string, entry: Entry, options: Options, result: Result): Work | undefined {
  const refused = (errors: Problem[]) => {
    result.errors = errors.map(short)
    return undefined
  }
  if (entry.fault !== undefined) return refused([{ field: '', message: entry.fault }])
  const candidate = candidateOf(entry.row, options.ignoreUnknown)
  const email = (entry.row as { email?: unknown } | null)?.email
  if (typeof email === 'string') result.email = email.slice(0, 254)
  if (Array.isArray(candidate)) return refused(candidate)
  const weak = candidate.password && weakness(ctx, candidate, candidate.password)
  if (weak) return refused([{ field: 'password', message: weak }])
  return Object.assign(candidate, {
    importId,
    key: emailKey(candidate.email ?? candidate.profile.phone_number!),
    roleIds: [],
    organizationIds: [],
    ended: false,
    end(this: Work, outcome: Outcome, userId: string | null, errors?: Problem[]) {
      this.ended = true
      Object.assign(result, { outcome, userId, ...(errors && { errors: errors.map(short) }) })
    },
  })
}

/** Files can hold names and values of any length. */
const short = ({ field, message }: Problem): Problem => ({ field: field.slice(0, 100), message: message.slice(0, 300) })

function weakness(ctx: Context, { email, profile }: Candidate, password: string): string | undefined {
  try {
    assertStrong(ctx, password, { email, ...profile })
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}

const nameField = ({ email }: Work) => (email === undefined ? 'phone_number' : 'email')

/** Somebody else may take an address between looking and writing; then it is looked at again. */
const TRIES = 3

/** Works of different addresses. */
async function write(ctx: Context, works: Work[], options: Options): Promise<void> {
  let left = works
  for (let tries = 0; left.length > 0 && tries < TRIES; tries += 1) {
    const existing = await find(ctx, left, options.existing === 'update')
    const known = left.filter((work) => existing.has(work.key))
    await create(
      ctx,
      left.filter((work) => !existing.has(work.key)),
      options,
    )
    await meet(ctx, known, existing, options)
    left = left.filter((work) => !work.ended)
  }
  for (const work of left) refuse(work, nameField(work), 'is being taken by somebody else at this moment')
}

async function find(ctx: Context, works: Work[], lock: boolean): Promise<Map<string, Existing>> {
  const query = ctx
    .db('users')
    .where({ tenant_id: ctx.tenant.id })
    .whereNull('deleted_at')
    .whereRaw('email_key = any(?::text[])', [works.map(({ key }) => key)])
  const rows: Existing[] = await (lock
    ? query.orderByRaw('email_key collate "C"').forUpdate()
    : query.select('id', 'email_key'))
  return new Map(rows.map((row) => [row.email_key, row]))
}

async function meet(ctx: Context, works: Work[], existing: Map<string, Existing>, options: Options): Promise<void> {
  if (options.existing === 'update') return update(ctx, works, existing)
  for (const work of works) {
    const { id } = existing.get(work.key)!
    if (options.existing === 'skip') work.end('skipped', id)
    else refuse(work, nameField(work), 'is of somebody who exists already', id)
  }
}
