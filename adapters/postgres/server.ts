/** One PostgreSQL server process: find the one that runs on a cluster, start one, stop one. */
import { execFile, spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Account, give } from './account.ts'
import type { Binaries } from './binaries.ts'
import { type Home, isAlive, removeSocketDirectory, serverEnvironment, socketDirectory } from './home.ts'

export interface Server {
  pid: number
  /** Directory of the socket, or an address on Windows. */
  host: string
  port: number
}

const MIB = 2 ** 20

/**
 * What the database may keep in memory, by that of the machine or container (bytes): an eighth, which is taken only as data fills it.
 * A list of a million people reads indexes of some hundred MB; what is not kept here is copied from the system's cache each time.
 */
export function memorySettings(memory: number): { shared_buffers: string; effective_cache_size: string } {
  const kept = Math.round(Math.min(Math.max(memory / 8 / MIB, 64), 1024))
  return { shared_buffers: `${kept}MB`, effective_cache_size: `${kept * 4}MB` }
}

/** 0 of constrainedMemory: no container's limit is known. */
const memory = (): number => Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)

/** Fits beside the app on a small machine. Acknowledged writes are on disk: fsync and synchronous_commit are pinned on. */
const settings = {
  max_connections: '100',
  work_mem: '4MB',
  maintenance_work_mem: '64MB',
  random_page_cost: '1.1',
  max_wal_size: '512MB',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  io_method: 'sync',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Statements that fail are the app's to report; the server would write their values down.
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_checkpoints: 'off',
  unix_socket_permissions: '0700',
}

/** The live server of this cluster. Undefined if none runs; a lock file left by a dead one does not count. */
export function findServer(home: Home): (Server & { ready: boolean }) | undefined {
  const lock = readLock(home)
  if (!lock || !isServerOf(lock.pid, home)) return undefined
  return lock
}

function readLock(home: Home): (Server & { ready: boolean }) | undefined {
  let lines: string[]
  try {
    lines = readFileSync(join(home.cluster, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return undefined
  }
  const [pid, , , port, socket, address] = lines
  return {
    pid: Math.abs(Number(pid)),
    port: Number(port),
    host: socket || address?.trim() || '127.0.0.1',
    ready: lines[7]?.trim() === 'ready',
  }
}

/** A process id may have been given to somebody else since: the command line tells, where the system shows it. */
function isServerOf(pid: number, home: Home): boolean {
  if (!pid || !isAlive(pid)) return false
  if (process.platform === 'win32') return true
  if (process.platform !== 'linux') {
    return spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).stdout.includes(
      home.cluster,
    )
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(home.cluster)
  } catch {
    return false
  }
}

/**
 * Starts a server and waits until it takes connections, where `last` was reached if that is given. Throws with the end of
 * its log if it ends before that.
 */
export async function startServer(home: Home, account: Account, binaries: Binaries, last?: Server): Promise<Server> {
  disownLock(home, account)
  rotateLog(home)
  const windows = process.platform === 'win32'
  const port = windows ? (last?.port ?? (await freePort())) : 5432
  const again = last && existsSync(last.host) ? last.host : undefined
  const socket = windows ? '' : (again ?? socketDirectory(home, account))
  // The cluster's own lock decides; this one only names a process id, which is somebody else's after a crash.
  if (socket) rmSync(join(socket, '.s.PGSQL.5432.lock'), { force: true })
  const options: Record<string, string> = {
    ...settings,
    ...memorySettings(memory()),
    port: String(port),
    listen_addresses: windows ? '127.0.0.1' : '',
    unix_socket_directories: socket,
  }
  const args = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  if (windows) {
    // pg_ctl gives up administrator rights, which the server refuses to have.
    const flags = Object.entries(options).map(([name, value]) => `-c ${name}=${value || "''"}`)
    await promisify(execFile)(binaries.pgCtl, [
      'start',
      '-w',
      '-D',
      home.cluster,
      '-l',
      home.log,
      '-o',
      flags.join(' '),
    ])
    return { pid: readLock(home)?.pid ?? 0, host: '127.0.0.1', port }
  }
  // The directory is the account's: root must not follow a link that it may have put there.
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
  const log = openSync(home.log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
  const before = fstatSync(log).size
  const child = spawn(binaries.postgres, ['-D', home.cluster, ...args], {
    ...account.spawn,
    cwd: home.path,
    // A session of its own: Ctrl+C in the terminal is for the app, which then stops the database last.
    detached: true,
    stdio: ['ignore', log, log],
    env: serverEnvironment(),
  })
  closeSync(log)
  child.unref()
  let ended: string | undefined
  child.on('error', (error) => (ended = error.message))
  child.on('exit', (code, signal) => (ended = `it ended with ${code ?? signal}`))
  const deadline = Date.now() + 60_000
  for (;;) {
    const lock = readLock(home)
    if (lock?.pid === child.pid && lock?.ready) return { pid: lock.pid, host: lock.host, port: lock.port }
    if (ended !== undefined || Date.now() > deadline) {
      if (!again) removeSocketDirectory(home, socket)
      const log = readFileSync(home.log).subarray(before).toString().trim()
      throw new Error(`PostgreSQL did not start: ${ended ?? 'not ready after 60 s'}\n${log}`)
    }
    await sleep(5)
  }
}

/**
 * A lock file whose process id now belongs to another program would make PostgreSQL refuse to start. It also names the
 * shared memory that PostgreSQL must find unused, so it is not deleted: it takes the server's own parent for dead.
 */
function disownLock(home: Home, account: Account): void {
  const lock = readLock(home)
  if (!lock || !isAlive(lock.pid) || isServerOf(lock.pid, home)) return
  const path = join(home.cluster, 'postmaster.pid')
  const changed = `${path}.${process.pid}`
  writeFileSync(changed, readFileSync(path, 'utf8').replace(/^-?\d+/, String(process.pid)), { flag: 'wx', mode: 0o600 })
  give(account, changed)
  renameSync(changed, path)
}

function rotateLog(home: Home): void {
  const size = statSync(home.log, { throwIfNoEntry: false })?.size ?? 0
  if (size > 5_000_000) renameSync(home.log, `${home.log}.1`)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** Ends sessions, writes everything down and waits until the server is gone. After 20 s it is told to end at once. */
export async function stopServer(home: Home, binaries: Binaries): Promise<void> {
  const server = findServer(home)
  if (!server) return
  if (process.platform === 'win32') {
    await promisify(execFile)(binaries.pgCtl, ['stop', '-w', '-m', 'fast', '-D', home.cluster])
    return
  }
  signal(server.pid, 'SIGINT')
  const patience = Date.now() + 20_000
  let pressed = false
  while (readLock(home) && isServerOf(server.pid, home)) {
    if (!pressed && Date.now() > patience) {
      pressed = true
      signal(server.pid, 'SIGQUIT')
    }
    await sleep(5)
  }
  removeSocketDirectory(home, server.host)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
