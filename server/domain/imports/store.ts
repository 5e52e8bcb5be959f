/** The rows of imports and of their chunks: made, packed, counted, read, cancelled. */
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { addJobs } from '../../../adapters/jobs.ts'
import { type FailureOptions, fail } from '../../kernel/errors.ts'
import type { Problem } from '../../kernel/validate.ts'
import type { Context } from '../context.ts'
import { newId } from '../ids.ts'
import type { Entry } from './sources.ts'

export interface Options {
  existing: 'fail' | 'skip' | 'update'
  sendWelcome: boolean
  dryRun: boolean
  ignoreUnknown: boolean
}
export const OUTCOMES = ['created', 'updated', 'skipped', 'failed'] as const
export type Outcome = (typeof OUTCOMES)[number]
export interface Result {
  line: number
  email: string | null
  outcome: Outcome
  userId: string | null
  errors?: Problem[]
}
export type Status = 'receiving' | 'queued' | 'running' | 'done' | 'failed' | 'cancelled'
/** What of the source has no place here. */
export interface NotTaken {
  what: string
  count: number
}

export interface ImportRow {
  id: string
  tenant_id: string
  status: Status
  format: string
  options: Options
  total: number
  created: number
  updated: number
  skipped: number
  failed: number
  not_taken: NotTaken[]
  error: string | null
  asked_by: AskedBy
  created_at: Date
  finished_at: Date | null
}

/** In whose name a job goes on. */
export interface AskedBy {
  kind: 'user' | 'client'
  userId?: string
  clientId: string
  impersonatorId?: string
  permissions: string[]
  requestId: string
  ip: string
  userAgent: string
  locales: string[]
}

export const OPEN = ['receiving', 'queued', 'running'] as const
/** Unfinished imports of a tenant at once. */
const MOST_OPEN = 5
/** Minutes after which an upload that stands still has come to its end with the process that read it. */
const ABANDONED = 5
/** One after the other over the whole installation, so that other jobs and sign-ins find the machine free. */
const QUEUE = 'imports'

const squeeze = promisify(gzip)
const unsqueeze = promisify(gunzip)

export const all = (ctx: Pick<Context, 'db' | 'tenant'>) => ctx.db('imports').where({ tenant_id: ctx.tenant.id })
export const chunks = (ctx: Pick<Context, 'db' | 'tenant'>, id: string) =>
  ctx.db('import_chunks').where({ tenant_id: ctx.tenant.id, import_id: id })

const waiting = (ctx: Pick<Context, 'db' | 'tenant'>, id: string) => chunks(ctx, id).whereNotNull('data')

const askedBy = ({ actor, request }: Context): AskedBy => ({
  kind: actor!.kind,
  clientId: actor!.clientId,
  ...(actor!.userId !== undefined && { userId: actor!.userId }),
  ...(actor!.impersonatorId !== undefined && { impersonatorId: actor!.impersonatorId }),
  permissions: [...actor!.permissions],
  requestId: request.id,
  ip: request.ip,
  userAgent: request.userAgent,
  locales: request.locales,
})

/** CONFLICT while too many are open. In a transaction of its own or of the caller. */
export async function open(ctx: Context, format: string, options: Options): Promise<string> {
  const id = newId()
  await ctx.db.transaction(async (trx) => {
    await trx.raw('select pg_advisory_xact_lock(hashtext(?))', [`imports ${ctx.tenant.id}`])
    const [counted] = await all({ db: trx, tenant: ctx.tenant })
      .whereIn('status', OPEN)
      .where((q) =>
        q.whereNot('status', 'receiving').orWhereRaw(`updated_at > now() - make_interval(mins => ?)`, [ABANDONED]),
      )
      .count({ open: '*' })
    if (Number(counted!.open) >= MOST_OPEN)
      throw fail('CONFLICT', `There are ${MOST_OPEN} imports under way already. Wait for one, or cancel it`)
    await insert({ ...ctx, db: trx }, id, format, options, { status: 'receiving' })
  })
  return id
}

async function insert(ctx: Context, id: string, format: string, options: Options, values: object): Promise<void> {
  await ctx.db('imports').insert({
    tenant_id: ctx.tenant.id,
    id,
    format,
    options: JSON.stringify(options),
    asked_by: JSON.stringify(askedBy(ctx)),
    ...values,
  })
}

const placeOf = (ctx: Pick<Context, 'tenant'>, id: string, first: number) =>
  `import_chunks:${ctx.tenant.id}:${id}:${first}`

/** Stores rows that wait; `first` is the number of the first. */
export async function put(ctx: Context, id: string, first: number, entries: Entry[]): Promise<void> {
  const packed = await squeeze(JSON.stringify(entries), { level: 1 })
  await ctx.db('import_chunks').insert({
    tenant_id: ctx.tenant.id,
    import_id: id,
    first,
    rows: entries.length,
    data: ctx.out.sealing.seal(packed, placeOf(ctx, id, first)),
  })
}

/** Says that its upload goes on. CONFLICT when it was cancelled. */
export async function touch(ctx: Context, id: string, total: number): Promise<void> {
  const found = await all(ctx).where({ id, status: 'receiving' }).update({ updated_at: ctx.db.fn.now(), total })
  if (found === 0) throw cancelled()
}
const cancelled = (options?: FailureOptions) => fail('CONFLICT', 'This import was cancelled', options)

export interface Chunk {
  first: number
  entries: Entry[]
}

export async function isWaiting(ctx: Context, id: string, first: number): Promise<boolean> {
  return (await waiting(ctx, id).where({ first }).first('first')) !== undefined
}

/** The next rows that wait. */
export async function next(ctx: Context, id: string): Promise<Chunk | undefined> {
  const row = await waiting(ctx, id).orderBy('first').first('first', 'data')
  if (!row) return undefined
  const packed = await unsqueeze(ctx.out.sealing.open(row.data, placeOf(ctx, id, row.first)))
  return { first: row.first, entries: JSON.parse(packed.toString()) }
}

/** What became of stored rows, in the transaction that did it: a second run finds them done. */
export async function settle(ctx: Context, id: string, first: number, results: Result[]): Promise<void> {
  const failed = results.filter(({ outcome }) => outcome === 'failed').length
  await chunks(ctx, id)
    .where({ first })
    .update({ data: null, results: JSON.stringify(results), failed })
  const counts = countsOf(results)
  const grown = Object.fromEntries(OUTCOMES.map((name) => [name, ctx.db.raw('?? + ?', [name, counts[name]])]))
  await all(ctx)
    .where({ id })
    .update({ ...grown, status: 'running', updated_at: ctx.db.fn.now() })
}

export function countsOf(results: Result[]): Record<Outcome, number> {
  const counts = { created: 0, updated: 0, skipped: 0, failed: 0 }
  for (const { outcome } of results) counts[outcome] += 1
  return counts
}

/** An import that was done at once, with its results. */
export async function record(
  ctx: Context,
  format: string,
  options: Options,
  { id, results, notTaken }: { id: string; results: Result[]; notTaken: NotTaken[] },
): Promise<void> {
  const counts = countsOf(results)
  await insert(ctx, id, format, options, {
    status: 'done',
    total: results.length,
    ...counts,
    not_taken: JSON.stringify(notTaken),
    finished_at: ctx.db.fn.now(),
  })
  if (results.length > 0)
    await ctx.db('import_chunks').insert({
      tenant_id: ctx.tenant.id,
      import_id: id,
      first: 1,
      rows: results.length,
      results: JSON.stringify(results),
      failed: counts.failed,
    })
}

/** All rows are here: the job begins. CONFLICT when it was cancelled. */
export async function enqueue(
  ctx: Context,
  id: string,
  { total, options, notTaken }: { total: number; options: Options; notTaken: NotTaken[] },
): Promise<void> {
  const found = await all(ctx)
    .where({ id, status: 'receiving' })
    .update({
      status: 'queued',
      total,
      options: JSON.stringify(options),
      not_taken: JSON.stringify(notTaken),
      updated_at: ctx.db.fn.now(),
    })
  if (found === 0) {
    await waiting(ctx, id).delete()
    throw cancelled({ keepWrites: true })
  }
  await later(ctx, id)
}

export const later = (ctx: Pick<Context, 'db' | 'tenant'>, id: string) =>
  addJobs(ctx.db, [{ task: 'import', queue: QUEUE, payload: { tenantId: ctx.tenant.id, importId: id } }])

/** Whether an import of any tenant has its rows and is not done. */
export async function othersWait(ctx: Pick<Context, 'db'>, id: string): Promise<boolean> {
  const other = await ctx.db('imports').whereIn('status', ['queued', 'running']).whereNot({ id }).first('id')
  return other !== undefined
}

/** Ends it; rows that still wait are forgotten. False when it was over already. */
export async function finish(
  ctx: Context,
  id: string,
  status: 'done' | 'failed' | 'cancelled',
  error?: string,
): Promise<boolean> {
  const ended = await all(ctx)
    .where({ id })
    .whereIn('status', OPEN)
    .update({ status, error: error ?? null, finished_at: ctx.db.fn.now(), updated_at: ctx.db.fn.now() })
  if (ended === 0) return false
  await waiting(ctx, id).delete()
  return true
}

/** An upload that did not come to its end leaves nothing; one that was cancelled is still told of. */
export async function discard(ctx: Context, id: string): Promise<void> {
  await all(ctx).where({ id, status: 'receiving' }).delete()
  await waiting(ctx, id).delete()
}
