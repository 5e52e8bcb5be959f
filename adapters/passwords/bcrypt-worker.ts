/** The thread that bcrypt.ts starts. */
import { parentPort } from 'node:worker_threads'
import { compareSync } from 'bcryptjs'

parentPort?.on('message', ({ id, hash, password }: { id: number; hash: string; password: string }) => {
  parentPort?.postMessage({ id, ok: compareSync(password, hash) })
})
