/** Clients, by their client_id. Secrets are not in a document. */
import * as clients from '../clients.ts'
import { all, call, type Fields, fieldsOf, filledUp, type Section, unnamed, without } from './section.ts'

const POLICIES = ['login_policy', 'branding', 'lifetimes']
/** Policies are merged key by key: null for a key says nothing, and a policy that says nothing is none. */
function withoutEmpty(entry: Fields): Fields {
  const result = { ...entry }
  for (const name of POLICIES.filter((one) => result[one])) {
    const policy = without(fieldsOf(result[name], name))
    if (Object.keys(policy).length > 0) result[name] = policy
    else delete result[name]
  }
  return result
}

export const clientsSection: Section = {
  name: 'clients',
  permission: 'clients:read',
  async read(ctx) {
    const rows = (await all(ctx, clients.list)).filter((row) => !row.system)
    return new Map(
      rows.map((row) => {
        const entry = without(row, 'id', 'client_id', 'system', 'created_at', 'updated_at')
        return [row.client_id as string, withoutEmpty(entry)]
      }),
    )
  },
  normal: async (_, key, value, before) => withoutEmpty(filledUp(clients.update, key, value, before)),
  async create(ctx, key, value, notes) {
    const made = await call(ctx, clients.create, { ...fieldsOf(value, key), client_id: key })
    if (made.client_secret) notes.secrets.push({ clientId: key, clientSecret: made.client_secret })
  },
  async update(ctx, key, value, before) {
    const [wanted, was] = [fieldsOf(value, key), before as Fields]
    const gone = unnamed(clients.update, wanted, was).cleared
    const input: Fields = { ...Object.fromEntries(gone.map((name) => [name, null])), ...wanted }
    for (const name of POLICIES) {
      const old = (was[name] ?? {}) as Fields
      const surplus = Object.keys(old).filter((one) => !Object.hasOwn((wanted[name] ?? {}) as Fields, one))
      if (surplus.length > 0)
        input[name] = { ...Object.fromEntries(surplus.map((one) => [one, null])), ...(wanted[name] ?? {}) }
    }
    await call(ctx, clients.update, { ...input, id: key })
  },
  async remove(ctx, key) {
    await call(ctx, clients.remove, { id: key })
  },
}
