import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { eventually, makeClient } from '../support/oauth.ts'
import { expectProblem } from '../support/problems.ts'

describe('clients of a tenant', () => {
  let app: TestApp
  let admin: string
  before(async () => {
    app = await startApp()
    admin = await app.admin()
  })
  after(() => app.close())

  it('say what signing in to them asks for, key by key', async () => {
    const client = await makeClient(app, { login_policy: { mfa: 'required', factors: ['totp', 'webauthn'] } })
    const known = () => app.deps.out.directory.client(DEFAULT_TENANT, client.clientId)
    expect((await known())!.loginPolicy).to.deep.equal({ mfa: 'required', factors: ['totp', 'webauthn'] })
    const change = async (login_policy: unknown) =>
      (await app.call('PUT', `/clients/${client.id}`, { token: admin, body: { login_policy } })).body.login_policy
    expect(await change({ factors: null, require_verified_email: true })).to.deep.equal({
      mfa: 'required',
      require_verified_email: true,
    })
    await eventually(async () =>
      expect((await known())!.loginPolicy).to.deep.equal({ mfa: 'required', require_verified_email: true }),
    )
    expect(await change(null)).to.deep.equal({})
    for (const bad of [{ mfa: 'maybe' }, { factors: [] }, { methods: ['guess'] }, { other: 1 }, 'x']) {
      const answer = await app.call('PUT', `/clients/${client.id}`, { token: admin, body: { login_policy: bad } })
      expectProblem(answer, 400, 'VALIDATION_ERROR')
    }
  })
})
