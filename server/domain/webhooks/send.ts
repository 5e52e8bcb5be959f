/** One try: the message of an event, signed, sent, and what the receiver said to it. */
import { OutboundRefused } from '../../../adapters/http.ts'
import { signedHeaders } from '../../../adapters/webhook-signature.ts'
import type { Outside } from '../context.ts'
import { secretPlace } from '../webhooks.ts'
import { publicOnly } from './address.ts'
import { disable, type Outcome } from './outcome.ts'
import type { Claimed } from './queue.ts'

/** Bytes of the answer that are kept. */
const KEPT = 1024

/** Sends it, within `timeout` ms for everything. Whatever goes wrong on the way is an outcome, not an error. */
export async function send(
  out: Outside,
  claimed: Claimed,
  { timeout, signal }: { timeout: number; signal: AbortSignal },
): Promise<Outcome> {
  const nothing = { result: 'impossible', status: null, body: null, ms: 0 } as const
  if (!mayReceive(claimed)) {
    await disable(out, claimed, 'not_allowed')
    return { ...nothing, error: 'whoever set the webhook up may not have these events any more' }
  }
  if (!claimed.event) return { ...nothing, error: 'the event is gone' }
  const secrets = secretsOf(out, claimed)
  if (!secrets) return { ...nothing, error: 'the secret cannot be read: replace it' }
  const body = JSON.stringify(message(out, claimed, claimed.event))
  const started = performance.now()
  const passed = () => performance.now() - started
  try {
    const response = await out.outbound.fetch(claimed.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...signedHeaders(claimed.event_id, Math.floor(Date.now() / 1000), body, secrets),
      },
      body,
      redirect: 'manual',
      signal,
      timeout,
      maxBytes: KEPT,
      cut: true,
      publicOnly: publicOnly(out, claimed.tenant_wide),
    })
    return { ...judge(response), body: textOf(await response.arrayBuffer()), ms: passed() }
  } catch (error) {
    return { result: 'failed', status: null, body: null, error: reason(error), ms: passed() }
  }
}

/** As of now: what somebody may receive ends with their account and their permission. */
const mayReceive = (claimed: Claimed): boolean =>
  claimed.owner_active && (!claimed.tenant_wide || Boolean(claimed.permissions?.includes('webhooks:write')))

/** undefined where they were sealed with another key. */
function secretsOf(out: Outside, claimed: Claimed): string[] | undefined {
  const place = secretPlace(claimed.tenant_id, claimed.webhook_id)
  const sealed = [claimed.secret_encrypted, claimed.previous_secret_encrypted].filter((s) => s !== null)
  try {
    return sealed.map((one) => out.sealing.open(one, place).toString())
  } catch {
    return undefined
  }
}

/**
 * No more than its reader could read: of oneself, or with audit:read of everybody, all that the log says; of others in an
 * organization of one's own what they did, not from where; otherwise who and what.
 */
function message(out: Outside, claimed: Claimed, event: NonNullable<Claimed['event']>): object {
  const { actor_id, user_id, client_id, session_id, ip, user_agent, data: details } = event
  const who = { tenant_id: claimed.tenant_id, user_id, actor_id, client_id }
  const from = { session_id, ip, country: ip ? out.geo.place(ip).country : null, user_agent }
  const readsAll = claimed.tenant_wide ? claimed.permissions!.includes('audit:read') : user_id === claimed.owner_id
  return {
    type: claimed.event_type,
    timestamp: new Date(event.created_at).toISOString(),
    data: { ...who, ...(readsAll && from), ...((readsAll || !claimed.tenant_wide) && { details }) },
  }
}

function judge(response: Response): Pick<Outcome, 'result' | 'status' | 'error' | 'retryAfter'> {
  const { status } = response
  if (response.ok) return { result: 'delivered', status, error: null }
  if (status === 410) return { result: 'gone', status, error: 'the receiver wants no more (410)' }
  if (status >= 300 && status < 400) return { result: 'failed', status, error: 'redirects are not followed' }
  const wait = Number(response.headers.get('retry-after'))
  return { result: 'failed', status, error: null, retryAfter: wait > 0 ? wait : undefined }
}

/** As text that PostgreSQL can hold. */
const textOf = (body: ArrayBuffer): string => new TextDecoder().decode(body).replaceAll('\u0000', '\ufffd')

const words: Record<string, string> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was closed',
  UND_ERR_SOCKET: 'the connection was closed',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  ENOTFOUND: 'the host is not known',
  EAI_AGAIN: 'the host is not known at the moment',
}

/** Why there is no answer. Texts of the network name addresses, codes do not. */
function reason(error: unknown): string {
  if (error instanceof OutboundRefused) return error.reason === 'address' ? 'not a public address' : error.message
  for (let at = error; at instanceof Error; at = at.cause as Error) {
    if (at.name === 'TimeoutError') return 'no answer in time'
    if (at.name === 'AbortError') return 'interrupted'
    const { code } = at as { code?: unknown }
    if (typeof code === 'string') return words[code] ?? `the connection failed (${code})`
  }
  return 'the connection failed'
}
