/**
 * Roles of the tenant, of organizations and of clients. They may contain each other, so they are all there before the first is made
 * whole. A part is named as its own entry is: `support`, `shop/editor`, `@organization/Editor`.
 */
import { find as findClient } from '../../server/domain/clients/rows.ts'
import { type Context, operation } from '../../server/domain/context.ts'
import { NIL } from '../../server/domain/ids.ts'
import * as composites from '../../server/domain/roles/composites.ts'
import * as roles from '../../server/domain/roles.ts'
import { fail } from '../../server/kernel/errors.ts'
import { array, boolean, nullable, object, optional, text } from '../../server/kernel/schema.ts'
import * as clientRoles from '../client-roles.ts'
import * as roleOperations from '../roles.ts'
import { RoleName } from '../shapes.ts'
import { call, type Fields, fieldsOf, type Section, without } from './section.ts'

const INSIDE = '@organization/'

interface Known {
  ref: string
  id: string
  name: string
  scope: roles.Scope
  system: boolean
  description: string | null
  permissions: string[]
  parts: string[]
}

const refOf = (r: string, c: string) =>
  `case ${r}.scope when 'client' then ${c}.client_id || '/' || ${r}.name
    when 'organization' then '${INSIDE}' || ${r}.name else ${r}.name end`

/** All but those of single organizations, by reference. */
async function known(ctx: Context): Promise<Map<string, Known>> {
  const { rows } = await ctx.db.raw(
    `select ${refOf('r', 'c')} as ref, r.id, r.name, r.scope, r.system, r.description,
       array(select p.name from role_permissions rp join permissions p on p.tenant_id = rp.tenant_id and p.id = rp.permission_id
         where rp.tenant_id = r.tenant_id and rp.role_id = r.id) as permissions,
       array(select ${refOf('p', 'pc')} from role_parts rp join roles p on p.tenant_id = rp.tenant_id and p.id = rp.part_id
         left join clients pc on pc.tenant_id = p.tenant_id and pc.id = p.owner_id
         where rp.tenant_id = r.tenant_id and rp.role_id = r.id and (p.scope <> 'organization' or p.owner_id = :nil)) as parts
     from roles r left join clients c on c.tenant_id = r.tenant_id and c.id = r.owner_id
     where r.tenant_id = :tenant and (r.scope <> 'organization' or r.owner_id = :nil) order by 1`,
    { tenant: ctx.tenant.id, nil: NIL },
  )
  return new Map(rows.map((row: Known) => [row.ref, row]))
}

const names = () => optional(array(text(255), { maxItems: 500, uniqueItems: true }))
const whole = {
  name: RoleName,
  description: optional(nullable(text(500))),
  permissions: names(),
  parts: names(),
}
/** Only for its schema and permission: a role with all it is made of. */
const role = operation({
  id: 'configuration.role',
  summary: 'A role',
  tag: 'Configuration',
  auth: { permission: 'roles:write' },
  effect: 'write',
  input: object({ ...whole, client: optional(text(255)), inside: optional(boolean()) }),
  output: object({}),
  async run(ctx, { name, client, inside, description = null, permissions: held = [], parts = [] }) {
    const all = await known(ctx)
    const ref = client !== undefined ? `${client}/${name}` : inside ? INSIDE + name : name
    const found = all.get(ref)
    const before = found?.system ? undefined : found
    const { id } = before ?? (await make(ctx, { name, description, client, isInside: inside === true }))
    if (before && before.description !== description) await roles.update(ctx, id, { description })
    const added = held.filter((one) => !before?.permissions.includes(one))
    if (added.length > 0) await roles.allow(ctx, id, added)
    for (const one of before?.permissions ?? []) if (!held.includes(one)) await roles.disallow(ctx, id, one)
    const idOf = (part: string) => {
      const one = all.get(part)
      if (!one) throw fail('NOT_FOUND', `No such role: ${part}`)
      return one.id
    }
    const news = parts.filter((one) => !before?.parts.includes(one))
    if (news.length > 0) await composites.add(ctx, id, news.map(idOf))
    const gone = (before?.parts ?? []).filter((one) => !parts.includes(one))
    if (gone.length > 0) await composites.take(ctx, id, gone.map(idOf))
    return {}
  },
})

async function make(
  ctx: Context,
  input: { name: string; description: string | null; client: string | undefined; isInside: boolean },
): Promise<roles.RoleView> {
  const { name, description, client, isInside } = input
  if (client === undefined) return roles.create(ctx, { name, description, scope: isInside ? 'organization' : 'tenant' })
  return roles.create(ctx, { name, description, scope: 'client', owner: (await findClient(ctx, client)).id })
}

/** Roles of one scope: `split` says of an entry's key what the operation is told. */
function rolesSection(
  name: string,
  scope: roles.Scope,
  split: (key: string) => Fields,
  remove: Section['remove'],
): Section {
  const apply = (ctx: Context, key: string, value: unknown) =>
    call(ctx, role, { ...fieldsOf(value, key), ...split(key) })
  const keyOf = ({ ref }: Known) => (scope === 'organization' ? ref.slice(INSIDE.length) : ref)
  return {
    name,
    permission: 'roles:read',
    async read(ctx) {
      const own = [...(await known(ctx)).values()].filter((one) => one.scope === scope && !one.system)
      return new Map(own.map((one) => [keyOf(one), without(entryOf(one))]))
    },
    normal: async (_, key, value) => {
      const { description = null, permissions = [], parts = [], ...rest } = fieldsOf(value, key)
      const entry = { ...rest, permissions: sorted(permissions), parts: sorted(parts) }
      return description === null ? entry : { ...entry, description }
    },
    begin: (ctx, key) => apply(ctx, key, {}),
    create: apply,
    update: apply,
    remove,
  }
}
/** What a role is made of has no order. */
const sorted = (names: unknown) => (Array.isArray(names) ? [...names].sort() : names)
const entryOf = ({ description, permissions, parts }: Known): Fields => ({
  description,
  permissions: sorted(permissions),
  parts: sorted(parts),
})

const ofClient = (key: string) => {
  const at = key.lastIndexOf('/')
  if (at < 1) throw fail('VALIDATION_ERROR', 'must be named client_id/role')
  return { client: key.slice(0, at), name: key.slice(at + 1) }
}

export const roleSections: Section[] = [
  rolesSection(
    'roles',
    'tenant',
    (name) => ({ name }),
    (ctx, key) => call(ctx, roleOperations.remove, { role: key, scope: 'tenant' }),
  ),
  rolesSection(
    'organization_roles',
    'organization',
    (name) => ({ name, inside: true }),
    async (ctx, key) => {
      const { id } = (await known(ctx)).get(INSIDE + key)!
      await call(ctx, roleOperations.remove, { role: id, scope: 'organization' })
    },
  ),
  rolesSection('client_roles', 'client', ofClient, async (ctx, key) => {
    const { client, name } = ofClient(key)
    await call(ctx, clientRoles.remove, { client, role: name })
  }),
]
