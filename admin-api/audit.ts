/** The audit log of the tenant, for who may read it. */

import { paged, pageInput } from '../server/api/shapes.ts'
import * as exports from '../server/domain/audit/export.ts'
import * as audit from '../server/domain/audit.ts'
import { operation } from '../server/domain/context.ts'
import {
  anything,
  array,
  instant,
  integer,
  nothing,
  nullable,
  object,
  oneOf,
  optional,
  record,
  resource,
  string,
  text,
  uuid,
} from '../server/kernel/schema.ts'

const AuditLog = resource('AuditLog', {
  id: uuid(),
  eventType: string(),
  actorId: nullable(uuid({ description: 'Who did it' })),
  userId: nullable(uuid({ description: 'About whom' })),
  clientId: nullable(string()),
  sessionId: nullable(string()),
  ip: nullable(string()),
  country: nullable(string()),
  userAgent: nullable(string()),
  device: nullable(string({ description: 'The user agent in words' })),
  requestId: nullable(string()),
  data: record(anything()),
  createdAt: instant(),
})

const filters = {
  userId: optional(uuid({ description: 'About this person only' })),
  eventType: optional(
    text(100, { description: 'Of this type only, such as login.failed; login.* for all that begin so' }),
  ),
  actorId: optional(uuid({ description: 'Done by this person only' })),
  clientId: optional(text(255, { description: 'Through this client only' })),
  sessionId: optional(text(255, { description: 'In this session only' })),
  ip: optional(text(64, { description: 'From this address or network only, such as 203.0.113.0/24' })),
  q: optional(text(200, { description: 'Part of the type, the data or the user agent, in any case' })),
  from: optional(instant({ description: 'At this time or later' })),
  to: optional(instant({ description: 'Before this time' })),
}

export const list = operation({
  id: 'audit.list',
  summary: 'List audit logs with pagination',
  description:
    'Newest first. `next_cursor` reads on as fast as the first page; offsets count up to 100,000. By actor, client, session, address ' +
    'or beginning of a type, a page looks through 50,000 events at most, by text through 10,000: it may be short and still have a `next_cursor`.',
  tag: 'Audit',
  auth: { permission: 'audit:read' },
  effect: 'read',
  input: object({
    limit: pageInput.limit,
    offset: optional(integer({ minimum: 0, maximum: 100_000, default: 0 })),
    cursor: optional(uuid({ description: 'next_cursor of the page before' })),
    ...filters,
  }),
  output: object(
    {
      items: array(AuditLog),
      limit: integer(),
      offset: integer(),
      count: integer({ description: 'Items in this page' }),
      nextCursor: optional(string({ description: 'Pass as cursor to read on' })),
    },
    { page: true },
  ),
  run: (ctx, { limit, offset, cursor, ...filter }) =>
    paged({ limit, offset }, (window) => audit.list(ctx, filter, { ...window, cursor })),
})

export const exportLog = operation({
  id: 'audit.export',
  summary: 'Export audit logs',
  description:
    'Lines of JSON or CSV, newest first, of any size. `leaf_index` and `salt` are null until the event is sealed; with them anybody ' +
    'can hash it into its leaf. In CSV an apostrophe stands before what a spreadsheet would take for a formula.',
  tag: 'Audit',
  auth: { permission: 'audit:read' },
  effect: 'read',
  downloads: ['application/x-ndjson', 'text/csv'],
  input: object({ format: optional(oneOf(exports.FORMATS, { default: 'ndjson' })), ...filters }),
  output: nothing,
  run: (ctx, { format = 'ndjson', ...filter }) => exports.exportLog(ctx, format, filter),
})
