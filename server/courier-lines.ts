/**
 * What a courier has taken and what it sends next. Receivers that answer quickly have some messages waiting here, so that their next
 * one need not be fetched first; nothing waits here for long, since what may be sent was decided when it was taken.
 */
import type { Outcome } from './domain/webhooks/outcome.ts'
import type { Claimed, Room } from './domain/webhooks/queue.ts'

/** Taken beyond the usual number at once, for one receiver and in all. */
const AHEAD = 90
const AHEAD_IN_ALL = 300
/** Milliseconds: an answer within them is quick; what waited longer than this here is given back. */
const QUICK_MS = 500
const FRESH_MS = 2000
/** One that answers quickly gets one more at once with each answer, up to so many times the usual number. */
const WIDEST = 4

export function createLines({ total, perWebhook }: { total: number; perWebhook: number }) {
  const lines = new Map<string, Claimed[]>()
  const takenAt = new Map<Claimed, number>()
  const sending = new Map<string, number>()
  /** Of receivers that answer quickly: how many at once. */
  const quick = new Map<string, number>()
  let returned: Claimed[] = []
  let inAll = 0
  let failing = 0

  const mayStart = (id: string) => {
    const now = sending.get(id) ?? 0
    if (inAll >= total || now >= (quick.get(id) ?? perWebhook)) return false
    // Beyond the first one of each, so much is left to others when several begin to hang.
    return now === 0 || inAll - sending.size < Math.floor(total / 2)
  }
  const leave = (claimed: Claimed) => takenAt.delete(claimed)
  const giveUp = (id: string) => {
    const line = lines.get(id) ?? []
    lines.delete(id)
    line.forEach(leave)
    returned.push(...line)
  }

  return {
    add(taken: Claimed[]): void {
      for (const one of taken) {
        takenAt.set(one, performance.now())
        lines.set(one.webhook_id, [...(lines.get(one.webhook_id) ?? []), one])
      }
    },
    /** Leave the lines, and are to be started now. */
    next(): Claimed[] {
      const chosen: Claimed[] = []
      for (const [id, line] of lines) {
        while (line.length > 0 && mayStart(id)) {
          const one = line.shift()!
          leave(one)
          chosen.push(one)
          sending.set(id, (sending.get(id) ?? 0) + 1)
          inAll += 1
          if (one.failing) failing += 1
        }
        if (line.length === 0) lines.delete(id)
      }
      return chosen
    },
    ended({ webhook_id: id, failing: wasFailing }: Claimed): void {
      inAll -= 1
      if (wasFailing) failing -= 1
      const left = sending.get(id)! - 1
      if (left > 0) return void sending.set(id, left)
      sending.delete(id)
      if (!lines.has(id)) quick.delete(id)
    },
    /** Learns from an answer. False where the receiver is to be held back. */
    judge({ webhook_id: id }: Claimed, { result, ms }: Outcome): boolean {
      if (result === 'delivered' && ms < QUICK_MS)
        quick.set(id, Math.min((quick.get(id) ?? perWebhook) + 1, perWebhook * WIDEST))
      else quick.delete(id)
      if (result === 'delivered') return true
      giveUp(id)
      return false
    },
    wantsMore: ({ webhook_id: id }: Claimed): boolean => (lines.get(id)?.length ?? 0) < AHEAD / 3,
    /** What is not sent from here any more, each once. */
    stale(): Claimed[] {
      const now = performance.now()
      for (const [id, line] of lines) if (line.some((one) => now - takenAt.get(one)! > FRESH_MS)) giveUp(id)
      const all = returned
      returned = []
      return all
    },
    /** The same, of all. */
    clear(): Claimed[] {
      for (const id of [...lines.keys()]) giveUp(id)
      const all = returned
      returned = []
      return all
    },
    room(mostFailing: number): Room {
      const busy: Record<string, number> = Object.fromEntries(sending)
      let waiting = 0
      for (const [id, line] of lines) {
        busy[id] = (busy[id] ?? 0) + line.length
        waiting += line.length
      }
      return {
        perWebhook,
        total: total - inAll,
        further: Math.max(0, Math.floor(total / 2) - (inAll - sending.size)),
        failing: Math.max(0, mostFailing - failing),
        ahead: Math.max(0, AHEAD_IN_ALL - waiting),
        quick: Object.fromEntries([...quick.keys()].map((id) => [id, AHEAD])),
        busy,
      }
    },
  }
}
