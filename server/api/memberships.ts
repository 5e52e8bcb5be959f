/** Who belongs to which organization as what. */
import { type Context, operation } from '../domain/context.ts'
import { remove as end } from '../domain/memberships/leaving.ts'
import * as lists from '../domain/memberships/lists.ts'
import * as memberships from '../domain/memberships.ts'
import { versionBy } from '../domain/versions.ts'
import { fail } from '../kernel/errors.ts'
import {
  array,
  instant,
  integer,
  object,
  oneOf,
  optional,
  page,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { cursorInput, Done, done, Member, paged } from './shapes.ts'

const tag = 'Memberships'

const Membership = resource('Membership', {
  id: uuid(),
  user: Member,
  organization: resource('OrganizationName', { id: uuid(), name: string(), tenantId: string() }),
  role: object({ id: uuid(), name: string() }),
  createdAt: instant(),
})
const view = ({ organization: { slug, ...organization }, ...rest }: lists.MembershipView) => ({
  ...rest,
  organization: { ...organization, tenantId: slug },
})
const roleId = text(255, { description: 'id or name of a role of the organization: Owner, Admin, Member, or its own' })

/** Who belongs to the organization and may not look is told so where they would change it. */
const version = versionBy('membership', ['id'], (ctx, { id }) =>
  memberships.visible(ctx, id).catch((error) => {
    if (!ctx.inside) throw error
    return memberships.enter(ctx, id)
  }),
)

/** A page as both lists answer it. */
const listed = (
  ctx: Context,
  filter: lists.Filter,
  { cursor, ...input }: { limit?: number; offset?: number; cursor?: string },
) => paged(input, (window) => lists.list(ctx, filter, { ...window, cursor }), view)

export const list = operation({
  id: 'memberships.list',
  summary: 'List all memberships',
  description: 'Of organizations whose members the caller manages; of all for holders of `organizations:read`.',
  tag,
  auth: { inside: 'members:manage' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: resource('MembershipInput', {
    ...cursorInput,
    orgId: optional(uuid()),
    userId: optional(uuid()),
    roleId: optional(uuid()),
  }),
  output: page(Membership),
  async run(ctx, { orgId, userId, roleId, ...input }) {
    const scope = await lists.managed(ctx, orgId)
    return listed(ctx, { ...scope, userId, roleId }, input)
  },
})

export const get = operation({
  id: 'memberships.get',
  summary: 'Get membership details',
  description: 'The own, or of an organization whose members the caller manages.',
  tag,
  auth: { permission: 'organizations:read', orUser: true },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: resource('MembershipInput', { id: uuid() }),
  output: Membership,
  version,
  run: async (ctx, { id }) => view(await lists.view(ctx, await memberships.visible(ctx, id))),
})

export const create = operation({
  id: 'memberships.create',
  summary: 'Add user to organization',
  description: 'Nobody gives a role that allows more than their own; without one the person becomes Member.',
  tag,
  auth: { inside: 'members:manage' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT', 'SINGLE_ORGANIZATION_MODE'],
  input: resource('MembershipInput', { userId: uuid(), orgId: uuid(), roleId: optional(roleId) }),
  example: {
    userId: '00000000-0000-4000-8000-000000000001',
    orgId: '00000000-0000-4000-8000-000000000002',
    roleId: 'Member',
  },
  output: Membership,
  async run(ctx, { orgId, userId, roleId }) {
    const role = await memberships.givable(ctx, orgId, roleId)
    return view(await lists.view(ctx, await memberships.add(ctx, { organizationId: orgId, userId, roleId: role.id })))
  },
})

export const bulkAssign = operation({
  id: 'memberships.bulk_assign',
  summary: 'Bulk add users',
  description: 'Adds whom it can and says of everybody what came of it.',
  tag,
  auth: { inside: 'members:manage' },
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: resource('MembershipInput', {
    orgId: uuid(),
    userIds: array(uuid(), { minItems: 1, maxItems: 500, uniqueItems: true }),
    roleId: optional(roleId),
  }),
  example: {
    orgId: '00000000-0000-4000-8000-000000000002',
    userIds: ['00000000-0000-4000-8000-000000000001'],
    roleId: 'Member',
  },
  output: resource('BulkAssigned', {
    added: integer(),
    results: array(resource('BulkAssignment', { userId: uuid(), status: oneOf(memberships.OUTCOMES) })),
  }),
  async run(ctx, { orgId, userIds, roleId }) {
    const role = await memberships.givable(ctx, orgId, roleId)
    const results = await memberships.addMany(ctx, { organizationId: orgId, userIds, roleId: role.id })
    return { added: results.filter(({ status }) => status === 'added').length, results }
  },
})

export const update = operation({
  id: 'memberships.update',
  summary: 'Update membership role',
  description: 'Nobody gives or takes a role that allows more than their own. The last Owner stays Owner.',
  tag,
  auth: { inside: 'members:manage' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: resource('MembershipInput', { id: uuid(), roleId }),
  example: { roleId: 'Admin' },
  output: Membership,
  version,
  run: async (ctx, { id, roleId }) => view(await lists.view(ctx, await memberships.changeRole(ctx, id, roleId))),
})

export const remove = operation({
  id: 'memberships.delete',
  summary: 'Remove membership',
  description: 'Everybody may end their own. The last Owner cannot leave.',
  tag,
  auth: { inside: 'members:manage' },
  effect: 'write',
  errors: ['NOT_FOUND', 'CONFLICT'],
  input: resource('MembershipInput', { id: uuid() }),
  output: Done,
  version,
  async run(ctx, { id }) {
    await end(ctx, id)
    return done('The membership is ended')
  },
})

export const ofUser = operation({
  id: 'memberships.of_user',
  summary: "Get user's organizations",
  tag,
  auth: { permission: 'organizations:read', orUser: true },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: resource('MembershipInput', { ...cursorInput, userId: uuid() }),
  output: page(Membership),
  async run(ctx, { userId, ...input }) {
    const { userId: self, permissions } = ctx.actor!
    if (userId !== self && !permissions.has('organizations:read')) throw fail('NOT_FOUND', 'No such user')
    return listed(ctx, { userId }, input)
  },
})

export const overview = operation({
  id: 'memberships.overview',
  summary: 'Membership statistics',
  description: 'Of organizations whose members the caller manages; of all for holders of `organizations:read`.',
  tag,
  auth: { inside: 'members:manage' },
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: resource('MembershipInput', { orgId: optional(uuid()) }),
  output: resource('MembershipStats', {
    memberships: integer(),
    users: integer(),
    organizations: integer(),
    joinedLast30Days: integer(),
    roles: array(object({ role: string(), members: integer() })),
  }),
  run: async (ctx, { orgId }) => lists.overview(ctx, await lists.managed(ctx, orgId)),
})
