/** CPU time of processes by Linux's /proc: to the nanosecond where schedstat is there, else in ticks of 10 ms. */
import { readdirSync, readFileSync } from 'node:fs'

const TICK_MS = 10

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** The fields of /proc/<pid>/stat behind the name, which may hold spaces: [0] is the state. */
function stat(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** Milliseconds of CPU that the process has used, all its threads. 0 for a process that is gone. */
export function ofProcess(pid: number): number {
  let ms = 0
  let tasks: string[] = []
  try {
    tasks = readdirSync(`/proc/${pid}/task`)
  } catch {
    return 0
  }
  for (const task of tasks) {
    const running = read(`/proc/${pid}/task/${task}/schedstat`)?.split(' ')[0]
    if (running === undefined) return ticksOf(pid)
    ms += Number(running) / 1e6
  }
  return ms
}

function ticksOf(pid: number): number {
  const fields = stat(pid)
  return fields ? (Number(fields[11]) + Number(fields[12])) * TICK_MS : 0
}

/** Of the process, its children, and its children that ended. */
export function ofTree(pid: number): number {
  const fields = stat(pid)
  if (!fields) return 0
  let ms = ofProcess(pid) + (Number(fields[13]) + Number(fields[14])) * TICK_MS
  for (const child of children(pid)) ms += ofProcess(child)
  return ms
}

function children(pid: number): number[] {
  const listed = read(`/proc/${pid}/task/${pid}/children`)
  if (listed !== undefined) return listed.split(' ').filter(Boolean).map(Number)
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((other) => Number(stat(other)?.[1]) === pid)
}

/** The postmaster of a backend, if it runs on this machine. */
export function postmasterOf(backend: number): number | undefined {
  if (!/postgres/.test(read(`/proc/${backend}/comm`) ?? '')) return undefined
  return Number(stat(backend)?.[1]) || undefined
}

export const available = (): boolean => read('/proc/self/stat') !== undefined
