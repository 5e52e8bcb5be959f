/** The caller's own profile. */
import { visible } from '../domain/attribute-schema.ts'
import { type Context, operation, type UserRow } from '../domain/context.ts'
import { belongings } from '../domain/memberships/lists.ts'
import * as users from '../domain/users.ts'
import {
  anything,
  array,
  boolean,
  email,
  nullable,
  object,
  optional,
  record,
  resource,
  string,
  text,
  timeZone,
  uri,
  uuid,
} from '../kernel/schema.ts'
import { fullName } from '../oidc/account.ts'
import { personNames, User, userView } from './shapes.ts'

export const update = operation({
  id: 'profile.update',
  summary: 'Update profile',
  description: 'Absent keys stay, null clears. A new phone number is unverified.',
  tag: 'Account',
  auth: 'user',
  effect: 'write',
  input: object({
    ...personNames,
    nickname: optional(nullable(text(100))),
    phoneNumber: optional(nullable(text(32, { pattern: users.PHONE.source }))),
    picture: optional(nullable(uri({ pattern: '^https://' }))),
    locale: optional(nullable(text(35, { pattern: '^[A-Za-z0-9-]+$' }))),
    zoneinfo: optional(nullable(timeZone())),
  }),
  example: { givenName: 'John', familyName: 'Doe' },
  output: User,
  run: async (ctx, input) => userView(await users.updateProfile(ctx, ctx.actor!.userId!, input)),
})

/** sso-api's profile: the person with what they belong to and may do. */
const Authorization = resource('Authorization', {
  keycloakRoles: array(string(), { description: 'Roles of the tenant' }),
  databaseRoles: array(string(), { description: 'Roles in organizations' }),
  permissions: array(string()),
})
const Profile = resource('Profile', {
  id: uuid(),
  email: nullable(email()),
  firstName: nullable(string()),
  lastName: nullable(string()),
  emailVerified: boolean(),
  provider: string({ description: 'Where the account came from: local, or an identity provider' }),
  metadata: record(anything()),
  organizations: array(resource('Belonging', { id: uuid(), name: string(), tenantId: string(), role: string() }), {
    description: 'At most 200',
  }),
  authorization: Authorization,
})

async function profileOf(ctx: Context, user: UserRow) {
  const identity = await ctx
    .db('identities')
    .where({ tenant_id: ctx.tenant.id, user_id: user.id })
    .orderBy('created_at')
    .first('provider')
  const organizations = await belongings(ctx, user.id)
  return {
    id: user.id,
    email: user.email,
    firstName: user.given_name,
    lastName: user.family_name,
    emailVerified: user.email_verified_at !== null,
    provider: identity?.provider ?? 'local',
    metadata: visible(ctx.tenant.settings.user_attributes_schema, user.attributes),
    organizations: organizations.map(({ slug, ...rest }) => ({ ...rest, tenantId: slug })),
    authorization: {
      keycloakRoles: ctx.actor!.roles,
      databaseRoles: [...new Set(organizations.map(({ role }) => role))],
      permissions: [...ctx.actor!.permissions].sort(),
    },
  }
}

export const complete = operation({
  id: 'profile.complete',
  summary: 'Get complete user profile',
  tag: 'Account',
  auth: 'user',
  effect: 'read',
  input: object({}),
  output: Profile,
  run: (ctx) => profileOf(ctx, ctx.actor!.user!),
})

export const updateComplete = operation({
  id: 'profile.update_complete',
  summary: 'Update profile',
  description: 'Absent keys stay, null clears; metadata is merged key by key.',
  tag: 'Account',
  auth: 'user',
  effect: 'write',
  input: object({
    firstName: optional(nullable(text(100))),
    lastName: optional(nullable(text(100))),
    metadata: optional(record(anything(), { maxProperties: 50 })),
  }),
  example: { firstName: 'John', lastName: 'Doe', metadata: { designation: 'Engineer' } },
  output: Profile,
  async run(ctx, input) {
    const { userId } = ctx.actor!
    const user = await users.updateProfile(ctx, userId!, { givenName: input.firstName, familyName: input.lastName })
    return profileOf(ctx, input.metadata ? await users.mergeAttributes(ctx, userId!, input.metadata, 'self') : user)
  },
})

export const summary = operation({
  id: 'profile.summary',
  summary: 'Get profile summary',
  tag: 'Account',
  auth: 'user',
  effect: 'read',
  input: object({}),
  output: resource('ProfileSummary', {
    id: uuid(),
    email: nullable(email()),
    name: nullable(string()),
    picture: nullable(string()),
    emailVerified: boolean(),
    roles: array(string()),
  }),
  async run(ctx) {
    const user = ctx.actor!.user!
    return {
      id: user.id,
      email: user.email,
      name: fullName(user) ?? null,
      picture: user.picture,
      emailVerified: user.email_verified_at !== null,
      roles: ctx.actor!.roles,
    }
  },
})
