/** What is to be imported, by system and media type: how it is read, and what must be there before the people are. */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { type Foreign, foreignSource, mapped } from './foreign.ts'
import { type Realm, takePart, takeRealm } from './keycloak-realm.ts'
import { type Groups, keycloakUser } from './keycloak-users.ts'
import { createReport, type Report } from './report.ts'
import { csvEntries, jsonEntries, lineEntries, type Source } from './sources.ts'
import type { Options } from './store.ts'

export interface Request {
  format: string
  options: Options
  source: Source
  report: Report
  /** What must be there before the people are. */
  before?: (ctx: Context) => Promise<void>
}
type Bytes = AsyncIterable<Buffer>

/** How a body of this media type is read. `options` may be changed by what a JSON body says beside its list. */
export function ownRequest(bytes: Bytes, type: string, options: Options): Request {
  const common = { options, report: createReport() }
  if (type === 'text/csv') return { ...common, format: 'csv', source: csvEntries(bytes, options) }
  if (type === 'application/x-ndjson') return { ...common, format: 'ndjson', source: lineEntries(bytes) }
  let hasUsers = false
  const onBeside = (key: string, value: unknown) => setOption(options, key, value)
  async function* source(): Source {
    for await (const entries of jsonEntries(bytes, 'users', onBeside)) {
      hasUsers = true
      yield entries
    }
    if (!hasUsers) throw fail('VALIDATION_ERROR', 'users is required, with at least one in it')
  }
  return { ...common, format: 'json', source: source() }
}

/** Users as another system exports them. */
export function foreignRequest(format: Foreign, bytes: Bytes, type: string, options: Options): Request {
  const report = createReport()
  return { format, options, report, source: foreignSource(format, bytes, type, report) }
}

/** What stands beside the users of a realm may be large as a whole, and is held. */
const MAX_REALM = 32 * 1024 * 1024

export function keycloakRequest(bytes: Bytes, options: Options): Request {
  const report = createReport()
  const realm: Realm = { organizations: new Map() }
  const groups: Groups = new Map()
  const onBeside = (key: string, value: unknown) => takePart(realm, groups, report, key, value)
  return {
    format: 'keycloak',
    options,
    report,
    source: mapped(jsonEntries(bytes, 'users', onBeside, MAX_REALM), keycloakUser(groups), report),
    before: (ctx) => takeRealm(ctx, realm, report),
  }
}

const switches = ['send_welcome', 'skip_existing', 'update_existing', 'dry_run', 'ignore_unknown'] as const

function setOption(options: Options, key: string, value: unknown): void {
  const name = switches.find((known) => known === key)
  if (!name) throw fail('VALIDATION_ERROR', `${key.slice(0, 100)} is not a known field`)
  if (typeof value !== 'boolean') throw fail('VALIDATION_ERROR', `${name} must be boolean`)
  if (name === 'skip_existing' || name === 'update_existing')
    options.existing = existingOf(
      name === 'skip_existing' ? value : options.existing === 'skip',
      name === 'update_existing' ? value : options.existing === 'update',
    )
  else if (name === 'send_welcome') options.sendWelcome = value
  else if (name === 'dry_run') options.dryRun = value
  else options.ignoreUnknown = value
}

/** VALIDATION_ERROR for both. */
export function existingOf(skip: boolean, update: boolean): Options['existing'] {
  if (skip && update) throw fail('VALIDATION_ERROR', 'skip_existing and update_existing exclude each other')
  if (update) return 'update'
  return skip ? 'skip' : 'fail'
}
