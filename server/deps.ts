/** Makes the adapters once, in their order, and closes them in the reverse. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createGeo } from '../adapters/geo.ts'
import { createOutbound } from '../adapters/http.ts'
import { connect, statements } from '../adapters/knex.ts'
import { createLimits } from '../adapters/limits.ts'
import { createLogger } from '../adapters/log.ts'
import { createMailer, type Mailer } from '../adapters/mail.ts'
import { createMetrics, type Metrics } from '../adapters/metrics.ts'
import { createPasswords } from '../adapters/passwords.ts'
import { createPulse, type Pulse } from '../adapters/pulse.ts'
import { createSealing } from '../adapters/sealing.ts'
import { createTexter } from '../adapters/sms.ts'
import { createSocial } from '../adapters/social.ts'
import type { Config } from './config.ts'
import type { Context, EventFields, Outside } from './domain/context.ts'
import { createDirectory } from './domain/directory.ts'
import { type Pending, writeEvents } from './domain/events.ts'
import { queueDepth } from './domain/webhooks/queue.ts'

export interface Deps {
  out: Outside
  mailer: Mailer
  metrics: Metrics
  pulse: Pulse
  databaseUrl: string
  close(): Promise<void>
}

/** No statement of a request takes that long unless the database is in trouble. */
const PATIENCE_MS = 4000
const SCRAPE_MS = 300

export function createDeps(config: Config, databaseUrl: string): Deps {
  const log = createLogger({ level: config.logLevel, pretty: !config.production })
  const db = connect(databaseUrl, { max: config.databasePool, patience: PATIENCE_MS, lanes: true })
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
  const pulse = createPulse(databaseUrl)
  // Metrics must answer when the database does not.
  const webhooks = () => Promise.race([queueDepth(db).catch(() => ({})), sleep(SCRAPE_MS, {}, { ref: false })])
  const metrics = createMetrics({
    sqlStatements: () => statements.total,
    hashing: () => passwords.load(),
    pool,
    webhooks,
  })
  const recordNow = (ctx: Context, type: string, fields: EventFields) =>
    writeEvents({ ...ctx, db, events: [{ type, ...fields }], jobs: [] } as Context & Pending)
  const outbound = createOutbound({ allow: config.outboundAllow })
  const out: Outside = {
    config,
    db,
    sealing,
    passwords,
    limits,
    outbound,
    texter: createTexter({
      smsUrl: config.smsUrl,
      production: config.production,
      fetch: (url, init) => outbound.fetch(url, init),
      db,
    }),
    social: createSocial({ fetch: (url, init) => outbound.fetch(url, init), insecure: !config.production }),
    geo: createGeo(config.geoDatabase),
    log,
    directory,
    recordNow,
  }
  return {
    out,
    mailer,
    metrics,
    pulse,
    databaseUrl,
    async close() {
      await directory.close()
      mailer.close()
      pulse.close()
      await limits.close()
      await out.outbound.close()
      await db.destroy()
    },
  }
}
