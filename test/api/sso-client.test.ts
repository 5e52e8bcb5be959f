/** The developer of an app at a command line, until somebody signs in at it. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { startApp, type TestApp } from '../support/app.ts'
import { claimsOf } from '../support/oauth.ts'
import { Browser, REDIRECT } from '../support/rp.ts'

const program = join(import.meta.dirname, '../../cli/sso-client.ts')

describe('the command sso-client', function () {
  // A process for each command.
  this.timeout(60_000)
  let app: TestApp
  let folder: string
  before(async () => {
    app = await startApp()
    folder = mkdtempSync(join(tmpdir(), 'sso-client-'))
  })
  after(async () => {
    rmSync(folder, { recursive: true, force: true })
    await app.close()
  })

  const run = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
    const env = { ...process.env, GATEHOUSE_URL: app.url }
    const ended = promisify(execFile)(process.execPath, [program, ...args], { cwd: folder, env })
    const { code = 0, stdout, stderr } = await ended.catch((error) => error)
    return { code, out: stdout, err: stderr }
  }
  const init = (key: string) =>
    run('init', '--name', 'My App', '--key', key, '--callback', REDIRECT, '--email', 'dev@example.com')
  const decide = async (key: string, how: 'approve' | 'reject', body: object = {}) => {
    const token = await app.admin()
    const { data } = (await app.call('GET', '/auth/admin/client-requests', { token })).body
    const { id } = data.find(({ clientKey }: { clientKey: string }) => clientKey === key)
    const path = `/auth/admin/client-requests/${id}/${how}`
    expect((await app.call('POST', path, { token, body })).status).to.equal(200)
  }

  /** In a tab of its own: what the generated modules find in a browser. */
  async function signIn(out: string, exchange?: (given: any) => Promise<any>): Promise<any> {
    const stored = new Map<string, string>()
    const tab = {
      getItem: (key: string) => stored.get(key) ?? null,
      setItem: (key: string, value: string) => void stored.set(key, value),
      removeItem: (key: string) => void stored.delete(key),
    }
    Object.defineProperty(globalThis, 'sessionStorage', { value: tab, configurable: true })
    try {
      const { signInUrl, finish } = await import(pathToFileURL(join(folder, out, 'sign-in.js')).href)
      const ada = await app.person()
      const browser = new Browser(app.url)
      let at = await browser.open(await signInUrl())
      at = await browser.submit(at, { email: ada.email, password: ada.password })
      if (at.page?.includes('value="allow"')) at = await browser.submit(at, { action: 'allow' })
      const kept = new Map(stored)
      const forged = new URL(at.left!.href)
      forged.searchParams.set('state', 'other')
      expect(await finish(forged.href, exchange).catch((error: Error) => error.message)).to.match(/not begun here/)
      for (const [key, value] of kept) stored.set(key, value)
      const tokens = await finish(at.left!.href, exchange)
      expect(claimsOf(tokens.id_token).sub).to.equal(ada.id)
      return tokens
    } finally {
      Reflect.deleteProperty(globalThis, 'sessionStorage')
    }
  }

  it('asks for approval, waits for it, links the folder and writes a sign-in that works', async () => {
    expect((await run('setup')).out).to.match(/^No app yet at /)
    const asked = await init('my-app')
    expect(asked).to.include({ code: 0, err: '' })
    expect(asked.out).to.include('my-app is pending')
    expect(JSON.parse(readFileSync(join(folder, 'sso-client.json'), 'utf8'))).to.deep.equal({
      server: app.url,
      clientKey: 'my-app',
      linked: false,
    })
    expect((await run('status')).out).to.match(/^my-app is pending, asked for \d{4}-/)
    const early = await run('link-ui')
    expect(early.code).to.equal(1)
    expect(early.err).to.include('my-app is pending: only an approved app can be linked')
    expect((await run('generate-ui')).err).to.include('this folder is not linked')

    await decide('my-app', 'approve')
    expect((await run('status', '--wait')).out)
      .to.include('my-app is approved')
      .and.include('decided')
    expect(await run('link-ui')).to.include({ code: 0, err: '' })
    const made = await run('generate-ui')
    expect(made.out.trim().split('\n')).to.deep.equal(['sso/config.js', 'sso/sign-in.js', 'sso/exchange.js'])
    expect((await run('generate-ui')).err).to.include('would be overwritten')
    expect(await run('generate-ui', '--force')).to.include({ code: 0 })
    expect((await run('setup')).out).to.match(/^my-app at /)

    const mail = await app.smtp.waitFor('dev@example.com', /client-secret/)
    const token = new URL(mail.link('client-secret')).searchParams.get('token')
    const { body } = await app.call('POST', '/auth/client-requests/secret', { body: { token } })
    const { exchange } = await import(pathToFileURL(join(folder, 'sso/exchange.js')).href)
    const tokens = await signIn('sso', (given) => exchange(given, body.data.clientSecret))
    expect(tokens.access_token).to.match(/^eyJ/)
  })

  it('writes no back end for an app without a secret', async () => {
    await init('garden')
    await decide('garden', 'approve', { tokenEndpointAuthMethod: 'none' })
    const made = await run('generate-ui', '--key', 'garden', '--out', 'garden')
    expect(made.out.trim().split('\n')).to.deep.equal(['garden/config.js', 'garden/sign-in.js'])
    expect((await signIn('garden')).access_token).to.match(/^eyJ/)
  })

  it('says what is wrong, and ends with 1', async () => {
    expect((await init('my-app')).err).to.match(/^sso-client: 409 /)
    expect((await run('init', '--name', 'X')).err).to.include('--key is required')
    expect((await run('status', '--key', 'nobody')).err).to.match(/^sso-client: 404 /)
    expect((await run('status', '--server', 'http://127.0.0.1:1')).err).to.include('does not answer')
    const mistyped = await run('status', '--sever', 'http://127.0.0.1:1')
    expect([mistyped.code, mistyped.err.split('\n')[0]]).to.deep.equal([2, "Unknown option '--sever'"])
    const unknown = await run('fly')
    expect([unknown.code, unknown.out]).to.satisfy(([code, out]: any) => code === 2 && out.includes('generate-ui'))
    await init('refused')
    await decide('refused', 'reject', { reason: 'No' })
    expect((await run('link-ui', '--key', 'refused')).err).to.include('refused is rejected')
  })
})
