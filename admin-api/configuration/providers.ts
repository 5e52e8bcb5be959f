/** Identity providers, by their slug, with references in place of secrets. */
import { secretOf } from '../../server/domain/identity-providers.ts'
import { fail } from '../../server/kernel/errors.ts'
import * as identityProviders from '../identity-providers.ts'
import { call, type Fields, fieldsOf, type Section, same, without } from './section.ts'

/** What stands in a document in place of a secret. */
const REFERENCE = /^\$\{env:[A-Z0-9_]+\}$/
const placeholder = (slug: string) => `\${env:${slug.toUpperCase().replaceAll('-', '_')}_CLIENT_SECRET}`
export const providersSection: Section = {
  name: 'identity_providers',
  permission: 'settings:read',
  async read(ctx) {
    const rows = await ctx.db('identity_providers').where({ tenant_id: ctx.tenant.id }).orderBy('slug')
    return new Map(
      rows.map((row) => [
        row.slug,
        without({
          name: row.name,
          protocol: row.protocol,
          client_id: row.client_id,
          enabled: row.enabled,
          ...row.config,
          parameters: null,
          client_secret: row.client_secret_encrypted ? placeholder(row.slug) : null,
        }),
      ]),
    )
  },
  /** Nothing of a provider is cleared by not naming it: links of people hang on it. */
  async normal(ctx, key, value, before) {
    const fields = { ...(before as Fields | undefined), ...fieldsOf(value, key) }
    const { client_secret: secret } = fields
    const stored = typeof secret === 'string' && (await secretOf(ctx, key))
    const isIt = stored && (REFERENCE.test(secret) || stored === secret)
    return isIt ? { ...fields, client_secret: placeholder(key) } : fields
  },
  async create(ctx, key, value) {
    const fields = fieldsOf(value, key)
    if (REFERENCE.test(String(fields.client_secret)))
      throw fail('VALIDATION_ERROR', `identity_providers.${key}: client_secret is a reference: give the secret itself`)
    await call(ctx, identityProviders.create, { ...fields, slug: key })
  },
  async update(ctx, key, value, before) {
    const [{ client_secret: secret, ...fields }, was] = [fieldsOf(value, key), before as Fields]
    const may = ['name', 'client_id', 'scopes', 'trust_email', 'enabled']
    const fixed = [...new Set([...Object.keys(fields), ...Object.keys(was)])].find(
      (name) => !may.includes(name) && name !== 'client_secret' && !same(fields[name], was[name]),
    )
    if (fixed)
      throw fail('CONFLICT', `identity_providers.${key}: ${fixed} cannot be changed, since links of people hang on it`)
    const change = Object.fromEntries(
      may.filter((name) => Object.hasOwn(fields, name)).map((name) => [name, fields[name]]),
    )
    // A reference that nobody filled in means the secret that is stored.
    const given = REFERENCE.test(String(secret)) ? undefined : (secret ?? null)
    await call(ctx, identityProviders.update, {
      ...change,
      slug: key,
      ...(given !== undefined && { client_secret: given }),
    })
  },
  async remove(ctx, key) {
    await call(ctx, identityProviders.remove, { slug: key })
  },
}
