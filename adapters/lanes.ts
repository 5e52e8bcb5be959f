/**
 * A few connections that every request shares for its prepared statements. Each sends what came in one turn of the event
 * loop in one write, without waiting for earlier answers (PostgreSQL: pipelining, 54.2.4); each statement stays a
 * transaction of its own. Under load that saves both sides most of their wake-ups. Transactions use the pool.
 */
import pg from 'pg'
import { execute } from './statement.ts'

export interface Lanes {
  /** Runs the statement `name` and answers its rows. `text` must always be the same for a name. */
  run(name: string, text: string, values: unknown[]): Promise<any[]>
  close(): Promise<void>
}

interface Lane {
  client: pg.Client
  /** Undefined once connected. */
  connecting: Promise<unknown> | undefined
  inFlight: number
  /** When it last began to wait, or was last answered (milliseconds). */
  heard: number
  corked: boolean
}

/** Reads never wait for a commit: they have lanes of their own. A further lane opens when all have so many in flight. */
const kinds = { read: { most: 2, depth: 8 }, write: { most: 4, depth: 1 } }
const WATCH_MS = 500

/** `patience`: milliseconds after which a statement is given up (0: never), with the connection if the server says nothing. */
export function openLanes(config: pg.ClientConfig, patience: number): Lanes {
  const lanes = { read: [] as Lane[], write: [] as Lane[] }
  let closed = false

  function open(kind: keyof typeof kinds): Lane {
    const client = new pg.Client({
      ...config,
      // Ended by the server; the watch below is for a server that does not answer at all.
      ...(patience > 0 && { statement_timeout: patience }),
      pipeline: true,
    } as pg.ClientConfig)
    const lane: Lane = { client, connecting: undefined, inFlight: 0, heard: Date.now(), corked: false }
    const drop = () => {
      lanes[kind] = lanes[kind].filter((other) => other !== lane)
    }
    // Who waits for an answer is told by the client itself.
    client.on('error', drop)
    client.on('end', drop)
    lane.connecting = client.connect().then(
      () => (lane.connecting = undefined),
      (error) => {
        drop()
        throw error
      },
    )
    // Answered by whoever awaits it.
    lane.connecting.catch(() => {})
    lanes[kind].push(lane)
    return lane
  }

  function choose(kind: keyof typeof kinds): Lane {
    const { most, depth } = kinds[kind]
    let best: Lane | undefined
    for (const lane of lanes[kind]) if (!best || lane.inFlight < best.inFlight) best = lane
    return !best || (best.inFlight >= depth && lanes[kind].length < most) ? open(kind) : best
  }

  /** One write for all that is sent in this turn of the event loop. */
  function cork(lane: Lane): void {
    if (lane.corked) return
    lane.corked = true
    const { stream } = (lane.client as any).connection
    stream.cork()
    setImmediate(() => {
      lane.corked = false
      stream.uncork()
    })
  }

  const watch = setInterval(() => {
    const now = Date.now()
    for (const lane of [...lanes.read, ...lanes.write])
      if (patience > 0 && lane.inFlight > 0 && !lane.connecting && now - lane.heard > patience + WATCH_MS)
        (lane.client as any).connection.stream.destroy(new Error('Connection terminated: no answer'))
  }, WATCH_MS)
  watch.unref()

  return {
    async run(name, text, values) {
      if (closed) throw new Error('Connection terminated: the pool is closed')
      const lane = choose(text.startsWith('select') ? 'read' : 'write')
      if (lane.inFlight === 0) lane.heard = Date.now()
      lane.inFlight += 1
      try {
        if (lane.connecting) await lane.connecting
        cork(lane)
        return await execute(lane.client, name, text, values)
      } finally {
        lane.inFlight -= 1
        lane.heard = Date.now()
      }
    },
    async close() {
      closed = true
      clearInterval(watch)
      await Promise.all([...lanes.read, ...lanes.write].map((lane) => lane.client.end().catch(() => {})))
    },
  }
}
