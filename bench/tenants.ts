/**
 * Many tenants against few: lists, sign-ins cold and warm, memory, and what the clock does. `node --max-semi-space-size=16 bench/tenants.ts
 * [tenants]` on a database of its own, which is thrown away.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../adapters/knex.ts'
import { createLogger } from '../adapters/log.ts'
import { startEmbedded } from '../adapters/postgres.ts'
import { createApp } from '../server/app.ts'
import { readConfig } from '../server/config.ts'
import { createDeps, type Deps } from '../server/deps.ts'
import { seal } from '../server/domain/audit/seal.ts'
import { newId, ROLE } from '../server/domain/ids.ts'
import { rotateDue } from '../server/domain/key-rotation.ts'
import { makeKeys, storeKeys } from '../server/domain/keys.ts'
import { purge } from '../server/domain/maintenance.ts'
import * as tenants from '../server/domain/tenants.ts'
import { settle } from '../server/memory.ts'
import { prepareDatabase } from '../server/start.ts'

const ADMIN = { email: 'root@example.com', password: 'Root-Password-123!' }
const many = Number(process.argv[2] ?? 10_000)
const slugOf = (i: number) => `t${String(i).padStart(6, '0')}`

/** Tenants like one that was made in earnest, each with keys and one person. All have one key pair, since making RSA keys takes long. */
async function fill(deps: Deps, from: number, to: number): Promise<void> {
  const { sealing } = deps.out
  // Without patience: on a busy machine 500 tenants may take longer than any request.
  const db = connect(postgres.url, { max: 1 })
  const keys = await makeKeys()
  await db.transaction(async (trx) => {
    await trx.raw('set local session_replication_role = replica')
    await trx.raw('set local statement_timeout = 0')
    const model = await tenants.create(trx, sealing, { slug: `model-${from}`, name: 'Model', keys })
    const hash = (await trx('credentials').where({ type: 'password' }).first('secret')).secret
    for (let at = from; at < to; at += 500) {
      const made = Array.from({ length: Math.min(500, to - at) }, (_, i) => ({ id: newId(), n: at + i }))
      const ids = made.map(({ id }) => id)
      await trx('tenants').insert(made.map(({ id, n }) => ({ id, slug: slugOf(n), name: `Tenant ${n}` })))
      for (const [table, columns] of COPIED)
        await trx.raw(
          `insert into ${table} (tenant_id, ${columns}) select t, ${columns} from ${table}, unnest(?::uuid[]) t where tenant_id = ?`,
          [ids, model],
        )
      for (const { id } of made) await storeKeys(trx, sealing, id, keys)
      const people = made.map(({ id }) => ({ tenant_id: id, id: newId(), email: ADMIN.email, email_key: ADMIN.email }))
      await trx('users').insert(people)
      await trx('credentials').insert(
        people.map((p) => ({ tenant_id: p.tenant_id, id: newId(), user_id: p.id, type: 'password', secret: hash })),
      )
      await trx('user_roles').insert(
        people.map((p) => ({
          tenant_id: p.tenant_id,
          user_id: p.id,
          role_id: ROLE.user,
          user_created_at: trx.fn.now(),
        })),
      )
    }
  })
  await db.transaction(async (trx) => {
    await trx.raw('set local statement_timeout = 0')
    await trx.raw('analyze')
  })
  await db.destroy()
}
const COPIED = [
  ['permissions', 'id, name, description, system'],
  ['roles', 'id, name, description, scope, owner_id, system'],
  ['role_permissions', 'role_id, permission_id'],
  ['clients', 'id, client_id, metadata, first_party, system'],
] as const

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
async function timed(count: number, fn: (i: number) => Promise<unknown>): Promise<string> {
  const times: number[] = []
  for (let i = 0; i < count; i += 1) {
    const started = performance.now()
    await fn(i)
    times.push(performance.now() - started)
  }
  return `${median(times).toFixed(1)} ms`
}

async function measure(url: string, deps: Deps, known: number): Promise<void> {
  const { db } = deps.out
  const call = async (path: string, options: RequestInit = {}) => {
    const response = await fetch(url + path, options)
    if (!response.ok) throw new Error(`${path} answered ${response.status} ${await response.text()}`)
    return response.json() as Promise<any>
  }
  const signIn = async (base: string) => {
    await db('rate_limits').delete()
    const body = JSON.stringify(ADMIN)
    return call(`${base}/v1/auth/login`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  }
  const { tokens } = await signIn('')
  const headers = { authorization: `Bearer ${tokens.access_token}` }
  const some = Math.min(40, known)
  const picked = Array.from({ length: some }, (_, i) => `/t/${slugOf(Math.floor((i * known) / some))}`)
  const row = (what: string, value: string) =>
    console.log(`${String(known).padStart(6)} tenants  ${what.padEnd(34)} ${value}`)
  row('first page of the list', await timed(30, () => call('/v1/tenants?limit=10', { headers })))
  row('search by name', await timed(30, (i) => call(`/v1/tenants?limit=10&q=ant ${i}`, { headers })))
  row('first request of a tenant', await timed(some, (i) => call(`${picked[i]}/.well-known/openid-configuration`)))
  row('sign-in', await timed(some, (i) => signIn(picked[i]!)))
  row('discovery, warm', await timed(some, (i) => call(`${picked[i]}/.well-known/openid-configuration`)))
  await walk(call, known, row)
  row('clean-up that finds nothing', await timed(3, () => purge(db)))
  await everybody(deps, row)
  row('rotation that finds nothing due', await timed(3, () => rotateDue(deps.out, db)))
}

/** Something happens in every tenant within one minute; later it is older than all tenants keep it. */
async function everybody({ out }: Deps, row: (what: string, value: string) => void) {
  const db = connect(postgres.url, { max: 1, patience: 60_000 })
  const longAgo = new Date(Date.now() - 3900 * 86_400_000)
  await seal(out, db, longAgo)
  await db.raw(`insert into events (tenant_id, id, type) select id, gen_random_uuid(), 'bench' from tenants`)
  row('sealing an event of each, with heads', await timed(1, () => seal(out, db, longAgo)))
  row('clean-up of an event of each', await timed(1, () => purge(db)))
  await db.destroy()
}

/** Every tenant once: what the caches cost, and that they have bounds. */
async function walk(call: (path: string) => Promise<any>, known: number, row: (what: string, value: string) => void) {
  settle()
  const before = process.memoryUsage()
  for (let i = 0; i < known; i += 20)
    await Promise.all(Array.from({ length: Math.min(20, known - i) }, (_, j) => call(`/t/${slugOf(i + j)}/oauth/jwks`)))
  const most = process.memoryUsage.rss()
  settle()
  const { rss, heapUsed } = process.memoryUsage()
  const more = (bytes: number, than: number) => `+${Math.round((bytes - than) / 2 ** 20)} MiB`
  const left = `collected ${more(rss, before.rss)}, heap ${more(heapUsed, before.heapUsed)}`
  row('memory after all were asked once', `${more(most, before.rss)}, ${left}`)
}

const dataDir = mkdtempSync(join(tmpdir(), 'bench-tenants-'))
// As root, PostgreSQL runs as somebody else, who must be able to pass.
await chmod(dataDir, 0o711)
const log = createLogger({ level: 'silent', pretty: false })
const postgres = await startEmbedded({ dataDir, log })
const server = createServer((req, res) => listener(req, res))
let listener: (req: any, res: any) => void = () => {}
try {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const env = { PUBLIC_URL: url, SECRET_KEY: 'a'.repeat(64), ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password }
  const config = readConfig({ ...env, LOG_LEVEL: 'error' })
  await prepareDatabase(config, postgres.url)
  const deps = createDeps(config, postgres.url)
  listener = createApp(deps, { ready: true }).listener
  settle()
  await fill(deps, 0, 10)
  await measure(url, deps, 10)
  await fill(deps, 10, many)
  await measure(url, deps, many)
  await deps.close()
} finally {
  server.closeAllConnections()
  server.close()
  await postgres.stop()
  rmSync(dataDir, { recursive: true, force: true })
}
