import { expect } from 'chai'
import type { Knex } from 'knex'
import pg from 'pg'
import { connect, isOutage, named } from '../../adapters/knex.ts'
import { makeDatabase } from '../support/postgres.ts'

describe('connections that requests share', () => {
  let database: Awaited<ReturnType<typeof makeDatabase>>
  let db: Knex
  let aside: pg.Client
  before(async () => {
    database = await makeDatabase()
    aside = new pg.Client({ connectionString: database.url })
    await aside.connect()
    await aside.query('create table notes (id int primary key, by xid8 not null default pg_current_xact_id())')
  })
  after(async () => {
    await aside.end()
    await database.drop()
  })
  beforeEach(async () => {
    await aside.query('truncate notes')
    db = connect(database.url, { lanes: true, patience: 1000 })
  })
  afterEach(() => db.destroy())

  const add = (id: number, shares = true) =>
    named(db, 'add', 'insert into notes (id) values ($1) returning id', [id], shares)
  const stored = async () => (await aside.query('select id, by from notes order by id')).rows
  const outcomes = async (all: Promise<any>[]) =>
    (await Promise.allSettled(all)).map((one) => (one.status === 'fulfilled' ? 'done' : one.reason.code))

  it('answer each statement with its own rows, in whatever order they end', async () => {
    const echo = (n: number) => named(db, 'echo', 'select $1::int as n', [n])
    for (let round = 0; round < 3; round += 1) {
      const rows = await Promise.all(Array.from({ length: 60 }, (_, n) => (n % 2 ? echo(n) : add(round * 100 + n))))
      expect(rows.map(([row]) => row.n ?? row.id % 100)).to.deep.equal(Array.from({ length: 60 }, (_, n) => n))
    }
    expect(await stored()).to.have.length(90)
  })

  it('commit together what came together, and alone what does not share', async () => {
    await add(0)
    await Promise.all([1, 2, 3, 4, 5].map((id) => add(id)))
    await add(9, false)
    await Promise.all([10, 11, 12].map((id) => add(id, false)))
    const rows = await stored()
    const transactions = (from: number, to: number) =>
      new Set(rows.filter(({ id }) => id >= from && id <= to).map(({ by }) => by)).size
    expect(transactions(1, 5)).to.equal(1)
    expect(transactions(10, 12)).to.equal(3)
  })

  it('do what is good where one of those together fails, and tell that one alone', async () => {
    await add(3)
    expect(await outcomes([1, 2, 3, 4, 5].map((id) => add(id)))).to.deep.equal([
      'done',
      'done',
      '23505',
      'done',
      'done',
    ])
    expect((await stored()).map(({ id }) => id)).to.deep.equal([1, 2, 3, 4, 5])
  })

  it('let others go on while one waits for a lock', async () => {
    await Promise.all([add(1), named(db, 'add', 'insert into notes (id) values ($1) returning id', [2], false)])
    await aside.query('begin; insert into notes (id) values (50)')
    const blocked = add(50).catch((error) => error.code)
    await new Promise((resolve) => setTimeout(resolve, 100))
    await add(51)
    expect((await stored()).map(({ id }) => id)).to.include(51)
    await aside.query('commit')
    expect(await blocked).to.equal('23505')
  })

  it('say of all that were on their way that the database is away, and come back by themselves', async () => {
    await add(1)
    await aside.query('begin; lock table notes')
    const cut = Promise.allSettled([2, 3, 4].map((id) => add(id)))
    await new Promise((resolve) => setTimeout(resolve, 100))
    await aside.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and application_name = 'gatehouse'`)
    for (const one of await cut) {
      expect(one.status).to.equal('rejected')
      expect(isOutage((one as PromiseRejectedResult).reason)).to.equal(true)
    }
    await aside.query('commit')
    expect((await stored()).map(({ id }) => id)).to.deep.equal([1])
    // One that was idle when it was cut may be used once more before that is noticed.
    while (await add(5).then(() => false, isOutage)) await new Promise((resolve) => setTimeout(resolve, 20))
    expect((await stored()).map(({ id }) => id)).to.deep.equal([1, 5])
  })

  it('give up a statement after its time', async () => {
    await add(1)
    await aside.query('begin; lock table notes')
    const error = await add(2).catch((e) => e)
    await aside.query('commit')
    expect(error.code).to.equal('57014')
    expect(isOutage(error)).to.equal(true)
    await add(3)
  })
})
