import { expect } from 'chai'
import { DEFAULT_TENANT } from '../../server/domain/ids.ts'
import { from, pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'

const SAMPLES = 20
const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

describe('whether an account exists is not told', () => {
  let app: TestApp
  let zoe: Person
  before(async () => {
    app = await startApp({ TRUST_PROXY: '1' })
    zoe = await app.person('zoe@example.com')
  })
  after(() => app.close())

  /** Calls in turn for a known and an unknown account; compares status, body and the median of the time. */
  async function indistinguishable(path: string, known: (i: number) => object, unknown: (i: number) => object) {
    const times: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] }
    const seen = new Set<string>()
    const once = async (kind: 'known' | 'unknown', i: number, round = 0) => {
      const n = i < 0 ? i : round * SAMPLES + i
      const body = kind === 'known' ? known(n) : unknown(n)
      const started = performance.now()
      const answer = await app.call('POST', path, { body, headers: from() })
      times[kind].push(performance.now() - started)
      const { request_id, ...rest } = answer.body
      const headers = [...answer.headers.keys()].sort().join()
      seen.add(JSON.stringify([answer.status, rest, headers]))
      // The mail of a known account is rendered and sent by a job; it must not slow down the next sample.
      await pause(30)
    }
    for (let i = 0; i < 3; i += 1) for (const kind of ['known', 'unknown'] as const) await once(kind, -1 - i)
    // A real difference shows in every round; one that a busy machine made does not.
    let difference = Infinity
    for (let round = 0; round < 3 && difference >= 5; round += 1) {
      times.known.length = 0
      times.unknown.length = 0
      for (let i = 0; i < SAMPLES; i += 1) {
        const order = i % 2 ? (['known', 'unknown'] as const) : (['unknown', 'known'] as const)
        for (const kind of order) await once(kind, i, round)
      }
      difference = Math.abs(median(times.known) - median(times.unknown))
    }
    expect([...seen], path).to.have.length(1)
    expect(difference, `${path}: ${median(times.known)} and ${median(times.unknown)} ms`).to.be.below(5)
  }

  it('by signing in', async () => {
    // A person for each sample, since failures of one account slow it down.
    const people: string[] = []
    for (let i = 0; i < SAMPLES + 3; i += 1) people.push((await app.person()).email)
    await indistinguishable(
      '/v1/auth/login',
      (i) => ({ email: people.at(i < 0 ? i : i % SAMPLES), password: 'wrong-password-1' }),
      (i) => ({ email: `nobody${i}@example.com`, password: 'wrong-password-1' }),
    )
  }).timeout(60_000)

  it('by asking for a reset', () =>
    indistinguishable(
      '/v1/auth/forgot-password',
      () => ({ email: zoe.email }),
      (i) => ({ email: `nobody${i}@example.com` }),
    ))

  it('by asking for verification, for unverified and verified accounts', async () => {
    const unknown = (i: number) => ({ email: `nobody${i}@example.com` })
    await indistinguishable('/auth/resend-verification', () => ({ email: zoe.email }), unknown)
    await app.db('users').where({ id: zoe.id }).update({ email_verified_at: app.db.fn.now() })
    await indistinguishable('/auth/resend-verification', () => ({ email: zoe.email }), unknown)
  })

  it('by registering, where the tenant hides it; the owner is told by mail', async () => {
    await app.db('settings').insert({ tenant_id: DEFAULT_TENANT, key: 'enumeration_protection', value: 'true' })
    await pause(300)
    const password = 'SecurePassword123!'
    await indistinguishable(
      '/v1/auth/register',
      () => ({ email: zoe.email, password }),
      (i) => ({ email: `fresh${i}@example.com`, password }),
    )
    expect(await app.db('users').where({ email_key: zoe.email })).to.have.length(1)
    await app.smtp.waitFor(zoe.email, /account/i)
    const taken = await app.call('POST', '/v1/auth/login', {
      body: { email: zoe.email, password: zoe.password },
      headers: from(),
    })
    expect(taken.status).to.equal(200)
  }).timeout(60_000)

  it('counts guesses at accounts that do not exist, too', async () => {
    const headers = from()
    const guess = () =>
      app.call('POST', '/v1/auth/login', {
        body: { email: 'ghost@example.com', password: 'wrong-password-1' },
        headers,
      })
    for (let i = 0; i < 5; i += 1) expect((await guess()).status).to.equal(401)
    expect((await guess()).status).to.equal(429)
  })
})
