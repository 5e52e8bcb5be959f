/**
 * The queue of deliveries, in SQL: who takes what. A claim lasts half a minute; what was claimed by a process
 * that died is claimed again, so a message may come twice and none is lost.
 */
import type { Knex } from 'knex'
import { RECEIVERS } from '../../../adapters/webhook-events.ts'
import { firstIdOf } from '../history.ts'

/** Seconds. Longer than a try can take. */
const LEASE = 30

/** One event for one webhook, to be sent now. */
export interface Claimed {
  tenant_id: string
  webhook_id: string
  event_id: string
  event_type: string
  attempts: number
  step: number
  url: string
  tenant_wide: boolean
  owner_id: string
  secret_encrypted: Buffer
  /** Null when it signs no more. */
  previous_secret_encrypted: Buffer | null
  failing: boolean
  owner_active: boolean
  /** Of whoever answers for a tenant-wide webhook. */
  permissions: string[] | null
  /** Null when the event is gone. */
  event: {
    actor_id: string | null
    user_id: string | null
    client_id: string | null
    session_id: string | null
    ip: string | null
    user_agent: string | null
    data: Record<string, unknown>
    created_at: string
  } | null
}

export interface Room {
  /** Deliveries at once for one webhook; one whose last try failed gets a single one. */
  perWebhook: number
  total: number
  /** Of the total, beyond the first one of each webhook: so much is left to others when several begin to hang. */
  further: number
  /** Of the total, for webhooks whose last try failed. */
  failing: number
  /** Beyond all these, to be sent next: of the webhooks in `quick`, each so many. */
  ahead: number
  /** By webhook. */
  quick: Record<string, number>
  /** By webhook: what is taken already. */
  busy: Record<string, number>
}

/**
 * Takes what is due, at most as much as there is room for. The heads are read by jumping from webhook to webhook in the index
 * of what is due, so a long queue of one costs the others nothing.
 */
const CLAIM = `with recursive heads as (
    (select tenant_id, webhook_id, due_at from webhook_deliveries where due_at is not null
      order by tenant_id, webhook_id, due_at limit 1)
    union all
    select next.* from heads h cross join lateral (
      select d.tenant_id, d.webhook_id, d.due_at from webhook_deliveries d
      where d.due_at is not null and (d.tenant_id, d.webhook_id) > (h.tenant_id, h.webhook_id)
      order by d.tenant_id, d.webhook_id, d.due_at limit 1) next
  ),
  ready as (
    select w.*, h.due_at, w.failing_since is not null as failing, b.busy,
      case when w.failing_since is null then cast(:perWebhook as int) + coalesce((cast(:quick as jsonb) ->> w.id::text)::int, 0)
        else 1 end - b.busy as room
    from heads h
    join webhooks w on w.tenant_id = h.tenant_id and w.id = h.webhook_id and w.enabled
    join tenants t on t.id = w.tenant_id and t.status = 'active'
    cross join lateral (select coalesce((cast(:busy as jsonb) ->> w.id::text)::int, 0) as busy) b
    where h.due_at <= now()
  ),
  lanes as materialized (
    (select * from ready where not failing and room > 0 order by busy > 0, due_at limit cast(:total as int))
    union all
    (select * from ready where failing and room > 0 order by due_at limit cast(:failing as int))
  ),
  held as materialized (
    select l.tenant_id, l.id as webhook_id, d.event_id, l.busy + row_number() over (partition by l.id) as place
    from lanes l cross join lateral (
      select event_id from webhook_deliveries d
      where d.tenant_id = l.tenant_id and d.webhook_id = l.id and d.due_at <= now()
      order by d.due_at limit l.room for update skip locked) d
  ),
  picked as (
    ((select * from held where place = 1)
      union all
      (select * from held where place > 1 and place <= cast(:perWebhook as int) order by place limit cast(:further as int))
      limit cast(:total as int))
    union all
    (select * from held where place > cast(:perWebhook as int) order by place limit cast(:ahead as int))
  ),
  taken as (
    update webhook_deliveries d set attempts = d.attempts + 1,
      due_at = now() + make_interval(secs => cast(:lease as float8)), sending_until = now() + make_interval(secs => cast(:lease as float8))
    from picked p where d.tenant_id = p.tenant_id and d.webhook_id = p.webhook_id and d.event_id = p.event_id
    returning d.*
  )
  select taken.tenant_id, taken.webhook_id, taken.event_id, taken.event_type, taken.attempts, taken.step,
    l.url, l.tenant_wide, l.owner_id, l.failing, l.secret_encrypted,
    case when l.previous_expires_at > now() then l.previous_secret_encrypted end as previous_secret_encrypted,
    coalesce(u.status = 'active' and u.deleted_at is null, false) as owner_active,
    case when l.tenant_wide then effective_permissions(l.tenant_id, array(
      select ur.role_id from user_roles ur join roles r on r.tenant_id = ur.tenant_id and r.id = ur.role_id
      where ur.tenant_id = l.tenant_id and ur.user_id = l.owner_id and r.scope = 'tenant')) end as permissions,
    to_jsonb(e) as event
  from taken
  join lanes l on l.tenant_id = taken.tenant_id and l.id = taken.webhook_id
  left join users u on u.tenant_id = l.tenant_id and u.id = l.owner_id
  left join events e on e.tenant_id = taken.tenant_id and e.id = taken.event_id`

/** On a connection of its own while it runs: it may take longer than statements of requests that share one. */
export async function claim(db: Knex, { busy, quick, ...room }: Room): Promise<Claimed[]> {
  const by = { busy: JSON.stringify(busy), quick: JSON.stringify(quick) }
  const { rows } = await db.raw(CLAIM, { ...room, ...by, lease: LEASE })
  return rows
}

/** What was taken and not tried is due again, for whoever comes first. */
export async function giveBack(db: Knex, taken: Claimed[]): Promise<void> {
  if (taken.length === 0) return
  const keys = taken.map(({ tenant_id, webhook_id, event_id, attempts }) => ({
    tenant_id,
    webhook_id,
    event_id,
    attempts,
  }))
  await db.raw(
    `update webhook_deliveries d set due_at = now(), sending_until = null
     from jsonb_to_recordset(?::jsonb) as t (tenant_id uuid, webhook_id uuid, event_id uuid, attempts int)
     where d.tenant_id = t.tenant_id and d.webhook_id = t.webhook_id and d.event_id = t.event_id
       and d.attempts = t.attempts and d.sending_until is not null`,
    [JSON.stringify(keys)],
  )
}

/**
 * Gives a webhook the events since it was switched on that were written by processes which did not know yet that anybody
 * listens. What it has already is not given twice.
 */
export async function catchUp(db: Knex, job: { tenantId: string; id: string }): Promise<void> {
  const webhook = await db('webhooks').where({ tenant_id: job.tenantId, id: job.id, enabled: true }).first('enabled_at')
  if (!webhook) return
  // Ids come from the clocks of many machines; the time that counts is the database's.
  const from = firstIdOf(webhook.enabled_at.getTime() - 60_000)
  await db.raw(
    `insert into webhook_deliveries (tenant_id, webhook_id, event_id, event_type)
     select e.tenant_id, w.id, e.id, e.type from webhooks w
     join events e on e.tenant_id = w.tenant_id and e.id >= :from and e.created_at > w.enabled_at
     cross join lateral ${RECEIVERS} r
     where w.tenant_id = :tenantId and w.id = :id and r.webhook_id = w.id
     on conflict do nothing`,
    { from, tenantId: job.tenantId, id: job.id },
  )
}

/** Ends what waits for a webhook that is off or gone, or waits for longer than all retries take. Answers how many. */
export async function giveUp(db: Knex, batch: number): Promise<number> {
  let ended = 0
  for (let last = batch; last === batch; ended += last) {
    const { rowCount } = await db.raw(
      `update webhook_deliveries set status = 'failed', due_at = null, sending_until = null, finished_at = now()
       where ctid = any(array(select d.ctid from webhook_deliveries d where d.due_at is not null
         and (d.sending_until is null or d.sending_until < now())
         and (d.queued_at < now() - interval '4 days'
           or not exists (select from webhooks w where w.tenant_id = d.tenant_id and w.id = d.webhook_id and w.enabled))
         limit ${batch} for update skip locked))`,
    )
    last = rowCount
  }
  return ended
}

/** How many deliveries are due, and how many wait for their next try; counted up to 10,000 in all. */
export async function queueDepth(db: Knex): Promise<{ due: number; waiting: number }> {
  const { rows } = await db.raw(
    `select count(*) filter (where due_at <= now())::int as due, count(*) filter (where due_at > now())::int as waiting
     from (select due_at from webhook_deliveries where due_at is not null limit 10000) d`,
  )
  return rows[0]
}
