/** Things written down together: what comes while one batch is being written is the next one. */

/** At most so many in one. */
const MOST = 100

interface Waiting<T> {
  item: T
  resolve(): void
  reject(error: unknown): void
}

/** A function that resolves when its item is written. What fails in company is tried once more alone. */
export function batches<T>(write: (items: T[]) => Promise<void>): (item: T) => Promise<void> {
  const waiting: Waiting<T>[] = []
  let isWriting = false

  async function writeAll(): Promise<void> {
    isWriting = true
    while (waiting.length > 0) {
      const some = waiting.splice(0, MOST)
      try {
        await write(some.map(({ item }) => item))
        for (const { resolve } of some) resolve()
      } catch (error) {
        if (some.length === 1) some[0]!.reject(error)
        else for (const one of some) await write([one.item]).then(one.resolve, one.reject)
      }
    }
    isWriting = false
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      // What ends in the same turn of the event loop goes together.
      if (!isWriting) {
        isWriting = true
        setImmediate(writeAll)
      }
    })
}
