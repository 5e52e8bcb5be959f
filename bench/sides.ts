/** The servers under test as child processes, and what the bench knows of each. */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ofProcess, ofTree } from './cpu.ts'
import { type Client, client, type Person, REDIRECT } from './flows.ts'
import { connectTo, expectStatus, type Http, ISSUER } from './http.ts'

export interface Side {
  name: 'gatehouse' | 'bare'
  port: number
  pid: number
  http: Http
  /** Signs people in and gets tokens of the usual kind. */
  app: Client
  /** Its access tokens can be introspected and used at userinfo. */
  readable: Client
  services: Client[]
  people: Person[]
  /** Milliseconds of CPU so far. */
  cpu(): { node: number; postgres: number }
  /** SQL statements so far. */
  statements(): Promise<number>
  stop(): Promise<void>
}

export const CONCURRENCY = 8
export const CLIENTS = 500
export const ADMIN = { email: 'root@example.com', password: 'Root-Password-123!' }
const METRICS_TOKEN = randomBytes(24).toString('base64url')
/** The same for every server on this database in this run. */
const SECRET_KEY = randomBytes(32).toString('hex')

const file = (name: string) => join(import.meta.dirname, name)

/** A child that goes with this process, however it ends. */
function child(...[path, args, options]: Parameters<typeof fork>): ChildProcess {
  const started = fork(path, args as string[], options)
  const kill = () => void started.kill('SIGKILL')
  process.once('exit', kill)
  started.once('exit', () => process.off('exit', kill))
  return started
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return
  process.kill('SIGTERM')
  const patience = setTimeout(() => process.kill('SIGKILL'), 15_000)
  await once(process, 'exit')
  clearTimeout(patience)
}

export async function startBare(): Promise<Side> {
  const server = child(file('bare.ts'), [String(CLIENTS)], { execArgv: profiling('bare') })
  const [{ port }] = (await once(server, 'message')) as [{ port: number }]
  const secret = 'a-secret-of-the-bench-0123456789-0123456789'
  const http = connectTo(port, CONCURRENCY)
  return {
    name: 'bare',
    port,
    pid: server.pid!,
    http,
    app: client('app', secret),
    readable: client('opaque', secret),
    services: Array.from({ length: CLIENTS }, (_, i) => client(`service-${i}`, secret)),
    people: people(),
    cpu: () => ({ node: ofProcess(server.pid!), postgres: 0 }),
    statements: async () => 0,
    async stop() {
      await http.close()
      await end(server)
    },
  }
}

/** Our server as in production. `hashing: false` cuts the password hash out (no-hash.ts). */
export async function startGatehouse(options: {
  databaseUrl: string
  postmaster: number | undefined
  smtpUrl: string
  hashing: boolean
}): Promise<Side> {
  const port = await freePort()
  const server = child(file('../server/main.js'), [], {
    execArgv: [
      '--max-semi-space-size=16',
      ...profiling('gatehouse'),
      ...(options.hashing ? [] : ['--import', file('no-hash.ts')]),
    ],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'production',
      PUBLIC_URL: ISSUER,
      HOST: '127.0.0.1',
      PORT: String(port),
      DATABASE_URL: options.databaseUrl,
      SECRET_KEY,
      SMTP_URL: options.smtpUrl,
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      METRICS_TOKEN,
      TRUST_PROXY: '1',
      ...(process.env.LOG_LEVEL && { LOG_LEVEL: process.env.LOG_LEVEL }),
    },
  })
  const http = connectTo(port, CONCURRENCY)
  await healthy(http, server)
  const { app, services } = await furnish(http)
  return {
    name: 'gatehouse',
    port,
    pid: server.pid!,
    http,
    app,
    readable: app,
    services,
    people: people(),
    cpu: () => ({ node: ofProcess(server.pid!), postgres: options.postmaster ? ofTree(options.postmaster) : 0 }),
    async statements() {
      const { body } = await http('/metrics', { bearer: METRICS_TOKEN })
      return Number(/^sql_statements_total (\d+)/m.exec(body)?.[1])
    },
    async stop() {
      await http.close()
      await end(server)
    },
  }
}

/** BENCH_PROFILE names a directory for CPU profiles. */
function profiling(name: string): string[] {
  const dir = process.env.BENCH_PROFILE
  return dir ? ['--cpu-prof', `--cpu-prof-dir=${join(dir, name)}`] : []
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

async function healthy(http: Http, server: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    if (server.exitCode !== null) throw new Error('Gatehouse did not start')
    const answer = await http('/health').catch(() => undefined)
    if (answer?.status === 200) return
    await sleep(100)
  }
  throw new Error('Gatehouse did not become healthy within 30 s')
}

const people = (): Person[] =>
  Array.from({ length: CONCURRENCY }, (_, i) => ({ email: `p${i}@example.com`, password: 'SecurePassword123!' }))

/** People and clients by the API; those that are there already stay. */
async function furnish(http: Http): Promise<{ app: Client; services: Client[] }> {
  for (const person of people()) {
    const { status } = await http('/v1/auth/register', { json: person })
    if (status !== 201 && status !== 409) throw new Error(`register answered ${status}`)
  }
  const login = expectStatus(await http('/v1/auth/login', { json: ADMIN }), 200, 'login')
  const bearer: string = JSON.parse(login.body).tokens.access_token
  const secret = 'a-secret-of-the-bench-0123456789-0123456789'
  const make = async (client_id: string, fields: object): Promise<Client> => {
    const json = { client_id, client_secret: secret, client_name: client_id, ...fields }
    const { status, body } = await http('/clients', { bearer, json })
    if (status !== 201 && status !== 409) throw new Error(`client ${client_id}: ${status} ${body}`)
    return client(client_id, secret)
  }
  const app = await make('app', { first_party: true, redirect_uris: [REDIRECT] })
  const fields = { grant_types: ['client_credentials'], scope: 'users:read' }
  const names = Array.from({ length: CLIENTS }, (_, i) => `service-${i}`)
  const services: Client[] = []
  while (names.length)
    services.push(...(await Promise.all(names.splice(0, CONCURRENCY).map((name) => make(name, fields)))))
  return { app, services }
}

export interface Hashing {
  /** Hashes a second with so many at once. */
  rate(count: number, concurrency: number): Promise<number>
  stop(): void
}

export async function startHashing(): Promise<Hashing> {
  const server = child(file('hashing.ts'), [], {})
  await once(server, 'message')
  return {
    async rate(count, concurrency) {
      server.send({ count, concurrency })
      const [{ seconds }] = (await once(server, 'message')) as [{ seconds: number }]
      return count / seconds
    },
    stop: () => void server.disconnect(),
  }
}
