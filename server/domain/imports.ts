/** Bulk imports of people: read, done at once or by a job, looked at, cancelled. Parts in imports/. */
import { Readable } from 'node:stream'
import { download } from '../kernel/download.ts'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import { newId } from './ids.ts'
import { apply } from './imports/batch.ts'
import { hashesOf } from './imports/hashes.ts'
import { type Intake, take } from './imports/intake.ts'
import { announce, end, tryOut } from './imports/job.ts'
import type { Request } from './imports/requests.ts'
import { guarded } from './imports/sources.ts'
import * as store from './imports/store.ts'
import { cut, type Page, readPage, type Window } from './pages.ts'

export * from './imports/requests.ts'
export type { Options, Outcome } from './imports/store.ts'
export { OUTCOMES } from './imports/store.ts'

export interface ImportView {
  id: string
  status: store.Status
  format: string
  dryRun: boolean
  existing: 'fail' | 'skip' | 'update'
  total: number
  processed: number
  created: number
  updated: number
  skipped: number
  failed: number
  notTaken: store.NotTaken[]
  error: string | null
  createdBy: string | null
  createdAt: Date
  finishedAt: Date | null
  results?: ResultView[]
}
export interface ResultView extends store.Result {
  /** Of the row, from 1. */
  number: number
}

const viewOf = (row: store.ImportRow): ImportView => ({
  id: row.id,
  status: row.status,
  format: row.format,
  dryRun: row.options.dryRun,
  existing: row.options.existing,
  total: row.total,
  processed: row.created + row.updated + row.skipped + row.failed,
  created: row.created,
  updated: row.updated,
  skipped: row.skipped,
  failed: row.failed,
  notTaken: row.not_taken,
  error: row.error,
  createdBy: row.asked_by.userId ?? null,
  createdAt: row.created_at,
  finishedAt: row.finished_at,
})

export interface Ready extends Request {
  intake: Intake
  hashes: Map<number, string>
}

/** Before the transaction: reads the body, and hashes passwords of a few rows. */
export async function prepare(ctx: Context, request: Request): Promise<Ready> {
  const intake = await take(ctx, guarded(request.source), request.format, request.options)
  if (intake.importId !== undefined && request.options.dryRun && request.before) {
    await store.discard(ctx, intake.importId)
    throw fail(
      'VALIDATION_ERROR',
      'dry_run: of a realm with at most 1,000 users only, since the job would miss its roles',
    )
  }
  const hashes = intake.entries ? await hashesOf(ctx, intake.entries) : new Map<number, string>()
  return { ...request, intake, hashes }
}

/** Does few rows at once, with their results in the answer; more go on as a job. */
export async function begin(ctx: Context, ready: Ready): Promise<ImportView> {
  const { format, options, report, intake, hashes } = ready
  if (intake.importId !== undefined) {
    await ready.before?.(ctx).catch(async (error) => {
      // Not in this transaction, which takes everything back.
      await store.discard({ ...ctx, db: ctx.out.db }, intake.importId!)
      throw error
    })
    await store.enqueue(ctx, intake.importId, { total: intake.total, options, notTaken: report.all() })
    ctx.event('users.import_started', { data: { import: intake.importId, format, total: intake.total } })
    ctx.reply.accepted = true
    return get(ctx, intake.importId)
  }
  const id = newId()
  const results = await tryOut(ctx, options, async (inner) => {
    await ready.before?.(inner)
    return apply(inner, id, intake.entries!, options, hashes)
  })
  await store.record(ctx, format, options, { id, results, notTaken: report.all() })
  announce(ctx, await store.all(ctx).where({ id }).first())
  return { ...(await get(ctx, id)), results: results.map((result, i) => ({ ...result, number: i + 1 })) }
}

/** NOT_FOUND. */
export async function get(ctx: Context, id: string): Promise<ImportView> {
  const row = await store.all(ctx).where({ id }).first()
  if (!row) throw fail('NOT_FOUND', 'No such import')
  return viewOf(row)
}

/** Newest first. */
export async function list(ctx: Context, page: Window): Promise<Page<ImportView>> {
  const { items, total } = await readPage<store.ImportRow>(store.all(ctx), page, (q) => q.orderBy('id', 'desc'))
  return { items: items.map(viewOf), total }
}

/** What is done stays done. NOT_FOUND, and CONFLICT when it is over. */
export async function cancel(ctx: Context, id: string): Promise<ImportView> {
  await get(ctx, id)
  if (!(await end(ctx, id, 'cancelled'))) throw fail('CONFLICT', 'This import is over already')
  return get(ctx, id)
}

/** Results in the order of the rows, behind number `after`. NOT_FOUND. */
export async function results(
  ctx: Context,
  id: string,
  { outcome, after, limit }: { outcome?: store.Outcome | undefined; after: number; limit: number },
): Promise<{ items: ResultView[]; nextCursor: string | undefined }> {
  await get(ctx, id)
  const { rows } = await ctx.db.raw(
    `select c.first + r.place::int - 1 as number, r.result
     from import_chunks c cross join lateral jsonb_array_elements(c.results) with ordinality r (result, place)
     where c.tenant_id = :tenant and c.import_id = :id and c.results is not null and c.first + c.rows - 1 > :after
       and c.first + r.place::int - 1 > :after
       and (:outcome::text is null or r.result->>'outcome' = :outcome) and (:outcome is distinct from 'failed' or c.failed > 0)
     order by c.first, r.place limit :limit`,
    { tenant: ctx.tenant.id, id, after, outcome: outcome ?? null, limit: limit + 1 },
  )
  const { items, nextCursor } = cut<{ number: number; result: store.Result }>(rows, limit, (last) =>
    String(last.number),
  )
  return { items: items.map(({ number, result }) => ({ ...result, number })), nextCursor }
}

const PAGE = 1000

/** All results as lines of JSON. NOT_FOUND. */
export async function resultLines(ctx: Context, id: string, outcome: store.Outcome | undefined): Promise<Readable> {
  await get(ctx, id)
  async function* lines(): AsyncGenerator<string> {
    for (let after: string | undefined = '0'; after !== undefined; ) {
      const page = await results(ctx, id, { outcome, after: Number(after), limit: PAGE })
      yield page.items.map(({ userId, ...rest }) => `${JSON.stringify({ ...rest, user_id: userId })}\n`).join('')
      after = page.nextCursor
    }
  }
  return download(Readable.from(lines()), 'application/x-ndjson', `import-${id}.ndjson`)
}
