/** Sends webhooks in this process: many at once, few of them for one receiver, so that who is slow delays nobody else. */
import { setTimeout as sleep } from 'node:timers/promises'
import { batches } from '../adapters/batches.ts'
import type { Metrics } from '../adapters/metrics.ts'
import { createLines } from './courier-lines.ts'
import type { Outside } from './domain/context.ts'
import { conclude, type Tried } from './domain/webhooks/outcome.ts'
import { type Claimed, claim, giveBack } from './domain/webhooks/queue.ts'
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
  const lines = createLines({ total, perWebhook })
  const stopping = new AbortController()
  const cutOff = new AbortController()
  let stir = () => {}
  const note = batches<Tried>((some) => conclude(out, out.db, some))

  async function carry(claimed: Claimed): Promise<void> {
    const outcome = await send(out, claimed, { timeout, signal: cutOff.signal })
    // Not the receiver's fault: it is sent again when the claim has run out.
    if (cutOff.signal.aborted) return
    metrics.webhook(outcome.result, outcome.ms / 1000)
    const noted = note({ claimed, outcome })
    // Its place is free for the next one while the outcome is written down, unless it tells us to hold back.
    if (!lines.judge(claimed, outcome)) await noted
    else keep(noted)
  }

  const warn = (error: unknown) => out.log.warn({ err: error }, 'a webhook could not be sent or noted')
  const writing = new Set<Promise<void>>()
  const keep = (noted: Promise<void>) => {
    const kept = noted.catch(warn).finally(() => writing.delete(kept))
    writing.add(kept)
  }

  function start(claimed: Claimed): void {
    const carried = carry(claimed)
      .catch(warn)
      .finally(() => {
        onTheirWay.delete(claimed)
        lines.ended(claimed)
        if (!stopping.signal.aborted) for (const next of lines.next()) start(next)
        if (lines.wantsMore(claimed)) stir()
      })
    onTheirWay.set(claimed, carried)
  }

  /** Whether there was anything to do. */
  async function look(): Promise<boolean> {
    keep(giveBack(out.db, lines.stale()))
    const free = lines.room(failing)
    if (free.total <= 0) return false
    const taken = await claim(out.db, free)
    lines.add(taken)
    for (const next of lines.next()) start(next)
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
      await giveBack(out.db, lines.clear()).catch(warn)
      const last = Promise.all(onTheirWay.values())
      await Promise.race([last, sleep(LAST_TRIES_MS, undefined, { ref: false })])
      cutOff.abort()
      await last
      await Promise.all(writing)
    },
  }
}
