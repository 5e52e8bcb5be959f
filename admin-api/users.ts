/** Administering people: list, create, see, change, remove. People see and change themselves by the same operations. */
import { Done, done, Password, paged, pageInput, personNames } from '../server/api/shapes.ts'
import { visible } from '../server/domain/attribute-schema.ts'
import { type Context, operation } from '../server/domain/context.ts'
import * as organizations from '../server/domain/organizations.ts'
import { REQUIRED_ACTIONS } from '../server/domain/required-actions.ts'
import * as roles from '../server/domain/roles.ts'
import { list as listUsers, SORTS } from '../server/domain/user-admin/list.ts'
import * as people from '../server/domain/user-admin.ts'
import { PHONE } from '../server/domain/users.ts'
import { fail } from '../server/kernel/errors.ts'
import {
  anything,
  array,
  boolean,
  email,
  instant,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  record,
  string,
  text,
  timeZone,
  uri,
  uuid,
} from '../server/kernel/schema.ts'
import { ManagedUser, managedView } from './shapes.ts'

const tag = 'Users'

/** What is a person's own to change. */
const profile = {
  ...personNames,
  firstName: optional(nullable(text(100, { description: 'The same as the given name' }))),
  lastName: optional(nullable(text(100, { description: 'The same as the family name' }))),
  nickname: optional(nullable(text(100))),
  phoneNumber: optional(nullable(text(32, { pattern: PHONE.source }))),
  picture: optional(nullable(uri({ pattern: '^https://' }))),
  locale: optional(nullable(text(35, { pattern: '^[A-Za-z0-9-]+$' }))),
  zoneinfo: optional(nullable(timeZone())),
}
const managed = {
  requiredActions: optional(
    array(oneOf(REQUIRED_ACTIONS), {
      uniqueItems: true,
      maxItems: REQUIRED_ACTIONS.length,
      description: 'What the next sign-in asks for; replaces what was asked before',
    }),
  ),
  emailVerified: optional(boolean({ description: 'You vouch for the address' })),
  enabled: optional(boolean()),
  attributes: optional(record(anything(), { maxProperties: 100, description: 'Merged key by key; null removes' })),
}

/** Both spellings of names are one. */
function named<
  T extends {
    firstName?: string | null
    lastName?: string | null
    givenName?: string | null
    familyName?: string | null
  },
>(input: T): Omit<T, 'firstName' | 'lastName'> {
  const { firstName, lastName, ...rest } = input
  // null is said, too: it clears.
  const either = (one: unknown, other: unknown) => (one === undefined ? other : one)
  return { ...rest, givenName: either(rest.givenName, firstName), familyName: either(rest.familyName, lastName) }
}

/** Which people, by properties that indexes answer. */
export const filters = {
  q: optional(text(200, { description: 'Beginning of the address, the name or the family name' })),
  status: optional(oneOf(['active', 'disabled', 'locked', 'deleted'])),
  role: optional(text(255, { description: 'id or name of a role held directly' })),
  organization: optional(text(63, { description: 'id or slug of an organization they belong to' })),
  emailVerified: optional(boolean()),
  createdAfter: optional(instant()),
  createdBefore: optional(instant()),
  lastLoginAfter: optional(instant()),
  lastLoginBefore: optional(instant()),
}

/** People look at themselves by the same operations, and see the attributes that are theirs to see. */
const seen = (ctx: Context, row: people.ManagedRow) => {
  const view = managedView(row)
  if (ctx.actor!.permissions.has('users:read')) return view
  return { ...view, attributes: visible(ctx.tenant.settings.user_attributes_schema, view.attributes) }
}

export const list = operation({
  id: 'users.list',
  summary: 'List all users with filters',
  description:
    'Pages by cursor (`next_cursor`), or by offset up to 100,000, with filters up to 10,000. A total that would take long is an estimate and marked as such.',
  tag,
  auth: { permission: 'users:read' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({
    limit: pageInput.limit,
    offset: optional(integer({ minimum: 0, maximum: 100_000, default: 0 })),
    cursor: optional(text(2000)),
    sort: optional(oneOf(SORTS, { description: '-created_at; -last_login_at where last logins are asked for' })),
    ...filters,
  }),
  output: object(
    {
      items: array(ManagedUser),
      limit: integer(),
      offset: integer(),
      count: integer({ description: 'Items in this page' }),
      total: integer({ description: 'Items in all pages' }),
      totalEstimated: boolean(),
      nextCursor: optional(string({ description: 'Pass as cursor to read on' })),
    },
    { page: true },
  ),
  async run(ctx, { limit, offset, sort: wanted, cursor, role, organization, ...rest }) {
    const filter = { ...rest, ...(await idsOf(ctx, { role, organization })) }
    const sort = wanted ?? (filter.lastLoginAfter || filter.lastLoginBefore ? '-last_login_at' : '-created_at')
    return paged({ limit, offset }, (window) => listUsers(ctx, filter, { ...window, sort, cursor }), managedView)
  },
})

/** What filters name, by id. NOT_FOUND. */
export const idsOf = async (ctx: Context, { role, organization }: { role?: string; organization?: string }) => ({
  roleIds: role === undefined ? [] : [(await roles.find(ctx, role)).id],
  organizationId: organization === undefined ? undefined : (await organizations.byKey(ctx, organization)).id,
})

export const get = operation({
  id: 'users.get',
  summary: 'Get user details by ID',
  tag,
  auth: { permission: 'users:read', orSelf: 'id' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ id: uuid() }),
  output: ManagedUser,
  version: (ctx, { id }, lock) => people.versionOf(ctx, id, lock),
  run: async (ctx, { id }) => seen(ctx, await people.get(ctx, id)),
})

export const create = operation({
  id: 'users.create',
  summary: 'Create a new user',
  description: 'Without a password the person is mailed a link to choose one, unless send_invitation is false.',
  tag,
  auth: { permission: 'users:write' },
  effect: 'write',
  errors: ['CONFLICT', 'WEAK_PASSWORD', 'NOT_FOUND'],
  input: object({
    email: email(),
    password: optional(Password),
    sendInvitation: optional(boolean()),
    ...profile,
    ...managed,
    roles: optional(array(text(255), { maxItems: 50, description: 'ids or names' })),
  }),
  example: { email: 'user@example.com', givenName: 'Ada', familyName: 'Lovelace' },
  output: ManagedUser,
  prepare: (ctx, input) => people.prepareHash(ctx, input.password, named(input)),
  async run(ctx, { password, sendInvitation, ...input }, hash) {
    // Giving roles asks for more than creating people.
    if (input.roles?.length && !ctx.actor!.permissions.has('roles:write'))
      throw fail('ACCESS_DENIED', 'This needs the permission roles:write', { details: { permission: 'roles:write' } })
    const invite = sendInvitation ?? password === undefined
    return managedView(await people.create(ctx, { ...named(input), invite }, hash))
  },
})

export const update = operation({
  id: 'users.update',
  summary: 'Update user details (admin or self)',
  description:
    'Absent keys stay, null clears. Address, verification, attributes, required actions and enabled are for administrators. A new address or telephone number is unverified.',
  tag,
  auth: { permission: 'users:write', orSelf: 'id' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id: uuid(), email: optional(email()), ...profile, ...managed }),
  example: { givenName: 'Ada', familyName: 'Lovelace' },
  output: ManagedUser,
  version: (ctx, { id }, lock) => people.versionOf(ctx, id, lock),
  run: async (ctx, { id, ...change }) => seen(ctx, await people.update(ctx, id, named(change))),
})

export const updateAttributes = operation({
  id: 'users.update_attributes',
  summary: 'Update attributes',
  description: 'Merged key by key; null removes.',
  tag,
  auth: { permission: 'users:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ id: uuid(), attributes: record(anything(), { maxProperties: 100 }) }),
  example: { attributes: { department: 'Engineering' } },
  output: ManagedUser,
  version: (ctx, { id }, lock) => people.versionOf(ctx, id, lock),
  run: async (ctx, { id, attributes }) => managedView(await people.update(ctx, id, { attributes })),
})

export const remove = operation({
  id: 'users.delete',
  summary: 'Delete user',
  description: 'Signed out at once and the address free; what is left is purged after 30 days.',
  tag,
  auth: { permission: 'users:delete' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({ id: uuid() }),
  output: Done,
  version: (ctx, { id }, lock) => people.versionOf(ctx, id, lock),
  async run(ctx, { id }) {
    await people.remove(ctx, id)
    return done('The user is deleted')
  },
})

const switched = (id: string, summary: string, enabled: boolean) =>
  operation({
    id,
    summary,
    tag,
    auth: { permission: 'users:write' },
    effect: 'write',
    errors: ['NOT_FOUND', 'CONFLICT'],
    input: object({ id: uuid() }),
    output: ManagedUser,
    run: async (ctx, input) => managedView(await people.setEnabled(ctx, input.id, enabled)),
  })
export const disable = switched('users.disable', 'Disable a user: signed out at once, no sign-in', false)
export const enable = switched('users.enable', 'Enable a user', true)

export const lock = operation({
  id: 'users.lock',
  summary: 'Lock an account',
  description: 'For so many seconds, or until it is unlocked. Sessions end.',
  tag,
  auth: { permission: 'users:write' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: object({
    id: uuid(),
    seconds: optional(integer({ minimum: 1, maximum: 31_536_000 })),
    reason: optional(text(300)),
  }),
  example: { seconds: 3600, reason: 'Suspicious sign-ins' },
  output: ManagedUser,
  run: async (ctx, { id, seconds, reason }) => managedView(await people.lock(ctx, id, seconds, reason)),
})

export const unlock = operation({
  id: 'users.unlock',
  summary: 'Unlock an account',
  description: 'Also forgets failed sign-ins.',
  tag,
  auth: { permission: 'users:write' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ id: uuid() }),
  output: ManagedUser,
  run: async (ctx, { id }) => managedView(await people.unlock(ctx, id)),
})
