/** Something of every kind there is, made for one call: what the parameters of a row's path name. */
import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { newId } from '../../server/domain/ids.ts'
import { from } from './address.ts'
import type { Person, TestApp } from './app.ts'

/** Whose things: a super administrator's in their tenant. `base` is '' or /t/<slug>. */
export interface Side {
  app: TestApp
  base: string
  tenantId: string
  boss: Person
}
type Values = Record<string, string>

const random = () => randomBytes(5).toString('hex')

/** Calls as the boss; anything but success is the test's fault. Asks for TRUST_PROXY. */
export async function go({ app, base, boss }: Side, method: string, path: string, body?: unknown): Promise<any> {
  const answer = await app.call(method, base + path, { token: boss.accessToken, headers: from(), body })
  expect(answer.status, `${method} ${path} ${JSON.stringify(answer.body)}`).to.be.within(200, 202)
  return answer.body.data ?? answer.body
}

/** With an address only: nothing that costs a hash. */
const person = (side: Side) => go(side, 'POST', '/v1/users', { email: `${random()}@example.com` })
const client = (side: Side, fields = {}) =>
  go(side, 'POST', '/clients', { redirect_uris: ['https://app.example.com/cb'], client_name: random(), ...fields })
const role = (side: Side, scope?: string) =>
  go(side, 'POST', scope === 'database' ? '/api/db-roles' : '/v1/admin/roles', { name: `r-${random()}` })
const permission = (side: Side) => go(side, 'POST', '/api/permissions', { name: `things:${random()}` })
const organization = (side: Side) => go(side, 'POST', '/api/organizations', { name: `Org ${random()}` })
const webhook = (side: Side) =>
  go(side, 'POST', '/v1/webhooks', { url: 'https://hooks.invalid/', event_types: ['user.*'] })
const invitation = (side: Side) => go(side, 'POST', '/v1/invitations', { email: `${random()}@example.com` })

async function workspace(side: Side): Promise<{ id: string; org: string }> {
  const { id: org } = await organization(side)
  const { id } = await go(side, 'POST', '/api/workspaces', { name: `Team ${random()}`, org_id: org })
  return { id, org }
}
async function membership(side: Side): Promise<{ id: string; org: string; user: string }> {
  const [{ id: org }, { id: user }] = [await organization(side), await person(side)]
  const { id } = await go(side, 'POST', '/api/organization-memberships', { user_id: user, org_id: org })
  return { id, org, user }
}
async function clientRole(side: Side) {
  const { id } = await client(side)
  const { id: role } = await go(side, 'POST', `/clients/${id}/roles`, { name: `c-${random()}` })
  return { id, role }
}
async function held(side: Side) {
  const [{ id }, { id: roleId }] = [await person(side), await role(side)]
  await go(side, 'POST', `/users/${id}/roles`, { role_id: roleId })
  return { id, roleId }
}
async function request(side: Side) {
  const clientKey = `key-${random()}`
  const developerEmail = `${clientKey}@example.com`
  const body = { name: 'Asked for', clientKey, callbackUrl: 'https://asked.example.com/cb', developerEmail }
  return { id: (await go(side, 'POST', '/auth/client-requests', body)).request.id as string, clientKey }
}
async function device(side: Side, of?: string) {
  const [id, deviceId] = [of ?? (await person(side)).id, newId()]
  await side.app.db('devices').insert({ tenant_id: side.tenantId, id: deviceId, user_id: id, name: 'Phone' })
  return { id, deviceId }
}

/** One that signs nothing yet, so that revoking it ends no session. */
async function nextKey(side: Side): Promise<string> {
  const next = ({ keys }: { keys: { status: string; kid: string }[] }) => keys.find(({ status }) => status === 'next')
  const waiting = next(await go(side, 'GET', '/v1/admin/keys'))
  return (waiting ?? next(await go(side, 'POST', '/v1/admin/keys/rotate', { algs: ['ES256'] })))!.kid
}

/** By the beginning of the path; the first that fits. */
const makers: [RegExp, (side: Side, path: string) => Promise<Values>][] = [
  [
    /^\/api\/workspaces\/:id\/invitations\/:invId/,
    async (side) => {
      const { id } = await workspace(side)
      const body = { email: `${random()}@example.com` }
      return { id, invId: (await go(side, 'POST', `/api/workspaces/${id}/invitations`, body)).id }
    },
  ],
  [
    /^\/api\/workspaces\/:id\/members\/:userId/,
    async (side) => {
      const [{ id, org }, { id: userId }] = [await workspace(side), await person(side)]
      await go(side, 'POST', '/api/organization-memberships', { user_id: userId, org_id: org })
      await go(side, 'POST', `/api/workspaces/${id}/members`, { user_id: userId })
      return { id, userId }
    },
  ],
  [/^\/api\/workspaces\/:id/, async (side) => ({ id: (await workspace(side)).id })],
  [/^\/api\/organization-memberships\/user\//, async (side) => ({ userId: (await membership(side)).user })],
  [/^\/api\/organization-memberships\/:id/, async (side) => ({ id: (await membership(side)).id })],
  [
    /^\/api\/organizations\/:id\/roles\/:roleId/,
    async (side) => {
      const { id } = await organization(side)
      const made = await go(side, 'POST', `/api/organizations/${id}/roles`, { name: `o-${random()}` })
      return { id, roleId: made.id }
    },
  ],
  [/^\/api\/organizations\/:id/, async (side) => ({ id: (await organization(side)).id })],
  [
    /^\/api\/onboarding\/invitations/,
    async (side) => {
      const body = { org_id: (await organization(side)).id, email: `${random()}@example.com` }
      return { id: (await go(side, 'POST', '/api/onboarding/invitations', body)).id }
    },
  ],
  [/^\/v1\/invitations\/:id/, async (side) => ({ id: (await invitation(side)).id })],
  [
    /\/users\/:id\/devices\/:deviceId/,
    async (side) => {
      const { id, deviceId } = await device(side)
      return { id, deviceId }
    },
  ],
  [/\/users\/:id\/roles\/:roleId/, held],
  [
    /\/users\/:userId\/roles\/client\/:clientId/,
    async (side) => ({ userId: (await person(side)).id, clientId: (await clientRole(side)).id }),
  ],
  [/\/tenants\/:id\/users\/:userId/, async (side) => ({ id: side.tenantId, userId: (await person(side)).id })],
  [/\/tenants\/:id\/keys\/:kid/, async (side) => ({ id: side.tenantId, kid: await nextKey(side) })],
  [/\/tenants\/:id/, async (side) => ({ id: side.tenantId })],
  [/\/admin\/keys\/:kid/, async (side) => ({ kid: await nextKey(side) })],
  [
    /\/users\/:userId\/credentials\/:type/,
    async (side) => {
      const { id: userId } = await person(side)
      await side.app
        .db('credentials')
        .insert({ tenant_id: side.tenantId, id: newId(), user_id: userId, type: 'email', secret: '' })
      return { userId, type: 'email' }
    },
  ],
  [
    /db-roles\/:id\/users\/:userId/,
    async (side) => {
      const [{ id: userId }, { id }] = [await person(side), await role(side, 'database')]
      await go(side, 'POST', `/api/db-roles/${id}/assign`, { userId })
      return { id, userId }
    },
  ],
  [
    /roles\/:id\/permissions\/:perm/,
    async (side, path) => {
      const scope = path.includes('db-roles') ? 'database' : undefined
      const [{ id }, { id: permissionId, name }] = [await role(side, scope), await permission(side)]
      const at = scope ? '/api/db-roles' : '/v1/admin/roles'
      await go(side, 'POST', `${at}/${id}/permissions`, { permissions: [name] })
      return { id, permissionId, permId: permissionId }
    },
  ],
  [/\/db-roles\/:id/, async (side) => ({ id: (await role(side, 'database')).id })],
  [
    /service-account\/roles\/:roleName/,
    async (side) => {
      const { id } = await client(side, { grant_types: ['client_credentials'], redirect_uris: [] })
      const { id: roleName } = await role(side)
      await go(side, 'POST', `/clients/${id}/service-account/roles`, { role: roleName })
      return { id, roleName }
    },
  ],
  [
    /service-account/,
    async (side) => ({
      id: (await client(side, { grant_types: ['client_credentials'], redirect_uris: [] })).id,
    }),
  ],
  [
    /\/clients\/:(id|clientId)\/roles\/:roleName/,
    async (side) => {
      const { id, role } = await clientRole(side)
      return { id, clientId: id, roleName: role }
    },
  ],
  [
    /\/clients\/:clientKey\/config/,
    async (side) => {
      const { id, clientKey } = await request(side)
      await go(side, 'POST', `/auth/admin/client-requests/${id}/approve`, {})
      return { clientKey }
    },
  ],
  [/client-requests\/:/, request],
  [
    /\/clients\/:/,
    async (side) => {
      const { id } = await client(side)
      return { id, clientId: id, clientKey: id }
    },
  ],
  [
    /\/roles\/:/,
    async (side) => {
      const { id } = await role(side)
      return { id, roleId: id, roleName: id }
    },
  ],
  [/\/permissions\/:id/, async (side) => ({ id: (await permission(side)).id })],
  [
    /\/users\/:/,
    async (side) => {
      const { id } = await person(side)
      return { id, userId: id }
    },
  ],
  [
    /\/webhooks\/:id\/deliveries\/:/,
    async (side) => {
      const { id } = await webhook(side)
      return { id, deliveryId: (await go(side, 'POST', `/v1/webhooks/${id}/test`, {})).id }
    },
  ],
  [/\/webhooks\/:id/, async (side) => ({ id: (await webhook(side)).id })],
  [/\/api-keys\/:id/, async (side) => ({ id: (await go(side, 'POST', '/v1/api-keys', { name: random() })).id })],
  [/\/devices\/:id/, async (side) => ({ id: (await device(side, side.boss.id)).deviceId })],
  [
    /\/sessions\/:/,
    async ({ app, base, boss }) => {
      const { email, password } = boss
      const { body } = await app.call('POST', `${base}/v1/auth/login`, { body: { email, password }, headers: from() })
      const [, claims] = body.tokens.access_token.split('.')
      const { sid } = JSON.parse(Buffer.from(claims, 'base64url').toString())
      return { sessionId: sid, id: sid }
    },
  ],
  [
    /\/identity-providers\/:slug/,
    async (side) => {
      const body = { slug: `idp-${random()}`, preset: 'google', client_id: 'x', client_secret: 'y' }
      return { slug: (await go(side, 'POST', '/v1/admin/identity-providers', body)).slug }
    },
  ],
  [
    /initial-access-tokens\/:id/,
    async (side) => ({ id: (await go(side, 'POST', '/v1/admin/initial-access-tokens', { name: random() })).id }),
  ],
  [
    /\/resources\/:id/,
    async (side) => ({
      id: (await go(side, 'POST', '/v1/resources', { identifier: `https://${random()}.example.com`, name: 'API' })).id,
    }),
  ],
  [
    /\/imports\/:id/,
    async (side) => ({
      id: (await go(side, 'POST', '/v1/admin/users/import', { users: [{ email: `${random()}@example.com` }] })).id,
    }),
  ],
  [/\/mail-templates\/:name/, async () => ({ name: 'welcome', locale: 'de' })],
  [/\/texts\/:locale/, async () => ({ locale: 'de' })],
  [/\/settings\/:key/, async () => ({ key: 'support_url' })],
]

/** Undefined where nobody knows how to make one. */
export const maker = (path: string) => makers.find(([fits]) => fits.test(path))?.[1]

export const thingsOf = (side: Side, path: string): Promise<Values> => {
  const make = maker(path)
  if (!make) throw new Error(`nobody knows how to make what ${path} names`)
  return make(side, path)
}

/** The path with its parameters; one that has no value is the test's fault. */
export const filled = (path: string, values: Values): string =>
  path.replace(/:(\w+)/g, (_, name: string) => {
    if (values[name] === undefined) throw new Error(`${path}: no value for ${name}`)
    return values[name]
  })
