/** Reads a source while it comes in. Few rows are kept to be done at once; more are stored for the job, and nothing is held. */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'
import { type Entry, MAX_ROW, type Source } from './sources.ts'
import * as store from './store.ts'

export interface Intake {
  total: number
  /** All rows, where they can be done at once. */
  entries?: Entry[]
  /** Else the import in which they are stored. */
  importId?: string
}

/** So many rows, bytes and passwords to hash are done while the caller waits. */
const AT_ONCE = { rows: 1000, bytes: 4 * 1024 * 1024, passwords: 20 }
/** So many are done in one transaction of the job. */
const CHUNK = { rows: 500, bytes: 2 * 1024 * 1024, passwords: 50 }
const MOST_ROWS = 1_000_000
/** After so many rows it is told how many there are so far. */
const TELL = 10_000

interface Pile {
  entries: Entry[]
  bytes: number
  passwords: number
}
const emptyPile = (): Pile => ({ entries: [], bytes: 0, passwords: 0 })

/**
 * Options may still change: a file can say them at its end. VALIDATION_ERROR for what is no such file, PAYLOAD_TOO_LARGE past
 * a million rows, CONFLICT while too many imports are open; nothing is left then.
 */
export async function take(ctx: Context, source: Source, format: string, options: store.Options): Promise<Intake> {
  let pile = emptyPile()
  let [total, told] = [0, 0]
  let importId: string | undefined
  const flush = async () => {
    if (pile.entries.length > 0) await store.put(ctx, importId!, total - pile.entries.length + 1, pile.entries)
    if (total - told >= TELL) {
      told = total
      await store.touch(ctx, importId!, total)
    }
    pile = emptyPile()
  }
  try {
    for await (const entries of source) {
      for (const entry of entries) {
        if (total === MOST_ROWS)
          throw fail('PAYLOAD_TOO_LARGE', `An import has at most ${MOST_ROWS} rows. Split the file`)
        total += 1
        add(pile, entry)
        if (importId === undefined && isPast(pile, AT_ONCE)) {
          importId = await store.open(ctx, format, options)
          await spill(ctx, importId, pile)
          pile = emptyPile()
        } else if (importId !== undefined && isFull(pile)) await flush()
      }
    }
    if (importId === undefined) return { total, entries: pile.entries }
    await flush()
    return { total, importId }
  } catch (error) {
    if (importId !== undefined) await store.discard(ctx, importId)
    throw error
  }
}

function add(pile: Pile, entry: Entry): void {
  const size = JSON.stringify(entry).length
  const isLarge = size > MAX_ROW
  pile.entries.push(isLarge ? { line: entry.line, fault: `is larger than ${MAX_ROW / 1024} KiB` } : entry)
  pile.bytes += isLarge ? 0 : size
  if ((entry.row as { password?: unknown } | undefined)?.password) pile.passwords += 1
}
const isPast = (pile: Pile, { rows, bytes, passwords }: typeof AT_ONCE) =>
  pile.entries.length > rows || pile.bytes > bytes || pile.passwords > passwords
const isFull = (pile: Pile) =>
  pile.entries.length >= CHUNK.rows || pile.bytes >= CHUNK.bytes || pile.passwords >= CHUNK.passwords

/** What was held so far, in pieces of the job's size. */
async function spill(ctx: Context, importId: string, held: Pile): Promise<void> {
  let pile = emptyPile()
  let first = 1
  for (const [i, entry] of held.entries.entries()) {
    add(pile, entry)
    if (!isFull(pile) && i < held.entries.length - 1) continue
    await store.put(ctx, importId, first, pile.entries)
    first += pile.entries.length
    pile = emptyPile()
  }
}
