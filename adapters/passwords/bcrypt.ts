/** bcrypt off the main thread: bcryptjs computes in JavaScript and would hold up every other request for 70 ms and more. */
import { Worker } from 'node:worker_threads'

interface Waiting {
  resolve(ok: boolean): void
  reject(error: Error): void
}

const IDLE_MS = 30_000
let worker: Worker | undefined
let idle: NodeJS.Timeout | undefined
let lastId = 0
const waiting = new Map<number, Waiting>()

/** Compares in a worker that starts with the first hash and ends when none came for 30 s. */
export function verifyBcrypt(hash: string, password: string): Promise<boolean> {
  clearTimeout(idle)
  worker ??= start()
  worker.ref()
  const id = ++lastId
  worker.postMessage({ id, hash, password })
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }))
}

function start(): Worker {
  const started = new Worker(new URL('./bcrypt-worker.ts', import.meta.url))
  const lose = (error: Error) => {
    if (worker === started) worker = undefined
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  started.on('message', ({ id, ok }: { id: number; ok: boolean }) => {
    waiting.get(id)?.resolve(ok)
    waiting.delete(id)
    if (waiting.size > 0) return
    started.unref()
    idle = setTimeout(() => {
      if (worker === started) worker = undefined
      void started.terminate()
    }, IDLE_MS).unref()
  })
  started.on('error', lose)
  started.on('exit', () => {
    if (worker === started) lose(new Error('the bcrypt worker ended'))
  })
  return started
}
