/**
 * How events reach webhooks: in the statement that writes an event, its deliveries are queued. Both are committed, or neither is.
 */

/** At the end of an insert into events whose rows queueDeliveries() reads. */
export const RETURNING_EVENT = 'returning tenant_id, id, type, user_id'

/** The part of a statement that queues what the parts named here have inserted into events. */
export const queueDeliveries = (inserted: string[]): string =>
  `insert into webhook_deliveries (tenant_id, webhook_id, event_id, event_type)
  select e.tenant_id, r.webhook_id, e.id, e.type
  from (${inserted.map((name) => `select * from ${name}`).join(' union all ')}) e
  cross join lateral webhook_receivers(e.tenant_id, e.type, e.user_id) r
  on conflict do nothing`
