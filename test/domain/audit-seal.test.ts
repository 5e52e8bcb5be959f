import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import * as heads from '../../server/domain/audit/heads.ts'
import { seal } from '../../server/domain/audit/seal.ts'
import { verify } from '../../server/domain/audit/verify.ts'
import { erase } from '../../server/domain/deletion.ts'
import { DEFAULT_TENANT as tenant_id } from '../../server/domain/ids.ts'
import { purge } from '../../server/domain/maintenance.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { withTenant } from '../support/roles.ts'

const DAY_MS = 86_400_000
const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS)

describe('the audit tree', () => {
  let app: TestApp
  let ada: Person
  beforeEach(async () => {
    app = await startApp({}, { jobs: false })
    ada = await app.person('ada@example.com')
  })
  afterEach(() => app.close())
  const sealNow = (at?: Date) => seal(app.deps.out, app.db, at)
  const facts = (count: number, fields: object = {}) =>
    Array.from({ length: count }, () => ({
      tenant_id,
      id: randomUUID(),
      type: 'test.fact',
      ip: '203.0.113.9',
      ...fields,
    }))
  const write = (count: number, fields?: object) => app.db('events').insert(facts(count, fields))
  const leaves = async () => Number((await app.db('audit_leaves').count({ n: '*' }))[0]!.n)
  const events = async () => Number((await app.db('events').count({ n: '*' }))[0]!.n)
  const problems = async () => (await verify(app.db, tenant_id)).problems.map(({ what }) => what)
  /** What whoever owns the database can do. */
  const force = (sql: string) =>
    app.db.transaction(async (trx) => {
      await trx.raw('set local session_replication_role = replica')
      return trx.raw(sql)
    })

  it('takes every event once, although several seal at once', async () => {
    await write(5000)
    await Promise.all(Array.from({ length: 5 }, () => sealNow()))
    await sealNow()
    expect(await leaves()).to.equal(await events())
    expect(await sealNow()).to.equal(0)
    expect(await verify(app.db, tenant_id)).to.deep.include({ treeSize: await events(), waiting: 0, problems: [] })
  })

  it('does not miss what is committed late, after younger events were sealed', async () => {
    await sealNow()
    const late = await app.db.transaction()
    await late('events').insert(facts(1, { type: 'test.late' }))
    await write(3)
    await sealNow()
    const [known] = [await leaves()]
    await late.commit()
    await write(1)
    await sealNow()
    await sealNow()
    expect(await leaves()).to.equal(await events())
    expect(await leaves()).to.be.greaterThan(known)
    const { id } = await app.db('events').where({ type: 'test.late' }).first('id')
    expect(await app.db('audit_leaves').where({ event_id: id })).to.have.length(1)
    expect(await problems()).to.deep.equal([])
  })

  it('takes what it finds in another cluster, whose transactions are numbered anew', async () => {
    await sealNow()
    await app.db('audit_progress').update({ cluster: 'elsewhere', next_xid: 2 ** 50 })
    await write(3, { xid: 2 ** 49 })
    await write(3, { xid: 0 })
    await write(5100)
    await sealNow()
    expect(await leaves()).to.equal(await events())
    await write(1)
    await sealNow()
    expect(await leaves()).to.equal(await events())
  })

  it('keeps tenants apart, and signs a head of each', async () => {
    const acme = await withTenant(app, 'acme')
    await sealNow()
    const head = (await heads.find(app.db, acme.id))!
    expect(head.treeSize).to.equal(
      Number((await app.db('events').where({ tenant_id: acme.id }).count({ n: '*' }))[0]!.n),
    )
    expect(await heads.open(app.db, acme.id, head.jws)).to.include({
      tree_size: head.treeSize,
      root_hash: head.rootHash,
    })
    expect(await heads.open(app.db, tenant_id, head.jws), 'no key of the other tenant').to.equal(undefined)
    expect((await verify(app.db, acme.id)).problems).to.deep.equal([])
  })

  it('has events that are changed or deleted by nobody by mistake', async () => {
    for (const attempt of [
      app.db('events').update({ type: 'x' }),
      app.db('events').delete(),
      app.db.raw('truncate events'),
    ]) {
      const refused = await attempt.then(
        () => 'done',
        (error) => error.message,
      )
      expect(refused).to.contain('append-only')
    }
    expect(await events()).to.be.greaterThan(0)
  })

  it('finds whatever is changed, deleted, slipped in or cut off', async () => {
    await write(600)
    await sealNow()
    const [one, two] = await app
      .db('audit_leaves')
      .whereBetween('leaf_index', [300, 301])
      .orderBy('leaf_index')
      .pluck('event_id')
    const undo: [string, string, string][] = [
      [
        `update events set type = 'x' where id = '${one}'`,
        `update events set type = 'test.fact' where id = '${one}'`,
        'the event was changed',
      ],
      [
        `update events set ip = '203.0.113.10' where id = '${one}'`,
        `update events set ip = '203.0.113.9' where id = '${one}'`,
        'the event was changed',
      ],
      [
        `update events set created_at = created_at - interval '1 s' where id = '${one}'`,
        `update events set created_at = created_at + interval '1 s' where id = '${one}'`,
        'the event was changed',
      ],
      [
        `update audit_leaves set salt = null where event_id = '${one}'`,
        '',
        'the event lost its details, but nobody was erased',
      ],
      [`delete from events where id = '${two}'`, '', 'the event was deleted'],
      [
        `insert into events (tenant_id, id, type, xid) values ('${tenant_id}', gen_random_uuid(), 'test.forged', 1)`,
        `delete from events where type = 'test.forged'`,
        'the event was slipped in',
      ],
      [
        `update audit_trees set purged_to = 500`,
        'update audit_trees set purged_to = 0',
        'retention is claimed without a signed head that is old enough',
      ],
      [
        `update audit_heads set jws = replace(jws, '.', '.e')`,
        `update audit_heads set jws = replace(jws, '.e', '.')`,
        'a head is not signed by the tenant',
      ],
    ]
    let known: string[] = []
    for (const [harm, mend, what] of undo) {
      await force(harm)
      expect(await problems(), harm).to.include(what)
      if (mend) await force(mend)
      else known = await problems()
      expect(await problems(), mend).to.deep.equal(known)
    }
  })

  it('finds a log cut off or rewritten as a whole by a head that was kept elsewhere', async function () {
    this.timeout(30_000)
    await write(20)
    await sealNow()
    const kept = (await heads.find(app.db, tenant_id))!
    await write(5)
    await sealNow()
    await force('delete from events where id in (select event_id from audit_leaves where leaf_index > 10)')
    for (const table of ['audit_leaves', 'audit_tiles', 'audit_heads', 'audit_trees'])
      await force(`delete from ${table}`)
    await force('update audit_progress set next_xid = 0, cluster = null')
    await sealNow()
    expect(await problems(), 'by itself the new log is a good one').to.deep.equal([])
    const statement = (await heads.open(app.db, tenant_id, kept.jws))!
    const { problems: found } = await verify(app.db, tenant_id, [statement])
    expect(found).to.deep.equal([{ what: 'the log was cut off', leafIndex: kept.treeSize }])
    await write(30)
    await sealNow()
    const rewritten = await verify(app.db, tenant_id, [statement])
    expect(rewritten.problems).to.deep.equal([
      { what: 'the log before here is not what a head says', leafIndex: kept.treeSize },
    ])
    const file = join(tmpdir(), `heads-${process.pid}`)
    writeFileSync(file, `${kept.jws}\n`)
    const run = (...args: string[]) =>
      promisify(execFile)(process.execPath, ['server/audit-verify.ts', ...args], {
        env: { ...process.env, DATABASE_URL: app.databaseUrl, SECRET_KEY: 'a'.repeat(64), NODE_ENV: '' },
      }).then(
        ({ stdout }) => ({ code: 0, stdout }),
        (error) => ({ code: error.code, stdout: error.stdout }),
      )
    const good = await run('--tenant', 'default')
    expect(good.stdout).to.match(/^default: .* good$/m)
    expect(good.code).to.equal(0)
    const bad = await run('--heads', file)
    expect(bad.stdout).to.contain('the log before here is not what a head says')
    expect(bad.code).to.equal(1)
  })

  it('lets retention delete events, whose absence is then explained', async () => {
    await write(300)
    await sealNow(daysAgo(40))
    await write(4)
    await sealNow(daysAgo(31))
    const old = await leaves()
    await write(2)
    await sealNow(daysAgo(29))
    await app.db('settings').insert({ tenant_id, key: 'event_retention_days', value: '30' })
    const before = await events()
    const { events: gone } = await purge(app.db, 100)
    expect(gone).to.equal(old)
    expect(await events()).to.equal(before - old + 1)
    const [said] = await app.db('events').where({ type: 'audit.purged' })
    expect(said.data).to.deep.equal({ leavesBefore: old })
    expect((await purge(app.db, 100)).events).to.equal(0)
    await sealNow()
    expect(await verify(app.db, tenant_id)).to.deep.include({ purged: old, problems: [], heads: 4 })
    await force(`delete from audit_heads where size = ${old}`)
    expect(await problems()).to.include('retention is claimed without a signed head that is old enough')
  })

  it('stays good when a person is erased, and holds nothing of them', async () => {
    await sealNow()
    const mine = await app.db('events').where({ user_id: ada.id })
    expect(mine.some(({ ip }) => ip !== null)).to.equal(true)
    await app
      .db('users')
      .where({ id: ada.id })
      .update({ status: 'deleted', deleted_at: app.db.raw(`now() - interval '31 days'`) })
    expect(await erase(app.db)).to.equal(1)
    await sealNow()
    const left = await app.db('events').where({ user_id: ada.id })
    expect(
      left.every(({ ip, user_agent, data }) => ip === null && user_agent === null && Object.keys(data).length === 0),
    ).to.equal(true)
    expect(left.map(({ type }) => type)).to.include('user.erased')
    const salts = await app
      .db('audit_leaves')
      .whereIn(
        'event_id',
        mine.map(({ id }) => id),
      )
      .pluck('salt')
    expect(salts.every((salt) => salt === null)).to.equal(true)
    expect(await verify(app.db, tenant_id)).to.deep.include({ erased: mine.length, problems: [] })
    expect(await problems()).to.deep.equal([])
  })

  it('thins heads to one a day after a week', async () => {
    const midnight = (days: number) => Math.floor(daysAgo(days).getTime() / DAY_MS) * DAY_MS
    for (const at of [midnight(20), midnight(20) + 1000, midnight(20) + 2000, midnight(2), midnight(2) + 1000]) {
      await write(1)
      await sealNow(new Date(at))
    }
    const last = (await heads.find(app.db, tenant_id))!
    await purge(app.db)
    const sizes = await app.db('audit_heads').where({ tenant_id }).orderBy('size').pluck('size')
    expect(sizes).to.deep.equal([last.treeSize - 2, last.treeSize - 1, last.treeSize])
    expect(await problems()).to.deep.equal([])
  })
})
