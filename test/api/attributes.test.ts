import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'
import { someone } from '../support/roles.ts'

const SCHEMA = {
  properties: {
    department: { type: 'string', enum: ['sales', 'research'], access: 'read' },
    badge: { type: 'string', pattern: '^[A-Z]{2}-[0-9]{4}$' },
    tags: { type: 'array', items: { type: 'string', maxLength: 10 }, maxItems: 3 },
    risk: { type: 'integer', minimum: 0, maximum: 5, access: 'admin' },
  },
  required: ['department'],
  additionalProperties: false,
}

describe('attributes by the tenant’s schema', () => {
  let app: TestApp
  let anna: Person
  let bob: Person
  before(async () => {
    app = await startApp()
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
    bob = await someone(app, undefined, { email: 'bob@example.com' })
  })
  after(() => app.close())
  const setting = '/v1/admin/settings/user_attributes_schema'
  const set = (value: unknown) => app.call('PATCH', setting, { token: anna.accessToken, body: { value } })
  const give = (attributes: object) =>
    app.call('PUT', `/v1/users/${bob.id}`, { token: anna.accessToken, body: { attributes } })
  const himself = (metadata: object) =>
    app.call('PUT', '/api/account/profile', { token: bob.accessToken, body: { metadata } })
  const kept = async () => (await app.db('users').where({ id: bob.id }).first()).attributes
  const refused = (answer: any, field: string) => {
    expect(answer.status, JSON.stringify(answer.body)).to.equal(400)
    expect(JSON.stringify(answer.body)).to.include(`attributes.${field}`)
  }

  it('anything goes without a schema', async () => {
    expect((await give({ favourite: { colour: 'red' } })).status).to.equal(200)
    expect(await kept()).to.deep.equal({ favourite: { colour: 'red' } })
    expect((await give({ favourite: null })).status).to.equal(200)
  })

  it('a schema is refused that is none, refers elsewhere, hides combinations, or asks for what RE2 has not', async () => {
    const deep = (n: number): object =>
      n === 0 ? { type: 'string' } : { type: 'object', properties: { a: deep(n - 1) } }
    for (const value of [
      { properties: { a: { $ref: 'https://evil.example/schema' } } },
      { $ref: '#' },
      { properties: { a: { anyOf: [{ type: 'string' }] } } },
      { properties: { a: { type: 'text' } } },
      { properties: { a: { pattern: '(?=x)y' } } },
      { properties: { a: { pattern: '(x' } } },
      { properties: { a: { format: 'regex' } } },
      { properties: { a: { access: 'everybody' } } },
      { properties: { ['x'.repeat(70)]: {} } },
      { properties: { a: deep(8) } },
      { required: ['ghost'] },
      { properties: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`a${i}`, {}])) },
      { properties: { a: { enum: Array.from({ length: 150 }, (_, i) => 'x'.repeat(200) + i) } } },
      'text',
      [],
    ])
      expectProblem(await set(value), 400, 'VALIDATION_ERROR')
    expect(await app.db('settings').where({ key: 'user_attributes_schema' })).to.deep.equal([])
  })

  it('administrators and people themselves are held to it, each to what is theirs', async () => {
    expect((await set(SCHEMA)).status).to.equal(200)
    await eventually(async () => refused(await give({ badge: 'XX-1234' }), 'department'))
    const make = (attributes?: object) =>
      app.call('POST', '/v1/users', { token: anna.accessToken, body: { email: 'new@example.com', attributes } })
    refused(await make(), 'department')
    refused(await make({}), 'department')
    expect((await app.db('users').where({ email: 'new@example.com' })).length, 'nobody was made').to.equal(0)
    expect((await make({ department: 'sales' })).status).to.equal(201)
    refused(await give({ department: 'sales', badge: 'no' }), 'badge')
    refused(await give({ department: 'sales', tags: ['a', 'b', 'c', 'd'] }), 'tags')
    refused(await give({ department: 'sales', colour: 'red' }), 'colour')
    // Bob is not told of the department that only an administrator can give.
    expect((await himself({ badge: 'AB-0001' })).status).to.equal(200)
    expect(await kept()).to.deep.equal({ badge: 'AB-0001' })
    expect((await give({ department: 'research', risk: 4 })).status).to.equal(200)
    refused(await himself({ department: 'sales' }), 'department')
    refused(await himself({ risk: null }), 'risk')
    refused(await himself({ badge: 'ab' }), 'badge')
    refused(await himself({ colour: 'red' }), 'colour')
    expect(await kept()).to.deep.equal({ badge: 'AB-0001', department: 'research', risk: 4 })
  })

  it('what is the administrators’ to know is not shown to the person', async () => {
    const mine = { badge: 'AB-0001', department: 'research' }
    expect((await himself({})).body.data.metadata).to.deep.equal(mine)
    const self = await app.call('GET', `/users/${bob.id}`, { token: bob.accessToken })
    expect(self.body.attributes).to.deep.equal(mine)
    const renamed = await app.call('PUT', `/users/${bob.id}`, { token: bob.accessToken, body: { nickname: 'B' } })
    expect(renamed.body.attributes).to.deep.equal(mine)
    const file = await app.call('GET', '/v1/account/export', { token: bob.accessToken })
    expect(file.body.account.attributes).to.deep.equal(mine)
    const seen = await app.call('GET', `/users/${bob.id}`, { token: anna.accessToken })
    expect(seen.body.attributes).to.deep.equal({ ...mine, risk: 4 })
  })

  it('holds imports to it as well', async () => {
    const users = [
      { email: 'in@example.com', attributes: { department: 'sales' } },
      { email: 'out@example.com', attributes: { department: 'circus' } },
    ]
    const answer = await app.call('POST', '/v1/admin/users/import', { token: anna.accessToken, body: { users } })
    expect(answer.status, JSON.stringify(answer.body)).to.be.oneOf([200, 201, 202, 207])
    expect(JSON.stringify(answer.body)).to.include('attributes.department')
    expect(await app.db('users').whereIn('email', ['in@example.com', 'out@example.com']).pluck('email')).to.deep.equal([
      'in@example.com',
    ])
  })

  it('no pattern takes longer than its value is long', async () => {
    const evil = { properties: { text: { type: 'string', pattern: '^(a|a)*(a|aa)+b$' } } }
    expect((await set(evil)).status).to.equal(200)
    const started = performance.now()
    await eventually(async () => refused(await give({ text: 'a'.repeat(5000) }), 'text'))
    expect(performance.now() - started).to.be.lessThan(2500)
  })
})
