import { expect } from 'chai'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import * as client from 'openid-client'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { createKeys } from '../../server/domain/keys.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { authorize, Browser, redeem, relyingParty } from '../support/rp.ts'

describe('signing keys with an overlap', () => {
  let app: TestApp
  before(async () => {
    app = await startApp()
  })
  after(() => app.close())

  it('sign with the new key, and still verify and accept what the retired one signed', async () => {
    const rp = await relyingParty(app)
    const ada = await app.person('ada@example.com')
    const old = await redeem(rp, await authorize(app, rp, new Browser(app.url), ada))
    await app.db('signing_keys').update({ retired_at: app.db.fn.now() })
    await createKeys(app.db, app.deps.out.sealing, DEFAULT_TENANT)
    await new Promise((resolve) => setTimeout(resolve, 300))

    const fresh = await client.refreshTokenGrant(rp.config, old.refresh_token!)
    expect(decodeProtectedHeader(fresh.access_token).kid).to.not.equal(decodeProtectedHeader(old.access_token).kid)
    expect(decodeProtectedHeader(fresh.id_token!).kid).to.not.equal(decodeProtectedHeader(old.id_token!).kid)
    const jwks = createRemoteJWKSet(new URL(`${app.url}/oauth/jwks`))
    for (const token of [old.access_token, fresh.access_token, old.id_token!, fresh.id_token!])
      await jwtVerify(token, jwks)
    expect((await client.tokenIntrospection(rp.config, old.access_token)).active).to.equal(true)
    const keys = (await app.call('GET', '/oauth/jwks')).body.keys
    expect(keys).to.have.length(4)
    for (const key of keys) expect(key).to.not.have.any.keys('d', 'p', 'q')
  })
})
