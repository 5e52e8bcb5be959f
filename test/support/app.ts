/** A whole Gatehouse for a test: its own database cloned from a migrated template, a real SMTP sink, a real port. */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Knex } from 'knex'
import { connect } from '../../adapters/knex.ts'
import { createApp } from '../../server/app.ts'
import { readConfig } from '../../server/config.ts'
import type { CourierOptions } from '../../server/courier.ts'
import { createDeps, type Deps } from '../../server/deps.ts'
import { prepareDatabase } from '../../server/start.ts'
import { runTasks } from '../../server/tasks.ts'
import { breachOf } from './contract.ts'
import { type SmtpSink, startSmtp } from './smtp.ts'

export const ADMIN = { email: 'root@example.com', password: 'Root-Password-123!' }
const SECRET_KEY = 'a'.repeat(64)

export interface TestApp {
  url: string
  db: Knex
  deps: Deps
  smtp: SmtpSink
  databaseUrl: string
  /** fetch with a JSON body and answer; `token` becomes the bearer. `raw` is a body of another type. */
  call(
    method: string,
    path: string,
    options?: {
      body?: unknown
      raw?: { type: string; body: string }
      token?: string
      headers?: Record<string, string>
    },
  ): Promise<Answer>
  /** Registers a person and signs in. */
  person(email?: string, password?: string): Promise<Person>
  /** An access token of the first administrator. */
  admin(): Promise<string>
  /** Ends this process's part and leaves the database, as a restart does. */
  stop(): Promise<void>
  /** stop(), and drops the database if this app made it. */
  close(): Promise<void>
}
export interface Answer {
  status: number
  headers: Headers
  body: any
}
export interface Person {
  id: string
  email: string
  password: string
  accessToken: string
  refreshToken: string
}

export function baseDatabaseUrl(): string {
  const url = process.env.TEST_DATABASE_URL
  if (!url) throw new Error('TEST_DATABASE_URL is not set: run tests with npm test')
  return url
}

/** The same server, another database. */
export const withDatabase = (url: string, name: string): string => url.replace(/\/[^/?]*(\?|$)/, `/${name}$1`)

let template: Promise<string> | undefined

async function ensureTemplate(base: string): Promise<string> {
  const name = `gatehouse_template_${process.pid}`
  const db = connect(base, { max: 1 })
  await db.raw(`drop database if exists ${name}`)
  await db.raw(`create database ${name}`)
  await db.destroy()
  const config = readConfig({
    SECRET_KEY,
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    LOG_LEVEL: 'silent',
  })
  await prepareDatabase(config, withDatabase(base, name))
  return name
}

/** A fresh, migrated database; answers its URL and how to drop it. */
export async function freshDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const base = baseDatabaseUrl()
  template ??= ensureTemplate(base)
  const from = await template
  const name = `gatehouse_test_${randomBytes(6).toString('hex')}`
  const db = connect(base, { max: 1 })
  await db.raw(`create database ${name} template ${from}`)
  await db.destroy()
  return {
    url: withDatabase(base, name),
    async drop() {
      const admin = connect(base, { max: 1 })
      await admin.raw(`drop database if exists ${name} with (force)`)
      await admin.destroy()
    },
  }
}

/**
 * Starts Gatehouse in this process. `env` overrides the environment it reads. `databaseUrl` is that of another app, which
 * drops it: for restarts and for two processes on one database (give both the same PUBLIC_URL). `host` is a name for this
 * machine, where an address will not do: browsers have passkeys for names only. `webhooks` shortens their times.
 * Jobs run, but none by the clock: which minute a test meets must not decide how it ends. `jobs: false`: none at all.
 */
export async function startApp(
  env: Record<string, string> = {},
  options: { databaseUrl?: string; host?: string; webhooks?: CourierOptions; jobs?: boolean } = {},
): Promise<TestApp> {
  const database = options.databaseUrl ? { url: options.databaseUrl, drop: async () => {} } : await freshDatabase()
  const smtp = await startSmtp()
  let listener: (req: any, res: any) => void = (_req, res) => res.writeHead(503).end()
  const server = createServer((req, res) => listener(req, res))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://${options.host ?? '127.0.0.1'}:${(server.address() as AddressInfo).port}`
  const config = readConfig({
    PUBLIC_URL: url,
    SECRET_KEY,
    SMTP_URL: smtp.url,
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    LOG_LEVEL: process.env.LOG_LEVEL ?? 'error',
    ...env,
  })
  await prepareDatabase(config, database.url)
  const deps = createDeps(config, database.url)
  const app = createApp(deps, { ready: true })
  const tasks =
    options.jobs === false
      ? undefined
      : await runTasks(deps, app.providers, { webhooks: options.webhooks, crontab: '' })
  listener = app.listener

  const call: TestApp['call'] = async (method, path, { body, raw, token, headers = {} } = {}) => {
    const response = await fetch(url + path, {
      method,
      redirect: 'manual',
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(raw && { 'content-type': raw.type }),
        ...(token && { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(raw && { body: raw.body }),
    })
    const text = await response.text()
    const json = /[/+]json/.test(response.headers.get('content-type') ?? '')
    const answer = { status: response.status, headers: response.headers, body: json && text ? JSON.parse(text) : text }
    const breach = breachOf(method, path, answer.status, response.headers.get('content-type'), answer.body)
    if (breach) throw new Error(`broken promise: ${breach}`)
    return answer
  }
  const signIn = async (email: string, password: string) => {
    await deps.out.db('rate_limits').delete()
    const { body, status } = await call('POST', '/v1/auth/login', { body: { email, password } })
    if (status !== 200) throw new Error(`login answered ${status} ${JSON.stringify(body)}`)
    return body
  }
  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= (async () => {
      await tasks?.stop()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
      await deps.close()
      await smtp.close()
    })()
    return stopping
  }
  return {
    url,
    db: deps.out.db,
    deps,
    smtp,
    databaseUrl: database.url,
    call,
    async person(email = `p${randomBytes(5).toString('hex')}@example.com`, password = 'SecurePassword123!') {
      await deps.out.db('rate_limits').delete()
      const registered = await call('POST', '/v1/auth/register', { body: { email, password } })
      if (registered.status !== 201)
        throw new Error(`register answered ${registered.status} ${JSON.stringify(registered.body)}`)
      const { user, tokens } = await signIn(email, password)
      return { id: user.id, email, password, accessToken: tokens.access_token, refreshToken: tokens.refresh_token }
    },
    admin: async () => (await signIn(ADMIN.email, ADMIN.password)).tokens.access_token,
    stop,
    async close() {
      await stop()
      await database.drop()
    },
  }
}
