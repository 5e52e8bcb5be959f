/** What the clock does for all tenants takes as many statements for hundreds as for a few, and forgets none. */
import { expect } from 'chai'
import { open } from '../../server/domain/audit/heads.ts'
import { seal } from '../../server/domain/audit/seal.ts'
import { newId } from '../../server/domain/ids.ts'
import { makeKeys, storeKeys } from '../../server/domain/keys.ts'
import { purge } from '../../server/domain/maintenance.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'

const MANY = 600
const DAY = 86_400_000

describe('the clock with many tenants', () => {
  let app: TestApp
  let tenants: string[]
  before(async function () {
    this.timeout(60_000)
    app = await startApp({ LOG_LEVEL: 'silent' }, { jobs: false })
    tenants = Array.from({ length: MANY }, () => newId())
    await app.db.raw(`insert into tenants (id, slug, name) select id, 't' || id, 'T' from unnest(?::uuid[]) id`, [
      tenants,
    ])
    const keys = await makeKeys(['ES256'])
    for (const id of tenants) await storeKeys(app.db, app.deps.out.sealing, id, keys)
  })
  after(() => app.close())

  /** Until nothing older is open in the whole cluster, so that sealing takes what happened by one call. */
  const happen = async (ids: string[], type: string) => {
    await app.db.raw(
      `insert into events (tenant_id, id, type) select id, gen_random_uuid(), ? from unnest(?::uuid[]) id`,
      [type, ids],
    )
    await eventually(async () => {
      const over = 'max(xid) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint as over'
      expect((await app.db('events').first(app.db.raw(over))).over).to.equal(true)
    })
  }
  async function statementsOf(work: () => Promise<unknown>): Promise<number> {
    let count = 0
    const note = () => {
      count += 1
    }
    app.db.on('query', note)
    await work()
    app.db.removeListener('query', note)
    return count
  }
  const kept = async (type: string) => Number((await app.db('events').where({ type }).count({ n: '*' }))[0]!.n)

  it('seals the events of all, and signs a head of each', async () => {
    const few = tenants.slice(0, 10)
    await seal(app.deps.out, app.db)
    await happen(few, 'test.few')
    const forFew = await statementsOf(() => seal(app.deps.out, app.db, new Date(Date.now() - 40 * DAY)))
    await happen(tenants, 'test.old')
    const forAll = await statementsOf(() => seal(app.deps.out, app.db, new Date(Date.now() - 40 * DAY)))
    // Two more for each further 500 heads, and what begins and ends their transactions.
    expect(forAll).to.be.lessThan(forFew + 40)
    const heads = await app.db('audit_heads').whereIn('tenant_id', tenants).orderBy('size', 'desc')
    expect(new Set(heads.map((head) => head.tenant_id)).size).to.equal(MANY)
    const sizes = new Map(heads.toReversed().map((head) => [head.tenant_id, head.size]))
    expect([sizes.get(few[0]), sizes.get(tenants.at(-1))]).to.deep.equal([2, 1])
    const last = heads.find((head) => head.tenant_id === tenants.at(-1))!
    const said = await open(app.db, last.tenant_id, last.jws)
    expect(said).to.include({ tenant_id: last.tenant_id, tree_size: 1, root_hash: last.root.toString('base64url') })
    expect(said!.iss).to.equal(`${app.url}/t/t${last.tenant_id}`)
  })

  it('lets none go without a head because one has no key', async () => {
    const [bare, other] = [tenants[20]!, tenants[21]!]
    await app.db('signing_keys').where({ tenant_id: bare }).delete()
    await happen([bare, other], 'test.old')
    await seal(app.deps.out, app.db, new Date(Date.now() - 39 * DAY))
    const sizes = async (id: string) => app.db('audit_heads').where({ tenant_id: id }).orderBy('size').pluck('size')
    expect(await sizes(other)).to.deep.equal([1, 2])
    expect(await sizes(bare)).to.deep.equal([1])
  })

  it('deletes old events by the days of each tenant, in batches over all of them', async () => {
    const short = tenants.slice(0, MANY / 2)
    const setDays = (ids: string[]) =>
      app.db.raw(
        `insert into settings (tenant_id, key, value) select id, 'event_retention_days', '30' from unnest(?::uuid[]) id`,
        [ids],
      )
    const nothing = await statementsOf(() => purge(app.db))
    await setDays(short.slice(0, 5))
    const forFew = await statementsOf(() => purge(app.db))
    await setDays(short.slice(5))
    let gone: Record<string, number> = {}
    const forMany = await statementsOf(async () => {
      gone = await purge(app.db)
    })
    expect(forFew).to.be.lessThan(nothing + 15)
    expect(forMany).to.be.lessThan(forFew + 15)
    expect(gone.events).to.equal(short.length - 5 + 5 + 1)
    // One of a tenant that has no head after it.
    expect(await kept('test.old')).to.equal(MANY / 2 + 1)
    const told = await app.db('events').where({ type: 'audit.purged' }).whereIn('tenant_id', tenants)
    expect(new Set(told.map((event) => event.tenant_id))).to.deep.equal(new Set(short))
    expect(told.find((event) => event.tenant_id === short[30])!.data).to.deep.equal({ leavesBefore: 1 })
    expect((await purge(app.db)).events).to.equal(0)
  })

  it('deletes what fits into a batch at a time, of whichever tenants', async () => {
    const rest = tenants.slice(MANY / 2, MANY / 2 + 100)
    await app.db.raw(
      `insert into settings (tenant_id, key, value) select id, 'event_retention_days', '30' from unnest(?::uuid[]) id`,
      [rest],
    )
    const gone = await purge(app.db, 7)
    expect(gone.events).to.equal(rest.length)
    expect(await kept('test.old')).to.equal(MANY / 2 + 1 - rest.length)
  })
})
