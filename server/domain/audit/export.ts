/**
 * The audit log as lines of JSON or CSV, written while it is read, newest first, with what a verifier needs to hash each event
 * into its leaf.
 */
import { Readable } from 'node:stream'
import { csvLines } from '../../../adapters/csv.ts'
import { download } from '../../kernel/download.ts'
import { type AuditFilter, page } from '../audit.ts'
import type { Context } from '../context.ts'
import type { EventRecord } from './leaf.ts'

export const FORMATS = ['ndjson', 'csv'] as const
export type Format = (typeof FORMATS)[number]

const types: Record<Format, string> = { ndjson: 'application/x-ndjson', csv: 'text/csv' }
const PAGE = 1000

/** The order of columns, in the names of the v1 surface. */
export const COLUMNS = [
  'id',
  'tenant_id',
  'event_type',
  'actor_id',
  'user_id',
  'client_id',
  'session_id',
  'ip',
  'user_agent',
  'request_id',
  'data',
  'created_at',
  'leaf_index',
  'salt',
] as const
type Exported = Record<(typeof COLUMNS)[number], unknown>

/** The stream of UTF-8 text. That it was asked for is an event at once. VALIDATION_ERROR for an ip that is none. */
export async function exportLog(ctx: Context, format: Format, filter: AuditFilter): Promise<Readable> {
  // The first page before anything is written, so that what is wrong with the filter is still an answer.
  const first = await page(ctx, filter, { limit: PAGE, offset: 0 })
  const asked = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
  await ctx.out.recordNow(ctx, 'audit.exported', { data: { format, filter: asked } })
  return download(Readable.from(written(ctx, format, filter, first)), types[format], `audit.${format}`)
}

type Page = Awaited<ReturnType<typeof page>>

async function* written(ctx: Context, format: Format, filter: AuditFilter, first: Page): AsyncGenerator<string> {
  if (format === 'csv') yield `${COLUMNS.join(',')}\n`
  for (let at: Page | undefined = first; at; ) {
    const events = await withLeaves(ctx, at.rows)
    if (format === 'csv') yield csvLines(events.map((event) => COLUMNS.map((name) => cellOf(event[name]))))
    else yield events.map((event) => `${JSON.stringify(event)}\n`).join('')
    at =
      at.nextCursor === undefined
        ? undefined
        : await page(ctx, filter, { limit: PAGE, offset: 0, cursor: at.nextCursor })
  }
}

async function withLeaves(ctx: Context, rows: EventRecord[]): Promise<Exported[]> {
  const leaves = await ctx
    .db('audit_leaves')
    .where({ tenant_id: ctx.tenant.id })
    .whereIn(
      'event_id',
      rows.map(({ id }) => id),
    )
    .select('event_id', 'leaf_index', 'salt')
  const places = new Map(leaves.map((leaf) => [leaf.event_id, leaf]))
  return rows.map((row) => {
    const place = places.get(row.id)
    return {
      id: row.id,
      tenant_id: row.tenant_id,
      event_type: row.type,
      actor_id: row.actor_id,
      user_id: row.user_id,
      client_id: row.client_id,
      session_id: row.session_id,
      ip: row.ip,
      user_agent: row.user_agent,
      request_id: row.request_id,
      data: row.data,
      created_at: row.created_at.toISOString(),
      leaf_index: place?.leaf_index ?? null,
      salt: place?.salt?.toString('base64url') ?? null,
    }
  })
}

const cellOf = (value: unknown): string | null =>
  value === null || typeof value === 'string' ? value : JSON.stringify(value)
