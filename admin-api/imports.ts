/** Importing many people at once: files of ours and of others, progress, results. */

import { paged, pageInput } from '../server/api/shapes.ts'
import { type Context, operation } from '../server/domain/context.ts'
import { ImportedUser } from '../server/domain/imports/rows.ts'
import * as imports from '../server/domain/imports.ts'
import {
  anything,
  array,
  boolean,
  instant,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  page,
  record,
  resource,
  type Schema,
  string,
  uuid,
} from '../server/kernel/schema.ts'
import type { Upload } from '../server/kernel/upload.ts'

const tag = 'Imports'
const read = { permission: 'users:read' }
const write = { permission: 'users:write' }

const result = {
  number: integer({ description: 'Of the row, from 1' }),
  line: integer({ description: 'Of the file, where it has lines' }),
  email: nullable(string()),
  outcome: oneOf(imports.OUTCOMES),
  userId: nullable(uuid()),
  errors: optional(array(object({ field: string(), message: string() }))),
}
const ImportResult = resource('ImportResult', result)

const fields = {
  id: uuid(),
  status: oneOf(['receiving', 'queued', 'running', 'done', 'failed', 'cancelled']),
  format: string(),
  dryRun: boolean({ description: 'Nothing was written' }),
  existing: oneOf(['fail', 'skip', 'update'], { description: 'What becomes of people who exist' }),
  total: integer(),
  processed: integer(),
  created: integer(),
  updated: integer(),
  skipped: integer(),
  failed: integer(),
  notTaken: array(object({ what: string(), count: integer() }), {
    description: 'What of the source has no place here',
  }),
  error: nullable(string({ description: 'Why it failed as a whole' })),
  createdBy: nullable(uuid()),
  createdAt: instant(),
  finishedAt: nullable(instant()),
}
const Import = resource('Import', fields)
const ImportAnswer = resource('ImportAnswer', {
  ...fields,
  results: optional(array(ImportResult, { description: 'Of each row, where all were done at once' })),
})

const options = {
  sendWelcome: optional(boolean({ description: 'Mail people without a password a link to choose one' })),
  skipExisting: optional(boolean({ description: 'People who exist are no failure, and stay as they are' })),
  updateExisting: optional(
    boolean({ description: 'People who exist are merged with their row, but not what they sign in with' }),
  ),
  dryRun: optional(boolean({ description: 'Do everything, answer what became of it, and take it back' })),
  ignoreUnknown: optional(boolean({ description: 'Fields nobody knows are no failure' })),
}
type Wanted = { [K in keyof typeof options]?: boolean | undefined }

const optionsOf = (input: Wanted): imports.Options => ({
  existing: imports.existingOf(input.skipExisting ?? false, input.updateExisting ?? false),
  sendWelcome: input.sendWelcome ?? false,
  dryRun: input.dryRun ?? false,
  ignoreUnknown: input.ignoreUnknown ?? false,
})

async function prepare(ctx: Context, input: Wanted, { type, bytes }: Upload): Promise<imports.Ready> {
  return imports.prepare(ctx, imports.ownRequest(bytes(ctx.out.config.importMaxBytes), type, optionsOf(input)))
}

const limit = { name: 'users-import', count: 60, seconds: 3600 }
const common = {
  tag,
  auth: write,
  effect: 'write' as const,
  limit,
  errors: ['CONFLICT', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const,
  mayTakeLong: true,
  input: object(options),
  output: ImportAnswer,
}

export const importUsers = operation({
  ...common,
  id: 'users.import',
  summary: 'Import users from JSON',
  description:
    'A row that cannot be written fails by itself. Up to 1,000 rows are done at once, and the answer has the result of each; up to a million go on as a job (202). Roles are given only where the caller may give them.',
  upload: {
    'application/json': object({ users: array(ImportedUser, { minItems: 1 }), ...options }),
    'application/x-ndjson': string({ maxLength: undefined, description: 'A user a line; options are in the query' }),
  },
  example: {
    users: [
      { email: 'user1@example.com', given_name: 'User', family_name: 'One' },
      { email: 'user2@example.com', given_name: 'User', family_name: 'Two' },
    ],
    sendWelcome: true,
    skipExisting: true,
  },
  prepare,
  run: async (ctx, _input, ready) => await imports.begin(ctx, ready),
})

export const importCsv = operation({
  ...common,
  id: 'users.import_csv',
  summary: 'Import users from a CSV file',
  description:
    'The first line names the columns, email or phone_number at least; separators are comma, semicolon, tab or bar. `attributes.x` is the attribute x; several roles are joined by semicolons; an empty cell says nothing.',
  upload: { 'text/csv': string({ maxLength: undefined }) },
  prepare,
  run: async (ctx, _input, ready) => await imports.begin(ctx, ready),
})

const foreign = (format: 'auth0' | 'cognito', name: string, description: string, upload: Record<string, Schema>) =>
  operation({
    ...common,
    id: `imports.${format}`,
    summary: `Import users from an export of ${name}`,
    description,
    upload,
    prepare: (ctx, input, { type, bytes }) =>
      imports.prepare(
        ctx,
        imports.foreignRequest(format, bytes(ctx.out.config.importMaxBytes), type, optionsOf(input)),
      ),
    run: async (ctx, _input, ready) => await imports.begin(ctx, ready),
  })

export const importAuth0 = foreign(
  'auth0',
  'Auth0',
  'Lines of JSON as its export job writes them, or a list; password hashes where its support has added them. user_metadata and app_metadata become attributes. What has no place here is in not_taken.',
  {
    'application/x-ndjson': string({ maxLength: undefined }),
    'application/json': array(anything({ examples: [{ email: 'ada@example.com' }] })),
  },
)
export const importCognito = foreign(
  'cognito',
  'Amazon Cognito',
  'CSV by the header of a user pool, or the answer of ListUsers. The sub stays. There are no passwords in it: people choose one by send_welcome or a reset.',
  {
    'text/csv': string({ maxLength: undefined }),
    'application/json': record(anything(), {
      examples: [{ Users: [{ Username: 'ada', Attributes: [{ Name: 'email', Value: 'ada@example.com' }] }] }],
    }),
  },
)

export const importKeycloak = operation({
  ...common,
  id: 'imports.keycloak',
  summary: 'Import an export of a Keycloak realm: roles, clients, users',
  description:
    'Roles with their parts, clients with roles and secrets, users with password hashes, authenticator apps, their ids and the roles they hold, by their groups as well. What is there already stays; what has no place here is in not_taken. Needs roles:write and clients:write where the file has any.',
  upload: {
    'application/json': record(anything(), { examples: [{ realm: 'acme', users: [{ email: 'ada@example.com' }] }] }),
  },
  prepare: (ctx, input, { bytes }) =>
    imports.prepare(ctx, imports.keycloakRequest(bytes(ctx.out.config.importMaxBytes), optionsOf(input))),
  run: async (ctx, _input, ready) => await imports.begin(ctx, ready),
})

export const list = operation({
  id: 'imports.list',
  summary: 'List imports, the newest first',
  tag,
  auth: read,
  effect: 'read',
  input: object({
    limit: pageInput.limit,
    offset: optional(integer({ minimum: 0, maximum: 100_000, default: 0 })),
  }),
  output: page(Import),
  run: (ctx, input) => paged(input, (window) => imports.list(ctx, window)),
})

export const get = operation({
  id: 'imports.get',
  summary: 'See how far an import is',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id: uuid() }),
  output: Import,
  run: async (ctx, { id }) => await imports.get(ctx, id),
})

export const results = operation({
  id: 'imports.results',
  summary: 'What became of each row',
  description:
    'In the order of the rows. Kept for 30 days after the import. With `format=ndjson` all of them, a result a line.',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({
    id: uuid(),
    outcome: optional(oneOf(imports.OUTCOMES)),
    format: optional(oneOf(['json', 'ndjson'])),
    limit: optional(integer({ minimum: 1, maximum: 1000, default: 100 })),
    cursor: optional(integer({ minimum: 0, maximum: 2_000_000, description: 'next_cursor of the page before' })),
  }),
  output: object(
    {
      items: array(ImportResult),
      limit: integer(),
      count: integer({ description: 'Items in this page' }),
      nextCursor: optional(string({ description: 'Pass as cursor to read on' })),
    },
    { page: true },
  ),
  downloads: ['application/x-ndjson'],
  async run(ctx, { id, outcome, format, limit = 100, cursor = 0 }): Promise<any> {
    if (format === 'ndjson') return imports.resultLines(ctx, id, outcome)
    const { items, nextCursor } = await imports.results(ctx, id, { outcome, after: cursor, limit })
    return { items, limit, count: items.length, nextCursor }
  },
})

export const cancel = operation({
  id: 'imports.cancel',
  summary: 'Cancel an import; what is done stays done',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id: uuid() }),
  output: Import,
  run: async (ctx, { id }) => await imports.cancel(ctx, id),
})
