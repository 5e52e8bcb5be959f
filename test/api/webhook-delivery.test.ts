/** Webhooks to receivers that fail in every way, and to those beside them. */
import { expect } from 'chai'
import { Webhook } from 'standardwebhooks'
import { mayChangeEvents } from '../../server/domain/audit/retention.ts'
import { purge } from '../../server/domain/maintenance.ts'
import { pause } from '../support/address.ts'
import { type Person, startApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'
import { delivery, hurry, LOCAL, subscribe } from '../support/webhooks.ts'

/** Milliseconds a try may take here; 15,000 elsewhere. */
const TIMEOUT = 1500

describe('delivering webhooks', () => {
  let app: TestApp
  let receiver: Receiver
  let ada: Person
  before(async () => {
    receiver = await startReceiver()
    app = await startApp(
      { ...LOCAL, TRUST_PROXY: '1' },
      { webhooks: { timeout: TIMEOUT, total: 12, failing: 6, perWebhook: 3 } },
    )
    ada = await app.person('ada@example.com')
  })
  after(async () => {
    await app.close()
    await receiver.close()
  })
  afterEach(async () => {
    await app.db('webhooks').delete()
    await app.db('rate_limits').delete()
  })

  const updates = { event_types: ['user.updated'] }
  const rename = () => app.call('PUT', '/users/me', { token: ada.accessToken, body: { given_name: 'Ada' } })
  const look = (id: string, status: string) => delivery(app, ada.accessToken, id, 'user.updated', status)
  /** The delivery after its first try. */
  const tried = (id: string): Promise<any> =>
    eventually(async () => {
      const found = await look(id, 'pending')
      expect(found.tries).to.have.length(1)
      return found
    })
  const row = (id: string) => app.db('webhooks').where({ id }).first()

  for (const [what, path, status, error] of [
    ['closes the connection', '/reset', null, /connection was closed/],
    ['hangs', '/hang', null, /no answer in time/],
    ['drips', '/drip', null, /no answer in time/],
    ['answers 500', '/always/500', 500, null],
    ['answers 404', '/always/404', 404, null],
    ['redirects', '/redirect', 307, /redirects are not followed/],
  ] as const) {
    it(`tries again where the receiver ${what}`, async () => {
      const hook = await subscribe(app, ada.accessToken, `${receiver.url}${path}`, updates)
      await rename()
      const found = await tried(hook.id)
      expect(found).to.include({ status: 'pending', attempts: 1, response_status: status })
      expect(found.tries[0].status).to.equal(status)
      if (error) expect(found.tries[0].error).to.match(error)
      else expect(found.tries[0].error).to.equal(null)
      expect(Date.parse(found.next_attempt_at) - Date.now(), 'in five seconds').to.be.within(2000, 6000)
      expect((await row(hook.id)).failing_since).to.be.a('date')
      expect(await receiver.messages('/ok/redirected')).to.deep.equal([])
    })
  }

  it('tries again where nobody listens, the certificate is unknown, or the name', async () => {
    for (const [url, error] of [
      ['http://127.0.0.1:9/', /refused|failed/],
      [receiver.tlsUrl, /SELF_SIGNED|connection failed/],
      [receiver.url.replace('http:', 'https:'), /connection/],
      ['https://hooks.invalid/', /host is not known/],
    ] as const) {
      const hook = await subscribe(app, ada.accessToken, url, updates)
      await rename()
      const found = await tried(hook.id)
      expect(found.tries[0].error, url).to.match(error)
      expect(JSON.stringify(found), 'no addresses').to.not.include('127.0.0.1')
      await app.db('webhooks').where({ id: hook.id }).delete()
    }
    expect(await receiver.messages('/received')).to.deep.equal([])
  })

  it('reads a kilobyte of an answer without end, and what no text can hold', async () => {
    const huge = await subscribe(app, ada.accessToken, `${receiver.url}/huge`, updates)
    const nul = await subscribe(app, ada.accessToken, `${receiver.url}/nul`, updates)
    await rename()
    expect((await look(huge.id, 'delivered')).response_body).to.equal('x'.repeat(1024))
    expect((await look(nul.id, 'delivered')).response_body).to.equal('a\ufffdb')
  })

  it('delivers at last, as the same message, signed anew', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/status/503/again`, updates)
    await rename()
    await tried(hook.id)
    await hurry(app)
    const found = await look(hook.id, 'delivered')
    expect(found).to.include({ attempts: 2, response_status: 200, response_body: 'answer 2', next_attempt_at: null })
    expect(found.tries.map((t: any) => t.status)).to.deep.equal([503, 200])
    const messages = await receiver.messages('/status/503/again')
    expect(new Set(messages.map((m) => m.headers['webhook-id']))).to.have.property('size', 1)
    for (const m of messages) new Webhook(hook.secret).verify(m.body, m.headers)
    expect((await row(hook.id)).failing_since, 'it works again').to.equal(null)
  })

  it('waits for as long as Retry-After says', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/later`, updates)
    await rename()
    const found = await tried(hook.id)
    expect(Date.parse(found.next_attempt_at) - Date.now()).to.be.within(3_500_000, 3_700_000)
  })

  it('gives up after eleven tries within three days, and sends again when asked', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/always/502`, updates)
    await rename()
    let planned = 0
    for (let n = 1; n <= 11; n += 1) {
      const found = await eventually(async () => {
        const one = await look(hook.id, n === 11 ? 'failed' : 'pending')
        expect(one.attempts).to.equal(n)
        expect(one.tries).to.have.length(n)
        return one
      })
      if (n < 11) planned += Date.parse(found.next_attempt_at) - Date.now()
      else expect(found.next_attempt_at).to.equal(null)
      await hurry(app)
    }
    expect(planned / 3_600_000).to.be.within(70, 80)
    await pause(700)
    expect(await receiver.messages('/always/502')).to.have.length(11)
    expect((await row(hook.id)).enabled, 'one failed delivery is no reason').to.equal(true)
    const { id } = await look(hook.id, 'failed')
    const again = `/v1/webhooks/${hook.id}/deliveries/${id}/redeliver`
    const all = await Promise.all(
      Array.from({ length: 50 }, () => app.call('POST', again, { token: ada.accessToken, body: {} })),
    )
    expect(new Set(all.map((a) => a.status))).to.satisfy((s: Set<number>) => s.has(202) && !s.has(500))
    const messages = await receiver.waitFor('/always/502', 12)
    expect(new Set(messages.map((m) => m.headers['webhook-id']))).to.have.property('size', 1)
    await eventually(async () => expect((await look(hook.id, 'pending')).tries.length).to.be.greaterThan(11))
  }).timeout(60_000)

  it('is switched off by 410, and its owner told by mail', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/always/410`, updates)
    await rename()
    await look(hook.id, 'failed')
    await eventually(async () => expect(await row(hook.id)).to.include({ enabled: false, disabled_reason: 'gone' }))
    const mail = await app.smtp.waitFor(ada.email, /410 Gone/)
    expect(mail.raw).to.include('127.0.0.1')
    const [event] = await app.db('events').where({ type: 'webhook.disabled' })
    expect(event).to.include({ user_id: ada.id })
    expect(event.data).to.include({ id: hook.id, reason: 'gone' })
    await rename()
    await pause(700)
    expect(await receiver.messages('/always/410')).to.have.length(1)
  })

  it('is switched off when for five days nothing has arrived, not at the first failure after a quiet month', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/always/504`, updates)
    const longAgo = app.db.raw(`now() - interval '6 days'`)
    await app.db('webhooks').where({ id: hook.id }).update({ failing_since: longAgo })
    await rename()
    await tried(hook.id)
    expect((await row(hook.id)).enabled).to.equal(true)
    await app.db('webhook_deliveries').where({ webhook_id: hook.id }).update({ step: 10 })
    await hurry(app)
    await look(hook.id, 'failed')
    await eventually(async () => expect(await row(hook.id)).to.include({ enabled: false, disabled_reason: 'failing' }))
    await app.smtp.waitFor(ada.email, /five days/)
    const woken = await app.call('PUT', `/v1/webhooks/${hook.id}`, { token: ada.accessToken, body: { enabled: true } })
    expect(woken.body).to.include({ enabled: true, disabled_reason: null, failing_since: null })
  })

  it('keeps nobody waiting for a receiver that hangs', async () => {
    const people = await Promise.all(Array.from({ length: 4 }, () => app.person()))
    const hanging: string[] = []
    for (const [i, person] of people.entries()) {
      const hook = await subscribe(app, person.accessToken, `${receiver.url}/hang/slow${i}`, updates)
      hanging.push(hook.id)
    }
    const fast = await subscribe(app, ada.accessToken, `${receiver.url}/ok/fast`, updates)
    // More than all slots together could send before the first time-out.
    const { tenant_id } = await row(fast.id)
    const waiting = hanging.flatMap((webhook_id) =>
      Array.from({ length: 50 }, (_, i) => ({
        tenant_id,
        webhook_id,
        event_id: `00000000-0000-7000-8000-${String(i).padStart(12, '0')}`,
        event_type: 'user.updated',
      })),
    )
    const events = waiting
      .slice(0, 50)
      .map(({ event_id }) => ({ tenant_id, id: event_id, type: 'user.updated', user_id: ada.id }))
    await app.db('events').insert(events)
    await app.db('webhook_deliveries').insert(waiting)
    await receiver.waitFor('/hang/slow0', 2)
    const times: number[] = []
    for (let i = 1; i <= 8; i += 1) {
      const started = Date.now()
      await rename()
      const messages = await receiver.waitFor('/ok/fast', i)
      times.push(messages[i - 1]!.at - started)
      await pause(200)
    }
    expect(Math.max(...times), times.join(' ')).to.be.below(1000)
    const { rows } = await app.db.raw(
      'select count(*)::int as n from webhook_deliveries where sending_until > now() and webhook_id = any(?) group by webhook_id',
      [hanging],
    )
    // Once known to fail, one at a time each.
    for (const { n } of rows) expect(n).to.equal(1)
  }).timeout(30_000)

  it('is not sent twice by two processes, nor more to one receiver than it should', async () => {
    const other = await startApp(
      { ...LOCAL, PUBLIC_URL: app.url, TRUST_PROXY: '1' },
      { databaseUrl: app.databaseUrl, webhooks: { timeout: TIMEOUT, perWebhook: 3 } },
    )
    try {
      const hook = await subscribe(app, ada.accessToken, `${receiver.url}/ok/two`, updates)
      await Promise.all(Array.from({ length: 60 }, rename))
      const messages = await receiver.waitFor('/ok/two', 60)
      await eventually(async () => {
        const left = await app.db('webhook_deliveries').where({ webhook_id: hook.id }).whereNotNull('due_at')
        expect(left).to.deep.equal([])
      })
      expect(new Set(messages.map((m) => m.headers['webhook-id'])).size).to.equal(60)
      expect(await receiver.messages('/ok/two')).to.have.length(60)
    } finally {
      await other.close()
    }
  }).timeout(30_000)

  it('is sent again when the process that took it is gone, and a late answer counts no more', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/hang/lost`, updates)
    await rename()
    await receiver.waitFor('/hang/lost')
    // As if it had been taken by another process, which has died: the claim runs out.
    await app.db('webhook_deliveries').where({ webhook_id: hook.id }).update({ attempts: 7 })
    await pause(TIMEOUT + 500)
    const [lost] = await app.db('webhook_deliveries').where({ webhook_id: hook.id })
    expect(lost.log, 'the first try was given up').to.deep.equal([])
    await app
      .db('webhooks')
      .where({ id: hook.id })
      .update({ url: `${receiver.url}/ok/found` })
    const over = app.db.raw(`now() - interval '1 second'`)
    await app.db('webhook_deliveries').where({ webhook_id: hook.id }).update({ due_at: over, sending_until: over })
    const [message] = await receiver.waitFor('/ok/found')
    expect(message!.headers['webhook-id']).to.equal(lost.event_id)
    expect(await look(hook.id, 'delivered')).to.include({ attempts: 8 })
  })

  it('ends what waits for a webhook that is off, and forgets after 30 days', async () => {
    const off = await subscribe(app, ada.accessToken, `${receiver.url}/always/500/off`, updates)
    const on = await subscribe(app, ada.accessToken, `${receiver.url}/always/500/on`, updates)
    await rename()
    await tried(off.id)
    await tried(on.id)
    await app.call('PUT', `/v1/webhooks/${off.id}`, { token: ada.accessToken, body: { enabled: false } })
    await purge(app.db, 10)
    expect(await look(off.id, 'failed')).to.include({ next_attempt_at: null })
    expect((await look(on.id, 'pending')).next_attempt_at).to.be.a('string')
    const old = app.db.raw(`now() - interval '31 days'`)
    await app.db('webhook_deliveries').where({ webhook_id: on.id }).update({ created_at: old })
    expect(await purge(app.db, 10)).to.include({ webhook_deliveries: 1 })
    expect(await app.db('webhook_deliveries').where({ webhook_id: on.id })).to.deep.equal([])
    expect(await app.db('webhook_deliveries').where({ webhook_id: off.id })).to.have.length(1)
  })

  it('sends nothing whose event is gone, or that is erased', async () => {
    const hook = await subscribe(app, ada.accessToken, `${receiver.url}/always/500/gone`, updates)
    await rename()
    const { id } = await tried(hook.id)
    await app.db.transaction(async (trx) => {
      await mayChangeEvents(trx)
      await trx('events').where({ id }).delete()
    })
    await hurry(app)
    const found = await look(hook.id, 'failed')
    expect(found.tries.at(-1)).to.include({ status: null, error: 'the event is gone' })
    expect(await receiver.messages('/always/500/gone')).to.have.length(1)
  })
})
