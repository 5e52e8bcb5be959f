/** `npm run migrate`: brings the schema up to date and ends. */

import { createLogger } from '../adapters/log.ts'
import { readConfig } from './config.ts'
import { prepareDatabase } from './start.ts'

const config = readConfig(process.env)
const log = createLogger({ level: config.logLevel, pretty: !config.production })
const embedded = config.databaseUrl
  ? undefined
  : await (await import('../adapters/postgres.ts')).startEmbedded({ dataDir: config.dataDir, log })
try {
  await prepareDatabase(config, config.databaseUrl ?? embedded!.url)
  console.log('The schema is up to date.')
} finally {
  await embedded?.stop()
}
