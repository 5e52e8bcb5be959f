/**
 * How events reach webhooks: in the statement that writes an event, its deliveries are queued. Both are committed, or neither is.
 */

/** At the end of an insert into events whose rows queueDeliveries() reads. */
export const RETURNING_EVENT = 'returning tenant_id, id, type, user_id, data'

/** The organization an event is about, where it is about one. */
const ORGANIZATION = `case when e.data ->> 'organization' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
    then (e.data ->> 'organization')::uuid end`
/** The webhooks that hear of an event \`e\`. */
export const RECEIVERS = `webhook_receivers(e.tenant_id, e.type, e.user_id, ${ORGANIZATION})`

/** The part of a statement that queues what the parts named here have inserted into events. */
export const queueDeliveries = (inserted: string[]): string =>
  `insert into webhook_deliveries (tenant_id, webhook_id, event_id, event_type)
  select e.tenant_id, r.webhook_id, e.id, e.type
  from (${inserted.map((name) => `select * from ${name}`).join(' union all ')}) e
  cross join lateral ${RECEIVERS} r
  on conflict do nothing`
