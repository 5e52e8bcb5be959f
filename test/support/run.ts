/**
 * `npm test`: a mocha process for each folder below test/, two at a time but for those that measure, all on one PostgreSQL
 * (TEST_DATABASE_URL, else an embedded one for this run). Arguments choose: `npm test -- test/oidc test/adapters/http.test.ts`.
 * A few files with failures run once more, alone: what passes then is counted as passed and named at the end as unsteady.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { globSync } from 'node:fs'
import { cpus } from 'node:os'
import { isAbsolute, join, normalize, relative, resolve, sep } from 'node:path'
import type { Outcome } from './mocha.ts'
import { temporaryServer } from './postgres.ts'

/** By file. */
type Outcomes = Record<string, Outcome>

const root = resolve(import.meta.dirname, '../..')
const FOLDER_MINUTES = 20
/** They measure time or memory, kill servers, or count what every open transaction holds up: nothing else may run meanwhile. */
const ALONE = [
  'test/adapters',
  'test/start',
  'test/api/enumeration.test.ts',
  'test/domain/audit-seal.test.ts',
  'test/domain/many-tenants.test.ts',
]
/** More files than these have a common reason, which a second run would not take away. */
const MOST_AGAIN = 3
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
const outcomes: Outcomes = {}
const started = Date.now()
const together = groups.filter(({ alone }) => !alone)
await Promise.all(Array.from({ length: 2 }, () => work(together)))
await work(groups.filter(({ alone }) => alone))
await tryAgain()
console.log(`\n${groups.length} groups in ${Math.round((Date.now() - started) / 1000)} s on ${cpus().length} cores`)
await finish()

async function work(waiting: Group[]): Promise<void> {
  for (let group = waiting.shift(); group; group = waiting.shift()) Object.assign(outcomes, await runGroup(group))
}

async function tryAgain(): Promise<void> {
  const files = Object.keys(outcomes).filter((name) => outcomes[name]!.failed > 0)
  if (files.length === 0 || files.length > MOST_AGAIN || files.some((name) => !isAbsolute(name))) return
  const first = files.flatMap((file) => outcomes[file]!.failures)
  await work(files.map((file) => ({ name: `${relative(root, file)}, again`, files: [file], alone: true })))
  const second = new Set(files.flatMap((file) => outcomes[file]!.failures).map(({ test }) => test))
  for (const { test, reason } of first) if (!second.has(test)) console.log(`unsteady: ${test}: ${reason}`)
}

async function finish(interrupted?: number): Promise<never> {
  for (const child of running) child.kill('SIGKILL')
  await server?.stop()
  server?.remove()
  const all = Object.values(outcomes)
  for (const { test, reason } of all.flatMap(({ failures }) => failures)) console.log(`failed: ${test}: ${reason}`)
  const sum = (key: 'passed' | 'failed' | 'skipped') => all.reduce((total, outcome) => total + outcome[key], 0)
  console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`)
  process.exit(interrupted ?? (sum('failed') > 0 ? 1 : 0))
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
function runGroup({ name, files, alone }: Group): Promise<Outcomes> {
  return new Promise((done) => {
    const env = { ...process.env, NODE_ENV: 'test', TEST_DATABASE_URL: url }
    const child = fork(join(import.meta.dirname, 'mocha.ts'), files, { cwd: root, env, silent: !alone })
    running.add(child)
    const said: Buffer[] = []
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (piece: Buffer) => said.push(piece))
    if (alone) console.log(`\n── ${name}`)
    let result: Outcomes | undefined
    const watchdog = setTimeout(() => {
      console.error(`  ${name}: stopped after ${FOLDER_MINUTES} minutes`)
      child.kill('SIGKILL')
    }, FOLDER_MINUTES * 60_000)
    child.on('message', (message) => (result = message as Outcomes))
    child.on('close', (code, signal) => {
      clearTimeout(watchdog)
      running.delete(child)
      if (!alone) process.stdout.write(`\n── ${name}\n${Buffer.concat(said)}`)
      const reason = `the test process ended with ${signal ?? code} before it could report`
      done(result ?? { [name]: { passed: 0, failed: 1, skipped: 0, failures: [{ test: name, reason }] } })
    })
  })
}
