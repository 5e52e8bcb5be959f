/**
 * A Keycloak realm beside its users: roles with their parts, clients with their roles and secrets. What is there already
 * stays as it is; what has no place here is in the report.
 */
import { inspect } from '../../kernel/body.ts'
import { Failure, fail } from '../../kernel/errors.ts'
import { anything, array, nullable, object, optional, record, type Static, string, text } from '../../kernel/schema.ts'
import { bodyCheck, type Problem } from '../../kernel/validate.ts'
import * as clientRoles from '../clients/roles.ts'
import * as clients from '../clients.ts'
import type { Context } from '../context.ts'
import * as organizations from '../organizations.ts'
import { slugOf } from '../organizations.ts'
import * as composites from '../roles/composites.ts'
import * as roles from '../roles.ts'
import { assertMay } from '../user-admin.ts'
import { clientOf, KeycloakClient } from './keycloak-clients.ts'
import { isBuiltInClient, isBuiltInRole, isOurs } from './keycloak-names.ts'
import { type Group, type Groups, roleNames } from './keycloak-users.ts'
import type { Report } from './report.ts'

type RealmRole = Static<typeof RealmRole>
/** The parts of the export that are kept while its users go by. */
export interface Realm {
  roles?: Static<typeof Roles>
  clients?: Static<typeof KeycloakClient>[]
  /** Names of organizations to be, by slug. */
  organizations: Map<string, string>
}

/** What is read of each part; there may be more in them. */
const loose = { additionalProperties: true }
const names = array(string())
const RealmRole = object(
  {
    name: text(255),
    description: optional(nullable(string())),
    attributes: optional(nullable(record(anything()))),
    composites: optional(nullable(object({ realm: optional(names), client: optional(record(names)) }, loose))),
  },
  loose,
)
const Roles = object({ realm: optional(array(RealmRole)), client: optional(record(array(RealmRole))) }, loose)
const KeycloakGroup = object(
  {
    name: text(255),
    realmRoles: optional(names),
    clientRoles: optional(record(names)),
    subGroups: optional(array(anything())),
  },
  loose,
)
const checks = {
  roles: bodyCheck(Roles),
  clients: bodyCheck(array(KeycloakClient)),
  groups: bodyCheck(array(anything())),
}
const checkGroup = bodyCheck(KeycloakGroup)

/** Keeps a part, or notes that it has no place here. VALIDATION_ERROR for what Keycloak would not have written so. */
export function takePart(realm: Realm, groups: Groups, report: Report, key: string, value: unknown): void {
  inspect(value)
  if (key === 'roles' || key === 'clients' || key === 'groups') assertShape(key, checks[key](value))
  if (key === 'roles' || key === 'clients') realm[key] = value as any
  else if (key === 'groups') addGroups(realm, groups, value as unknown[], report)
  else if (LISTS.includes(key) && typeof value === 'object' && value !== null)
    report.note(key, Array.isArray(value) ? value.length : Object.keys(value).length)
}

function assertShape(part: string, problems: Problem[] | undefined): void {
  if (problems)
    throw fail('VALIDATION_ERROR', `${part}: ${problems[0]?.field} ${problems[0]?.message}`.slice(0, 300), {
      details: problems,
    })
}

/** Lists worth a word when they hold something. */
const LISTS = [
  'identityProviders',
  'identityProviderMappers',
  'clientScopes',
  'authenticationFlows',
  'components',
  'scopeMappings',
]

/** The topmost groups become organizations; those below them give their roles, and are part of it. */
function addGroups(
  realm: Realm,
  groups: Groups,
  list: unknown[],
  report: Report,
  above?: Group & { path: string },
): void {
  for (const item of list) {
    assertShape('groups', checkGroup(item))
    const group = item as Static<typeof KeycloakGroup>
    const path = `${above?.path ?? ''}/${group.name}`
    const roles = [...new Set([...(above?.roles ?? []), ...roleNames(group)])]
    const organization = above?.organization ?? slugOf(group.name, 'group')
    groups.set(path, { roles, organization })
    if (above) report.note('groups below others, whose members are members of the topmost')
    else realm.organizations.set(organization, group.name)
    addGroups(realm, groups, group.subGroups ?? [], report, { path, roles, organization })
  }
}

/** Roles, clients and topmost groups of one realm, each a handful of statements. */
const MOST = 5000

/**
 * In the caller's transaction. ACCESS_DENIED without roles:write, clients:write and organizations:write, where there are any;
 * VALIDATION_ERROR for too many of them.
 */
export async function takeRealm(ctx: Context, realm: Realm, report: Report): Promise<void> {
  const wanted = (realm.clients ?? []).filter(({ clientId }) => !isBuiltInClient(clientId))
  const found = rolesOf(realm)
  if (wanted.length + found.length + realm.organizations.size > MOST)
    throw fail('VALIDATION_ERROR', `A realm with more than ${MOST} roles, clients and groups cannot be taken at once`)
  if (found.length > 0) await assertMay(ctx, 'roles:write')
  if (wanted.length > 0) await assertMay(ctx, 'clients:write')
  if (realm.organizations.size > 0) await assertMay(ctx, 'organizations:write')
  for (const [slug, name] of realm.organizations)
    await attempt(ctx, `group ${name}`, report, (inner) => takeGroup(inner, slug, name))
  for (const client of wanted)
    await attempt(ctx, `client ${client.clientId}`, report, (inner) => takeClient(inner, client, report))
  for (const role of found) await attempt(ctx, `role ${role.title}`, report, (inner) => takeRole(inner, role, report))
  for (const role of found) await attempt(ctx, `parts of ${role.title}`, report, (inner) => takeParts(inner, role))
}

type Found = RealmRole & { clientId?: string; title: string }

function rolesOf({ roles: all }: Realm): Found[] {
  const ofRealm = (all?.realm ?? []).filter(({ name }) => !isBuiltInRole(name) && !isOurs(name))
  const ofClients = Object.entries(all?.client ?? {}).filter(([clientId]) => !isBuiltInClient(clientId))
  return [
    ...ofRealm.map((role) => ({ ...role, title: role.name })),
    ...ofClients.flatMap(([clientId, list]) =>
      list.map((role) => ({ ...role, clientId, title: `${clientId}/${role.name}` })),
    ),
  ]
}

/** What is refused is taken back by itself, and reported. */
async function attempt(
  ctx: Context,
  what: string,
  report: Report,
  fn: (inner: Context) => Promise<void>,
): Promise<void> {
  try {
    await ctx.db.transaction((trx) => fn({ ...ctx, db: trx }))
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    report.note(`${what}: ${error.message}`)
  }
}

const whereOf = async (ctx: Context, clientId?: string): Promise<roles.Where> =>
  clientId === undefined ? { scopes: ['tenant'] } : clientRoles.ofClient(ctx, clientId)

async function takeRole(ctx: Context, role: Found, report: Report): Promise<void> {
  const { clientId } = role
  const where = await whereOf(ctx, clientId)
  const known = await roles.all(ctx, where).where({ name: role.name }).first('id')
  if (known) return
  if (Object.keys(role.attributes ?? {}).length > 0) report.note('attributes of roles')
  const input = { name: role.name, description: role.description ?? null }
  if (clientId === undefined) await roles.create(ctx, input)
  else await clientRoles.create(ctx, clientId, input)
}

async function takeParts(ctx: Context, role: Found): Promise<void> {
  const parts: string[] = []
  for (const name of role.composites?.realm ?? [])
    if (!isBuiltInRole(name) && !isOurs(name)) parts.push((await roles.find(ctx, name, { scopes: ['tenant'] })).id)
  for (const [id, names] of Object.entries(role.composites?.client ?? {})) {
    if (isBuiltInClient(id)) continue
    const where = await clientRoles.ofClient(ctx, id)
    for (const name of names) parts.push((await roles.find(ctx, name, where)).id)
  }
  if (parts.length > 0) await composites.add(ctx, role.name, parts, await whereOf(ctx, role.clientId))
}

async function takeGroup(ctx: Context, slug: string, name: string): Promise<void> {
  const known = await ctx.db('organizations').where({ tenant_id: ctx.tenant.id, slug }).first('id')
  if (!known) await organizations.create(ctx, { name, slug })
}

async function takeClient(ctx: Context, raw: Static<typeof KeycloakClient>, report: Report): Promise<void> {
  const known = await ctx.db('clients').where({ tenant_id: ctx.tenant.id, client_id: raw.clientId }).first('id')
  if (known) return report.note(`client ${raw.clientId}: is there already`)
  const client = clientOf(raw, (what) => report.note(`client ${raw.clientId}: ${what}`))
  if (client) await clients.create(ctx, client)
}
