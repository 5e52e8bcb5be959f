/** The version of a thing as its readers see it, for entity tags: where its row keeps no count of its changes. */
import type { Context } from './context.ts'

type Input<K extends string> = Record<K, string>

/**
 * Of what `keys` of the input name. `read` says what changes with every change that matters; it throws what reading throws. With `lock`, whoever changes the
 * same thing through a version waits until the transaction ends, and then reads what was committed. `idOf` where the keys are no ids: one thing
 * with several addresses must be one lock.
 */
export const versionBy =
  <K extends string>(
    kind: string,
    keys: readonly K[],
    read: (ctx: Context, input: Input<K>) => Promise<unknown>,
    idOf?: (ctx: Context, input: Input<K>) => Promise<string>,
  ) =>
  async (ctx: Context, input: Input<K>, lock: boolean): Promise<string> => {
    if (lock) {
      const ids = idOf ? [await idOf(ctx, input)] : keys.map((key) => input[key].toLowerCase())
      const turn = [ctx.tenant.id, kind, ...ids].join(' ')
      await ctx.db.raw('select pg_advisory_xact_lock(hashtextextended(?, 0))', [turn])
    }
    return JSON.stringify([kind, await read(ctx, input)])
  }
