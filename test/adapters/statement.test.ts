import { expect } from 'chai'
import pg from 'pg'
import { execute } from '../../adapters/statement.ts'
import { serverUrl } from '../support/postgres.ts'

describe('prepared statements', () => {
  let client: pg.Client
  before(async () => {
    client = new pg.Client({ connectionString: await serverUrl() })
    await client.connect()
    await client.query(
      'create temporary table notes (id int primary key, body jsonb, raw bytea, at timestamptz, tags text[])',
    )
  })
  after(() => client.end())

  const insert = 'insert into notes values ($1, $2::jsonb, $3, $4, $5) on conflict do nothing returning *'
  const at = new Date('2030-01-02T03:04:05.678Z')
  const note = (id: number) =>
    execute(client, 'note', insert, [id, '{"a":[1,"ü"]}', Buffer.from([0, 255]), at, ['x', 'y"z']])

  it('give the same values at the first and every later use', async () => {
    for (const id of [1, 2, 3]) {
      const rows = await note(id)
      expect(rows).to.deep.equal([{ id, body: { a: [1, 'ü'] }, raw: Buffer.from([0, 255]), at, tags: ['x', 'y"z'] }])
    }
    expect(await note(3), 'no row, no value').to.deep.equal([])
  })

  it('give several rows, nulls, and nothing for statements without columns', async () => {
    const text = 'select n, nullif(n, 2) as maybe from generate_series(1, $1::int) n'
    for (let i = 0; i < 2; i += 1) {
      const rows = await execute(client, 'series', text, [3])
      expect(rows).to.deep.equal([
        { n: 1, maybe: 1 },
        { n: 2, maybe: null },
        { n: 3, maybe: 3 },
      ])
    }
    for (let i = 0; i < 3; i += 1)
      expect(await execute(client, 'gone', 'delete from notes where id = $1', [i])).to.deep.equal([])
  })

  it('fail with the SQLSTATE and leave the connection good', async () => {
    for (let i = 0; i < 3; i += 1) {
      const error = await execute(client, 'ratio', 'select 1 / $1::int as r', [0]).catch((e) => e)
      expect(error.code).to.equal('22012')
      expect(await execute(client, 'ratio', 'select 1 / $1::int as r', [1])).to.deep.equal([{ r: 1 }])
    }
    const wrong = await execute(client, 'broken', 'select no_such_column', []).catch((e) => e)
    expect(wrong.code).to.equal('42703')
    const again = await execute(client, 'broken', 'select no_such_column', []).catch((e) => e)
    expect(again.code).to.equal('42703')
    expect(await execute(client, 'ratio', 'select 1 / $1::int as r', [1])).to.deep.equal([{ r: 1 }])
  })

  it('keep their order when many are sent at once', async () => {
    const rows = await Promise.all(
      Array.from({ length: 50 }, (_, i) => execute(client, 'echo', 'select $1::int as i', [i])),
    )
    expect(rows.map(([row]) => row.i)).to.deep.equal(Array.from({ length: 50 }, (_, i) => i))
  })

  it('are given up after the time of the connection', async () => {
    const hurried = new pg.Client({ connectionString: await serverUrl(), query_timeout: 200 })
    await hurried.connect()
    const error = await execute(hurried, 'nap', 'select pg_sleep(1)', []).catch((e) => e)
    expect(error.message).to.equal('Query read timeout')
    await hurried.end()
  })
})
