/** Where a page ended: the order, the last row's key in it, and its id. Whoever made one up gets no further than their own list. */
import { fail } from '../kernel/errors.ts'
import { isUuid } from './permissions.ts'

export const seal = (order: string, key: string, id: string): string =>
  Buffer.from(JSON.stringify([order, key, id])).toString('base64url')

/** VALIDATION_ERROR for a cursor of another order or none of ours. */
export function open(order: string, cursor: string): { key: string; id: string } {
  try {
    const [of, key, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (of === order && typeof key === 'string' && isUuid(id)) return { key, id }
  } catch {}
  throw fail('VALIDATION_ERROR', 'cursor: is not one of this list and order')
}

/** As open(), where the key is a point in time, as PostgreSQL writes it. */
export function openTime(order: string, cursor: string): { key: string; id: string } {
  const found = open(order, cursor)
  if (/^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+[+-][0-9:]+$/.test(found.key)) return found
  throw fail('VALIDATION_ERROR', 'cursor: is not one of this list and order')
}
