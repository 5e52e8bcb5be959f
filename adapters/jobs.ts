/** Jobs by graphile-worker: added in the caller's transaction, run at least once. */
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeWorkerUtils, type Runner, run, type Task, type WorkerEvents } from 'graphile-worker'
import pg from 'pg'
import { createClaim } from './jobs/claim.ts'
import type { Db } from './knex.ts'
import type { Logger } from './log.ts'

export interface Job {
  task: string
  payload: Record<string, unknown>
  /** Runs after the others of this queue, one at a time. */
  queue?: string
  runAt?: Date
  maxAttempts?: number
}

/** Enqueues in one statement, within the transaction that `db` is. */
export async function addJobs(db: Db, jobs: Job[]): Promise<void> {
  if (jobs.length === 0) return
  await db.raw(
    `select graphile_worker.add_job(j->>'task', j->'payload', queue_name => j->>'queue',
       run_at => (j->>'runAt')::timestamptz, max_attempts => (j->>'maxAttempts')::int)
     from json_array_elements(?::json) j`,
    [JSON.stringify(jobs)],
  )
}

/** Makes or updates graphile-worker's own schema. */
export async function migrateJobs(databaseUrl: string): Promise<void> {
  const utils = await makeWorkerUtils({ connectionString: databaseUrl, logger: quiet })
  await utils.migrate()
  await utils.release()
}

/** Runs jobs in this process until stop(). Crontab lines name tasks that run by the clock. */
export async function startJobs(options: {
  databaseUrl: string
  /** `stopping` is aborted when this process is about to end: what takes long should come to a point where it can go on later. */
  tasks: Record<string, (payload: any, attempt: number, stopping: AbortSignal) => Promise<void>>
  crontab: string
  concurrency: number
  log: Logger
  onOutcome?: (task: string, outcome: 'done' | 'failed', seconds: number) => void
}): Promise<{ stop(): Promise<void> }> {
  const { log, onOutcome } = options
  const stopping = new AbortController()
  const taskList: Record<string, Task> = Object.fromEntries(
    Object.entries(options.tasks).map(([name, task]) => [
      name,
      async (payload, helpers) => {
        const started = performance.now()
        const note = (outcome: 'done' | 'failed') => onOutcome?.(name, outcome, (performance.now() - started) / 1000)
        try {
          await task(payload, helpers.job.attempts, stopping.signal)
          note('done')
        } catch (error) {
          note('failed')
          log.warn({ err: error, task: name, attempt: helpers.job.attempts }, 'job failed')
          throw error
        }
      },
    ]),
  )
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: options.concurrency + 1,
    application_name: 'gatehouse-jobs',
  })
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  const claim = createClaim(options.databaseUrl)
  const events: WorkerEvents = new EventEmitter()
  events.on('pool:create', ({ workerPool }) => claim.hold(workerPool.id))
  let stopped = false
  let runner: Runner | undefined
  // Once started, a runner outlasts most outages; some end it, quietly or not.
  const keepRunning = async () => {
    while (!stopped) {
      try {
        runner = await run({
          pgPool: pool,
          taskList,
          crontab: options.crontab,
          concurrency: options.concurrency,
          noHandleSignals: true,
          pollInterval: 2000,
          logger: quiet,
          events,
          preset: { worker },
        })
        if (stopped) await runner.stop()
        await runner.promise
      } catch (error) {
        log.debug({ err: error }, 'jobs stopped; starting again')
      }
      if (!stopped) await sleep(1000)
    }
  }
  const running = keepRunning()
  return {
    async stop() {
      stopped = true
      stopping.abort()
      const end = async () => {
        await runner?.stop()
        await running
      }
      const ended = await Promise.race([
        end().then(
          () => true,
          () => true,
        ),
        sleep(LAST_JOBS_MS, false, { ref: false }),
      ])
      // What is cut off here is run again by another process, or at the next start.
      if (!ended) await Promise.race([runner?.kill().catch(() => {}), sleep(2000, undefined, { ref: false })])
      await Promise.race([pool.end().catch(() => {}), sleep(1000, undefined, { ref: false })])
      await claim.stop()
    },
  }
}

/**
 * Without batches graphile-worker forgets to catch what fails when it notes a job's end, and the process would end with the
 * database's connection. With them it ends the runner only, and the jobs are run again.
 */
const worker = { completeJobBatchDelay: 0, failJobBatchDelay: 0 }

/** How long (ms) a running job may take to end when the process stops. */
const LAST_JOBS_MS = 5000

const quiet = { error() {}, warn() {}, info() {}, debug() {}, scope: () => quiet } as any
