/** Who may call what inside an organization: every row that asks for something in one, or lets people see their own. */
import { expect } from 'chai'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { type Answer, type Person, startApp, type TestApp } from '../support/app.ts'
import { mayInside } from '../support/matrix.ts'
import { someone } from '../support/roles.ts'
import { allRows, type Bound, nameOf } from '../support/rows.ts'
import { filled, go, maker, type Side, thingsOf } from '../support/things.ts'

type Place = 'outsider' | 'owner of another' | 'Member' | 'Admin' | 'Owner' | 'admin'
type Outcome = 'in' | 'denied' | 'hidden'

const rows = allRows.filter(({ row }) => {
  const { auth } = row.op
  if (row.permission || typeof auth !== 'object') return false
  return (
    'inside' in auth ||
    (/^\/api\/(organizations|organization-memberships|workspaces)\/:/.test(row.path) && 'orUser' in auth)
  )
})
const inside = ({ row }: Bound) => typeof row.op.auth === 'object' && 'inside' in row.op.auth
/** Of whom only the workspace's own members and those who manage workspaces know anything, and of memberships only who manages them. */
const secretive = /^\/api\/workspaces\/:id|^\/api\/organization-memberships\/:id|^\/api\/onboarding\/invitations\/:id/
const aboutSomebody = /^\/api\/organization-memberships\/user\//

function expected(bound: Bound, who: Place): Outcome {
  const { path } = bound.row
  if (who === 'admin') return 'in'
  if (aboutSomebody.test(path)) return 'in'
  if (who === 'outsider' || who === 'owner of another') return 'hidden'
  if (who === 'Member' && secretive.test(path))
    return inside(bound) && path.includes('memberships') ? 'denied' : 'hidden'
  return mayInside(bound, who) ? 'in' : 'denied'
}

describe('the authorization matrix inside organizations', () => {
  let app: TestApp
  let side: Side
  const people = new Map<Place, Person>()
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    side = { app, base: '', tenantId: DEFAULT_TENANT, boss: await someone(app, ROLE.superAdmin) }
    for (const place of ['outsider', 'owner of another', 'Member', 'Admin', 'Owner', 'admin'] as const)
      people.set(place, await someone(app, place === 'admin' ? ROLE.admin : undefined))
    await join('owner of another', (await go(side, 'POST', '/api/organizations', { name: 'Another' })).id, ROLE.owner)
  })
  after(() => app.close())

  const join = (who: Place, organization_id: string, role_id: string) =>
    app
      .db('memberships')
      .insert({ tenant_id: DEFAULT_TENANT, id: newId(), organization_id, user_id: people.get(who)!.id, role_id })

  /** The organization of what the values name. */
  async function organizationOf(path: string, id: string): Promise<string> {
    if (path.startsWith('/api/organizations')) return id
    const table = /memberships/.test(path) ? 'memberships' : /onboarding/.test(path) ? 'invitations' : 'workspaces'
    return (await app.db(table).where({ id }).first('organization_id')).organization_id
  }

  /** A call of this row about an organization that all but outsiders belong to; the thing is new each time. */
  async function call(bound: Bound, who: Place): Promise<Answer> {
    const { method, path, op } = bound.row
    const values = path.includes(':') && maker(path) ? await thingsOf(side, path) : {}
    const organization = values.id
      ? await organizationOf(path, values.id)
      : (await go(side, 'POST', '/api/organizations', { name: 'Here' })).id
    await join('Member', organization, ROLE.member)
    await join('Admin', organization, ROLE.organizationAdmin)
    await join('Owner', organization, ROLE.owner)
    const known = Object.keys(op.input.properties as object)
    const guest = await go(side, 'POST', '/v1/users', { email: `${newId()}@example.com` })
    if (/\/members$/.test(path) || known.includes('userId'))
      if (!known.includes('orgId') && !('userId' in values))
        await app.db('memberships').insert({
          tenant_id: DEFAULT_TENANT,
          id: newId(),
          organization_id: organization,
          user_id: guest.id,
          role_id: ROLE.member,
        })
    const given: Record<string, unknown> = { ...(op.example as object) }
    if (known.includes('orgId')) given.orgId = organization
    if (known.includes('userId') && !path.includes(':userId') && method !== 'GET') given.userId = guest.id
    if (known.includes('userIds')) given.userIds = [guest.id]
    if (known.includes('email')) given.email = `${newId()}@example.com`
    const title = (op.input as any).title
    const body = Object.fromEntries(
      Object.entries(given).map(([key, value]) => [bound.surface.name(title, key), value]),
    )
    const asQuery = method === 'GET' || method === 'DELETE'
    const query = asQuery && Object.keys(body).length > 0 ? `?${new URLSearchParams(body as any)}` : ''
    return app.call(method, filled(path, values) + query, {
      token: people.get(who)!.accessToken,
      headers: from(),
      ...(!asQuery && { body }),
    })
  }

  const outcome = ({ status, body }: Answer): Outcome | string => {
    if (status < 300) return 'in'
    if (status === 403 && body.error.code === 'ACCESS_DENIED') return 'denied'
    return status === 404 ? 'hidden' : `${status} ${JSON.stringify(body)}`
  }

  it('knows every row that asks for something inside an organization', () => {
    expect(rows.length).to.be.greaterThan(25)
    for (const bound of rows)
      if (bound.row.path.includes(':')) expect(maker(bound.row.path), nameOf(bound)).to.be.a('function')
  })

  for (const who of ['outsider', 'owner of another', 'Member', 'Admin', 'Owner', 'admin'] as const)
    it(`holds for ${who}`, async () => {
      const wrong: string[] = []
      for (const bound of rows) {
        const answer = await call(bound, who)
        const [is, should] = [outcome(answer), expected(bound, who)]
        if (is !== should) wrong.push(`${nameOf(bound)} is ${is}, should be ${should}`)
      }
      expect(wrong).to.deep.equal([])
    }).timeout(60_000)
})
