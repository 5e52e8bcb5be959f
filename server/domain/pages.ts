/** Lists that are read page by page and counted as a whole. */
import type { Knex } from 'knex'

export interface Window {
  limit: number
  offset: number
}
export interface CursorWindow extends Window {
  /** Where the page before ended, in place of an offset; keeps deep pages as fast as the first. */
  cursor?: string | undefined
}
export interface Page<Item> {
  items: Item[]
  /** On all pages. */
  total: number
}

/** One page of what a query finds. `dress` gives it its order, and says what is read. */
export async function readPage<Row>(
  found: Knex.QueryBuilder,
  { limit, offset }: Window,
  dress: (query: Knex.QueryBuilder) => Knex.QueryBuilder,
): Promise<Page<Row>> {
  const [items, total] = await Promise.all([dress(found.clone()).limit(limit).offset(offset), countOf(found)])
  return { items: items as Row[], total }
}

/** What is shown of rows of which one more was read, and where the next page begins: behind the `place` of the last. */
export const cut = <Row>(rows: Row[], limit: number, place: (last: Row) => string) => ({
  items: rows.slice(0, limit),
  nextCursor: rows.length > limit ? place(rows[limit - 1]!) : undefined,
})

/** How many rows a query finds. */
export async function countOf(found: Knex.QueryBuilder): Promise<number> {
  const [counted] = await found.clone().count({ total: '*' })
  return Number(counted!.total)
}
