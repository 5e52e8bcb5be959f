/** Nothing but argon2id by our parameters, as fast as it goes: what sign-ins are compared with. A child process. */
import { hash, verify } from '@node-rs/argon2'

const stored = await hash('SecurePassword123!', {
  algorithm: 2,
  memoryCost: 19_456,
  timeCost: 2,
  parallelism: 1,
  outputLen: 32,
})

/** Answers { count, concurrency } with the seconds it took. */
process.on('message', async ({ count, concurrency }: { count: number; concurrency: number }) => {
  const started = performance.now()
  let left = count
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (left-- > 0) await verify(stored, 'SecurePassword123!')
    }),
  )
  process.send?.({ seconds: (performance.now() - started) / 1000 })
})
process.on('disconnect', () => process.exit(0))
process.send?.({ ready: true })
