/** Starts everything in its order, and stops it in the reverse. With WORKERS=n, n processes share the port. */
import cluster from 'node:cluster'
import { createServer, type Server } from 'node:http'
import { ConfigError, readConfig } from './config.ts'
import { start } from './start.ts'

let verbose = false
try {
  const config = readConfig(process.env)
  verbose = ['debug', 'trace'].includes(config.logLevel)
  await start(config, cluster, (listener): Server => createServer(listener))
} catch (error) {
  if (error instanceof ConfigError || !(error instanceof Error))
    console.error(error instanceof Error ? error.message : error)
  else console.error(`Gatehouse could not start: ${error.message}${verbose ? `\n${error.stack}` : ''}`)
  process.exit(1)
}
