/**
 * People an import meets who exist: profile, verification, status and attributes are merged, roles and memberships added. What they prove
 * themselves with is theirs and stays: an import is no way into an account.
 */
import { type AttributeSchema, attributeProblem } from '../attribute-schema.ts'
import { assertHolds } from '../authority.ts'
import type { Context } from '../context.ts'
import { type ManagedRow, setEnabled } from '../user-admin.ts'
import { MAX_ATTRIBUTES } from '../users.ts'
import { join, refuseBound } from './memberships.ts'
import { PROFILE } from './rows.ts'
import { messageOf, refuse, type Work } from './work.ts'

export type Existing = ManagedRow & { email_key: string }

/** Ends all works. The rows are locked. Nothing to change is skipped. What may be refused comes before what is written. */
export async function update(ctx: Context, works: Work[], existing: Map<string, Existing>): Promise<void> {
  const managed = await managedOnly(ctx, works, existing)
  const { user_attributes_schema: schema } = ctx.tenant.settings
  const changes = managed.map((work): Change => ({ work, before: existing.get(work.key)!, fields: [] }))
  for (const change of changes) change.after = mergedRow(change, schema)
  const people = changes.map(({ work, before }) => ({ userId: before.id, work }))
  await refuseBound(ctx, people)
  const switched = new Set<Work>()
  for (const { work, before } of changes) if (!work.ended && (await switchStatus(ctx, work, before))) switched.add(work)
  const left = changes.filter(({ work }) => !work.ended)
  await writeRows(
    ctx,
    left.filter(({ fields }) => fields.length > 0).map(({ after }) => after),
  )
  const given = await giveRoles(ctx, left)
  const joined = await join(
    ctx,
    people.filter(({ work }) => !work.ended),
  )
  for (const { work, before, fields } of left) {
    const roles = given.get(before.id)
    if (fields.length > 0) ctx.event('user.updated', { userId: before.id, data: { fields, import: work.importId } })
    if (roles) ctx.event('role.assigned', { userId: before.id, data: { roles, import: work.importId } })
    work.end(
      fields.length > 0 || roles || switched.has(work) || joined.has(before.id) ? 'updated' : 'skipped',
      before.id,
    )
  }
}

interface Change {
  work: Work
  before: Existing
  after?: Record<string, unknown> | undefined
  /** Which of its columns are new. */
  fields: string[]
}

/** As assertMayManage, for many: nobody changes people who may do more than they. */
async function managedOnly(ctx: Context, works: Work[], existing: Map<string, Existing>): Promise<Work[]> {
  const ids = works.map(({ key }) => existing.get(key)!.id)
  const { rows }: { rows: { user_id: string; names: string[] }[] } = await ctx.db.raw(
    `with held as (select user_id, role_id from user_roles where tenant_id = :tenant and user_id = any(:ids::uuid[])),
       allowed as materialized (
         select role_id, effective_permissions(:tenant, array[role_id]) as names from (select distinct role_id from held) r)
     select h.user_id, array_agg(distinct name) as names from held h
     join allowed a on a.role_id = h.role_id cross join unnest(a.names) name group by h.user_id`,
    { tenant: ctx.tenant.id, ids },
  )
  const permissions = new Map(rows.map((row) => [row.user_id, row.names]))
  return works.filter((work) => {
    const { id } = existing.get(work.key)!
    if (ctx.actor!.userId === id) return true
    try {
      assertHolds(ctx, permissions.get(id) ?? [])
      return true
    } catch (error) {
      refuse(work, '', messageOf(error), id)
      return false
    }
  })
}

/** The columns as they shall be; notes in `fields` which are new. Undefined, and ended, where they cannot be. */
function mergedRow({ work, before, fields }: Change, schema: AttributeSchema): Record<string, unknown> | undefined {
  const after: Record<string, unknown> = { id: before.id }
  for (const name of PROFILE) {
    const value = work.profile[name]
    after[name] = value === undefined ? before[name] : value
    if (after[name] !== before[name]) fields.push(name)
  }
  const attributes: Record<string, unknown> = { ...before.attributes, ...work.attributes }
  for (const [name, value] of Object.entries(attributes)) if (value === null) delete attributes[name]
  const text = JSON.stringify(attributes)
  if (text.length > MAX_ATTRIBUTES) {
    refuse(work, 'attributes', 'are larger than 16 KiB together with those there are', before.id)
    return undefined
  }
  const wrong = attributeProblem(schema, attributes, Object.keys(work.attributes), 'administrator')
  if (wrong) {
    refuse(work, `attributes.${wrong.field}`, wrong.message, before.id)
    return undefined
  }
  if (!sameJson(attributes, before.attributes)) fields.push('attributes')
  after.attributes = attributes
  after.email_verified = work.emailVerified ?? before.email_verified_at !== null
  if (after.email_verified !== (before.email_verified_at !== null)) fields.push('email_verified')
  // A new number is unverified, unless the file vouches for it.
  const moved = fields.includes('phone_number')
  after.phone_verified = work.phoneVerified ?? (!moved && before.phone_verified_at !== null)
  if (!moved && after.phone_verified !== (before.phone_verified_at !== null)) fields.push('phone_number_verified')
  return after
}

/** jsonb keeps no order of keys. */
function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  const [left, right] = [Object.entries(a), Object.entries(b)]
  return (
    Array.isArray(a) === Array.isArray(b) &&
    left.length === right.length &&
    left.every(([key, value]) => Object.hasOwn(b, key) && sameJson(value, (b as Record<string, unknown>)[key]))
  )
}

async function writeRows(ctx: Context, rows: unknown[]): Promise<void> {
  if (rows.length === 0) return
  await ctx.db.raw(
    `update users u set ${PROFILE.map((name) => `${name} = x.${name}`).join(', ')}, attributes = x.attributes,
       email_verified_at = case when x.email_verified then coalesce(u.email_verified_at, now()) end,
       phone_verified_at = case when x.phone_verified then
         case when u.phone_number is not distinct from x.phone_number then coalesce(u.phone_verified_at, now()) else now() end end,
       updated_at = now()
     from jsonb_to_recordset(?::jsonb) as x (id uuid, ${PROFILE.map((name) => `${name} text`).join(', ')}, attributes jsonb,
       email_verified boolean, phone_verified boolean)
     where u.tenant_id = ? and u.id = x.id`,
    [JSON.stringify(rows), ctx.tenant.id],
  )
}

/** Names of the roles that are new to each person. */
async function giveRoles(ctx: Context, changes: Change[]): Promise<Map<string, string[]>> {
  const rows = changes.flatMap(({ work, before }) => work.roleIds.map((role) => ({ user: before.id, role })))
  if (rows.length === 0) return new Map()
  const { rows: given }: { rows: { user_id: string; names: string[] }[] } = await ctx.db.raw(
    `with given as (
       insert into user_roles (tenant_id, user_id, role_id, created_by)
       select :tenant, x.user, x.role, :by from jsonb_to_recordset(:rows::jsonb) as x ("user" uuid, role uuid)
       on conflict do nothing returning user_id, role_id)
     select g.user_id, array_agg(r.name order by r.name) as names
     from given g join roles r on r.tenant_id = :tenant and r.id = g.role_id group by g.user_id`,
    { tenant: ctx.tenant.id, by: ctx.actor!.userId ?? null, rows: JSON.stringify(rows) },
  )
  return new Map(given.map((row) => [row.user_id, row.names]))
}

/** One by one, since disabling ends sessions and must leave a super administrator. A refusal takes back this person alone. */
async function switchStatus(ctx: Context, work: Work, before: Existing): Promise<boolean> {
  if (work.enabled === undefined || work.enabled === (before.status === 'active')) return false
  try {
    await ctx.db.transaction((trx) => setEnabled({ ...ctx, db: trx }, before.id, work.enabled!))
    return true
  } catch (error) {
    refuse(work, 'status', messageOf(error), before.id)
    return false
  }
}
