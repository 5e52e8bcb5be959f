/** People with roles, and tenants with people, for tests of administration. */
import { ROLE } from '../../server/domain/ids.ts'
import * as tenants from '../../server/domain/tenants.ts'
import { from } from './address.ts'
import type { Person, TestApp } from './app.ts'

const PASSWORD = 'SecurePassword123!'

/** Registers somebody, gives them the role and signs them in. `base` is '' or /t/<slug>. */
export async function someone(
  app: TestApp,
  roleId?: string,
  {
    base = '',
    tenantId = '00000000-0000-7000-8000-000000000001',
    email = `x${Math.random().toString(36).slice(2)}@example.com`,
  } = {},
): Promise<Person> {
  await app.db('rate_limits').delete()
  const body = { email, password: PASSWORD }
  const registered = await app.call('POST', `${base}/v1/auth/register`, { body, headers: from() })
  if (registered.status !== 201) throw new Error(`register answered ${registered.status}`)
  const { id } = registered.body.user
  if (roleId) await app.db('user_roles').insert({ tenant_id: tenantId, user_id: id, role_id: roleId })
  const { tokens } = (await app.call('POST', `${base}/v1/auth/login`, { body, headers: from() })).body
  return { id, email, password: PASSWORD, accessToken: tokens.access_token, refreshToken: tokens.refresh_token }
}

/** A tenant at /t/<slug> with its own super administrator. */
export async function withTenant(app: TestApp, slug: string): Promise<{ id: string; boss: Person }> {
  const id = await app.db.transaction((trx) => tenants.create(trx, app.deps.out.sealing, { slug, name: slug }))
  const boss = await someone(app, ROLE.superAdmin, { base: `/t/${slug}`, tenantId: id, email: `boss@${slug}.example` })
  return { id, boss }
}
