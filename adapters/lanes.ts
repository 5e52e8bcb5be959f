/**
 * A few connections that every request shares for its prepared statements. What comes in one turn of the event loop is sent
 * in one write, without waiting for earlier answers (PostgreSQL: pipelining, 54.2.4), and writes that may share a commit
 * do: under load that saves both sides most of their wake-ups, and the disk most of its flushes. Transactions use the pool.
 */
import pg from 'pg'
import { type Bound, execute, executeTogether, isKnown } from './statement.ts'

export interface Lanes {
  /**
   * Runs the statement `name` and answers its rows. `text` must always be the same for a name. Each is a transaction of its
   * own; one that `shares` may be committed together with others of its kind, and is answered when they are.
   */
  run(name: string, text: string, values: unknown[], shares?: boolean): Promise<any[]>
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

interface Waiting extends Bound {
  resolve(rows: any[]): void
  reject(error: unknown): void
}

/**
 * Reads never wait for a commit, nor do writes that share one make others wait: each kind has lanes of its own. A further
 * lane opens when all have so many in flight.
 */
const kinds = { read: { most: 2, depth: 8 }, write: { most: 4, depth: 1 }, shared: { most: 3, depth: 1 } }
type Kind = keyof typeof kinds
const WATCH_MS = 250
/** At most so many in one commit: what fails in one is done again for all. */
const TOGETHER = 16
/** A commit that takes longer than this (milliseconds) waits for somebody's lock, and others go on by a further lane. */
const BLOCKED_MS = 50

/** `patience`: milliseconds after which a statement is given up (0: never), with the connection if the server says nothing. */
export function openLanes(config: pg.ClientConfig, patience: number): Lanes {
  const lanes: Record<Kind, Lane[]> = { read: [], write: [], shared: [] }
  const waiting: Waiting[] = []
  let planned = false
  let closed = false

  function open(kind: Kind): Lane {
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

  function choose(kind: 'read' | 'write'): Lane {
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

  async function using<T>(lane: Lane, work: () => Promise<T>): Promise<T> {
    if (lane.inFlight === 0) lane.heard = Date.now()
    lane.inFlight += 1
    try {
      if (lane.connecting) await lane.connecting
      return await work()
    } finally {
      lane.inFlight -= 1
      lane.heard = Date.now()
    }
  }

  /** An idle lane of those whose statements share a commit; a further one only where the others are held up. */
  function idle(): Lane | undefined {
    const now = Date.now()
    let free = true
    for (const lane of lanes.shared) {
      if (lane.inFlight === 0) return lane
      if (now - lane.heard < BLOCKED_MS) free = false
    }
    return free && lanes.shared.length < kinds.shared.most ? open('shared') : undefined
  }

  function send(): void {
    while (waiting.length > 0) {
      const lane = idle()
      if (!lane) return
      const batch = waiting.splice(0, TOGETHER)
      void using(lane, () => together(lane, batch)).then(send, (error) => {
        for (const one of batch) one.reject(error)
        send()
      })
    }
  }

  const sendSoon = () => {
    if (planned) return
    planned = true
    setImmediate(() => {
      planned = false
      send()
    })
  }

  const watch = setInterval(() => {
    const now = Date.now()
    for (const lane of [...lanes.read, ...lanes.write, ...lanes.shared])
      if (patience > 0 && lane.inFlight > 0 && !lane.connecting && now - lane.heard > patience + 2 * WATCH_MS)
        (lane.client as any).connection.stream.destroy(new Error('Connection terminated: no answer'))
    send()
  }, WATCH_MS)
  watch.unref()

  return {
    run(name, text, values, shares = false) {
      if (closed) return Promise.reject(new Error('Connection terminated: the pool is closed'))
      if (shares)
        return new Promise((resolve, reject) => {
          waiting.push({ name, text, values, resolve, reject })
          sendSoon()
        })
      const lane = choose(text.startsWith('select') ? 'read' : 'write')
      return using(lane, () => {
        cork(lane)
        return execute(lane.client, name, text, values)
      })
    },
    async close() {
      closed = true
      clearInterval(watch)
      for (const one of waiting.splice(0)) one.reject(new Error('Connection terminated: the pool is closed'))
      await Promise.all(Object.values(lanes).flatMap((all) => all.map((lane) => lane.client.end().catch(() => {}))))
    },
  }
}

/**
 * Commits all of them at once. Where the server refuses one, none was written, and each is done by itself. When the
 * connection is lost nobody knows what was written: that is for the callers to hear.
 */
async function together({ client }: Lane, batch: Waiting[]): Promise<void> {
  const known = batch.filter((one) => isKnown(client, one.name))
  const alone = batch.filter((one) => !known.includes(one))
  if (known.length > 1) {
    try {
      const answers = await executeTogether(client, known)
      known.forEach((one, i) => void one.resolve(answers[i]!))
    } catch (error) {
      if (!isRefusal(error)) throw error
      alone.push(...known)
    }
  } else alone.push(...known)
  await Promise.all(alone.map((one) => execute(client, one.name, one.text, one.values).then(one.resolve, one.reject)))
}

/** The server said no to a statement, undid its transaction, and goes on serving. */
const isRefusal = (error: unknown): boolean => (error as { severity?: string } | null)?.severity === 'ERROR'
