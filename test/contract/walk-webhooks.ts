/** Webhooks, each row once: the answers are held against their schemas. */
import type { TestApp } from '../support/app.ts'
import { eventually } from '../support/oauth.ts'

type Ok = (method: string, path: string, options?: any) => Promise<any>

export async function walkWebhooks(app: TestApp, ok: Ok): Promise<void> {
  const { accessToken: token } = await app.person()
  const go = (method: string, path: string, body?: unknown) =>
    ok(method, path, { token, ...(body === undefined ? {} : { body }) })
  await go('GET', '/v1/webhooks/event-types')
  // Not reachable: its tries fail, as their schema says.
  const hook = await go('POST', '/v1/webhooks', { url: 'https://hooks.invalid/', event_types: ['*'] })
  const at = `/v1/webhooks/${hook.id}`
  await go('GET', '/v1/webhooks')
  await go('GET', at)
  await go('PUT', at, { description: 'Walk', event_types: ['user.*'] })
  await go('POST', `${at}/secret/rotate`, {})
  const { id } = await go('POST', `${at}/test`, {})
  await eventually(async () => {
    const { tries } = await go('GET', `${at}/deliveries/${id}`)
    if (tries.length === 0) throw new Error('not tried yet')
  })
  await go('GET', `${at}/deliveries`)
  await go('POST', `${at}/deliveries/${id}/redeliver`, {})
  await go('DELETE', at)
}
