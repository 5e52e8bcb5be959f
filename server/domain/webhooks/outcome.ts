/** What becomes of deliveries that were tried: written down in batches, with a webhook that fails for days switched off. */
import type { Knex } from 'knex'
import { addJobs } from '../../../adapters/jobs.ts'
import type { Outside } from '../context.ts'
import { insertEvent } from '../events.ts'
import type { Claimed } from './queue.ts'

/** Seconds from one try to the next: 11 tries within three days. */
const RETRIES = [5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 72_000]
/** Longest a receiver may put us off by Retry-After, in seconds. */
const LONGEST_PAUSE = 86_400
const DISABLED_AFTER_DAYS = 5
/** How many tries are remembered. */
const LOGGED = 20

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
export interface Tried {
  claimed: Claimed
  outcome: Outcome
}

/** Seconds to the next try, spread a little so that what failed together does not come back together. */
function pause(step: number, retryAfter = 0): number | undefined {
  const planned = RETRIES[step]
  if (planned === undefined) return undefined
  return Math.max(planned * (1 + Math.random() / 10), Math.min(retryAfter, LONGEST_PAUSE))
}

/** Of several tries for one webhook the last one says whether it fails. */
const CONCLUDE = `with o as (
    select * from jsonb_to_recordset(?::jsonb) as o (place int, tenant_id uuid, webhook_id uuid, event_id uuid, attempts int,
      becomes text, seconds float8, status int, body text, error text, ms int, counts boolean)),
  d as (
    update webhook_deliveries x set
      status = o.becomes, sending_until = null, step = x.step + 1, due_at = now() + make_interval(secs => o.seconds),
      finished_at = case when o.seconds is null then now() end, response_status = o.status, response_body = o.body,
      log = (case when jsonb_array_length(x.log) >= ${LOGGED} then x.log - 0 else x.log end)
        || jsonb_build_object('at', now(), 'status', o.status, 'error', o.error, 'ms', o.ms)
    from o where x.tenant_id = o.tenant_id and x.webhook_id = o.webhook_id and x.event_id = o.event_id
      and x.attempts = o.attempts and x.sending_until is not null
    returning o.*),
  latest as (
    select distinct on (tenant_id, webhook_id) tenant_id, webhook_id, becomes = 'delivered' as good
    from d where counts order by tenant_id, webhook_id, place desc),
  w as (
    update webhooks w set failing_since = case when l.good then null else now() end
    from latest l where w.tenant_id = l.tenant_id and w.id = l.webhook_id and (w.failing_since is null) <> l.good
    returning 1)
  select d.place, w.failing_since < now() - interval '${DISABLED_AFTER_DAYS} days' as hopeless
  from d join webhooks w on w.tenant_id = d.tenant_id and w.id = d.webhook_id`

/** Writes down what came of tries. Nothing is written where the claim has run out and somebody else is at it. */
export async function conclude(out: Outside, db: Knex, tried: Tried[]): Promise<void> {
  const rows = tried.map(({ claimed, outcome }, place) => rowOf(claimed, outcome, place))
  const { rows: written }: { rows: { place: number; hopeless: boolean }[] } = await db.raw(CONCLUDE, [
    JSON.stringify(rows),
  ])
  const hopeless = new Set(written.filter(({ hopeless }) => hopeless).map(({ place }) => place))
  for (const [place, { claimed, outcome }] of tried.entries()) {
    if (outcome.result === 'gone') await disable(out, claimed, 'gone')
    // Not with the first failure of an event long after the last one: when all tries of one have failed.
    else if (outcome.result === 'failed' && rows[place]!.seconds === null && hopeless.has(place))
      await disable(out, claimed, 'failing')
  }
}

function rowOf(claimed: Claimed, outcome: Outcome, place: number) {
  const { tenant_id, webhook_id, event_id, attempts } = claimed
  const { result, status, body, error, ms } = outcome
  const seconds = result === 'failed' ? pause(claimed.step, outcome.retryAfter) : undefined
  const becomes = result === 'delivered' ? result : seconds === undefined ? 'failed' : 'pending'
  const key = { place, tenant_id, webhook_id, event_id, attempts }
  return {
    ...key,
    becomes,
    seconds: seconds ?? null,
    status,
    body,
    error,
    ms: Math.round(ms),
    counts: result !== 'impossible',
  }
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
