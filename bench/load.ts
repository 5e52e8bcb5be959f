/** Sends a fixed number of operations by a fixed number of workers, and keeps how long each took. */

/** Does the operation once. Throws if the answer is not the expected one. */
export type Once = () => Promise<unknown>

export interface Measured {
  operations: number
  /** Wall time of the block. */
  seconds: number
  /** Milliseconds of each operation. */
  times: number[]
}

/** Splits `count` evenly over the workers; each does its own in turn. */
export async function run(workers: Once[], count: number): Promise<Measured> {
  const times: number[] = []
  const each = Math.ceil(count / workers.length)
  const started = performance.now()
  await Promise.all(
    workers.map(async (once) => {
      for (let i = 0; i < each; i += 1) {
        const begun = performance.now()
        await once()
        times.push(performance.now() - begun)
      }
    }),
  )
  return { operations: times.length, seconds: (performance.now() - started) / 1000, times }
}

export function percentile(sorted: number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
