/** `npm run migrate`: brings the schema up to date and ends. */
import { createLogger } from '../adapters/log.ts'
import { ConfigError, readConfig } from './config.ts'
import { prepareDatabase } from './start.ts'

try {
  const config = readConfig(process.env)
  const log = createLogger({ level: config.logLevel, pretty: !config.production })
  const embedded = config.databaseUrl
    ? undefined
    : await (await import('../adapters/postgres.ts')).startEmbedded({ dataDir: config.dataDir, log })
  try {
    await prepareDatabase(config, config.databaseUrl ?? embedded!.url, log)
    console.log('The schema is up to date.')
  } finally {
    await embedded?.stop()
  }
} catch (error) {
  const { message } = error as Error
  console.error(error instanceof ConfigError ? message : `The schema could not be brought up to date: ${message}`)
  process.exitCode = 1
}
