/** The real program as a child process, from a copy of the source, so that nothing under test changes meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative, resolve, sep } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLogger } from '../../adapters/log.ts'
import { startEmbedded } from '../../adapters/postgres.ts'
import type { Answer } from '../support/app.ts'

export const ADMIN = { email: 'root@example.com', password: 'Root-Password-123!' }
const root = resolve(import.meta.dirname, '../..')
const left = new Set(['node_modules', '.git', 'data', 'test', 'docs', 'bench'])

export interface Program {
  url: string
  port: number
  /** Of the Node process that serves, also where npm started it. */
  pid: number
  child: ChildProcess
  /** Milliseconds from the start to the first 200 of /health. */
  took: number
  output(): string
  ended: Promise<number | null>
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  /** Sends the signal and waits for the end; answers the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}
export interface CallOptions {
  body?: unknown
  form?: Record<string, string>
  token?: string
  headers?: Record<string, string>
  /** Milliseconds; 20,000. */
  timeout?: number
}
export interface LaunchOptions {
  dataDir?: string
  env?: Record<string, string | undefined>
  command?: [string, ...string[]]
  port?: number
  /** Do not wait for /health. */
  early?: boolean
}

const programs: Program[] = []
const directories: string[] = []
let copied: string | undefined

/** The source with the dependencies linked. */
export function copyOfSource(): string {
  if (copied) return copied
  const copy = mkdtempSync(join(tmpdir(), 'gh-copy-'))
  copied = copy
  process.once('exit', () => rmSync(copy, { recursive: true, force: true }))
  cpSync(root, copy, { recursive: true, filter: (path) => !left.has(relative(root, path).split(sep)[0]!) })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

/** A directory that every account can reach. */
export function temporary(prefix = 'gh-start-'): string {
  const path = mkdtempSync(join(tmpdir(), prefix))
  chmodSync(path, 0o755)
  directories.push(path)
  return path
}

export function freePort(): Promise<number> {
  return new Promise((done) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => done(port))
    })
  })
}

/** Runs a program of the copy to its end. */
export async function runToEnd(
  command: [string, ...string[]],
  env: Record<string, string | undefined> = {},
): Promise<{ code: number | null; output: string; took: number }> {
  const since = Date.now()
  const program = await launch({ command, env, early: true })
  const code = await program.ended
  return { code, output: program.output(), took: Date.now() - since }
}

/** Starts it and waits until /health says 200. Throws with its output if it ends before that. */
export async function launch(options: LaunchOptions = {}): Promise<Program> {
  const cwd = copyOfSource()
  const port = options.port ?? (await freePort())
  const command = options.command ?? [process.execPath, '--max-semi-space-size=16', 'server/main.js']
  const since = performance.now()
  const { NODE_ENV: _test, TEST_DATABASE_URL: _url, ...inherited } = process.env
  const child = spawn(command[0], command.slice(1), {
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...inherited,
      NODE_COMPILE_CACHE: join(cwd, '.compile-cache'),
      PORT: String(port),
      DATA_DIR: options.dataDir ?? temporary(),
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      TRUST_PROXY: '1',
      ...options.env,
    },
  })
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (output += chunk))
  const ended = new Promise<number | null>((done) => child.once('close', (code) => done(code)))
  const url = `http://localhost:${port}`
  const program: Program = {
    url,
    port,
    pid: child.pid!,
    child,
    took: 0,
    output: () => output,
    ended,
    call: (method, path, callOptions) => call(url, method, path, callOptions),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) process.kill(program.pid, signal)
      return ended
    },
  }
  programs.push(program)
  if (options.early) return program
  while (!(await healthy(url))) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the program ended: ${output}`)
    if (performance.now() - since > 30_000) throw new Error(`not ready after 30 s: ${output}`)
    await sleep(20)
  }
  program.took = performance.now() - since
  if (command[0] === 'npm') program.pid = descendants(child.pid!).find(isServer) ?? child.pid!
  return program
}

const healthy = (url: string) =>
  fetch(`${url}/health`, { signal: AbortSignal.timeout(2000) }).then(
    (response) => response.ok,
    () => false,
  )

export async function call(url: string, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { body, form, token, headers = {}, timeout = 20_000 } = options
  const response = await fetch(url + path, {
    method,
    redirect: 'manual',
    signal: AbortSignal.timeout(timeout),
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(token && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(form && { body: new URLSearchParams(form) }),
  })
  const text = await response.text()
  const json = /json/.test(response.headers.get('content-type') ?? '')
  return { status: response.status, headers: response.headers, body: json && text ? JSON.parse(text) : text }
}

/** Process ids below this one, from /proc. */
export function descendants(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`
  const children = existsSync(path) ? readFileSync(path, 'utf8').split(' ').filter(Boolean).map(Number) : []
  return children.flatMap((child) => [child, ...descendants(child)])
}

function isServer(pid: number): boolean {
  const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  return /node$/.test(program) && args.includes('server/main.js')
}

/** Resident memory in MB. */
export function residentMB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

/** Process id of the embedded server; undefined where none has a lock. */
export function postmasterOf(dataDir: string): number | undefined {
  const lock = join(dataDir, 'postgres/cluster/postmaster.pid')
  return existsSync(lock) ? Number(readFileSync(lock, 'utf8').split('\n')[0]) : undefined
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Polls until it holds; throws after `patience` ms. */
export async function until(what: string, patience: number, holds: () => boolean | Promise<boolean>): Promise<number> {
  const since = performance.now()
  while (!(await holds())) {
    if (performance.now() - since > patience) throw new Error(`${what}: not within ${patience} ms`)
    await sleep(25)
  }
  return performance.now() - since
}

/** Ends what tests left, their embedded servers and directories as well. For an `after` hook. */
export async function cleanUp(): Promise<void> {
  for (const { child } of programs.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    for (const pid of [...descendants(child.pid!), child.pid!]) kill(pid)
  }
  for (const path of directories.splice(0).reverse()) {
    if (existsSync(join(path, 'postgres/cluster'))) {
      const found = await startEmbedded({ dataDir: path, log: createLogger({ level: 'silent' }) }).catch(
        () => undefined,
      )
      await found?.stop()
      rmSync(realpathSync(join(path, 'postgres')), { recursive: true, force: true })
    }
    rmSync(path, { recursive: true, force: true })
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone already.
  }
}

export const filesIn = (path: string): string[] => (existsSync(path) ? readdirSync(path) : [])
