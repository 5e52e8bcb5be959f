/**
 * `npm run audit:verify [-- --tenant <slug>] [-- --heads <file>]`: reads the audit logs and their trees and reports what is
 * not as it was sealed. The file has heads that were kept elsewhere, one JWS a line. Ends with 1 when there is a problem.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Knex } from 'knex'
import { connect } from '../adapters/knex.ts'
import { createLogger } from '../adapters/log.ts'
import { ConfigError, readConfig } from './config.ts'
import type { Statement } from './domain/audit/heads.ts'
import { verify } from './domain/audit/verify.ts'

const SHOWN = 100

try {
  const { values } = parseArgs({ options: { tenant: { type: 'string' }, heads: { type: 'string' } } })
  const config = readConfig(process.env)
  const log = createLogger({ level: config.logLevel, pretty: !config.production })
  const embedded = config.databaseUrl
    ? undefined
    : await (await import('../adapters/postgres.ts')).startEmbedded({ dataDir: config.dataDir, log })
  const db = connect(config.databaseUrl ?? embedded!.url, { max: 1 })
  try {
    const kept = values.heads === undefined ? [] : readHeads(values.heads)
    process.exitCode = (await verifyAll(db, values.tenant, kept)) ? 0 : 1
  } finally {
    await db.destroy()
    await embedded?.stop()
  }
} catch (error) {
  const { message } = error as Error
  console.error(error instanceof ConfigError ? message : `The audit log could not be verified: ${message}`)
  process.exitCode = 2
}

/** What the heads of the file say. */
function readHeads(file: string): Statement[] {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.trim())
  return lines
    .filter((line) => line !== '')
    .map((jws) => JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString()))
}

async function verifyAll(db: Knex, slug: string | undefined, kept: Statement[]): Promise<boolean> {
  const tenants = await db('tenants')
    .where(slug === undefined ? {} : { slug })
    .orderBy('slug')
    .select('id', 'slug')
  if (tenants.length === 0) throw new Error(`there is no tenant ${slug}`)
  const lost = kept.filter(({ tenant_id }) => slug === undefined && tenants.every(({ id }) => id !== tenant_id))
  if (lost.length > 0)
    console.log(`There are heads of tenants that are gone: ${[...new Set(lost.map(({ iss }) => iss))].join(', ')}`)
  let isGood = lost.length === 0
  for (const { id, slug } of tenants) {
    const { problems, ...counts } = await verify(
      db,
      id,
      kept.filter(({ tenant_id }) => tenant_id === id),
    )
    console.log(`${slug}: ${JSON.stringify(counts)}${problems.length === 0 ? ' good' : ` ${problems.length} problems`}`)
    for (const problem of problems.slice(0, SHOWN)) console.log(`  ${JSON.stringify(problem)}`)
    isGood &&= problems.length === 0
  }
  return isGood
}
