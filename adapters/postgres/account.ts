/** Which operating-system account PostgreSQL runs as. It refuses to run as root, so root hands it to an unprivileged one. */
import { execFileSync, spawnSync } from 'node:child_process'
import { lchownSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'

export interface Account {
  name: string
  /** What to pass to spawn; empty when PostgreSQL runs as the same user as this process. */
  spawn: { uid?: number; gid?: number }
}

/** Existing data keeps its owner; new data under root belongs to `postgres`, else `nobody`. */
export function chooseAccount(existing: string | undefined): Account {
  const uid = process.getuid?.()
  if (uid === undefined) return { name: userInfo().username, spawn: {} }
  const owner = existing === undefined ? undefined : statSync(existing)
  if (uid !== 0) {
    if (owner && owner.uid !== uid) {
      throw new Error(
        `${existing} belongs to user id ${owner.uid}; start as that user, or as root, or change its owner`,
      )
    }
    return { name: `uid ${uid}`, spawn: {} }
  }
  if (owner && owner.uid !== 0) return { name: `uid ${owner.uid}`, spawn: { uid: owner.uid, gid: owner.gid } }
  for (const name of ['postgres', 'nobody']) {
    const found = { uid: idOf('-u', name), gid: idOf('-g', name) }
    if (found.uid !== undefined && found.gid !== undefined)
      return { name, spawn: found as { uid: number; gid: number } }
  }
  throw new Error('PostgreSQL refuses to run as root and there is no account "postgres" or "nobody"; set DATABASE_URL')
}

function idOf(option: string, name: string): number | undefined {
  try {
    const id = Number(execFileSync('id', [option, name], { stdio: ['ignore', 'pipe', 'ignore'] }))
    return Number.isInteger(id) && id !== 0 ? id : undefined
  } catch {
    return undefined
  }
}

/** True if the account may enter the directory, tried for real: it knows about every kind of permission. */
export function canEnter(account: Account, directory: string): boolean {
  if (account.spawn.uid === undefined) return true
  const result = spawnSync('/bin/sh', ['-c', 'cd "$0"', directory], { ...account.spawn, cwd: '/', stdio: 'ignore' })
  return result.status === 0
}

/** Gives the path to the account; of a link the link itself, since what the account owns it could have replaced. */
export function give(account: Account, path: string): void {
  const { uid, gid } = account.spawn
  if (uid !== undefined && gid !== undefined) lchownSync(path, uid, gid)
}
