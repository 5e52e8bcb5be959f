import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect } from 'chai'

const root = join(import.meta.dirname, '../..')
const files = globSync('{server,adapters,interactions,admin-api,migrations,cli}/**/*.ts', { cwd: root })

interface Import {
  file: string
  /** A path from the root, or a package's name. */
  target: string
  typeOnly: boolean
}
const imports: Import[] = files.flatMap((file) => {
  const text = readFileSync(join(root, file), 'utf8')
  const found = [
    ...text.matchAll(/^(import|export) (type )?[^;'"]*?from '([^']+)'|^import '([^']+)'|import\('([^']+)'\)/gm),
  ]
  return found.map((match) => {
    const name = match[3] ?? match[4] ?? match[5]!
    const target = name.startsWith('.') ? normalize(join(dirname(file), name)) : name
    return { file, target, typeOnly: match[2] !== undefined }
  })
})
const from = (folder: string) => imports.filter(({ file }) => file.startsWith(`${folder}/`))
const broken = (list: Import[]) => list.map(({ file, target }) => `${file} imports ${target}`)
const inside = (target: string, ...folders: string[]) => folders.some((folder) => target.startsWith(`${folder}/`))
const ours = (target: string) =>
  inside(target, 'server', 'adapters', 'interactions', 'admin-api', 'migrations', 'cli', 'test')

describe('layers', () => {
  it('reads the import lines', () => {
    expect(files.length).to.be.greaterThan(50)
    expect(imports.length).to.be.greaterThan(200)
  })

  it('the kernel imports nothing of ours outside itself', () => {
    expect(
      broken(from('server/kernel').filter(({ target }) => ours(target) && !inside(target, 'server/kernel'))),
    ).to.deep.equal([])
  })

  it('the domain knows no web framework, provider, template or layer above it', () => {
    const bad = from('server/domain').filter(
      ({ target }) =>
        ['koa', '@koa/router', 'oidc-provider', 'eta', 'light-my-request'].includes(target) ||
        inside(target, 'interactions', 'admin-api', 'server/api', 'server/oidc', 'server/surfaces') ||
        target === 'server/app.ts',
    )
    expect(broken(bad)).to.deep.equal([])
  })

  it('adapters take only types from the server', () => {
    expect(
      broken(
        from('adapters').filter(({ target, typeOnly }) => ours(target) && !inside(target, 'adapters') && !typeOnly),
      ),
    ).to.deep.equal([])
  })

  it('the provider layer knows no pages and no API, pages know no API operations', () => {
    expect(
      broken(from('server/oidc').filter(({ target }) => inside(target, 'interactions', 'admin-api', 'server/api'))),
    ).to.deep.equal([])
    const allowed = ['server/api/pipeline.ts']
    expect(
      broken(
        from('interactions').filter(
          ({ target }) => inside(target, 'admin-api', 'server/api') && !allowed.includes(target),
        ),
      ),
    ).to.deep.equal([])
  })

  it('one file imports each outside library that an adapter wraps', () => {
    const wrapped: Record<string, string> = {
      nodemailer: 'adapters/mail.ts',
      pino: 'adapters/log.ts',
      'graphile-worker': 'adapters/jobs.ts',
      eta: 'interactions/',
      undici: 'adapters/http.ts',
    }
    const bad = imports.filter(
      ({ target, file, typeOnly }) =>
        wrapped[target] && !typeOnly && !file.startsWith('adapters/') && !file.startsWith(wrapped[target]!),
    )
    expect(broken(bad)).to.deep.equal([])
  })

  it('no files import each other in a circle', () => {
    const values = imports.filter(({ typeOnly }) => !typeOnly)
    const importsAny = (file: string, of: string[]) =>
      values.some((one) => one.file === file && of.includes(one.target))
    const importedByAny = (file: string, of: string[]) =>
      values.some((one) => one.target === file && of.includes(one.file))
    let left = files
    for (let before = left.length + 1; left.length < before; ) {
      before = left.length
      left = left.filter((file) => importsAny(file, left)).filter((file) => importedByAny(file, left))
    }
    expect(left).to.deep.equal([])
  })

  it('libraries that come late come by lazily', () => {
    const others = files.filter((file) => {
      const text = readFileSync(join(root, file), 'utf8')
      return /\bcreateRequire\b/.test(text) || /(?<!typeof )\bimport\('[^.]/.test(text)
    })
    expect(others).to.deep.equal(['adapters/lazily.ts'])
  })

  it('only configuration reads the environment; the entry points hand it over whole', () => {
    const readers = files.filter((file) => /process\.env\b/.test(readFileSync(join(root, file), 'utf8')))
    const entries = ['server/main.ts', 'server/migrate.ts', 'server/audit-verify.ts']
    for (const file of entries) {
      const uses = readFileSync(join(root, file), 'utf8').match(/process\.env\b.?/g)
      expect(uses, file).to.deep.equal(['process.env)'])
    }
    // The embedded PostgreSQL is given PATH and nothing of ours; the commands are programs of their own, beside any server, and
    // one of them writes another.
    const commands = ['cli/config.ts', 'cli/sso-client.ts', 'cli/sso-client/ui.ts']
    const declared = [...entries, 'server/config.ts', 'adapters/postgres/home.ts', ...commands]
    expect(readers.filter((file) => !declared.includes(file))).to.deep.equal([])
  })

  it('events are written where webhooks are queued with them: by insertEvents of server/domain/events.ts, or the flush', () => {
    const writes = /insert into events \(|\(['"]events['"]\)\s*\.insert|\.into\(['"]events['"]\)/
    const writers = files.filter((file) => writes.test(readFileSync(join(root, file), 'utf8')))
    expect(writers).to.have.members(['server/domain/events.ts', 'adapters/oidc/flush.ts', 'server/domain/devices.ts'])
    const parts = readFileSync(join(root, 'server/domain/devices.ts'), 'utf8')
    expect(parts.match(/insert into events \(/g)!.length).to.equal(parts.match(/isEvent: true/g)!.length)
  })

  it('every file opens with what it owns', () => {
    const silent = files.filter((file) => !/^\/[*/]/.test(readFileSync(join(root, file), 'utf8')))
    expect(silent).to.deep.equal([])
  })
})
