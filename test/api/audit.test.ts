import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

describe('the audit log', () => {
  let app: TestApp
  let anna: Person
  let ben: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
    ben = await someone(app, undefined, { email: 'ben@example.com' })
  })
  after(() => app.close())
  const logs = async (query: string) => {
    const { status, body } = await app.call('GET', `/v1/audit/logs?${query}`, { token: anna.accessToken })
    expect(status, JSON.stringify(body)).to.equal(200)
    return body
  }

  it('has the documented shape, newest first', async () => {
    const body = await logs(`user_id=${ben.id}`)
    expect(body).to.include({ limit: 50, offset: 0 }).and.not.have.property('next_cursor')
    expect(body.count).to.equal(body.logs.length)
    const login = body.logs.find((log: any) => log.event_type === 'login.success')
    expect(login).to.include({ user_id: ben.id, actor_id: ben.id })
    expect(login.ip).to.be.a('string')
    expect(new Date(login.created_at).getTime()).to.be.closeTo(Date.now(), 60_000)
    const ids = body.logs.map((log: any) => log.id)
    expect(ids).to.deep.equal([...ids].sort().reverse())
    const twin = await app.call('GET', `/admin/audit-logs?user_id=${ben.id}`, { token: anna.accessToken })
    expect(twin.body).to.deep.equal(body)
  })

  it('is paged by cursor and by offset alike', async () => {
    const all = await logs(`user_id=${ben.id}`)
    const first = await logs(`user_id=${ben.id}&limit=1`)
    const byCursor = await logs(`user_id=${ben.id}&limit=1&cursor=${first.next_cursor}`)
    const byOffset = await logs(`user_id=${ben.id}&limit=1&offset=1`)
    expect(byCursor.logs).to.deep.equal([all.logs[1]])
    expect(byOffset.logs).to.deep.equal([all.logs[1]])
  })

  it('is filtered by type and time', async () => {
    const failed = { email: ben.email, password: 'Wrong-Password-1!' }
    await app.call('POST', '/v1/auth/login', { body: failed })
    const { logs: found } = await logs('event_type=login.failed')
    expect(found.map((log: any) => log.event_type)).to.deep.equal(['login.failed'])
    const hour = 3_600_000
    const iso = (ms: number) => new Date(Date.now() + ms).toISOString()
    expect((await logs(`from=${iso(hour)}`)).logs).to.deep.equal([])
    expect((await logs(`to=${iso(-hour)}`)).logs).to.deep.equal([])
    expect((await logs(`from=${iso(-hour)}&to=${iso(hour)}&event_type=login.failed`)).count).to.equal(1)
  })

  it('is read by who may, and holds nothing of another tenant', async () => {
    const acme = await withTenant(app, 'acme')
    expectProblem(await app.call('GET', '/v1/audit/logs', { token: ben.accessToken }), 403, 'ACCESS_DENIED')
    expect((await logs(`user_id=${acme.boss.id}`)).count).to.equal(0)
    const own = await app.call('GET', '/t/acme/v1/audit/logs', { token: acme.boss.accessToken })
    expect(own.body.count).to.be.greaterThan(0)
    expect(own.body.logs.every((log: any) => log.user_id === acme.boss.id)).to.equal(true)
    for (const query of ['limit=101', 'limit=0', 'user_id=x', 'cursor=x', 'from=yesterday', 'offset=-1']) {
      const refused = await app.call('GET', `/v1/audit/logs?${query}`, { token: anna.accessToken })
      expectProblem(refused, 400, 'VALIDATION_ERROR')
    }
  })
})
