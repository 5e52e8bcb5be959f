/** The only reader of the environment. All problems are reported at once; unsafe production settings are refused. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join, resolve } from 'node:path'
import ipaddr from 'ipaddr.js'

export interface Config {
  production: boolean
  port: number
  host: string
  /** Issuer of the default tenant; no trailing slash. */
  publicUrl: string
  databaseUrl: string | undefined
  databasePool: number
  dataDir: string
  /** 32 bytes; encrypts keys and secrets at rest and signs cookies. */
  secretKey: Buffer
  adminEmail: string | undefined
  adminPassword: string | undefined
  smtpUrl: string | undefined
  mailFrom: string
  smsUrl: string | undefined
  redisUrl: string | undefined
  /** A file in MaxMind's format. */
  geoDatabase: string | undefined
  adminPort: number | undefined
  metricsToken: string | undefined
  /** Number of reverse proxies whose X-Forwarded-* we believe; 0 believes none. */
  trustProxy: number
  outboundAllow: string[]
  /** Bytes of the longest body of an import. */
  importMaxBytes: number
  workers: number
  logLevel: string
}

export class ConfigError extends Error {
  readonly problems: string[]
  constructor(problems: string[]) {
    super(`Gatehouse cannot start with this configuration:\n${problems.map((p) => `  - ${p}`).join('\n')}`)
    this.problems = problems
  }
}

type Env = Record<string, string | undefined>

/** Reads and checks the environment. Throws ConfigError with every problem found. */
export function readConfig(env: Env): Config {
  const problems: string[] = []
  const text = (name: string) => env[name]?.trim() || undefined
  const int = (name: string, fallback: number, min: number, max: number) => {
    const raw = text(name)
    if (raw === undefined) return fallback
    const value = Number(raw)
    if (Number.isInteger(value) && value >= min && value <= max) return value
    problems.push(`${name} must be a whole number from ${min} to ${max}, not "${raw}"`)
    return fallback
  }
  const url = (name: string, schemes: string[]) => {
    const raw = text(name)
    if (raw === undefined) return undefined
    const scheme = URL.parse(raw)?.protocol.slice(0, -1)
    if (!scheme || !schemes.includes(scheme)) problems.push(`${name} must be a URL with ${schemes.join(':// or ')}://`)
    return raw
  }

  const production = env.NODE_ENV === 'production'
  const port = int('PORT', 3000, 0, 65535)
  const publicUrl = (url('PUBLIC_URL', ['http', 'https']) ?? `http://localhost:${port}`).replace(/\/+$/, '')
  const parsed = URL.parse(publicUrl)
  if (parsed && (parsed.pathname !== '/' || parsed.search || parsed.hash)) {
    problems.push('PUBLIC_URL must be an origin without a path, such as https://id.example.com')
  }
  const dataDir = resolve(text('DATA_DIR') ?? './data')
  const databaseUrl = url('DATABASE_URL', ['postgres', 'postgresql'])
  const outboundAllow = (text('OUTBOUND_ALLOW') ?? '').split(/[\s,]+/).filter(Boolean)
  for (const cidr of outboundAllow)
    if (!ipaddr.isValidCIDR(cidr)) problems.push(`OUTBOUND_ALLOW: "${cidr}" is not a CIDR range`)

  const config: Config = {
    production,
    port,
    host: text('HOST') ?? (production ? '0.0.0.0' : 'localhost'),
    publicUrl,
    databaseUrl,
    databasePool: int('DATABASE_POOL', 16, 2, 500),
    dataDir,
    secretKey: secretKey(text('SECRET_KEY'), production, dataDir, problems),
    adminEmail: text('ADMIN_EMAIL'),
    adminPassword: env.ADMIN_PASSWORD || undefined,
    smtpUrl: url('SMTP_URL', ['smtp', 'smtps']),
    mailFrom: text('MAIL_FROM') ?? `Gatehouse <no-reply@${parsed?.hostname ?? 'localhost'}>`,
    smsUrl: url('SMS_URL', ['http', 'https', 'twilio']),
    redisUrl: url('REDIS_URL', ['redis', 'rediss']),
    geoDatabase: text('GEO_DATABASE'),
    adminPort: text('ADMIN_PORT') === undefined ? undefined : int('ADMIN_PORT', 0, 0, 65535),
    metricsToken: text('METRICS_TOKEN'),
    trustProxy: int('TRUST_PROXY', 0, 0, 10),
    outboundAllow,
    importMaxBytes: int('IMPORT_MAX_MB', 1024, 1, 100_000) * 1024 * 1024,
    workers: int('WORKERS', 1, 1, Math.max(64, cpus().length)),
    logLevel: text('LOG_LEVEL') ?? (production ? 'info' : 'warn'),
  }
  if (!['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].includes(config.logLevel)) {
    problems.push(`LOG_LEVEL "${config.logLevel}" is not one of fatal, error, warn, info, debug, trace, silent`)
  }
  if (config.geoDatabase && !existsSync(config.geoDatabase))
    problems.push(`GEO_DATABASE: there is no file ${config.geoDatabase}`)
  if (config.adminPassword && !config.adminEmail) problems.push('ADMIN_PASSWORD is set without ADMIN_EMAIL')
  if (config.adminPort !== undefined && config.adminPort !== 0 && config.adminPort === port)
    problems.push('ADMIN_PORT must be another port than PORT')
  if (production) {
    if (!publicUrl.startsWith('https://')) problems.push('PUBLIC_URL must be https:// in production')
    if (!databaseUrl) problems.push('DATABASE_URL must be set in production')
    if (!config.smtpUrl)
      problems.push('SMTP_URL must be set in production: people could not verify or recover accounts')
    if (new Set(config.secretKey).size < 12 && text('SECRET_KEY')) problems.push('SECRET_KEY is not random')
    if (config.adminPassword && config.adminPassword.length < 12)
      problems.push('ADMIN_PASSWORD must have at least 12 characters in production')
    if (env.NODE_TLS_REJECT_UNAUTHORIZED === '0')
      problems.push('NODE_TLS_REJECT_UNAUTHORIZED=0 would accept any certificate; use NODE_EXTRA_CA_CERTS')
  }
  if (problems.length) throw new ConfigError(problems)
  return config
}

/** SECRET_KEY as 32 bytes; in development it is made once and kept in DATA_DIR. */
function secretKey(raw: string | undefined, production: boolean, dataDir: string, problems: string[]): Buffer {
  if (raw) {
    if (/^[0-9a-f]{64}$/i.test(raw)) return Buffer.from(raw, 'hex')
    const bytes = Buffer.from(raw, 'base64')
    if (bytes.length === 32 && /^[A-Za-z0-9+/_-]+=*$/.test(raw)) return bytes
    if (production || raw.length < 32) {
      problems.push('SECRET_KEY must be 32 random bytes as 64 hex digits or base64 (openssl rand -base64 32)')
    }
    return createHash('sha256').update(raw).digest()
  }
  if (production) {
    problems.push('SECRET_KEY must be set in production (openssl rand -base64 32)')
    return Buffer.alloc(32)
  }
  const file = join(dataDir, 'secret-key')
  if (!existsSync(file)) {
    // As root, the embedded PostgreSQL runs as somebody else, who must be able to pass; the file itself is closed.
    mkdirSync(dataDir, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
    // Whole or not at all, and the first of several processes decides.
    const own = `${file}.${process.pid}`
    writeFileSync(own, randomBytes(32).toString('base64'), { mode: 0o600 })
    try {
      linkSync(own, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      rmSync(own)
    }
  }
  return Buffer.from(readFileSync(file, 'utf8'), 'base64')
}
