/**
 * The home of the embedded database: `DATA_DIR/postgres`, with `cluster` (PostgreSQL's data directory), `password`,
 * `server.log` and usually `socket`. Made whole under another name and renamed, so a kill leaves no half of one.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Logger } from '../log.ts'
import { type Account, canEnter, give } from './account.ts'
import { type Binaries, makeShared, sharedDirectories } from './binaries.ts'

export interface Home {
  /** Real path of the home, links resolved. */
  path: string
  cluster: string
  password: string
  log: string
}

/** The home if there is one, whether a directory or a link to one. */
export function existingHome(dataDir: string): string | undefined {
  const path = join(dataDir, 'postgres')
  if (existsSync(join(path, 'cluster', 'PG_VERSION'))) return realpathSync(path)
  if (!existsSync(path)) return undefined
  throw new Error(`${path} is no database of Gatehouse, or belongs to a user whose files this one may not see`)
}

/** Opens the home; checks that these programs can read it. */
export function openHome(path: string, binaries: Binaries): Home {
  const cluster = join(path, 'cluster')
  const major = Number(readFileSync(join(cluster, 'PG_VERSION'), 'utf8'))
  if (major !== binaries.major) {
    throw new Error(
      `${path} was made by PostgreSQL ${major}, this is ${binaries.major}: dump it with the old version, or set DATABASE_URL`,
    )
  }
  const password = readFileSync(join(path, 'password'), 'utf8').trim()
  return { path, cluster, password, log: join(path, 'server.log') }
}

/** Makes a new home with an empty cluster and returns its real path. Where another process was faster, its home. */
export async function createHome(dataDir: string, account: Account, binaries: Binaries, log: Logger): Promise<string> {
  const link = join(dataDir, 'postgres')
  removeUnfinished(dataDir, sharedDirectories(account))
  const reachable = canEnter(account, dataDir)
  const fits = (directory: string) => makeShared(directory) && canEnter(account, directory)
  const parent = reachable ? dataDir : sharedDirectories(account).find(fits)
  if (!parent) throw new Error(`${account.name} cannot reach ${dataDir}, nor a directory beside it; set DATABASE_URL`)
  if (!reachable && dirname(parent) === tmpdir())
    log.warn({ path: parent }, 'the database is kept in a temporary directory')
  const unfinished = mkdtempSync(join(parent, `postgres-${process.pid}-`))
  try {
    chmodSync(unfinished, 0o700)
    give(account, unfinished)
    await initialise(unfinished, account, binaries)
    writeFileSync(join(unfinished, 'data-dir'), dataDir)
    if (lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() && !existsSync(link)) {
      log.warn({ path: readlinkSync(link) }, 'the database that was here is gone; starting with an empty one')
      unlinkSync(link)
    }
    if (reachable) {
      renameSync(unfinished, link)
    } else {
      symlinkSync(unfinished, link)
    }
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    const faster = existingHome(dataDir)
    if (faster) return faster
    throw error
  }
  return realpathSync(link)
}

async function initialise(home: string, account: Account, binaries: Binaries): Promise<void> {
  const password = join(home, 'password')
  // scram-sha-256 hashes with 4096 rounds; 32 random bytes need none of them.
  writeFileSync(password, randomBytes(32).toString('base64url'), { mode: 0o600 })
  give(account, password)
  const args = ['-D', join(home, 'cluster'), '-U', 'gatehouse', '--auth=scram-sha-256', `--pwfile=${password}`]
  const locale = ['-E', 'UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C']
  const child = spawn(binaries.initdb, [...args, ...locale], {
    ...account.spawn,
    cwd: home,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: serverEnvironment(),
    windowsHide: true,
  })
  let problem = ''
  child.stderr.on('data', (chunk) => (problem += chunk))
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`PostgreSQL's initdb failed (${code}): ${problem.trim()}`)
}

/** Nothing of ours may reach PostgreSQL: it reads PGDATA, PGOPTIONS and the like. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const { PATH, SystemRoot, TEMP, TMP } = process.env
  return { PATH, SystemRoot, TEMP, TMP, LC_ALL: 'C' }
}

/** Homes that were being made when their process was killed. A shared directory holds finished ones by such names too. */
function removeUnfinished(dataDir: string, shared: string[]): void {
  for (const parent of [dataDir, ...shared.filter((directory) => existsSync(directory))]) {
    for (const name of readdirSync(parent)) {
      const pid = /^postgres-(\d+)-\w{6}$/.exec(name)?.[1]
      const finished = parent !== dataDir && existsSync(join(parent, name, 'data-dir'))
      if (pid && !finished && !isAlive(Number(pid))) rmSync(join(parent, name), { recursive: true, force: true })
    }
  }
}

/** Homes outside DATA_DIR that were made for it, and that it no longer points to because somebody deleted it. */
export function abandonedHomes(dataDir: string, account: Account): string[] {
  return sharedDirectories(account)
    .filter((parent) => existsSync(parent))
    .flatMap((parent) => readdirSync(parent).map((name) => join(parent, name)))
    .filter((path) => {
      const owner = join(path, 'data-dir')
      return existsSync(owner) && readFileSync(owner, 'utf8') === dataDir
    })
}

/** True if there is a process with this id. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Makes a directory for the socket: in the home, or a private one elsewhere if the path would be too long for a socket. */
export function socketDirectory(home: Home, account: Account): string {
  const near = join(home.path, 'socket')
  const directory = Buffer.byteLength(near) <= 85 ? near : mkdtempSync(join(tmpdir(), 'gatehouse-'))
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  give(account, directory)
  return directory
}

/** Removes a socket directory, if it is one, and empty but for the socket. */
export function removeSocketDirectory(home: Home, directory: string): void {
  const far = dirname(directory) === tmpdir() && /^gatehouse-\w{6}$/.test(basename(directory))
  if (!far && directory !== join(home.path, 'socket')) return
  try {
    for (const name of ['.s.PGSQL.5432', '.s.PGSQL.5432.lock']) rmSync(join(directory, name), { force: true })
    rmdirSync(directory)
  } catch {
    // Left behind, it does no harm.
  }
}
