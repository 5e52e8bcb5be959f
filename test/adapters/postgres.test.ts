/** The embedded PostgreSQL through the lives and deaths of the app and of the server. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import pg from 'pg'
import { createLogger } from '../../adapters/log.ts'
import { memorySettings } from '../../adapters/postgres/server.ts'
import { startEmbedded } from '../../adapters/postgres.ts'
import { skip } from '../support/skip.ts'

const log = createLogger({ level: 'silent' })
const root = process.getuid?.() === 0

describe('embedded PostgreSQL', function () {
  this.timeout(30_000)
  let base: string
  let dataDir: string
  const apps: ChildProcess[] = []

  before(() => {
    base = mkdtempSync(join(tmpdir(), 'gh-pg-'))
    chmodSync(base, 0o755)
  })
  beforeEach(() => {
    dataDir = mkdtempSync(join(base, 'd-'))
    chmodSync(dataDir, 0o755)
  })
  afterEach(async () => {
    for (const app of apps.splice(0)) if (app.exitCode === null) app.kill('SIGKILL')
    // Whatever a killed app left behind.
    const left = await startEmbedded({ dataDir, log }).catch(() => undefined)
    await left?.stop()
    const path = join(dataDir, 'postgres')
    if (existsSync(path)) rmSync(realpathSync(path), { recursive: true })
  })
  after(() => rmSync(base, { recursive: true, force: true }))

  it('starts on an empty directory, keeps data over a restart, and is quick the second time', async () => {
    const first = await startEmbedded({ dataDir, log })
    await query(first.url, 'create table kept (word text)')
    await query(first.url, "insert into kept values ('hello')")
    expect(await query(first.url, 'show fsync')).to.equal('on')
    expect(await query(first.url, 'show synchronous_commit')).to.equal('on')
    expect(await query(first.url, 'show listen_addresses')).to.equal('')
    expect(await query(first.url, "select upper('äß')")).to.equal('Äß')
    await first.stop()
    await first.stop()
    expect(await refused(first.url)).to.equal(true)
    const since = Date.now()
    const second = await startEmbedded({ dataDir, log })
    expect(Date.now() - since).to.be.below(1500)
    expect(await query(second.url, 'select word from kept')).to.equal('hello')
    await second.stop()
  })

  it('keeps an eighth of the memory there is, within bounds', () => {
    const kept = (mib: number) => memorySettings(mib * 2 ** 20).shared_buffers
    expect([256, 512, 2048, 100_000].map(kept)).to.deep.equal(['64MB', '64MB', '256MB', '1024MB'])
  })

  it('is private: directory, password and socket are for one account, and a password is needed', async () => {
    const { url, stop } = await startEmbedded({ dataDir, log })
    const home = join(dataDir, 'postgres')
    expect(statSync(home).mode & 0o777).to.equal(0o700)
    expect(statSync(join(home, 'password')).mode & 0o777).to.equal(0o600)
    expect(statSync(join(home, 'socket')).mode & 0o777).to.equal(0o700)
    const wrong = url.replace(/:[^:@/]+@/, ':wrong@')
    expect(await query(wrong, 'select 1').catch((e) => e.code)).to.equal('28P01')
    await stop()
  })

  it('comes back on the same address within 3 s after kill -9 of the server', async () => {
    const { url, stop } = await startEmbedded({ dataDir, log })
    await query(url, 'create table kept (word text)')
    for (let round = 0; round < 3; round++) {
      await query(url, `insert into kept values ('${round}')`)
      process.kill(postmaster(dataDir), 'SIGKILL')
      const since = Date.now()
      while (await refused(url)) await sleep(20)
      expect(Date.now() - since).to.be.below(3000)
    }
    expect(await query(url, 'select count(*)::int from kept')).to.equal(3)
    await stop()
    expect(existsSync(join(dataDir, 'postgres/cluster/postmaster.pid'))).to.equal(false)
  })

  it('takes over the server of an app that was killed, and stops it in the end', async () => {
    const { app, url } = await startApp()
    await query(url, 'create table kept as select 1 as n')
    const pid = postmaster(dataDir)
    app.kill('SIGKILL')
    await once(app, 'exit')
    const next = await startEmbedded({ dataDir, log })
    expect(postmaster(dataDir)).to.equal(pid)
    expect(next.url).to.equal(url)
    expect(await query(next.url, 'select n from kept')).to.equal(1)
    await next.stop()
    expect(await refused(url)).to.equal(true)
    expect(existsSync(join(dataDir, 'postgres/cluster/postmaster.pid'))).to.equal(false)
  })

  it('restarts a server that it took over, too', async () => {
    const { app, url } = await startApp()
    app.kill('SIGKILL')
    await once(app, 'exit')
    const next = await startEmbedded({ dataDir, log })
    process.kill(postmaster(dataDir), 'SIGKILL')
    await sleep(20)
    const since = Date.now()
    while (await refused(url)) await sleep(20)
    expect(Date.now() - since).to.be.below(3000)
    await next.stop()
  })

  it('starts again when app and server were both killed', async () => {
    const { app, url } = await startApp()
    await query(url, 'create table kept as select 1 as n')
    app.kill('SIGKILL')
    process.kill(postmaster(dataDir), 'SIGKILL')
    const next = await startEmbedded({ dataDir, log })
    expect(await query(next.url, 'select n from kept')).to.equal(1)
    await next.stop()
  })

  it('refuses a second app on the same directory and leaves the first alone', async () => {
    const { url, stop } = await startEmbedded({ dataDir, log })
    const problem = await startEmbedded({ dataDir, log }).catch((e) => e.message)
    expect(problem).to.contain('in use by another Gatehouse').and.to.contain(String(process.pid))
    expect(await query(url, 'select 1 as n')).to.equal(1)
    await stop()
  })

  it('gives the directory to exactly one of two apps that start at once', async () => {
    const results = await Promise.all([startApp(), startApp()])
    expect(results.filter((r) => r.url)).to.have.length(1)
    expect(results.find((r) => r.error)?.error).to.contain('in use by another Gatehouse')
    const winner = results.find((r) => r.url)!
    expect(await query(winner.url, 'select 1 as n')).to.equal(1)
    winner.app.kill('SIGTERM')
    await once(winner.app, 'exit')
    expect(existsSync(join(dataDir, 'postgres/cluster/postmaster.pid'))).to.equal(false)
  })

  it('is not fooled by a lock file whose process id belongs to somebody else now', async () => {
    const first = await startEmbedded({ dataDir, log })
    const lock = join(dataDir, 'postgres/cluster/postmaster.pid')
    const [pid, ...rest] = readFileSync(lock, 'utf8').split('\n')
    await first.stop()
    writeFileSync(lock, [String(process.ppid), ...rest].join('\n'), { mode: 0o600 })
    const { uid, gid } = statSync(join(dataDir, 'postgres'))
    chownSync(lock, uid, gid)
    const second = await startEmbedded({ dataDir, log })
    expect(postmaster(dataDir)).to.not.equal(Number(pid))
    await second.stop()
  })

  it('finds a place for the socket when the path of DATA_DIR is too long for one', async () => {
    const long = join(dataDir, 'x'.repeat(60), 'y'.repeat(60))
    mkdirSync(long, { recursive: true })
    const { url, stop } = await startEmbedded({ dataDir: long, log })
    const socket = new URL(url).searchParams.get('host')!
    expect(socket.length).to.be.below(90)
    expect(statSync(socket).mode & 0o777).to.equal(0o700)
    process.kill(postmaster(long), 'SIGKILL')
    await sleep(20)
    while (await refused(url)) await sleep(20)
    await stop()
    expect(existsSync(socket)).to.equal(false)
  })

  it('as root, keeps the data where the server account can reach it, and starts fresh when DATA_DIR is deleted', async function () {
    if (!root) skip(this, 'not root')
    const closed = join(dataDir, 'closed')
    mkdirSync(closed, { mode: 0o700 })
    const inside = join(closed, 'data')
    const first = await startEmbedded({ dataDir: inside, log })
    expect(lstatSync(join(inside, 'postgres')).isSymbolicLink()).to.equal(true)
    const home = realpathSync(join(inside, 'postgres'))
    expect(statSync(home).mode & 0o777).to.equal(0o700)
    expect(statSync(home).uid).to.not.equal(0)
    await query(first.url, 'create table old as select 1 as n')
    await first.stop()
    const again = await startEmbedded({ dataDir: inside, log })
    expect(await query(again.url, 'select n from old')).to.equal(1)
    await again.stop()
    rmSync(inside, { recursive: true })
    const fresh = await startEmbedded({ dataDir: inside, log })
    expect(await query(fresh.url, "select to_regclass('old')")).to.equal(null)
    await fresh.stop()
    rmSync(home, { recursive: true })
    rmSync(realpathSync(join(inside, 'postgres')), { recursive: true })
  })

  async function startApp(): Promise<{ app: ChildProcess; url: string; error?: string }> {
    const app = spawn(process.execPath, [join(import.meta.dirname, 'fixtures/embedded.ts'), dataDir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    apps.push(app)
    const [line] = await once(app.stdout!, 'data')
    return { app, ...JSON.parse(String(line)) }
  }
})

async function query(connectionString: string, sql: string): Promise<unknown> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2000 })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' })
    return rows[0]?.[0]
  } finally {
    await client.end()
  }
}

function refused(url: string): Promise<boolean> {
  return query(url, 'select 1').then(
    () => false,
    () => true,
  )
}

function postmaster(dataDir: string): number {
  return Number(readFileSync(join(dataDir, 'postgres/cluster/postmaster.pid'), 'utf8').split('\n')[0])
}
