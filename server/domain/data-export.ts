/**
 * Everything we keep about a person, as one JSON text that is written while it is read, so that its size does not matter.
 * What proves who somebody is (hashes, keys, cookies) is not about them and stays here.
 */
import { Readable } from 'node:stream'
import { USER_COLUMNS } from '../../adapters/oidc.ts'
import { visible } from './attribute-schema.ts'
import type { Context } from './context.ts'
import { belongings } from './memberships/lists.ts'

const BATCH = 500

interface Section {
  name: string
  table: string
  columns: string[]
  /** Must be unique per person, and sort. */
  key?: string
  /** The column that says whose it is; user_id. */
  whose?: string
}

const sections: Section[] = [
  {
    name: 'sign_in_methods',
    table: 'credentials',
    columns: ['id', 'type', 'name', 'verified_at', 'created_at', 'updated_at', 'last_used_at'],
  },
  {
    name: 'sessions',
    table: 'sessions',
    columns: [
      'id',
      'kind',
      'client_id',
      'ip',
      'country',
      'city',
      'user_agent',
      'created_at',
      'last_used_at',
      'expires_at',
      'ended_at',
      'end_reason',
    ],
  },
  {
    name: 'devices',
    table: 'devices',
    columns: [
      'id',
      'name',
      'fingerprint',
      'ip',
      'country',
      'city',
      'user_agent',
      'trusted_until',
      'blocked_at',
      'created_at',
      'last_used_at',
    ],
  },
  {
    name: 'api_keys',
    table: 'api_keys',
    columns: [
      'id',
      'name',
      'prefix',
      'scopes',
      'created_at',
      'expires_at',
      'last_used_at',
      'last_used_ip',
      'revoked_at',
    ],
  },
  {
    name: 'webhooks',
    table: 'webhooks',
    columns: ['id', 'url', 'description', 'event_types', 'tenant_wide', 'enabled', 'created_at', 'updated_at'],
    whose: 'owner_id',
  },
  {
    name: 'linked_accounts',
    table: 'identities',
    columns: ['id', 'provider', 'subject', 'email', 'profile', 'created_at', 'last_used_at'],
  },
  {
    name: 'apps_allowed',
    table: 'consents',
    columns: ['client', 'scopes', 'resources', 'created_at', 'updated_at'],
    key: 'client',
  },
  {
    name: 'memberships',
    table: 'memberships',
    columns: ['id', 'organization_id', 'role_id', 'created_at', 'updated_at'],
  },
  {
    name: 'workspaces',
    table: 'workspace_members',
    columns: ['workspace_id', 'organization_id', 'role', 'created_at'],
    key: 'workspace_id',
  },
  {
    name: 'events',
    table: 'events',
    columns: ['id', 'type', 'client_id', 'session_id', 'ip', 'user_agent', 'data', 'created_at'],
  },
]

/** The export as a stream of UTF-8 JSON. Reads from the pool, in batches. */
export const exportOf = (ctx: Context, userId: string): Readable => Readable.from(written(ctx, userId))

async function* written(ctx: Context, userId: string): AsyncGenerator<string> {
  const account = await ctx.out
    .db('users')
    .where({ tenant_id: ctx.tenant.id, id: userId })
    .first([...USER_COLUMNS, 'preferred_factor', 'required_actions'])
  const roles = await ctx.out
    .db('user_roles as u')
    .join('roles as r', (on) => on.on('r.tenant_id', 'u.tenant_id').on('r.id', 'u.role_id'))
    .where({ 'u.tenant_id': ctx.tenant.id, 'u.user_id': userId })
    .orderBy('r.name')
    .select('r.name', 'u.created_at')
  account.attributes = visible(ctx.tenant.settings.user_attributes_schema, account.attributes)
  const organizations = await belongings({ db: ctx.out.db, tenant: ctx.tenant }, userId)
  const head = { exported_at: new Date(), issuer: ctx.tenant.issuer, account, roles, organizations }
  yield JSON.stringify(head).slice(0, -1)
  for (const section of sections) {
    yield `,\n${JSON.stringify(section.name)}:[`
    let separator = '\n'
    for await (const row of rowsOf(ctx, userId, section)) {
      yield `${separator}${JSON.stringify(row)}`
      separator = ',\n'
    }
    yield ']'
  }
  yield '}\n'
}

async function* rowsOf(
  ctx: Context,
  userId: string,
  { table, columns, key = 'id', whose = 'user_id' }: Section,
): AsyncGenerator<object> {
  let last: string | undefined
  while (true) {
    const query = ctx.out
      .db(table)
      .where({ tenant_id: ctx.tenant.id, [whose]: userId })
      .orderBy(key)
      .limit(BATCH)
      .select(columns)
    if (last !== undefined) query.where(key, '>', last)
    const rows = await query
    yield* rows
    if (rows.length < BATCH) return
    last = rows.at(-1)[key]
  }
}
