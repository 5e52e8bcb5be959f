/** Webhooks of people in tests: made over HTTP, looked at over HTTP, and time that can be moved. */
import type { TestApp } from './app.ts'
import { eventually } from './oauth.ts'

/** An app's environment that lets webhooks reach this machine. */
export const LOCAL = { OUTBOUND_ALLOW: '127.0.0.0/8' }

export interface Hook {
  id: string
  secret: string
  owner_id: string
}

/** Made, and known to this process, so that the next event goes to it at once. */
export async function subscribe(app: TestApp, token: string, url: string, more: object = {}): Promise<Hook> {
  const body = { url, event_types: ['*'], ...more }
  const made = await app.call('POST', '/v1/webhooks', { token, body })
  if (made.status !== 201) throw new Error(`webhook: ${made.status} ${JSON.stringify(made.body)}`)
  const { tenant_id } = await app.db('webhooks').where({ id: made.body.id }).first('tenant_id')
  await eventually(async () => {
    if (!(await app.deps.out.directory.byId(tenant_id))!.hasWebhooks) throw new Error('not known yet')
  })
  return made.body
}

/** What waits for its next try is due now. */
export const hurry = (app: TestApp) =>
  app.db('webhook_deliveries').whereNotNull('due_at').whereNull('sending_until').update({ due_at: app.db.fn.now() })

export const deliveriesOf = async (app: TestApp, token: string, id: string, query = ''): Promise<any[]> =>
  (await app.call('GET', `/v1/webhooks/${id}/deliveries${query}`, { token })).body.deliveries

/** The newest delivery of the type, once it is in that state. */
export const delivery = (app: TestApp, token: string, id: string, type: string, status: string): Promise<any> =>
  eventually(async () => {
    const [found] = await deliveriesOf(app, token, id, `?event_type=${type}`)
    if (found?.status !== status) throw new Error(`${type} is ${found?.status}, not ${status}`)
    return (await app.call('GET', `/v1/webhooks/${id}/deliveries/${found.id}`, { token })).body
  })
