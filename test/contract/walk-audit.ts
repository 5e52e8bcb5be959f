/** Calls every row of the audit log once with success. */

import type { TestApp } from '../support/app.ts'
import { sealed } from '../support/sealed.ts'

type Ok = (method: string, path: string, options: { body?: unknown; token?: string }) => Promise<any>

export async function walkAudit(app: TestApp, ok: Ok): Promise<void> {
  const token = await app.admin()
  const go = (path: string) => ok('GET', path, { token })
  await sealed(app)
  const { logs } = await go('/v1/audit/logs?event_type=user.registered')
  for (const path of [
    'export?event_type=user.registered',
    'heads',
    'heads/latest',
    'consistency?first=1',
    `logs/${logs[0].id}/proof`,
  ])
    await go(`/v1/audit/${path}`)
}
