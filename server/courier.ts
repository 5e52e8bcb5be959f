/** Sends webhooks in this process: many at once, few of them for one receiver, so that who is slow delays nobody else. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Metrics } from '../adapters/metrics.ts'
import type { Outside } from './domain/context.ts'
import { type Claimed, claim, conclude } from './domain/webhooks/queue.ts'
import { send } from './domain/webhooks/send.ts'

export interface CourierOptions {
  /** Milliseconds for one try, everything included. */
  timeout?: number
  /** At once in this process. */
  total?: number
  /** Of these for receivers whose last try failed. */
  failing?: number
  perWebhook?: number
}

export interface Courier {
  /** Takes nothing more; what is on its way has 5 s, and is sent again by another process after that. */
  stop(): Promise<void>
}

/** How often (ms) to look for what is due; less often where looking itself takes long. */
const POLL_MS = 500
const REST = 10
/** Between two looks, so that what ends together is followed together. */
const GATHER_MS = 10
const LAST_TRIES_MS = 5000

export function startCourier(
  out: Outside,
  metrics: Pick<Metrics, 'webhook'>,
  { timeout = 15_000, total = 100, failing = 50, perWebhook = 10 }: CourierOptions = {},
): Courier {
  const onTheirWay = new Map<Claimed, Promise<void>>()
  const stopping = new AbortController()
  const cutOff = new AbortController()
  let stir = () => {}

  const room = () => {
    const busy: Record<string, number> = {}
    let slow = 0
    for (const one of onTheirWay.keys()) {
      busy[one.webhook_id] = (busy[one.webhook_id] ?? 0) + 1
      if (one.failing) slow += 1
    }
    const further = onTheirWay.size - Object.keys(busy).length
    return {
      perWebhook,
      total: total - onTheirWay.size,
      further: Math.max(0, Math.floor(total / 2) - further),
      failing: Math.max(0, failing - slow),
      busy,
    }
  }

  async function carry(claimed: Claimed): Promise<void> {
    const outcome = await send(out, claimed, { timeout, signal: cutOff.signal })
    // Not the receiver's fault: it is sent again when the claim has run out.
    if (cutOff.signal.aborted) return
    metrics.webhook(outcome.result, outcome.ms / 1000)
    await conclude(out, claimed, outcome)
  }

  /** Whether there was anything to do. */
  async function look(): Promise<boolean> {
    const free = room()
    if (free.total <= 0) return false
    const taken = await claim(out.db, free)
    for (const one of taken) {
      const carried = carry(one)
        .catch((error) => out.log.warn({ err: error }, 'a webhook could not be sent or noted'))
        .finally(() => {
          onTheirWay.delete(one)
          stir()
        })
      onTheirWay.set(one, carried)
    }
    return taken.length > 0
  }

  /** Resolves when room is made from now on, or at the end. */
  const nextStir = () =>
    new Promise<void>((resolve) => {
      stir = resolve
    })

  async function run(): Promise<void> {
    // Waits before it looks: a start has other work.
    let pause = POLL_MS
    let stirred = nextStir()
    while (!stopping.signal.aborted) {
      const waited = new AbortController()
      await Promise.race([stirred, sleep(pause, undefined, { signal: waited.signal }).catch(() => {})])
      waited.abort()
      await sleep(GATHER_MS)
      stirred = nextStir()
      const started = performance.now()
      const found = await look().catch((error) => {
        out.log.debug({ err: error }, 'cannot look for webhooks to send')
        return false
      })
      pause = found ? 0 : Math.max(POLL_MS, (performance.now() - started) * REST)
    }
  }
  const running = run()

  return {
    async stop() {
      stopping.abort()
      stir()
      await running
      const last = Promise.all(onTheirWay.values())
      await Promise.race([last, sleep(LAST_TRIES_MS, undefined, { ref: false })])
      cutOff.abort()
      await last
    },
  }
}
