/** What `/metrics` shows: prom-client's registry of this process and the few series we add to its defaults. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export interface MetricSources {
  /** SQL statements sent by this process since it started. */
  sqlStatements?: () => number
  /** Password hashing: at work and waiting. */
  hashing?: () => { running: number; queued: number }
  /** Database connections. */
  pool?: () => { used: number; free: number; pending: number }
  /** Deliveries of webhooks that are due, and that wait for their next try. Empty when it cannot be said. */
  webhooks?: () => Promise<Record<string, number>>
}

export interface Metrics {
  registry: Registry
  contentType: string
  /** The text exposition of everything. */
  text(): Promise<string>
  /** One answered request. `route` is the pattern (`/users/:id`), never the path: each new value is a new series. */
  http(labels: { surface: string; route: string; method: string; status: number }, seconds: number): void
  /** One job run to its end. */
  job(task: string, outcome: 'done' | 'failed', seconds?: number): void
  /** One try to deliver a webhook. */
  webhook(result: 'delivered' | 'failed' | 'gone' | 'impossible', seconds: number): void
  /** One request refused by a rate limit or a full queue. */
  refused(reason: string): void
}

/** Makes a registry of its own, so that tests can make several. Values of `sources` are read when somebody scrapes. */
export function createMetrics(sources: MetricSources = {}): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const http = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from request to answer, by surface, route pattern and status',
    labelNames: ['surface', 'route', 'method', 'status'] as const,
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  })
  /** prom-client hashes the labels at each use otherwise. As many as there are series. */
  const observers = new Map<string, { observe(seconds: number): void }>()
  const jobs = new Counter({
    name: 'jobs_total',
    help: 'Background jobs run, by task and outcome',
    labelNames: ['task', 'outcome'] as const,
    registers,
  })
  const jobTime = new Counter({
    name: 'jobs_seconds_total',
    help: 'Time spent in background jobs, by task',
    labelNames: ['task'] as const,
    registers,
  })
  const webhooks = new Histogram({
    name: 'webhook_tries_seconds',
    help: 'Tries to deliver a webhook and the time they took, by result',
    labelNames: ['result'] as const,
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
    registers,
  })
  const refused = new Counter({
    name: 'requests_refused_total',
    help: 'Requests refused by rate limits or overload',
    labelNames: ['reason'] as const,
    registers,
  })
  if (sources.sqlStatements) sqlCounter(sources.sqlStatements, registers)
  if (sources.hashing) {
    gauge('password_hashing', 'Password hashes at work and waiting', sources.hashing, registers)
  }
  if (sources.pool) gauge('database_connections', 'Database connections by state', sources.pool, registers)
  if (sources.webhooks) gauge('webhook_deliveries', 'Webhook deliveries by state', sources.webhooks, registers)
  return {
    registry,
    contentType: registry.contentType,
    text: () => registry.metrics(),
    http: ({ surface, route, method, status }, seconds) => {
      const key = `${surface} ${method} ${route} ${status}`
      const series = observers.get(key) ?? http.labels({ surface, route, method, status: String(status) })
      observers.set(key, series)
      series.observe(seconds)
    },
    job: (task, outcome, seconds = 0) => {
      jobs.inc({ task, outcome })
      jobTime.inc({ task }, seconds)
    },
    webhook: (result, seconds) => webhooks.observe({ result }, seconds),
    refused: (reason) => refused.inc({ reason }),
  }
}

function sqlCounter(read: () => number, registers: Registry[]): void {
  new Counter({
    name: 'sql_statements_total',
    help: 'SQL statements sent',
    registers,
    collect() {
      this.reset()
      this.inc(read())
    },
  })
}

/** A gauge with one series for each key of what `read` answers, under the label `state`. */
function gauge(
  name: string,
  help: string,
  read: () => Record<string, number> | Promise<Record<string, number>>,
  registers: Registry[],
): void {
  new Gauge({
    name,
    help,
    labelNames: ['state'] as const,
    registers,
    async collect() {
      for (const [state, value] of Object.entries(await read())) this.set({ state }, value)
    },
  })
}
