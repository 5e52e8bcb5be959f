/** How a developer gets the secret of an approved app: by a mailed link that works once, and makes the secret it shows. */
import { fail } from '../../kernel/errors.ts'
import type { Context, Outside } from '../context.ts'
import * as oneTime from '../secrets.ts'
import { assertMayManage } from './rules.ts'
import { replace } from './secrets.ts'

/** Seconds. */
export const LIFETIME = 7 * 86_400
export const LIMIT = { name: 'client-secret', count: 20, seconds: 3600 } as const

/** A link of before dies. */
export const mint = (db: Outside['db'], tenantId: string, client: string): Promise<string> =>
  db.transaction(async (trx) => {
    await trx('secrets')
      .where({ tenant_id: tenantId, purpose: 'client_secret' })
      .whereRaw(`data->>'client' = ?`, [client])
      .delete()
    return oneTime.create(trx, { tenantId, purpose: 'client_secret', data: { client }, lifetime: LIFETIME })
  })

/**
 * A fresh secret, shown this once; the one before ends. INVALID_TOKEN; ACCESS_DENIED once the client was given rights,
 * since then whoever holds its secret must hold them.
 */
export async function take(ctx: Context, token: string): Promise<{ clientId: string; clientSecret: string }> {
  const taken = await oneTime.consume(ctx.db, ctx.tenant.id, 'client_secret', token)
  const row = taken && (await ctx.db('clients').where({ tenant_id: ctx.tenant.id, id: taken.data.client }).first())
  if (!row) throw fail('INVALID_TOKEN', 'This link was used already, or is no longer valid')
  await assertMayManage(ctx, row)
  const { clientSecret } = await replace(ctx, row, 0)
  return { clientId: row.client_id, clientSecret }
}
