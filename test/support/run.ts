/**
 * `npm test`: a mocha process for each folder below test/, two at a time but for those that measure, all on one PostgreSQL
 * (TEST_DATABASE_URL, else an embedded one for this run). Arguments choose: `npm test -- test/oidc test/adapters/http.test.ts`.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { globSync } from 'node:fs'
import { cpus } from 'node:os'
import { join, normalize, relative, resolve, sep } from 'node:path'
import { temporaryServer } from './postgres.ts'

interface Counts {
  passed: number
  failed: number
  skipped: number
}

const root = resolve(import.meta.dirname, '../..')
const FOLDER_MINUTES = 20
/** They measure time or memory, or kill servers: nothing else may run meanwhile. */
const ALONE = ['test/adapters', 'test/start', 'test/api/enumeration.test.ts']
/** The largest folder is two processes. */
const HALVED = 'test/api'

const groups = groupsOf(choose(process.argv.slice(2).filter((argument) => !argument.startsWith('-'))))
if (groups.length === 0) {
  console.error('No test file matches')
  process.exit(1)
}
const server = process.env.TEST_DATABASE_URL ? undefined : await temporaryServer()
const url = process.env.TEST_DATABASE_URL ?? server?.url
process.once('SIGINT', () => process.kill(process.pid, 'SIGTERM'))
process.once('SIGTERM', () => void finish(130))

const running = new Set<ChildProcess>()
const total: Counts = { passed: 0, failed: 0, skipped: 0 }
const started = Date.now()
const together = groups.filter(({ alone }) => !alone)
await Promise.all(Array.from({ length: 2 }, () => work(together)))
await work(groups.filter(({ alone }) => alone))
console.log(`\n${groups.length} groups in ${Math.round((Date.now() - started) / 1000)} s on ${cpus().length} cores`)
await finish(total.failed > 0 ? 1 : 0)

async function work(waiting: Group[]): Promise<void> {
  for (let group = waiting.shift(); group; group = waiting.shift()) {
    const counts = await runGroup(group)
    for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key]
  }
}

async function finish(code: number): Promise<never> {
  for (const child of running) child.kill('SIGKILL')
  await server?.stop()
  server?.remove()
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
  process.exit(code)
}

/** The test files below the given paths; all without any. */
function choose(paths: string[]): string[] {
  const all = globSync('test/**/*.test.ts', { cwd: root }).sort()
  const wanted = paths.map((path) => normalize(relative(root, resolve(path))))
  if (wanted.length === 0) return all
  return all.filter((file) => wanted.some((path) => file === path || file.startsWith(`${path}${sep}`)))
}

interface Group {
  name: string
  files: string[]
  alone: boolean
}

/** The longest first. */
function groupsOf(files: string[]): Group[] {
  const groups = new Map<string, Group>()
  const counts: Record<string, number> = {}
  for (const file of files) {
    const folder = file.split(sep).slice(0, 2).join('/')
    const measured = ALONE.find((path) => file.split(sep).join('/').startsWith(path))
    counts[folder] = (counts[folder] ?? 0) + 1
    const part = folder === HALVED && !measured ? ` ${1 + (counts[folder] % 2)}` : ''
    const name = measured ?? `${folder}${part}`
    const group = groups.get(name) ?? { name, files: [], alone: measured !== undefined }
    group.files.push(join(root, file))
    groups.set(name, group)
  }
  const sorted = [...groups.values()].sort((a, b) => b.files.length - a.files.length)
  return sorted.length === 1 ? [{ ...sorted[0]!, alone: true }] : sorted
}

/** What runs beside others is shown when it is done. */
function runGroup({ name, files, alone }: Group): Promise<Counts> {
  return new Promise((done) => {
    const env = { ...process.env, NODE_ENV: 'test', TEST_DATABASE_URL: url }
    const child = fork(join(import.meta.dirname, 'mocha.ts'), files, { cwd: root, env, silent: !alone })
    running.add(child)
    const said: Buffer[] = []
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (piece: Buffer) => said.push(piece))
    if (alone) console.log(`\n── ${name}`)
    let counts: Counts | undefined
    const watchdog = setTimeout(() => {
      console.error(`  ${name}: stopped after ${FOLDER_MINUTES} minutes`)
      child.kill('SIGKILL')
    }, FOLDER_MINUTES * 60_000)
    child.on('message', (message) => (counts = message as Counts))
    child.on('close', (code, signal) => {
      clearTimeout(watchdog)
      running.delete(child)
      if (!alone) process.stdout.write(`\n── ${name}\n${Buffer.concat(said)}`)
      if (!counts) console.error(`  the test process ended with ${signal ?? code} before it could report`)
      done(counts ?? { passed: 0, failed: 1, skipped: 0 })
    })
  })
}
