/** Mass assignment: what an operation does not ask for is refused by name in every body, and nothing is done. Taken from the rows. */
import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { rowInput } from '../../server/kernel/bind.ts'
import { from } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { exampleFor } from '../support/contract.ts'
import { expectProblem, expectSsoFailure } from '../support/problems.ts'
import { someone } from '../support/roles.ts'
import { allRows, type Bound, nameOf, pathOf } from '../support/rows.ts'

// RFC 7591 2: a server ignores what it does not understand; test/oidc/registration.test.ts.
const rows = allRows.filter(
  ({ surface, row }) => surface.id !== 'oauth' && /POST|PUT|PATCH/.test(row.method) && row.op.upload === undefined,
)
/** What people would like to give themselves. */
const wanted = [
  'id',
  'tenantId',
  'isAdmin',
  'permissions',
  'roles',
  'status',
  'emailVerified',
  'passwordHash',
  'system',
  'firstParty',
  'createdAt',
  'createdBy',
  'userId',
  'secret',
]

/** What the answer tells and nobody may set, and what else they would like, as the row spells it. */
function forbidden({ surface, row }: Bound): string[] {
  const known = new Set(Object.keys(rowInput(surface, row).properties))
  const input = (row.op.input as any).title
  const output = row.op.output as any
  const told = Object.keys(output.properties ?? {}).map((key) => surface.name(output.title, key))
  const names = [...told, ...wanted.map((key) => surface.name(input, key))]
  return [...new Set(names)].filter((name) => !known.has(name))
}

describe('fields nobody asks for', () => {
  let app: TestApp
  let token: string
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    token = (await someone(app, ROLE.superAdmin)).accessToken
  })
  after(() => app.close())

  it('have no place in any object of any body, but where names are free', () => {
    const open: string[] = []
    const walk = (schema: any, where: string): void => {
      for (const one of schema.anyOf ?? []) walk(one, where)
      if (schema.items) walk(schema.items, `${where}[]`)
      if (schema.type !== 'object') return
      if (schema.properties && schema.additionalProperties !== false) open.push(where)
      for (const [key, inner] of Object.entries(schema.properties ?? {})) walk(inner, `${where}.${key}`)
    }
    for (const bound of rows) walk(rowInput(bound.surface, bound.row), nameOf(bound))
    expect(rows.length).to.be.greaterThan(180)
    expect(open).to.deep.equal([])
  })

  it('are refused by every row, by name', async () => {
    const faults: string[] = []
    let asked = 0
    const seen = new Set<unknown>()
    const before = await counts()
    for (const bound of rows) {
      const { row, surface } = bound
      const all = forbidden(bound)
      // Other rows of an operation differ in spelling only.
      const names = seen.has(row.op) ? all.slice(0, 1) : all
      seen.add(row.op)
      const answers = names.map(async (name) => {
        const body = { ...exampleFor(bound), [name]: 'x' }
        const answer = await app.call(row.method, pathOf(bound), { token, body, headers: from() })
        const refused = surface.id === 'sso' ? expectSsoFailure : expectProblem
        refused(answer, 400, 'VALIDATION_ERROR')
        const details = answer.body.errors ?? answer.body.error.details ?? []
        if (!details.some(({ field }: { field: string }) => field === name))
          faults.push(`${nameOf(bound)} with ${name}: ${JSON.stringify(details)}`)
      })
      asked += (await Promise.all(answers)).length
    }
    expect(faults).to.deep.equal([])
    expect(asked).to.be.greaterThan(1000)
    expect(await counts()).to.deep.equal(before)
  }).timeout(90_000)

  /** Rows of everything that somebody may own or be. */
  async function counts(): Promise<Record<string, number>> {
    const tables = [
      'users',
      'user_roles',
      'roles',
      'role_permissions',
      'clients',
      'tenants',
      'organizations',
      'settings',
    ]
    const all = await Promise.all(tables.map((name) => app.db(name).count({ n: '*' }).first()))
    return Object.fromEntries(tables.map((name, i) => [name, Number(all[i]!.n)]))
  }
})
