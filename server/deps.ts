/** Makes the adapters once, in their order, and closes them in the reverse. */
import { createOutbound } from '../adapters/http.ts'
import { connect, statements } from '../adapters/knex.ts'
import { createLimits } from '../adapters/limits.ts'
import { createLogger } from '../adapters/log.ts'
import { createMailer, type Mailer } from '../adapters/mail.ts'
import { createMetrics, type Metrics } from '../adapters/metrics.ts'
import { createPasswords } from '../adapters/passwords.ts'
import { createSealing } from '../adapters/sealing.ts'
import type { Config } from './config.ts'
import type { Context, EventFields, Outside } from './domain/context.ts'
import { createDirectory } from './domain/directory.ts'
import { type Pending, writeEvents } from './domain/events.ts'

export interface Deps {
  out: Outside
  mailer: Mailer
  metrics: Metrics
  databaseUrl: string
  close(): Promise<void>
}

export function createDeps(config: Config, databaseUrl: string): Deps {
  const log = createLogger({ level: config.logLevel, pretty: !config.production })
  const db = connect(databaseUrl, { max: config.databasePool })
  const sealing = createSealing(config.secretKey)
  const passwords = createPasswords({})
  const limits = createLimits({ redisUrl: config.redisUrl, db, log })
  const directory = createDirectory({ db, databaseUrl, sealing, publicUrl: config.publicUrl, log })
  const mailer = createMailer({ smtpUrl: config.smtpUrl, from: config.mailFrom, db })
  const pool = () => {
    const { client } = db
    return {
      used: client.pool?.numUsed() ?? 0,
      free: client.pool?.numFree() ?? 0,
      pending: client.pool?.numPendingAcquires() ?? 0,
    }
  }
  const metrics = createMetrics({ sqlStatements: () => statements.total, hashing: () => passwords.load(), pool })
  const recordNow = (ctx: Context, type: string, fields: EventFields) =>
    writeEvents({ ...ctx, db, events: [{ type, ...fields }], jobs: [] } as Context & Pending)
  const out: Outside = {
    config,
    db,
    sealing,
    passwords,
    limits,
    outbound: createOutbound({ allow: config.outboundAllow }),
    log,
    directory,
    recordNow,
  }
  return {
    out,
    mailer,
    metrics,
    databaseUrl,
    async close() {
      await directory.close()
      mailer.close()
      await limits.close()
      await db.destroy()
    },
  }
}
