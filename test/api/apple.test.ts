/** Signing in with Apple, whose ways are its own, at a stand-in that insists on them. */
import { generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { type Apple, startApple } from '../support/apple.ts'
import { expectProblem } from '../support/problems.ts'
import { Browser } from '../support/rp.ts'

describe('signing in with Apple', () => {
  let app: TestApp
  let apple: Apple
  before(async () => {
    apple = await startApple()
    app = await startApp({ TRUST_PROXY: '1', OUTBOUND_ALLOW: '127.0.0.1/32' })
    await add('apple', apple.secret)
  })
  after(async () => {
    await app?.close()
    await apple?.close()
  })

  /** The preset, at the stand-in's address. */
  async function add(slug: string, client_secret: string) {
    const { clientId: client_id, teamId: team_id, keyId: key_id, url: issuer } = apple
    const made = await app.call('POST', '/v1/admin/identity-providers', {
      token: await app.admin(),
      body: { slug, preset: 'apple', client_id, client_secret, team_id, key_id, issuer },
    })
    expect(made.status, JSON.stringify(made.body)).to.equal(201)
    app.deps.out.directory.drop(DEFAULT_TENANT)
  }

  /** There, and back by the form that Apple makes the browser post, from Apple's origin and without our cookie. */
  async function visit(slug = 'apple') {
    await app.db('rate_limits').delete()
    const browser = new Browser(app.url)
    const begun = JSON.parse((await browser.open(`${app.url}/v1/oauth/${slug}/authorize`)).page!)
    const { to, form } = (await (await fetch(begun.authorization_url)).json()) as { to: string; form: object }
    const posted = await fetch(to, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: apple.url, ...from() },
      body: new URLSearchParams({ ...form }),
    })
    expect(posted.status, 'led back with its cookie').to.equal(303)
    const { page, status } = await browser.open(new URL(posted.headers.get('location')!, app.url).href)
    return { status, body: JSON.parse(page!) }
  }

  it('proves the app by a fresh assertion, and learns the name the one time it is told', async () => {
    apple.who = { sub: '001.ada', email: 'ada@privaterelay.appleid.com', firstName: 'Ada', lastName: 'Lovelace' }
    const first = await visit()
    expect(first.status, JSON.stringify(first.body)).to.equal(200)
    expect(first.body.user).to.include({
      email: 'ada@privaterelay.appleid.com',
      given_name: 'Ada',
      family_name: 'Lovelace',
      is_email_verified: true,
    })
    apple.who = { sub: '001.ada', email: 'ada@privaterelay.appleid.com' }
    const again = await visit()
    expect(again.body.user.id).to.equal(first.body.user.id)
    expect(again.body.user).to.include({ given_name: 'Ada' })
    expect(apple.assertions).to.have.length(2)
    expect(apple.assertions.join(), 'never the key itself').to.not.include('PRIVATE')
  })

  it('does not let the unsigned part of the answer say who somebody is', async () => {
    apple.who = { sub: '002.eve', email: 'eve@example.com', firstName: 'Eve', lastName: 'x' }
    const browser = new Browser(app.url)
    const begun = JSON.parse((await browser.open(`${app.url}/v1/oauth/apple/authorize`)).page!)
    const { to, form } = (await (await fetch(begun.authorization_url)).json()) as any
    const user = JSON.stringify({ name: { firstName: 'Root' }, email: 'root@example.com', sub: '001.ada' })
    const posted = await fetch(to, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...from() },
      body: new URLSearchParams({ ...form, user }),
    })
    const { page } = await browser.open(new URL(posted.headers.get('location')!, app.url).href)
    expect(JSON.parse(page!).user).to.include({ email: 'eve@example.com', given_name: 'Root' })
  })

  it('says so when Apple does not take the key', async () => {
    const other = await startApple()
    await add('apple-other', other.secret)
    await other.close()
    apple.who = { sub: '003.max', email: 'max@example.com' }
    const { status, body } = await visit('apple-other')
    expect({ status, code: body.code }).to.deep.equal({ status: 403, code: 'ACCESS_DENIED' })
    expect(await app.db('users').where({ email_key: 'max@example.com' })).to.deep.equal([])
    const broken = await app.call('POST', '/v1/admin/identity-providers', {
      token: await app.admin(),
      body: { slug: 'apple-half', preset: 'apple', client_id: 'x', client_secret: 'y', team_id: 'T' },
    })
    expectProblem(broken, 400, 'VALIDATION_ERROR')
  })

  it('refuses a secret that is no key when it is set, not when somebody signs in', async () => {
    const token = await app.admin()
    const { clientId: client_id, teamId: team_id, keyId: key_id } = apple
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' })
    for (const client_secret of ['not a key', String(rsa)]) {
      const body = { slug: 'apple-bad', preset: 'apple', client_id, client_secret, team_id, key_id }
      const made = await app.call('POST', '/v1/admin/identity-providers', { token, body })
      expectProblem(made, 400, 'VALIDATION_ERROR')
      expect(made.body.detail).to.include('private P-256 key')
    }
    const changed = await app.call('PATCH', '/v1/admin/identity-providers/apple', {
      token,
      body: { client_secret: 'x' },
    })
    expect(changed.status).to.equal(400)
  })
})
