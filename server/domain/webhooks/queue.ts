/**
 * The queue of deliveries, in SQL: who takes what, and what becomes of it. A claim lasts half a minute; what was claimed by a process
 * that died is claimed again, so a message may come twice and none is lost.
 */
import type { Knex } from 'knex'
import { addJobs } from '../../../adapters/jobs.ts'
import { named } from '../../../adapters/knex.ts'
import { RECEIVERS } from '../../../adapters/webhook-events.ts'
import type { Outside } from '../context.ts'
import { insertEvent } from '../events.ts'
import { firstIdOf } from '../history.ts'

/** Seconds. Longer than a try can take. */
const LEASE = 30
/** Seconds from one try to the next: 11 tries within three days. */
const RETRIES = [5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 72_000]
/** Longest a receiver may put us off by Retry-After, in seconds. */
const LONGEST_PAUSE = 86_400
const DISABLED_AFTER_DAYS = 5
/** How many tries are remembered. */
const LOGGED = 20

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
  /** By webhook: what is on its way already. */
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
      case when w.failing_since is null then cast(:perWebhook as int) else 1 end - b.busy as room
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
    (select * from held where place = 1)
    union all
    (select * from held where place > 1 order by place limit cast(:further as int))
    limit cast(:total as int)
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
export async function claim(db: Knex, { busy, ...room }: Room): Promise<Claimed[]> {
  const { rows } = await db.raw(CLAIM, { ...room, busy: JSON.stringify(busy), lease: LEASE })
  return rows
}

/** What came of one try. */
export interface Outcome {
  result: 'delivered' | 'failed' | 'gone' | 'impossible'
  status: number | null
  /** The beginning of the answer. */
  body: string | null
  /** Why it failed, in words that name no address. */
  error: string | null
  /** Milliseconds. */
  ms: number
  /** Seconds the receiver asks to wait. */
  retryAfter?: number | undefined
}

/** Seconds to the next try, spread a little so that what failed together does not come back together. */
function pause(step: number, retryAfter = 0): number | undefined {
  const planned = RETRIES[step]
  if (planned === undefined) return undefined
  return Math.max(planned * (1 + Math.random() / 10), Math.min(retryAfter, LONGEST_PAUSE))
}

const CONCLUDE = `with d as (
    update webhook_deliveries set
      status = $5, sending_until = null, step = step + 1, due_at = now() + make_interval(secs => $6::float8),
      finished_at = case when $6::float8 is null then now() end, response_status = $7::int, response_body = $8,
      log = (case when jsonb_array_length(log) >= ${LOGGED} then log - 0 else log end)
        || jsonb_build_object('at', now(), 'status', $7::int, 'error', $9::text, 'ms', $10::int)
    where tenant_id = $1 and webhook_id = $2 and event_id = $3 and attempts = $4 and sending_until is not null
    returning 1),
  w as (
    update webhooks set failing_since = case when $5 = 'delivered' then null else now() end
    where tenant_id = $1 and id = $2 and exists (select from d) and $11::boolean
      and (failing_since is null) <> ($5 = 'delivered')
    returning 1)
  select failing_since < now() - interval '${DISABLED_AFTER_DAYS} days' as hopeless from webhooks
  where tenant_id = $1 and id = $2 and exists (select from d)`

/** Writes down what came of a try. Nothing is written where the claim has run out and somebody else is at it. */
export async function conclude(out: Outside, claimed: Claimed, outcome: Outcome): Promise<void> {
  const { tenant_id, webhook_id, event_id, attempts } = claimed
  const { result, status, body, error, ms } = outcome
  const isFailure = result === 'failed'
  const seconds = isFailure ? pause(claimed.step, outcome.retryAfter) : undefined
  const becomes = result === 'delivered' ? result : seconds === undefined ? 'failed' : 'pending'
  const key = [tenant_id, webhook_id, event_id, attempts]
  const tried = [becomes, seconds ?? null, status, body, error, Math.round(ms), result !== 'impossible']
  const [row] = await named(out.db, 'webhook_conclude', CONCLUDE, [...key, ...tried])
  if (outcome.result === 'gone') await disable(out, claimed, 'gone')
  // Not with the first failure of an event long after the last one: when all tries of one have failed.
  else if (isFailure && seconds === undefined && row?.hopeless) await disable(out, claimed, 'failing')
}

/** Switches the webhook off and tells its owner, once. */
export async function disable(
  out: Outside,
  { tenant_id, webhook_id }: Pick<Claimed, 'tenant_id' | 'webhook_id'>,
  reason: 'failing' | 'gone' | 'not_allowed',
): Promise<void> {
  await out.db.transaction(async (trx) => {
    const [row] = await trx('webhooks')
      .where({ tenant_id, id: webhook_id, enabled: true })
      .update({ enabled: false, disabled_reason: reason, updated_at: trx.fn.now() })
      .returning(['owner_id', 'url'])
    if (!row) return
    const { host } = new URL(row.url)
    const data = { id: webhook_id, host, reason }
    await insertEvent(trx, tenant_id, { type: 'webhook.disabled', userId: row.owner_id, data })
    if (reason === 'not_allowed') return
    const mail = { tenantId: tenant_id, template: 'webhook-disabled', userId: row.owner_id, locales: [] }
    await addJobs(trx, [{ task: 'mail', payload: { ...mail, host, why: reason } }])
  })
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
