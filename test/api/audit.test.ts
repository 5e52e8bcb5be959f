import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { canonical } from '../../server/domain/audit/leaf.ts'
import { DEFAULT_TENANT, newId, ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'
import { sealed } from '../support/sealed.ts'

describe('the audit log', () => {
  let app: TestApp
  let anna: Person
  let ben: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' }, { jobs: false })
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
    expect((await logs('from=1900-01-01T00:00:00Z&event_type=login.failed')).count).to.equal(1)
    expect((await logs('to=1900-01-01T00:00:00Z')).count).to.equal(0)
    const leap = await app.call('GET', '/v1/audit/logs?from=2016-12-31T23:59:60Z', { token: anna.accessToken })
    expectProblem(leap, 400, 'VALIDATION_ERROR')
    expect(leap.body.errors[0].field).to.equal('from')
  })

  it('is filtered by who did it, client, session, address and beginning of a type', async () => {
    const { logs: all } = await logs(`user_id=${ben.id}`)
    const login = all.find((log: any) => log.event_type === 'login.success')
    const bens = (found: any[]) => found.filter((log) => log.user_id === ben.id).map((log) => log.id)
    const where = (is: (log: any) => boolean) => all.filter(is).map((log: any) => log.id)
    const like = where((log) => log.event_type.startsWith('login.'))
    expect(like.length).to.be.greaterThan(1)
    const { logs: logins } = await logs('event_type=login.*')
    expect(bens(logins)).to.deep.equal(like)
    expect(logins.every((log: any) => log.event_type.startsWith('login.'))).to.equal(true)
    expect((await logs('event_type=log_n.*')).logs, 'no wildcards but the last').to.deep.equal([])
    expect((await logs(`session_id=${login.session_id}`)).logs.map((log: any) => log.id)).to.deep.equal(
      where((log) => log.session_id === login.session_id),
    )
    expect(bens((await logs(`actor_id=${ben.id}`)).logs)).to.deep.equal(where((log) => log.actor_id === ben.id))
    expect(bens((await logs(`client_id=${login.client_id}`)).logs)).to.deep.equal(
      where((log) => log.client_id === login.client_id),
    )
    expect((await logs(`ip=${login.ip}`)).logs.map((log: any) => log.id)).to.include(login.id)
    expect((await logs(`ip=${login.ip}&user_id=${anna.id}`)).logs.map((log: any) => log.id)).to.not.include(login.id)
    const network = login.ip.replace(/[.:][^.:]*$/, login.ip.includes(':') ? '::/32' : '.0/24')
    expect((await logs(`ip=${network}`)).logs.map((log: any) => log.id)).to.include(login.id)
    expect((await logs('ip=2001:db8:ffff::/48')).logs).to.deep.equal([])
    const first = await logs('event_type=login.*&limit=1')
    const second = await logs(`event_type=login.*&limit=1&cursor=${first.next_cursor}`)
    expect([...first.logs, ...second.logs]).to.deep.equal(logins.slice(0, 2))
    for (const ip of ['x', '203.0.113.9/33', '203.0.113.9/x', '203.0.113', 'fe80::1%eth0', '1.2.3.4/8/9']) {
      const refused = await app.call('GET', `/v1/audit/logs?ip=${encodeURIComponent(ip)}`, { token: anna.accessToken })
      expectProblem(refused, 400, 'VALIDATION_ERROR')
    }
  })

  it('is searched by part of the type, the data or the user agent, page by page', async () => {
    const event = (data: object, more: object = {}) => {
      const row = { tenant_id: DEFAULT_TENANT, id: newId(), type: 'test.fact', data: JSON.stringify(data), ...more }
      return app
        .db('events')
        .insert(row)
        .then(() => row.id)
    }
    const quoted = await event({ note: 'She said "Zebra\\100%"\nand left' })
    const agent = await event({}, { user_agent: 'ZebraBrowser/1.0' })
    const typed = await event({}, { type: 'test.zebra_seen' })
    const ids = async (q: string) => (await logs(`q=${encodeURIComponent(q)}`)).logs.map((log: any) => log.id)
    expect(await ids('zebra')).to.deep.equal([typed, agent, quoted])
    expect(await ids('said "zebra\\100%"\nand')).to.deep.equal([quoted])
    expect(await ids('zebra_seen')).to.deep.equal([typed])
    for (const none of ['zebra%seen', 'zebra-seen', 'zebr_']) expect(await ids(none), none).to.deep.equal([])
    const rest = Array.from({ length: 10_000 }, () => ({ tenant_id: DEFAULT_TENANT, id: newId(), type: 'test.hay' }))
    for (const some of [rest.slice(0, 5000), rest.slice(5000)]) await app.db('events').insert(some)
    const empty = await logs('q=zebra')
    expect(empty, 'read through, and it says where to go on').to.include({ count: 0 })
    expect((await logs(`q=zebra&cursor=${empty.next_cursor}`)).count).to.equal(3)
  })

  it('leaves as lines of JSON or CSV, with what its leaves are hashed of', async () => {
    const ask = (query: string, token = anna.accessToken) =>
      fetch(`${app.url}/v1/audit/export?${query}`, { headers: { authorization: `Bearer ${token}` } })
    await app.db('events').insert({
      ...{ tenant_id: DEFAULT_TENANT, id: newId(), type: 'test.fact', user_id: ben.id },
      user_agent: '=HYPERLINK("https://evil.example")',
    })
    await sealed(app)
    const answer = await ask(`user_id=${ben.id}`)
    expect(answer.status).to.equal(200)
    expect(answer.headers.get('content-type')).to.contain('application/x-ndjson')
    expect(answer.headers.get('content-disposition')).to.equal('attachment; filename="audit.ndjson"')
    const lines = (await answer.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const { logs: shown } = await logs(`user_id=${ben.id}`)
    expect(lines.map((line) => line.id)).to.deep.equal(shown.map((log: any) => log.id))
    for (const line of lines) {
      const proof = (await app.call('GET', `/v1/audit/logs/${line.id}/proof`, { token: anna.accessToken })).body
      expect(line).to.include({ leaf_index: proof.leaf_index, salt: proof.salt })
      const { data, ip, user_agent, leaf_index, salt, ...open } = line
      const details = createHash('sha256')
        .update(Buffer.from(salt, 'base64url'))
        .update(canonical({ data, ip, user_agent }))
        .digest('base64url')
      expect(canonical({ ...open, details })).to.equal(proof.leaf)
    }
    const table = await (await ask(`user_id=${ben.id}&format=csv`)).text()
    expect(table.split('\n')[0]).to.match(/^id,tenant_id,event_type,/)
    expect(table.match(/\n[0-9a-f]{8}-/g)).to.have.length(lines.length)
    expect(table).to.contain(`"'=HYPERLINK(`)
    const { logs: said } = await logs('event_type=audit.exported')
    expect(said[0]).to.deep.include({ actor_id: anna.id, data: { format: 'csv', filter: { userId: ben.id } } })
    expectProblem(await app.call('GET', '/v1/audit/export', { token: ben.accessToken }), 403, 'ACCESS_DENIED')
    for (const query of ['format=xml', 'ip=x'])
      expectProblem(
        await app.call('GET', `/v1/audit/export?${query}`, { token: anna.accessToken }),
        400,
        'VALIDATION_ERROR',
      )
    expect((await logs('event_type=audit.exported')).count, 'refused ones are none').to.equal(said.length)
  })

  it('leaves whole, however many pages that are', async () => {
    const ids = Array.from({ length: 2500 }, () => newId())
    await app.db('events').insert(ids.map((id) => ({ tenant_id: DEFAULT_TENANT, id, type: 'test.many' })))
    for (const type of ['test.many', 'test.man*']) {
      const answer = await fetch(`${app.url}/v1/audit/export?event_type=${type}`, {
        headers: { authorization: `Bearer ${anna.accessToken}` },
      })
      const lines = (await answer.text()).trim().split('\n')
      expect(lines.map((line) => JSON.parse(line).id)).to.deep.equal(ids.sort().reverse())
    }
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
