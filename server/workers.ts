/** With WORKERS=n: n processes share the port; those that die are replaced. */
import type { Cluster, Worker } from 'node:cluster'
import type { Logger } from '../adapters/log.ts'

/** How long (ms) a worker may take to stop. */
const PATIENCE_MS = 25_000

export interface Workers {
  /** Lets all of them finish what they have begun. */
  stop(): Promise<void>
}

/**
 * Starts `count` workers; resolves when all serve. Throws if one ends before that: the next would as well. `databaseUrl`
 * is the embedded server's where there is no other.
 */
export async function supervise(cluster: Cluster, count: number, databaseUrl: string, log: Logger): Promise<Workers> {
  const env = { DATABASE_URL: databaseUrl }
  let ending = false
  const fork = () => {
    const worker = cluster.fork(env)
    // A message to a worker that is just dying fails; its exit is what matters.
    worker.on('error', () => {})
    return worker
  }
  const stop = async () => {
    ending = true
    await Promise.all(living(cluster).map(end))
  }
  try {
    await Promise.all(Array.from({ length: count }, () => served(fork())))
  } catch (error) {
    await stop()
    throw error
  }
  cluster.on('exit', (_worker, code, signal) => {
    if (ending) return
    log.error({ code, signal }, 'a worker ended; starting another')
    // Not at once: what ended it may last.
    setTimeout(() => {
      if (!ending) fork()
    }, 500)
  })
  return { stop }
}

/** What a worker says when it serves. */
export const SERVING = 'serving'

function served(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.on('message', (message) => {
      if (message === SERVING) resolve()
    })
    worker.once('exit', (code, signal) => reject(new Error(`a worker ended with ${signal ?? code}`)))
  })
}

const living = (cluster: Cluster) =>
  Object.values(cluster.workers ?? {}).filter((worker): worker is Worker => worker !== undefined && !worker.isDead())

function end(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => worker.process.kill('SIGKILL'), PATIENCE_MS)
    worker.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    worker.process.kill('SIGTERM')
  })
}
