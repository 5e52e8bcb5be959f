/** Hashes of the passwords that a file has in the clear: before the transaction, one at a time, behind people who sign in. */
import type { Context } from '../context.ts'
import type { Entry } from './sources.ts'

/** By the place of the entry. Throws Overloaded where too many sign in already. */
export async function hashesOf(ctx: Pick<Context, 'out'>, entries: Entry[]): Promise<Map<number, string>> {
  const hashes = new Map<number, string>()
  for (const [i, { row }] of entries.entries()) {
    const password = (row as { password?: unknown } | null | undefined)?.password
    if (typeof password === 'string' && password !== '' && password.length <= 1024)
      hashes.set(i, await ctx.out.passwords.hash(password))
  }
  return hashes
}
