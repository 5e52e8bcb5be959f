import { get } from 'node:http'
import { expect } from 'chai'
import { parse } from 'csv-parse/sync'
import { statements } from '../../adapters/knex.ts'
import { ROLE } from '../../server/domain/ids.ts'
import { pause } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'

const PATH = '/v1/admin/users/export'
const TENANT = '00000000-0000-7000-8000-000000000001'

describe('exporting users', () => {
  let app: TestApp
  let admin: string
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    admin = await app.admin()
  })
  after(() => app.close())
  const people = (count: number, prefix: string) =>
    app.db.raw(
      `insert into users (tenant_id, id, email, email_key) select ?, gen_random_uuid(), n, n
       from (select ? || i || '@example.com' as n from generate_series(1, ?::int) i) x`,
      [TENANT, prefix, count],
    )

  it('answers CSV that is no formula to a spreadsheet, with roles and attributes and without secrets', async () => {
    const mallory = await app.call('POST', '/v1/users', {
      token: admin,
      body: {
        email: 'mallory@example.com',
        password: 'SecurePassword123!',
        given_name: '=HYPERLINK("https://evil.example","x")',
        family_name: "'+1",
        nickname: '@SUM(A1:A9)',
        phone_number: '+4915112345678',
        roles: ['admin'],
        attributes: { note: 'a;"b"\r\nc', level: 3 },
      },
    })
    expect(mallory.status).to.equal(201)
    const answer = await app.call('GET', `${PATH}?format=csv&q=mallory`, { token: admin })
    expect(answer.status).to.equal(200)
    expect(answer.headers.get('content-type')).to.match(/^text\/csv/)
    expect(answer.headers.get('content-disposition')).to.equal('attachment; filename="users.csv"')
    const [row, ...others] = parse(answer.body, { columns: true }) as Record<string, string>[]
    expect(others).to.deep.equal([])
    expect(row).to.include({
      id: mallory.body.id,
      email: 'mallory@example.com',
      given_name: `'=HYPERLINK("https://evil.example","x")`,
      family_name: "''+1",
      nickname: "'@SUM(A1:A9)",
      phone_number: "'+4915112345678",
      roles: 'admin;user',
      is_email_verified: 'false',
      status: 'active',
    })
    expect(JSON.parse(row!.attributes!)).to.deep.equal({ note: 'a;"b"\r\nc', level: 3 })
    expect(answer.body).to.not.include('argon2')
    for (const [name, cell] of Object.entries(row!)) expect(cell, name).to.not.match(/^[=+\-@\t\r\n]/)
  })

  it('answers more than a page, once each, in every format, and filters as the list does', async () => {
    await people(2345, 'many')
    const emails = async (query: string) => {
      const { body } = await app.call('GET', `${PATH}?${query}`, { token: admin })
      if (query.includes('csv')) return (parse(body, { columns: true }) as any[]).map(({ email }) => email)
      if (query.includes('ndjson'))
        return body
          .trim()
          .split('\n')
          .map((line: string) => JSON.parse(line).email)
      return body.users.map(({ email }: any) => email)
    }
    const { rows } = await app.db.raw(`select email from users where tenant_id = ? order by created_at, id`, [TENANT])
    const all = rows.map(({ email }: any) => email)
    for (const format of ['csv', 'json', 'ndjson'])
      expect(await emails(`format=${format}`), format)
        .to.have.members(all)
        .and.have.lengthOf(all.length)
    expect(await emails('q=many12')).to.have.lengthOf(111)
    expect(await emails('format=csv&role=super_admin')).to.deep.equal(['root@example.com'])
    expect(await emails('q=nobody-of-that-name')).to.deep.equal([])
    expectProblem(await app.call('GET', `${PATH}?role=none`, { token: admin }), 404, 'NOT_FOUND')
    expectProblem(await app.call('GET', `${PATH}?format=xml`, { token: admin }), 400, 'VALIDATION_ERROR')
  })

  it('is for who may read users, of their own tenant, and leaves an event', async () => {
    const { boss } = await withTenant(app, 'acme')
    const nobody = await someone(app)
    expectProblem(await app.call('GET', PATH, { token: nobody.accessToken }), 403, 'ACCESS_DENIED')
    const theirs = await app.call('GET', `/t/acme${PATH}`, { token: boss.accessToken })
    expect(theirs.body.users.map((u: any) => u.email)).to.deep.equal(['boss@acme.example'])
    expect(theirs.body.users[0].roles).to.have.members(['super_admin', 'user'])
    const reader = await someone(app, ROLE.admin)
    await app.call('GET', `${PATH}?format=csv&q=mallory`, { token: reader.accessToken })
    const [event] = await app.db('events').where({ type: 'users.exported', actor_id: reader.id })
    expect(event.data).to.deep.equal({ format: 'csv', filter: { q: 'mallory', roleIds: [] } })
  })

  it('stops reading when the client hangs up', async () => {
    await people(20_000, 'big')
    const before = statements.total
    await new Promise<void>((resolve, reject) => {
      const headers = { authorization: `Bearer ${admin}` }
      get(`${app.url}${PATH}`, { headers }, (response) => {
        response.once('data', () => response.destroy())
        response.once('close', resolve)
      }).on('error', reject)
    })
    let last = -1
    await eventually(async () => {
      const earlier = last
      last = statements.total
      await pause(150)
      expect(last).to.equal(earlier)
    })
    // Two statements a page: all 23 pages would be more.
    expect(last - before).to.be.lessThan(35)
  })
})
