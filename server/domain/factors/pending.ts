/** Set-ups that wait for their proof: rows of credentials that are not verified. */
import type { Knex } from 'knex'

/** Hours after which nobody can be at it any more. */
const STALE = 1

/** Of `pending` all go; where `instead` is given, only that one and the stale. */
export async function dropPending(pending: Knex.QueryBuilder, instead?: string | null): Promise<void> {
  if (instead !== undefined)
    pending.where((q) => q.where('id', instead).orWhereRaw(`created_at < now() - make_interval(hours => ${STALE})`))
  await pending.delete()
}
