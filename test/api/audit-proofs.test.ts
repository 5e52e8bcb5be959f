import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { compactVerify, createRemoteJWKSet } from 'jose'
import { ROLE } from '../../server/domain/ids.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { includes, isConsistent, leaf } from '../support/merkle.ts'
import { expectProblem } from '../support/problems.ts'
import { someone, withTenant } from '../support/roles.ts'
import { sealed } from '../support/sealed.ts'

const bytes = (text: string) => Buffer.from(text, 'base64url')

/** Carl keeps heads in a drawer, and trusts nobody who has the database. */
describe('proofs about the audit log', () => {
  let app: TestApp
  let anna: Person
  let ben: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' }, { jobs: false })
    anna = await someone(app, ROLE.admin, { email: 'anna@example.com' })
    ben = await someone(app, undefined, { email: 'ben@example.com' })
  })
  after(() => app.close())
  const sealNow = () => sealed(app)
  const get = (path: string, token = anna.accessToken) => app.call('GET', `/v1/audit/${path}`, { token })
  const read = async (path: string) => {
    const { status, body } = await get(path)
    expect(status, JSON.stringify(body)).to.equal(200)
    return body
  }

  it('answer that it takes a minute while an event is not sealed', async () => {
    expectProblem(await get('heads/latest'), 404, 'NOT_FOUND')
    expectProblem(await get('consistency?first=1'), 404, 'NOT_FOUND')
    const { logs } = await read('logs?limit=1')
    const refused = await get(`logs/${logs[0].id}/proof`)
    expectProblem(refused, 409, 'CONFLICT')
    expect(refused.headers.get('retry-after')).to.equal('60')
  })

  it('give heads that the published keys verify', async () => {
    await sealNow()
    const head = await read('heads/latest')
    const keys = createRemoteJWKSet(new URL(`${app.url}/oauth/jwks`))
    const { payload, protectedHeader } = await compactVerify(head.jws, keys)
    expect(protectedHeader.typ).to.equal('audit-head+jws')
    expect(JSON.parse(Buffer.from(payload).toString())).to.include({
      iss: app.url,
      tree_size: head.tree_size,
      root_hash: head.root_hash,
    })
  })

  it('show that an event is in the log, with what the log says of it', async () => {
    const head = await read('heads/latest')
    const { logs } = await read(`logs?user_id=${ben.id}`)
    expect(logs.length).to.be.greaterThan(1)
    for (const log of logs) {
      const proof = await read(`logs/${log.id}/proof`)
      expect(proof).to.include({ tree_size: head.tree_size, root_hash: head.root_hash })
      const hash = leaf(proof.leaf)
      expect(hash.toString('base64url')).to.equal(proof.leaf_hash)
      expect(
        includes(hash, proof.leaf_index, proof.tree_size, proof.hashes.map(bytes), bytes(head.root_hash)),
      ).to.equal(true)
      const said = JSON.parse(proof.leaf)
      for (const key of [
        'id',
        'event_type',
        'actor_id',
        'user_id',
        'client_id',
        'session_id',
        'request_id',
        'created_at',
      ])
        expect(said[key], key).to.equal(log[key])
      const details = JSON.stringify({ data: log.data, ip: log.ip, user_agent: log.user_agent })
      const salted = createHash('sha256').update(bytes(proof.salt)).update(details).digest('base64url')
      if (Object.keys(log.data).length < 2) expect(salted).to.equal(said.details)
    }
  })

  it('show that the log only grew since an old head, also for an old size of the tree', async () => {
    const old = await read('heads/latest')
    await app.call('POST', '/v1/auth/login', { body: { email: ben.email, password: 'Wrong-Password-1!' } })
    await sealNow()
    const head = await read('heads/latest')
    expect(head.tree_size).to.be.greaterThan(old.tree_size)
    const proof = await read(`consistency?first=${old.tree_size}`)
    expect(proof).to.include({ second: head.tree_size, first_root: old.root_hash, second_root: head.root_hash })
    const [one, two] = [bytes(old.root_hash), bytes(head.root_hash)]
    expect(isConsistent(old.tree_size, head.tree_size, proof.hashes.map(bytes), one, two)).to.equal(true)
    expect((await read('heads')).heads.map((h: any) => h.tree_size)).to.deep.equal([head.tree_size, old.tree_size])
    const first = await read('heads?limit=1')
    expect((await read(`heads?limit=1&cursor=${first.next_cursor}`)).heads).to.deep.equal([old])
    const { logs } = await read(`logs?user_id=${ben.id}&event_type=login.success`)
    const older = await read(`logs/${logs[0].id}/proof?tree_size=${old.tree_size}`)
    expect(older.root_hash).to.equal(old.root_hash)
    const young = (await read('logs?event_type=login.failed')).logs[0]
    expectProblem(await get(`logs/${young.id}/proof?tree_size=${old.tree_size}`), 400, 'VALIDATION_ERROR')
  })

  it('are for who may read the log, and of their tenant alone', async () => {
    const acme = await withTenant(app, 'acme')
    const { logs } = await read(`logs?user_id=${ben.id}`)
    const paths = ['heads', 'heads/latest', 'consistency?first=1', `logs/${logs[0].id}/proof`]
    for (const path of paths) expectProblem(await get(path, ben.accessToken), 403, 'ACCESS_DENIED')
    const theirs = await app.call('GET', `/t/acme/v1/audit/logs/${logs[0].id}/proof`, { token: acme.boss.accessToken })
    expectProblem(theirs, 404, 'NOT_FOUND')
    for (const path of [
      'consistency?first=0',
      'consistency?first=3&second=2',
      'consistency?first=1&second=9007199254740991',
      'heads?cursor=0',
      'logs/x/proof',
      `logs/${logs[0].id}/proof?tree_size=1e300`,
    ])
      expectProblem(await get(path), 400, 'VALIDATION_ERROR')
  })
})
