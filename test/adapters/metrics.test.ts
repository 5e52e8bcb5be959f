/** The text that a scraper gets. */
import { expect } from 'chai'
import { createMetrics } from '../../adapters/metrics.ts'

describe('metrics', () => {
  it('shows requests, jobs, statements, hashing and connections', async () => {
    let sent = 7
    const metrics = createMetrics({
      sqlStatements: () => sent,
      hashing: () => ({ running: 1, queued: 3 }),
      pool: () => ({ used: 2, free: 4, pending: 0 }),
      webhooks: async () => ({ due: 5, waiting: 6 }),
    })
    metrics.http({ surface: 'v1', route: '/v1/auth/login', method: 'POST', status: 200 }, 0.03)
    metrics.job('mail', 'done', 0.2)
    metrics.webhook('delivered', 0.2)
    metrics.refused('hashing')
    await metrics.text()
    sent = 9
    const text = await metrics.text()
    expect(text).to.contain(
      'http_request_duration_seconds_count{surface="v1",route="/v1/auth/login",method="POST",status="200"} 1',
    )
    expect(text).to.contain('jobs_total{task="mail",outcome="done"} 1')
    expect(text).to.contain('sql_statements_total 9')
    expect(text).to.contain('password_hashing{state="queued"} 3')
    expect(text).to.contain('database_connections{state="used"} 2')
    expect(text).to.contain('webhook_tries_seconds_count{result="delivered"} 1')
    expect(text).to.contain('webhook_deliveries{state="due"} 5')
    expect(text).to.contain('requests_refused_total{reason="hashing"} 1')
    expect(text).to.contain('process_resident_memory_bytes')
  })

  it('keeps registries apart', async () => {
    const [a, b] = [createMetrics(), createMetrics()]
    a.job('mail', 'done')
    expect(await b.text()).not.to.contain('task="mail"')
  })
})
