/**
 * The guides say what is true: variables, settings, permissions, events, links. UPDATE_SNAPSHOTS=1 writes the generated tables,
 * and the list of event types for the program out of the table of events.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { permissions, systemRoles } from '../../server/domain/policy.ts'
import { definitions } from '../../server/domain/settings.ts'
import { cellsOf, HEAD } from '../support/matrix.ts'
import { allRows } from '../support/rows.ts'

const root = join(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const sources = globSync(['server/**/*.ts', 'admin-api/**/*.ts', 'interactions/**/*.ts', 'adapters/**/*.ts'], {
  cwd: root,
})
const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: root })

const table = (head: string[], rows: string[][]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

function permissionTable(): string {
  const roles = ['super_admin', 'admin', 'user'].map((name) => systemRoles.find((role) => role.name === name)!)
  const rows = Object.entries(permissions).map(([name, words]) => [
    `\`${name}\``,
    words,
    ...roles.map((role) => (role.permissions.includes(name) ? 'yes' : '')),
  ])
  return table(['permission', 'allows to', ...roles.map((role) => `\`${role.name}\``)], rows)
}

function settingTable(): string {
  const allowed = (schema: any): string => {
    if (schema.enum) return schema.enum.map((value: string) => `\`${value}\``).join(', ')
    if (schema.type === 'integer') return `${schema.minimum} to ${schema.maximum}`
    return schema.type === 'array' ? `list, at most ${schema.maxItems}` : schema.type
  }
  const rows = Object.entries(definitions).map(([key, { schema, fallback, description, isPublic }]) => [
    `\`${key}\``,
    `\`${JSON.stringify(fallback)}\``,
    allowed(schema),
    `${description}${isPublic ? ' (public)' : ''}`,
  ])
  return table(['key', 'default', 'allowed', 'meaning'], rows)
}

const authorizationTable = (): string =>
  table(
    HEAD,
    allRows
      .filter(({ surface }) => surface.id !== 'oauth')
      .map(cellsOf)
      .sort(([a = ''], [b = '']) => a.split(' ')[1]!.localeCompare(b.split(' ')[1]!) || a.localeCompare(b)),
  )

/** The address GitHub gives a heading. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[`*]/g, '')
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-')

describe('documentation', () => {
  for (const [name, file, make] of [
    ['permissions', 'docs/admins.md', permissionTable],
    ['settings', 'docs/admins.md', settingTable],
    ['authorization', 'docs/authorization.md', authorizationTable],
  ] as const) {
    it(`has the ${name} as they are in the code`, () => {
      const page = read(file)
      const [open, close] = [`<!-- ${name} -->\n`, `\n<!-- /${name} -->`]
      const [from, to] = [page.indexOf(open) + open.length, page.indexOf(close)]
      expect(to, `${file} has a place for it`).to.be.greaterThan(0)
      if (process.env.UPDATE_SNAPSHOTS === '1')
        return writeFileSync(join(root, file), page.slice(0, from) + make() + page.slice(to))
      expect(page.slice(from, to), 'UPDATE_SNAPSHOTS=1 npm test -- test/contract/docs.test.ts').to.equal(make())
    })
  }

  it('has every variable that is read from the environment', () => {
    const names = [...read('server/config.ts').matchAll(/(?:text|int|url)\('([A-Z_]+)'|env\.([A-Z_]+)/g)]
    const known = read('docs/operators.md')
    const missing = new Set(names.map((m) => m[1] ?? m[2]!).filter((name) => !known.includes(`| \`${name}\` |`)))
    expect(names.length).to.be.greaterThan(15)
    expect([...missing], 'missing in the table of docs/operators.md').to.deep.equal([])
  })

  it('has every type of event', () => {
    const known = read('docs/admins.md')
    const types = sources.flatMap((path) => [
      ...[...read(path).matchAll(/(?:event|record|recordNow)\((?:\w+, )?'([a-z_]+\.[a-z_]+)'/g)].map((m) => m[1]!),
      ...[...read(path).matchAll(/\btype: '([a-z_]+\.[a-z_]+)'/g)].map((m) => m[1]!),
    ])
    expect(types.length).to.be.greaterThan(20)
    const missing = new Set(types.filter((type) => !known.includes(`\`${type}\``)))
    expect([...missing], 'missing in docs/admins.md#events').to.deep.equal([])
  })

  it('gives the program its list of event types', () => {
    const rows = read('docs/admins.md')
      .split('## Events')[1]!
      .match(/^\| .* \|$/gm)!
    const types = [...rows.join('\n').matchAll(/`(?!data\.)([a-z_]+\.[a-z_]+)`/g)].map(([, type]) => type!)
    expect(types.length).to.be.greaterThan(100)
    const path = 'server/domain/webhooks/event-types.ts'
    const text = [
      '/** Every type of event, made from the table in docs/admins.md by test/contract/docs.test.ts. */',
      'export const eventTypes: string[] = [',
      ...[...new Set(types)].sort().map((type) => `  '${type}',`),
      ']\n',
    ].join('\n')
    if (process.env.UPDATE_SNAPSHOTS === '1') return writeFileSync(join(root, path), text)
    expect(read(path), 'UPDATE_SNAPSHOTS=1 npm test -- test/contract/docs.test.ts').to.equal(text)
  })

  it('has no link to a file or heading that does not exist', () => {
    const broken: string[] = []
    for (const page of pages) {
      for (const [, target] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target!)) continue
        const [file, heading] = target!.split('#') as [string, string?]
        const path = file ? join(dirname(page), file) : page
        const headings = () => [...read(path).matchAll(/^#+ (.*)$/gm)].map((m) => anchor(m[1]!))
        if (!existsSync(join(root, path)) || (heading && !headings().includes(heading)))
          broken.push(`${page}: ${target}`)
      }
    }
    expect(broken).to.deep.equal([])
  })
})
