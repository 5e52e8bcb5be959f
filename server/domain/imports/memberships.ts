/** Organizations that rows name by their slug: people become plain members of them. */
import type { Context } from '../context.ts'
import { newId, ROLE } from '../ids.ts'
import { refuse, type Work } from './work.ts'

/** Fills in organizationIds; ends works that name one that is unknown, not the caller's to fill, or one too many. */
export async function resolveOrganizations(ctx: Context, works: Work[]): Promise<void> {
  const slugs = [...new Set(works.flatMap(({ organizations }) => organizations))]
  if (slugs.length === 0) return
  const rows = await ctx
    .db('organizations')
    .where({ tenant_id: ctx.tenant.id })
    .whereIn('slug', slugs)
    .select('id', 'slug')
  const found = new Map<string, string>(rows.map(({ id, slug }) => [slug, id]))
  for (const work of works) {
    if (work.ended || work.organizations.length === 0) continue
    const ids = new Set(work.organizations.flatMap((slug) => found.get(slug) ?? []))
    const unknown = work.organizations.find((slug) => !found.has(slug))
    const problem = unknown === undefined ? refusal(ctx, ids.size) : `no such organization: ${unknown}`
    if (problem) refuse(work, 'organizations', problem)
    else work.organizationIds = [...ids]
  }
}

function refusal(ctx: Context, count: number): string | undefined {
  if (!ctx.actor!.permissions.has('organizations:write'))
    return 'adding members needs the permission organizations:write'
  const mode = ctx.tenant.settings.organization_mode
  if (mode === 'none') return 'this tenant has no organizations'
  return mode === 'single' && count > 1 ? 'people here belong to one organization at most' : undefined
}

export interface Joining {
  userId: string
  work: Work
}

/** Where people belong to one organization, ends works of those who belong to another. Joins of one person take turns. */
export async function refuseBound(ctx: Context, people: Joining[]): Promise<void> {
  const wanting = people.filter(({ work }) => !work.ended && work.organizationIds.length > 0)
  if (wanting.length === 0 || ctx.tenant.settings.organization_mode !== 'single') return
  const ids = wanting.map(({ userId }) => userId).sort()
  await ctx.db.raw(
    `select pg_advisory_xact_lock(hashtextextended('one organization ' || id, 0)) from unnest(?::text[]) id`,
    [ids],
  )
  const bound = await ctx
    .db('memberships')
    .where({ tenant_id: ctx.tenant.id })
    .whereIn('user_id', ids)
    .select('user_id', 'organization_id')
  const of = new Map<string, string>(bound.map((row) => [row.user_id, row.organization_id]))
  for (const { userId, work } of wanting) {
    const other = of.get(userId)
    if (other !== undefined && other !== work.organizationIds[0])
      refuse(work, 'organizations', 'belongs to another organization already', userId)
  }
}

/** Who joined one that they were no member of. */
export async function join(ctx: Context, people: Joining[]): Promise<Set<string>> {
  const rows = people.flatMap(({ userId, work }) =>
    work.organizationIds.map((organization) => ({ id: newId(), organization, user: userId })),
  )
  if (rows.length === 0) return new Set()
  const { rows: made } = await ctx.db.raw(
    `insert into memberships (tenant_id, id, organization_id, user_id, role_id, created_by)
     select :tenant, x.id, x.organization, x.user, :role, :by
     from jsonb_to_recordset(:rows::jsonb) as x (id uuid, organization uuid, "user" uuid)
     on conflict (tenant_id, organization_id, user_id) do nothing
     returning organization_id, user_id`,
    { tenant: ctx.tenant.id, role: ROLE.member, by: ctx.actor!.userId ?? null, rows: JSON.stringify(rows) },
  )
  for (const { organization_id, user_id } of made)
    ctx.event('membership.created', { userId: user_id, data: { organization: organization_id, role: 'Member' } })
  return new Set(made.map(({ user_id }: { user_id: string }) => user_id))
}
