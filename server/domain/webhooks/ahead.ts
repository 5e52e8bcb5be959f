/** Deliveries of an event that ends what its receivers are found by. */
import type { Context } from '../context.ts'
import { newId } from '../ids.ts'

/** Queues the event of an organization for its owners while they still are. Give the id that this answers to ctx.event(). */
export async function queueAhead(ctx: Context, type: string, organizationId: string): Promise<string> {
  const id = newId()
  await ctx.db.raw(
    `insert into webhook_deliveries (tenant_id, webhook_id, event_id, event_type)
     select :tenant, webhook_id, :id, :type from webhook_receivers(:tenant, :type, null, :organizationId)`,
    { tenant: ctx.tenant.id, id, type, organizationId },
  )
  return id
}
