/** New people of an import, with their roles and what they prove themselves with. */
import { attributeProblem } from '../attribute-schema.ts'
import type { Context } from '../context.ts'
import { totpRow } from '../factors/totp.ts'
import { newId, ROLE } from '../ids.ts'
import { toNewAccounts } from '../invitations.ts'
import { join } from './memberships.ts'
import { PROFILE } from './rows.ts'
import type { Options } from './store.ts'
import { refuse, type Work } from './work.ts'

/** Ends all works but those whose address was taken in the meantime. */
export async function create(ctx: Context, works: Work[], options: Options): Promise<void> {
  const free = (await withFreeIds(ctx, works)).filter((work) => fitsSchema(ctx, work))
  if (free.length === 0) return
  const ids = new Map(free.map((work) => [work.id ?? newId(), work]))
  const made = await insertPeople(ctx, ids)
  if (made.length === 0) return
  await insertRoles(ctx, made)
  await insertCredentials(ctx, made)
  await join(
    ctx,
    made.map(([userId, work]) => ({ userId, work })),
  )
  for (const [id, work] of made) {
    ctx.event('user.created', { userId: id, data: { ...nameOf(work), import: work.importId } })
    work.end('created', id)
  }
  const waiting = made.flatMap(([id, { email, passwordHash, enabled }]) =>
    options.sendWelcome && email !== undefined && !passwordHash && enabled !== false ? [{ id, email }] : [],
  )
  await toNewAccounts(ctx, waiting)
}

const nameOf = ({ email, key }: Work) => (email === undefined ? { phone_number: key } : { email })

function fitsSchema(ctx: Context, work: Work): boolean {
  const schema = ctx.tenant.settings.user_attributes_schema
  const wrong = attributeProblem(schema, given(work), Object.keys(work.attributes), 'creator')
  if (wrong) refuse(work, `attributes.${wrong.field}`, wrong.message)
  return !wrong
}
const given = ({ attributes }: Work) =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== null))

type Made = [id: string, work: Work]

/** A person keeps the id they bring, unless somebody has it, or had it and is not erased yet, or a client is called so. */
async function withFreeIds(ctx: Context, works: Work[]): Promise<Work[]> {
  const wanted = works.flatMap(({ id }) => (id === undefined ? [] : [id]))
  if (wanted.length === 0) return works
  const here = { tenant_id: ctx.tenant.id }
  const taken = new Set([
    ...(await ctx.db('users').where(here).whereIn('id', wanted).pluck('id')),
    ...(await ctx.db('clients').where(here).whereIn('client_id', wanted).pluck('client_id')),
  ])
  for (const work of works) {
    if (work.id === undefined) continue
    if (taken.has(work.id)) refuse(work, 'id', 'is of somebody else')
    taken.add(work.id)
  }
  return works.filter(({ ended }) => !ended)
}

async function insertPeople(ctx: Context, ids: Map<string, Work>): Promise<Made[]> {
  const rows = [...ids].map(([id, work]) => ({
    ...work.profile,
    id,
    email: work.email,
    email_key: work.key,
    email_verified: work.emailVerified === true,
    phone_verified: work.phoneVerified === true,
    attributes: given(work),
    status: work.enabled === false ? 'disabled' : 'active',
    required_actions: work.requiredActions,
    created_at: work.createdAt,
  }))
  const names = PROFILE.join(', ')
  const { rows: made } = await ctx.db.raw(
    `insert into users (tenant_id, id, email, email_key, email_verified_at, phone_verified_at, ${names}, attributes, status, required_actions,
       created_at)
     select ?, id, email, email_key, case when email_verified then now() end, case when phone_verified then now() end, ${names},
       attributes, status, coalesce(required_actions, '{}'), coalesce(created_at, now())
     from jsonb_to_recordset(?::jsonb) as x (id uuid, email text, email_key text, email_verified boolean, phone_verified boolean,
       ${PROFILE.map((name) => `${name} text`).join(', ')}, attributes jsonb, status text, required_actions text[],
       created_at timestamptz)
     on conflict (tenant_id, email_key) where deleted_at is null do nothing
     returning id`,
    [ctx.tenant.id, JSON.stringify(rows)],
  )
  return made.map(({ id }: { id: string }): Made => [id, ids.get(id)!])
}

async function insertRoles(ctx: Context, made: Made[]): Promise<void> {
  const rows = made.flatMap(([user, { roleIds }]) =>
    [...new Set([ROLE.user, ...roleIds])].map((role) => ({ user, role })),
  )
  await ctx.db.raw(
    `insert into user_roles (tenant_id, user_id, role_id, created_by)
     select ?, x.user, x.role, ? from jsonb_to_recordset(?::jsonb) as x ("user" uuid, role uuid)`,
    [ctx.tenant.id, ctx.actor!.userId ?? null, JSON.stringify(rows)],
  )
}

async function insertCredentials(ctx: Context, made: Made[]): Promise<void> {
  const rows = made.flatMap(([userId, { passwordHash, totpSecret }]) => [
    ...(passwordHash ? [{ id: newId(), user_id: userId, type: 'password', secret: passwordHash }] : []),
    ...(totpSecret ? [totpRow(ctx, userId, totpSecret)] : []),
  ])
  if (rows.length === 0) return
  await ctx.db.raw(
    `insert into credentials (tenant_id, id, user_id, type, secret)
     select ?, id, user_id, type, secret from jsonb_to_recordset(?::jsonb) as x (id uuid, user_id uuid, type text, secret text)`,
    [ctx.tenant.id, JSON.stringify(rows)],
  )
}
