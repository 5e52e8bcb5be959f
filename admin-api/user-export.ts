/** All people that the filters of the list find, as one file. */
import { operation } from '../server/domain/context.ts'
import { exportUsers, FORMATS } from '../server/domain/user-admin/export.ts'
import {
  anything,
  array,
  boolean,
  email,
  instant,
  nullable,
  object,
  oneOf,
  optional,
  record,
  resource,
  string,
  uuid,
} from '../server/kernel/schema.ts'
import { filters, idsOf } from './users.ts'

const ExportedUser = resource('ExportedUser', {
  id: uuid(),
  email: nullable(email()),
  emailVerified: boolean(),
  givenName: nullable(string()),
  familyName: nullable(string()),
  nickname: nullable(string()),
  phoneNumber: nullable(string()),
  phoneNumberVerified: boolean(),
  picture: nullable(string()),
  locale: nullable(string()),
  zoneinfo: nullable(string()),
  status: oneOf(['active', 'disabled', 'deleted']),
  roles: array(string(), { description: 'Names; of roles of a client its client_id, a slash and the name' }),
  organizations: array(string(), { description: 'Slugs' }),
  attributes: record(anything()),
  createdAt: instant(),
  updatedAt: instant(),
  lastLoginAt: nullable(instant()),
})

export const exportAll = operation({
  id: 'users.export',
  summary: 'Export users',
  description:
    'All that the filters of the list find, written while it is read. Never what people prove themselves with. An import takes each format back as it is; cells that a spreadsheet would take for a formula get an apostrophe, which the import takes off again.',
  tag: 'Users',
  auth: { permission: 'users:read' },
  effect: 'read',
  limit: { name: 'users-export', count: 30, seconds: 3600 },
  errors: ['NOT_FOUND'],
  input: object({ format: optional(oneOf(FORMATS, { default: 'json' })), ...filters }),
  output: object({ users: array(ExportedUser) }),
  downloads: ['text/csv', 'application/x-ndjson'],
  async run(ctx, { format = 'json', role, organization, ...filter }): Promise<any> {
    return exportUsers(ctx, format, { ...filter, ...(await idsOf(ctx, { role, organization })) })
  },
})
