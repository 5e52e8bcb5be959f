/** The migrations in their order. Knex runs them; the advisory lock makes concurrent starts take turns. */
import type { Knex } from 'knex'
import * as foundation from './0001_foundation.ts'
import * as limits from './0002_limits.ts'
import * as signIn from './0003_sign_in.ts'
import * as hotTables from './0004_hot_tables.ts'
import * as admin from './0005_admin.ts'
import * as impersonation from './0006_impersonation.ts'
import * as organizations from './0007_organizations.ts'
import * as invitations from './0008_invitations.ts'
import * as webhooks from './0009_webhooks.ts'
import * as imports from './0010_imports.ts'
import * as clients from './0011_clients.ts'
import * as tenants from './0012_tenants.ts'
import * as auditTree from './0013_audit_tree.ts'
import * as idempotency from './0014_idempotency.ts'
import * as requiredActions from './0015_required_actions.ts'
import * as invitationPlaces from './0016_invitation_places.ts'
import * as webhookOrganizations from './0017_webhook_organizations.ts'
import * as organizationRoles from './0018_roles_of_organizations.ts'
import * as lists from './0020_lists.ts'
import * as organizationSupport from './0022_organization_support.ts'
import * as listsFromIndexes from './0023_lists.ts'
import * as phoneAccounts from './0024_phone_accounts.ts'
import * as members from './0026_members.ts'
import * as tenantSearch from './0027_tenant_search.ts'

const migrations: Record<string, Knex.Migration> = {
  '0001_foundation': foundation,
  '0002_limits': limits,
  '0003_sign_in': signIn,
  '0004_hot_tables': hotTables,
  '0005_admin': admin,
  '0006_impersonation': impersonation,
  '0007_organizations': organizations,
  '0008_invitations': invitations,
  '0009_webhooks': webhooks,
  '0010_imports': imports,
  '0011_clients': clients,
  '0012_tenants': tenants,
  '0013_audit_tree': auditTree,
  '0014_idempotency': idempotency,
  '0015_required_actions': requiredActions,
  '0016_invitation_places': invitationPlaces,
  '0017_webhook_organizations': webhookOrganizations,
  '0018_roles_of_organizations': organizationRoles,
  '0020_lists': lists,
  '0022_organization_support': organizationSupport,
  '0023_lists': listsFromIndexes,
  '0024_phone_accounts': phoneAccounts,
  '0026_members': members,
  '0027_tenant_search': tenantSearch,
}

const source: Knex.MigrationSource<string> = {
  getMigrations: async () => Object.keys(migrations),
  getMigrationName: (name) => name,
  getMigration: async (name) => migrations[name]!,
}

const LOCK = 0x6761_7465

/** Brings the schema up to date. Holds a PostgreSQL advisory lock meanwhile, so a killed process leaves no lock behind. */
export async function migrate(db: Knex): Promise<string[]> {
  const connection = await db.client.acquireConnection()
  try {
    await connection.query('set statement_timeout = 0')
    await connection.query('select pg_advisory_lock($1)', [LOCK])
    await db.migrate.forceFreeMigrationsLock({ migrationSource: source, tableName: 'schema_migrations' })
    const [, done] = await db.migrate.latest({ migrationSource: source, tableName: 'schema_migrations' })
    return done
  } finally {
    await connection.query('select pg_advisory_unlock($1)', [LOCK]).catch(() => {})
    await connection.query('reset statement_timeout').catch(() => {})
    await db.client.releaseConnection(connection)
  }
}
