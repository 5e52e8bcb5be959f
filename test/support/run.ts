/**
 * `npm test`: one mocha process for each folder below test/, one after the other, all on one PostgreSQL (TEST_DATABASE_URL,
 * else an embedded one for this run). Arguments choose: `npm test -- test/oidc test/adapters/http.test.ts`.
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

const groups = byFolder(choose(process.argv.slice(2).filter((argument) => !argument.startsWith('-'))))
if (groups.size === 0) {
  console.error('No test file matches')
  process.exit(1)
}
const server = process.env.TEST_DATABASE_URL ? undefined : await temporaryServer()
const url = process.env.TEST_DATABASE_URL ?? server?.url
process.once('SIGINT', () => process.kill(process.pid, 'SIGTERM'))
process.once('SIGTERM', () => void finish(130))

let running: ChildProcess | undefined
const total: Counts = { passed: 0, failed: 0, skipped: 0 }
const started = Date.now()
for (const [folder, files] of groups) {
  console.log(`\n── ${folder}`)
  const counts = await runFolder(files)
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key]
}
console.log(`\n${groups.size} folders in ${Math.round((Date.now() - started) / 1000)} s on ${cpus().length} cores`)
await finish(total.failed > 0 ? 1 : 0)

async function finish(code: number): Promise<never> {
  running?.kill('SIGKILL')
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

function byFolder(files: string[]): Map<string, string[]> {
  const folders = new Map<string, string[]>()
  for (const file of files) {
    const folder = file.split(sep).slice(0, 2).join('/')
    const name = folder.endsWith('.test.ts') ? 'test' : folder
    folders.set(name, [...(folders.get(name) ?? []), join(root, file)])
  }
  return folders
}

function runFolder(files: string[]): Promise<Counts> {
  return new Promise((done) => {
    const env = { ...process.env, NODE_ENV: 'test', TEST_DATABASE_URL: url }
    const child = fork(join(import.meta.dirname, 'mocha.ts'), files, { cwd: root, env })
    running = child
    let counts: Counts | undefined
    const watchdog = setTimeout(() => {
      console.error(`  stopped after ${FOLDER_MINUTES} minutes`)
      child.kill('SIGKILL')
    }, FOLDER_MINUTES * 60_000)
    child.on('message', (message) => (counts = message as Counts))
    child.on('close', (code, signal) => {
      clearTimeout(watchdog)
      if (!counts) console.error(`  the test process ended with ${signal ?? code} before it could report`)
      done(counts ?? { passed: 0, failed: 1, skipped: 0 })
    })
  })
}
