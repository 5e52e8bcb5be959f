/** So many at once, so many waiting, the rest refused at once: keeps slow work (hashing, DNS) from taking all of libuv's threads. */

/** The queue is full. `retryAfter` (seconds) is about the time until what waits now is done. */
export class Overloaded extends Error {
  readonly retryAfter: number
  constructor(retryAfter: number) {
    super('Too much is waiting to be done at the moment')
    this.name = 'Overloaded'
    this.retryAfter = retryAfter
  }
}

export interface Queue {
  /** Runs the work in turn. Rejects with Overloaded, without waiting, when the queue is full. */
  run<T>(work: () => Promise<T>): Promise<T>
  load(): { running: number; queued: number }
}

export function createQueue(concurrency: number, length: number): Queue {
  const waiting: (() => void)[] = []
  let running = 0
  let average = 20

  async function turn<T>(work: () => Promise<T>): Promise<T> {
    const started = performance.now()
    try {
      return await work()
    } finally {
      average += (performance.now() - started - average) / 16
      const next = waiting.shift()
      // The place passes on; nobody can slip in between.
      if (next) next()
      else running -= 1
    }
  }

  return {
    async run(work) {
      if (running >= concurrency) {
        if (waiting.length >= length) {
          throw new Overloaded(Math.max(1, Math.ceil((waiting.length * average) / concurrency / 1000)))
        }
        await new Promise<void>((resolve) => waiting.push(resolve))
      } else {
        running += 1
      }
      return turn(work)
    },
    load: () => ({ running, queued: waiting.length }),
  }
}
