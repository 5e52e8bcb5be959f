/** A client made from the document by a generator of its own: it compiles, and speaks with a running server. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { ADMIN, startApp, type TestApp } from '../support/app.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const generator = join(createRequire(import.meta.url).resolve('oazapfts'), '../cli.js')
const compiler = createRequire(import.meta.url)
  .resolve('typescript/package.json')
  .replace('package.json', 'bin/tsc')

/** What somebody writes who has the generated client and nothing else. */
const story = `
import * as api from './client.ts'

export async function story(baseUrl: string, admin: { email: string; password: string }): Promise<(string | null)[]> {
  api.defaults.baseUrl = baseUrl
  const made = await api.v1PostV1AuthRegister({ email: 'cleo@example.com', password: 'SecurePassword123!' })
  if (made.status !== 201) throw new Error(made.data.code + ': ' + made.data.detail)
  const login = await api.v1PostV1AuthLogin(admin)
  if (login.status !== 200) throw new Error(login.data.code)
  if (!('tokens' in login.data)) throw new Error('more is asked for')
  const headers = { authorization: 'Bearer ' + login.data.tokens.access_token }
  const list = await api.v1GetV1Users({ q: 'cleo', limit: 10 }, { headers })
  if (list.status !== 200) throw new Error(list.data.code)
  const nobody = await api.v1GetV1Users({ limit: 10 })
  if (nobody.status !== 401) throw new Error('let in')
  return [...list.data.users.map(({ email }) => email), nobody.data.code]
}
`
/** What the types must refuse: a number for an address, a field that is not in the answer. */
const wrong = `
import * as api from './client.ts'
await api.v1PostV1AuthRegister({ email: 1, password: 'x' })
const list = await api.v1GetV1Users({})
if (list.status === 200) console.log(list.data.persons)
`

describe('a generated client', () => {
  let app: TestApp
  let folder: string
  before(async () => {
    app = await startApp()
    // Below the project, where its runtime library is found.
    mkdirSync(join(root, 'data'), { recursive: true })
    folder = mkdtempSync(join(root, 'data/client-'))
  })
  after(async () => {
    rmSync(folder, { recursive: true, force: true })
    await app.close()
  })

  const compile = async (...files: string[]): Promise<string> => {
    const options = ['--strict', '--noEmit', '--skipLibCheck', '--allowImportingTsExtensions', '--ignoreConfig']
    const target = ['--target', 'es2023', '--lib', 'es2024,dom', '--module', 'nodenext', '--types', 'node']
    const out = await run(process.execPath, [compiler, ...options, ...target, ...files], { cwd: folder }).catch(
      (e) => e,
    )
    return out.stdout.trim()
  }

  it('compiles, and registers, signs in and lists people', async () => {
    const { body } = await app.call('GET', '/openapi.json')
    writeFileSync(join(folder, 'document.json'), JSON.stringify(body))
    await run(process.execPath, [generator, 'document.json', 'client.ts'], { cwd: folder })
    writeFileSync(join(folder, 'story.ts'), story)
    writeFileSync(join(folder, 'wrong.ts'), wrong)
    expect(await compile('story.ts')).to.equal('')
    const complaints = await compile('wrong.ts')
    expect(complaints).to.match(/'number' is not assignable to type 'string'/)
    expect(complaints).to.match(/'persons' does not exist/)
    const made = await import(pathToFileURL(join(folder, 'story.ts')).href)
    expect(await made.story(app.url, ADMIN)).to.deep.equal(['cleo@example.com', 'UNAUTHORIZED'])
  }).timeout(60_000)
})
