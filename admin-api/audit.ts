/** The audit log of the tenant, for who may read it. */
import * as audit from '../server/domain/audit.ts'
import { operation } from '../server/domain/context.ts'
import {
  anything,
  array,
  instant,
  integer,
  nullable,
  object,
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

export const list = operation({
  id: 'audit.list',
  summary: 'List audit logs with pagination',
  description: 'Newest first. `next_cursor` reads on as fast as the first page; offsets count up to 100,000.',
  tag: 'Audit',
  auth: { permission: 'audit:read' },
  effect: 'read',
  input: object({
    limit: optional(integer({ minimum: 1, maximum: 100, default: 50 })),
    offset: optional(integer({ minimum: 0, maximum: 100_000, default: 0 })),
    cursor: optional(uuid({ description: 'next_cursor of the page before' })),
    userId: optional(uuid({ description: 'About this person only' })),
    eventType: optional(text(100, { description: 'Of this type only, such as login.failed' })),
    from: optional(instant({ description: 'At this time or later' })),
    to: optional(instant({ description: 'Before this time' })),
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
  async run(ctx, { limit = 50, offset = 0, cursor, ...filter }) {
    const { items, nextCursor } = await audit.list(ctx, filter, { limit, offset, cursor })
    return { items, limit, offset, count: items.length, nextCursor } as any
  },
})
