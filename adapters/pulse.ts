/** Whether the database answers, asked on a connection of its own: a pool full of requests is not a database that is down. */
import type pg from 'pg'
import { listener } from './knex.ts'

export interface Pulse {
  /** True if the database answers within `patience` ms. Those who ask at the same time share one question. */
  beats(patience: number): Promise<boolean>
  close(): void
}

/** How long (ms) to keep a connection whose answer is late. */
const LIMIT = 2000

export function createPulse(databaseUrl: string): Pulse {
  let client: pg.Client | undefined
  let asking: Promise<boolean> | undefined

  async function ask(): Promise<boolean> {
    const mine = client ?? listener(databaseUrl)
    const abandon = () => {
      if (client === mine) client = undefined
      ;(mine as any).connection.stream.destroy()
    }
    const limit = setTimeout(abandon, LIMIT)
    try {
      if (mine !== client) {
        mine.on('error', () => {})
        mine.once('end', abandon)
        await mine.connect()
        client = mine
      }
      await mine.query('select 1')
      return true
    } catch {
      abandon()
      return false
    } finally {
      clearTimeout(limit)
    }
  }

  return {
    async beats(patience) {
      asking ??= ask().finally(() => {
        asking = undefined
      })
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<boolean>((resolve) => {
        // Where this process itself was late, the answer may be there already: look once more.
        timer = setTimeout(() => setImmediate(resolve, false), patience)
      })
      return Promise.race([asking, late]).finally(() => clearTimeout(timer))
    },
    close() {
      ;(client as any)?.connection.stream.destroy()
    },
  }
}
