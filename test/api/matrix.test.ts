/** Who may call what: every row of every surface, for everybody there is. Nothing is done: the bodies are no JSON. */
import { expect } from 'chai'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { type Caller, NOBODY, personWith, type Verdict, verdict, within } from '../support/matrix.ts'
import { firstStep, withApp } from '../support/mfa.ts'
import { eventually, makeClient, post } from '../support/oauth.ts'
import { someone, withTenant } from '../support/roles.ts'
import { type Bound, allRows as everyRow, nameOf } from '../support/rows.ts'

interface Persona extends Caller {
  name: string
  token?: string
  base?: string
}

// Registering has credentials of its own: test/oidc/registration.test.ts.
const allRows = everyRow.filter(({ surface }) => surface.id !== 'oauth')

describe('the authorization matrix', () => {
  let app: TestApp
  const personas: Persona[] = []
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    const person = (name: string, token: string, role: string, base = ''): Persona => ({
      ...personWith(role),
      name,
      token,
      base,
    })
    const unverified = await someone(app)
    const user = await someone(app)
    await app.db('users').where({ id: user.id }).update({ email_verified_at: new Date() })
    const admin = await someone(app, ROLE.admin)
    const acme = await withTenant(app, 'acme')
    const key = await app.call('POST', '/v1/api-keys', {
      token: admin.accessToken,
      body: { name: 'narrow', scopes: ['users:read'] },
    })
    expect(key.status, JSON.stringify(key.body)).to.equal(201)
    const half = await someone(app)
    await withApp(app, half)
    const waiting = (await firstStep(app, half)).body.mfa_token
    const client = async (scope: string): Promise<string> => {
      const fields = { grant_types: ['client_credentials'], redirect_uris: [], scope: 'users:read openid' }
      const made = await makeClient(app, fields)
      const { body } = await post(app, '/oauth/token', { grant_type: 'client_credentials', scope }, { client: made })
      expect(body.access_token, JSON.stringify(body)).to.be.a('string')
      return body.access_token
    }
    const holder = await makeClient(app, { grant_types: ['client_credentials'], redirect_uris: [], scope: 'openid' })
    const given = { token: await app.admin(), body: { role: 'admin' } }
    expect((await app.call('POST', `/clients/${holder.id}/service-account/roles`, given)).status).to.equal(200)
    const byRole = await eventually(async () => {
      const asked = { grant_type: 'client_credentials', scope: 'users:read' }
      const { body } = await post(app, '/oauth/token', asked, { client: holder })
      expect(body.access_token, JSON.stringify(body)).to.be.a('string')
      return body.access_token
    })
    const users = ['users:read']
    const [member, owner] = [await someone(app), await someone(app)]
    const organization = { tenant_id: DEFAULT_TENANT, id: newId(), slug: 'members', name: 'Members' }
    await app.db('organizations').insert(organization)
    for (const [{ id: user_id }, role_id] of [
      [member, ROLE.member],
      [owner, ROLE.owner],
    ] as const)
      await app
        .db('memberships')
        .insert({ tenant_id: DEFAULT_TENANT, id: newId(), organization_id: organization.id, user_id, role_id })
    const boss = await app.admin()
    const acted = await app.call('POST', `/v1/admin/users/${user.id}/impersonate`, {
      token: boss,
      body: { reason: 'To see what they may' },
    })
    expect(acted.status, JSON.stringify(acted.body)).to.equal(201)
    personas.push(
      { ...NOBODY, name: 'anonymous' },
      { ...NOBODY, bad: true, name: 'half-finished login', token: waiting },
      { ...NOBODY, bad: true, name: "other tenant's super admin", token: acme.boss.accessToken },
      person('unverified user', unverified.accessToken, 'user'),
      person('user', user.accessToken, 'user'),
      person('organization member', member.accessToken, 'user'),
      person('organization owner', owner.accessToken, 'user'),
      person('impersonation token', acted.body.access_token ?? acted.body.tokens?.access_token, 'user'),
      person('admin', admin.accessToken, 'admin'),
      person('super admin', boss, 'super_admin'),
      person("other tenant's super admin at home", acme.boss.accessToken, 'super_admin', '/t/acme'),
      { ...within('user', users), name: 'narrow API key', token: key.body.key ?? key.body.secret },
      { ...within('client', users), name: 'client with scope', token: await client('users:read') },
      { ...within('client', users), name: 'client by its role, within its scope', token: byRole },
      { ...within('client', []), name: 'client without scope', token: await client('') },
    )
  })
  after(() => app.close())

  async function observed(bound: Bound, who: Persona): Promise<Verdict> {
    const { method, path } = bound.row
    const slug = who.base ? 'acme' : 'default'
    const filled = path.replace(':realm', slug).replace(/:\w+/g, '00000000-0000-4000-8000-000000000000')
    const response = await fetch(app.url + (who.base ?? '') + filled, {
      method,
      redirect: 'manual',
      headers: { 'content-type': 'application/json', ...(who.token && { authorization: `Bearer ${who.token}` }) },
      ...(method !== 'GET' && { body: '{"no' }),
    })
    const text = await response.text()
    const body = /[/+]json\b/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : {}
    const code = body.code ?? body.error?.code
    if (response.status === 401 && code === 'UNAUTHORIZED') return 'unauthorized'
    if (response.status === 403 && code === 'ACCESS_DENIED') return 'denied'
    expect(response.status, `${who.name}: ${nameOf(bound)}`).to.be.lessThan(500)
    return 'in'
  }

  it('holds for every row and everybody', async function () {
    this.timeout(120_000)
    expect(personas.length).to.equal(15)
    for (const { name, kind, token } of personas)
      expect(token, name).to.be.a(kind === 'nobody' && name === 'anonymous' ? 'undefined' : 'string')
    const wrong: string[] = []
    for (const who of personas) {
      await app.db('rate_limits').delete()
      for (let i = 0; i < allRows.length; i += 8) {
        await Promise.all(
          allRows.slice(i, i + 8).map(async (bound) => {
            const [is, should] = [await observed(bound, who), verdict(bound, who)]
            if (is !== should) wrong.push(`${who.name}: ${nameOf(bound)} is ${is}, should be ${should}`)
          }),
        )
      }
    }
    expect(wrong).to.deep.equal([])
  })

  it('lets a realm be entered by its own people and by who manages all tenants only', async () => {
    const rows = allRows.filter(({ row }) => row.path.includes(':realm') && row.method === 'GET')
    expect(rows.length).to.be.greaterThan(10)
    for (const who of personas.filter(({ name }) => name === 'admin' || name.endsWith('at home'))) {
      for (const bound of rows.filter((row) => verdict(row, who) === 'in')) {
        const other = who.base ? 'default' : 'acme'
        const path = bound.row.path.replace(':realm', other).replace(/:\w+/g, '00000000-0000-4000-8000-000000000000')
        const answer = await app.call('GET', (who.base ?? '') + path, { token: who.token! })
        expect(answer.status, `${who.name}: ${path}`).to.equal(404)
        expect(answer.body.error.message).to.equal('No such realm')
      }
    }
  })
})
