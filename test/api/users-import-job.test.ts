import { request } from 'node:http'
import { expect } from 'chai'
import { ROLE } from '../../server/domain/ids.ts'
import { purge } from '../../server/domain/maintenance.ts'
import { pause } from '../support/address.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { expectProblem } from '../support/problems.ts'
import { someone } from '../support/roles.ts'

const PATH = '/v1/admin/users/import'

describe('importing users as a job', () => {
  let app: TestApp
  let admin: string
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1', IMPORT_MAX_MB: '1' })
    admin = await app.admin()
  })
  after(() => app.close())
  beforeEach(() => app.db('rate_limits').delete())

  const lines = (prefix: string, count: number, more: (i: number) => object = () => ({})) =>
    Array.from(
      { length: count },
      (_, i) => `${JSON.stringify({ email: `${prefix}${i}@job.example`, ...more(i) })}\n`,
    ).join('')
  const send = (body: string, query = '', token = admin) =>
    app.call('POST', PATH + query, { raw: { type: 'application/x-ndjson', body }, token })
  const get = async (id: string, path = '') =>
    (await app.call('GET', `/v1/admin/imports/${id}${path}`, { token: admin })).body
  const over = async (id: string) => {
    for (;;) {
      const found = await get(id)
      if (!['queued', 'running'].includes(found.status)) return found
      await pause(50)
    }
  }
  const count = async (prefix: string) =>
    Number((await app.db('users').where('email', 'like', `${prefix}%@job.example`).count('*'))[0]!.count)
  const waiting = () => app.db('import_chunks').whereNotNull('data').select('data')
  /** No job of an import begins while fn runs. */
  const held = async (fn: () => Promise<void>) => {
    await app.db.raw(`insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by)
      values ('imports', now(), 'test') on conflict (queue_name) do update set locked_at = now(), locked_by = 'test'`)
    try {
      await fn()
    } finally {
      await app.db.raw(
        `update graphile_worker._private_job_queues set locked_at = null, locked_by = null where queue_name = 'imports'`,
      )
    }
  }

  it('goes on after the answer, tells how far it is, and what became of each row', async () => {
    const body = lines('many', 1200, (i) =>
      i % 100 === 7 ? { is_admin: true } : { given_name: `N${i}`, roles: ['user'] },
    )
    const answer = await send(`${body}{"email":"many0@job.example"}\n`)
    expect(answer.status).to.equal(202)
    expect(answer.body).to.include({ status: 'queued', format: 'ndjson', total: 1201, processed: 0 })
    expect(answer.body).to.not.have.property('results')
    const done = await over(answer.body.id)
    expect(done).to.include({ status: 'done', total: 1201, processed: 1201, created: 1188, failed: 13, error: null })
    expect(await count('many')).to.equal(1188)
    const created = await app.db('events').whereRaw(`type = 'user.created' and data->>'import' = ?`, [answer.body.id])
    expect(new Set(created.map(({ user_id }) => user_id)).size).to.equal(1188)
    expect(created.length).to.equal(1188)
    const facts = await app
      .db('events')
      .whereRaw(`data->>'import' = ?`, [answer.body.id])
      .whereNot('type', 'user.created')
    expect(facts.map(({ type }) => type)).to.have.members(['users.import_started', 'users.imported'])

    const first = await get(answer.body.id, '/results?limit=1000')
    expect(first).to.include({ count: 1000, next_cursor: '1000' })
    const rest = await get(answer.body.id, `/results?limit=1000&cursor=${first.next_cursor}`)
    const numbers = [...first.results, ...rest.results].map((r: any) => r.number)
    expect(numbers).to.deep.equal(Array.from({ length: 1201 }, (_, i) => i + 1))
    const failed = await get(answer.body.id, '/results?outcome=failed')
    expect(failed.results.map((r: any) => r.line)).to.deep.equal([
      8, 108, 208, 308, 408, 508, 608, 708, 808, 908, 1008, 1108, 1201,
    ])
    expect(failed.results[0].errors).to.deep.equal([{ field: 'is_admin', message: 'is not a known field' }])
    const text = await get(answer.body.id, '/results?format=ndjson&outcome=created')
    expect(text.trim().split('\n')).to.have.lengthOf(1188)
    expect(JSON.parse(text.split('\n')[0])).to.include({ number: 1, email: 'many0@job.example', outcome: 'created' })
    expect((await app.call('GET', '/v1/admin/imports', { token: admin })).body.imports[0]).to.deep.equal(done)
  })

  it('keeps the rows that wait unreadable, and forgets them when they are done or cancelled', async () => {
    await held(async () => {
      const { body } = await send(lines('stop', 1001, () => ({ password_hash: `$2b$04$${'c'.repeat(53)}` })))
      const stored = (await waiting()).map(({ data }) => data.toString('latin1')).join()
      expect(stored.length).to.be.greaterThan(1000)
      expect(stored).to.not.include('job.example').and.not.include('$2b$')
      const cancelled = await app.call('POST', `/v1/admin/imports/${body.id}/cancel`, { token: admin, body: {} })
      expect(cancelled.body).to.include({ status: 'cancelled', processed: 0 })
      expect(await waiting()).to.deep.equal([])
      expectProblem(
        await app.call('POST', `/v1/admin/imports/${body.id}/cancel`, { token: admin, body: {} }),
        409,
        'CONFLICT',
      )
    })
    const { body } = await send(lines('half', 6000))
    while ((await get(body.id)).processed === 0) await pause(10)
    await app.call('POST', `/v1/admin/imports/${body.id}/cancel`, { token: admin, body: {} })
    const ended = await over(body.id)
    expect(ended.processed).to.be.greaterThan(0)
    await pause(300)
    expect(await count('half')).to.equal(ended.created)
    expect(await get(body.id)).to.deep.equal(ended)
    expect(await count('stop')).to.equal(0)
  })

  it('goes on behind the last rows when the database cuts it off in the middle of some', async () => {
    const { body } = await send(lines('cut', 3000))
    for (let hit = 0; hit === 0; ) {
      const { rows } = await app.db.raw(
        `select count(pg_terminate_backend(pid))::int as count from pg_stat_activity
         where datname = current_database() and state <> 'idle' and query like 'insert into users (tenant_id, id, email, email_key%'`,
      )
      hit = rows[0].count
      if ((await get(body.id)).status === 'done') throw new Error('it was too fast to be hit')
    }
    const done = await over(body.id)
    expect(done).to.include({ status: 'done', created: 3000, processed: 3000, failed: 0 })
    expect(await count('cut')).to.equal(3000)
    const [{ events }] = (await app
      .db('events')
      .whereRaw(`type = 'user.created' and data->>'import' = ?`, [body.id])
      .count({ events: '*' })) as any
    expect(Number(events)).to.equal(3000)
  }).timeout(20_000)

  it('stops when whoever started it may do it no longer', async () => {
    const clerk = await someone(app, ROLE.admin)
    let id = ''
    await held(async () => {
      const answer = await send(lines('gone', 1001), '', clerk.accessToken)
      id = answer.body.id
      await app.db('user_roles').where({ user_id: clerk.id, role_id: ROLE.admin }).delete()
    })
    const failed = await over(id)
    expect(failed).to.include({ status: 'failed', created: 0, error: 'Whoever started it may no longer create users' })
    expect(await count('gone')).to.equal(0)
    expect(await waiting()).to.deep.equal([])
  })

  it('takes turns: a few at once for a tenant, and no more', async () => {
    await held(async () => {
      const ids: string[] = []
      for (let i = 0; i < 5; i += 1) ids.push((await send(lines(`turn${i}-`, 1001), '?dry_run=true')).body.id)
      expectProblem(await send(lines('turn5-', 1001)), 409, 'CONFLICT')
      expect((await send(lines('small', 3))).body.created).to.equal(3)
      for (const id of ids) await app.call('POST', `/v1/admin/imports/${id}/cancel`, { token: admin, body: {} })
    })
  })

  it('leaves nothing of an upload that is too large, no such file at its end, or cut off', async () => {
    const before = await app.db('imports').count('*')
    expectProblem(await send(lines('large', 40_000)), 413, 'PAYLOAD_TOO_LARGE')
    const bad = `{"users":[${lines('bad', 2000).trim().replaceAll('\n', ',')}],"nonsense":1}`
    const answer = await app.call('POST', PATH, { raw: { type: 'application/json', body: bad }, token: admin })
    expectProblem(answer, 400, 'VALIDATION_ERROR')
    await new Promise<void>((resolve) => {
      const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/x-ndjson' }
      const sent = request(app.url + PATH, { method: 'POST', headers }).on('error', () => resolve())
      sent.write(lines('torn', 5000))
      const poll = setInterval(async () => {
        if ((await app.db('imports').where({ status: 'receiving' })).length === 0) return
        clearInterval(poll)
        sent.destroy()
        resolve()
      }, 20)
    })
    for (let i = 0; i < 100 && (await app.db('imports').where({ status: 'receiving' })).length > 0; i += 1)
      await pause(20)
    expect(await app.db('imports').count('*')).to.deep.equal(before)
    expect(await app.db('import_chunks').whereNotNull('data')).to.deep.equal([])
    for (const prefix of ['large', 'bad', 'torn']) expect(await count(prefix)).to.equal(0)
  })

  it('does not begin when it was cancelled while its rows came in', async () => {
    const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/x-ndjson' }
    const sent = request(app.url + PATH, { method: 'POST', headers })
    const answered = new Promise<number>((resolve) => sent.on('response', (answer) => resolve(answer.statusCode!)))
    sent.write(lines('late', 2000))
    const receiving = async () => (await app.db('imports').where({ status: 'receiving' }))[0]?.id
    while (!(await receiving())) await pause(20)
    const id = await receiving()
    await app.call('POST', `/v1/admin/imports/${id}/cancel`, { token: admin, body: {} })
    sent.end(lines('later', 1000))
    expect(await answered).to.equal(409)
    expect((await get(id)).status).to.equal('cancelled')
    expect(await waiting()).to.deep.equal([])
    expect(await count('late')).to.equal(0)
  })

  it('is forgotten with its results after a month', async () => {
    await app.db('imports').update({ finished_at: app.db.raw(`now() - interval '31 days'`) })
    await purge(app.db)
    expect(await app.db('imports')).to.deep.equal([])
    expect(await app.db('import_chunks')).to.deep.equal([])
  })
})
