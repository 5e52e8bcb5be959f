/** What of a foreign source has no place here, counted by kind. */
import type { NotTaken } from './store.ts'

/** Kinds that are told apart; a file could name any number. */
const MOST = 200

export interface Report {
  note(what: string, count?: number): void
  all(): NotTaken[]
}

export function createReport(): Report {
  const counts = new Map<string, number>()
  return {
    note(what, count = 1) {
      const kind = counts.has(what) || counts.size < MOST ? what.slice(0, 300) : 'and more'
      counts.set(kind, (counts.get(kind) ?? 0) + count)
    },
    all: () => [...counts].map(([what, count]) => ({ what, count })),
  }
}
