/** The background jobs: what each task does, and when the clock calls one. */
import type { Knex } from 'knex'
import { startJobs } from '../adapters/jobs.ts'
import { connect } from '../adapters/knex.ts'
import { purge as purgeLimits } from '../adapters/limits.ts'
import { transact } from './api/pipeline.ts'
import { type CourierOptions, startCourier } from './courier.ts'
import type { Deps } from './deps.ts'
import { seal } from './domain/audit/seal.ts'
import { type ImportJob, work } from './domain/imports/job.ts'
import { rotateDue } from './domain/key-rotation.ts'
import { type MailJob, send } from './domain/mails.ts'
import { purge } from './domain/maintenance.ts'
import { purgeTenants } from './domain/tenant-purge.ts'
import { type SmsJob, send as sendText } from './domain/texts.ts'
import { catchUp } from './domain/webhooks/queue.ts'
import { sendBackchannelLogout } from './oidc/backchannel.ts'
import { createOidcPort, type Providers } from './oidc/providers.ts'

/** Every 5 minutes: expired rows are gone well within the hour. Events are sealed within a minute. */
const CRONTAB = '*/5 * * * * clean-up ?max=1\n* * * * * audit-seal ?max=1'

const SMS_ATTEMPTS = 5

export async function runTasks(
  deps: Deps,
  providers: Providers,
  { webhooks, crontab = CRONTAB }: { webhooks?: CourierOptions | undefined; crontab?: string } = {},
): Promise<{ stop(): Promise<void> }> {
  const { out } = deps
  const oidc = createOidcPort(providers)
  const jobs = await startJobs({
    databaseUrl: deps.databaseUrl,
    log: out.log,
    concurrency: 4,
    crontab,
    onOutcome: (task, outcome, seconds) => deps.metrics.job(task, outcome, seconds),
    tasks: {
      mail: (payload) => send(out, deps.mailer, payload as MailJob),
      // A code that comes late is of no use.
      sms: async (payload, attempt) => {
        if (attempt <= SMS_ATTEMPTS) await sendText(out, out.texter, payload as SmsJob)
      },
      'webhook-catch-up': (payload) => catchUp(out.db, payload),
      'backchannel-logout': (payload) => sendBackchannelLogout(out, providers, payload),
      import: (payload, attempt, stopping) =>
        work({ out, oidc, within: transact }, payload as ImportJob, { attempt, stopping }),
      'clean-up': () =>
        patiently(deps, async (db) => {
          await purge(db)
          await purgeLimits(db)
          await rotateDue(out, db)
          await purgeTenants(db)
        }),
      'audit-seal': () => patiently(deps, (db) => seal(out, db)),
      // Keeps the time of an answer the same where there is nothing to do.
      nothing: async () => {},
    },
  })
  const courier = startCourier(out, deps.metrics, webhooks)
  return {
    async stop() {
      await Promise.all([jobs.stop(), courier.stop()])
    },
  }
}

/** With a connection of its own, whose statements may take longer than those of requests. */
async function patiently(deps: Deps, run: (db: Knex) => Promise<unknown>): Promise<void> {
  const db = connect(deps.databaseUrl, { max: 1, patience: 60_000 })
  try {
    await run(db)
  } finally {
    await db.destroy()
  }
}
