/** The version of a thing as its readers see it, for entity tags: where its row keeps no count of its changes. */
import type { Context } from './context.ts'

/**
 * Of what `keys` of the input name. `read` says what changes with every change that matters; it throws what reading throws. With `lock`, whoever changes the
 * same thing through a version waits until the transaction ends, and then reads what was committed.
 */
export const versionBy =
  <K extends string>(
    kind: string,
    keys: readonly K[],
    read: (ctx: Context, input: Record<K, string>) => Promise<unknown>,
  ) =>
  async (ctx: Context, input: Record<K, string>, lock: boolean): Promise<string> => {
    if (lock) {
      const turn = [ctx.tenant.id, kind, ...keys.map((key) => input[key].toLowerCase())].join(' ')
      await ctx.db.raw('select pg_advisory_xact_lock(hashtextextended(?, 0))', [turn])
    }
    return JSON.stringify([kind, await read(ctx, input)])
  }
