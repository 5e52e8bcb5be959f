import { expect } from 'chai'
import { from, pause } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { codeFor, makeClient, post } from '../support/oauth.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

/** Every row of every table as text, by table. */
async function dump(app: TestApp): Promise<Map<string, string>> {
  const { rows } = await app.db.raw(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('public', 'graphile_worker')`,
  )
  const out = new Map<string, string>()
  for (const { name } of rows) {
    const found = await app.db.raw(`select coalesce(string_agg(t::text, E'\\n'), '') as text from ${name} t`)
    out.set(name, found.rows[0].text)
  }
  return out
}

describe('secrets', () => {
  let app: TestApp
  let printed = ''
  const write = process.stdout.write
  before(async () => {
    process.stdout.write = ((chunk: any) => {
      printed += chunk
      return true
    }) as typeof write
    try {
      app = await startApp({ LOG_LEVEL: 'trace', TRUST_PROXY: '1' })
    } finally {
      process.stdout.write = write
    }
  })
  after(async () => {
    process.stdout.write = write
    await app?.close()
  })

  it('of a whole flow rest nowhere in the database and are in no log line', async () => {
    process.stdout.write = ((chunk: any) => {
      printed += chunk
      return true
    }) as typeof write
    const secrets: Record<string, string> = {}
    try {
      await flow(secrets)
    } finally {
      process.stdout.write = write
    }
    const tables = await dump(app)
    expect(tables.get('public.oidc_models')!.length).to.be.greaterThan(100)
    expect(tables.get('public.users')).to.include('ada@example.com')
    expect(printed).to.include('/oauth/token')
    for (const [name, secret] of Object.entries(secrets)) {
      expect(secret, name).to.be.a('string').with.length.greaterThan(8)
      // bytea columns are printed as hex, tokens may be stored encoded.
      const spellings = [
        secret,
        encodeURIComponent(secret),
        Buffer.from(secret).toString('hex'),
        Buffer.from(secret).toString('base64url').slice(0, -2),
      ]
      for (const spelling of spellings) {
        for (const [table, text] of tables) expect(text.includes(spelling), `${name} in ${table}`).to.equal(false)
        expect(printed.includes(spelling), `${name} in the log: ${lineWith(spelling)}`).to.equal(false)
      }
    }
    const everything = [...tables.values(), printed].join('\n')
    expect(everything).to.not.match(/"d": ?"[\w-]{40,}"/)
    expect(everything).to.not.include('PRIVATE KEY')
    expect(tables.get('public.credentials')).to.match(/\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    expect(printed).to.not.include('$argon2id$')
  })

  const lineWith = (text: string) =>
    printed
      .split('\n')
      .find((line) => line.includes(text))
      ?.slice(0, 300)

  /** Register, verify, login, code flow, refresh, failure, reset, change. Every secret seen on the way is kept by name. */
  async function flow(secrets: Record<string, string>): Promise<void> {
    secrets.password = 'First-Secret-Password-1!'
    const ada = await app.person('ada@example.com', secrets.password)
    Object.assign(secrets, { access_token: ada.accessToken, refresh_token: ada.refreshToken })
    const verify = await app.smtp.waitFor(ada.email, /verify-email\?token=/)
    secrets.verification_token = new URL(verify.link('verify-email')).searchParams.get('token')!
    await fetch(verify.link('verify-email'), { headers: { accept: 'text/html' } })
    await app.call('POST', '/v1/auth/verify-email', { body: { token: secrets.verification_token } })
    const shop = await makeClient(app, { scope: 'openid email offline_access' })
    secrets.client_secret = shop.clientSecret!
    const brought = await makeClient(app, { client_secret: 'Brought-Along-Secret-42' })
    secrets.brought_secret = brought.clientSecret!
    secrets.regenerated_secret = (
      await app.call('POST', `/clients/${brought.id}/secret/regenerate`, { token: await app.admin(), body: {} })
    ).body.client_secret
    const browser = new Browser(app.url)
    const { code, verifier } = await codeFor(app, shop, ada, {}, browser)
    secrets.code = code
    secrets.session_cookie = [...browser.cookies].find(([name]) => name.startsWith('gh_session '))![1].value
    const form = { grant_type: 'authorization_code', code, redirect_uri: REDIRECT, code_verifier: verifier }
    const tokens = (await post(app, '/oauth/token', form, { client: shop })).body
    Object.assign(secrets, {
      oauth_access: tokens.access_token,
      oauth_refresh: tokens.refresh_token,
      id_token: tokens.id_token,
    })
    const fresh = (
      await post(app, '/oauth/token', {
        grant_type: 'refresh_token',
        refresh_token: tokens.refresh_token,
        client_id: shop.clientId,
        client_secret: shop.clientSecret!,
      })
    ).body
    secrets.rotated_refresh = fresh.refresh_token
    await post(app, '/oauth/introspect', { token: fresh.access_token }, { client: shop })
    await fetch(`${app.url}/oauth/userinfo?access_token=${fresh.access_token}`)
    const opaque = await makeClient(app, {
      access_token_format: 'opaque',
      grant_types: ['client_credentials'],
      redirect_uris: [],
    })
    secrets.opaque_access = (
      await post(app, '/oauth/token', { grant_type: 'client_credentials' }, { client: opaque })
    ).body.access_token
    // Failures are where secrets slip out.
    secrets.wrong_password = 'Mistyped-Secret-Password'
    await app.call('POST', '/v1/auth/login', {
      body: { email: ada.email, password: secrets.wrong_password },
      headers: from(),
    })
    await app.call('POST', '/v1/auth/login', {
      body: { email: ada.email, password: secrets.password, surprise: secrets.wrong_password },
      headers: from(),
    })
    secrets.query_secret = 'Password-In-The-Query-1'
    await app.call('GET', `/v1/auth/me?password=${secrets.query_secret}`, { token: ada.accessToken })
    await app.call('POST', '/v1/auth/forgot-password', { body: { email: ada.email }, headers: from() })
    const reset = await app.smtp.waitFor(ada.email, /reset-password\?token=/)
    secrets.reset_token = new URL(reset.link('reset-password')).searchParams.get('token')!
    secrets.new_password = 'Second-Secret-Password-2!'
    await app.call('POST', '/v1/auth/reset-password', {
      body: { token: secrets.reset_token, new_password: secrets.new_password },
      headers: from(),
    })
    await app.call('POST', '/v1/auth/forgot-password', { body: { email: ada.email }, headers: from() })
    await pause(400)
    const last = app.smtp.mails.findLast((m) => /reset-password\?token=/.test(m.raw))!
    secrets.unused_reset_token = new URL(last.link('reset-password')).searchParams.get('token')!
    secrets.secret_key = 'a'.repeat(64)
  }
})
