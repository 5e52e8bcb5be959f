import { expect } from 'chai'
import { type Person, startApp, type TestApp } from '../support/app.ts'

describe('the profile by sso-api', () => {
  let app: TestApp
  let ada: Person
  before(async () => {
    app = await startApp()
    ada = await app.person('ada@example.com')
  })
  after(() => app.close())

  it('shows the person in the document’s shape', async () => {
    const { status, body } = await app.call('GET', '/api/account/profile', { token: ada.accessToken })
    expect(status).to.equal(200)
    expect(body.success).to.equal(true)
    expect(body.data).to.deep.equal({
      id: ada.id,
      email: 'ada@example.com',
      firstName: null,
      lastName: null,
      emailVerified: false,
      provider: 'local',
      metadata: {},
      organizations: [],
      authorization: { keycloak_roles: ['user'], database_roles: [], permissions: [] },
    })
  })

  it('merges names and metadata, and null clears', async () => {
    const put = (body: object) => app.call('PUT', '/api/account/profile', { token: ada.accessToken, body })
    await put({
      firstName: 'Ada',
      lastName: 'Lovelace',
      metadata: { department: 'Engineering', mobile: '+1234567890' },
    })
    const { body } = await put({ lastName: null, metadata: { mobile: null } })
    expect(body.data).to.include({ firstName: 'Ada', lastName: null })
    expect(body.data.metadata).to.deep.equal({ department: 'Engineering' })
    const summary = await app.call('GET', '/api/account/profile/summary', { token: ada.accessToken })
    expect(summary.body.data).to.include({ name: 'Ada', email: 'ada@example.com' })
  })

  it('refuses metadata past 16 KiB and keeps what was there', async () => {
    const body = { metadata: { big: 'x'.repeat(17_000) } }
    const answer = await app.call('PUT', '/api/account/profile', { token: ada.accessToken, body })
    expect(answer.status).to.equal(400)
    expect(answer.body.error.code).to.equal('VALIDATION_ERROR')
    const row = await app.db('users').where({ id: ada.id }).first('attributes')
    expect(row.attributes).to.deep.equal({ department: 'Engineering' })
  })
})
