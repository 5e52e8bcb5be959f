/** The audit log, sealed up to now. */
import { expect } from 'chai'
import { seal } from '../../server/domain/audit/seal.ts'
import type { TestApp } from './app.ts'
import { eventually } from './oauth.ts'

/** Sealing stops before the oldest open transaction of the whole server, and other tests have theirs there. */
export async function sealed(app: TestApp, at?: Date): Promise<void> {
  await eventually(async () => {
    await seal(app.deps.out, app.db, at)
    const waiting = app.db('audit_leaves as l').whereRaw('l.tenant_id = e.tenant_id and l.event_id = e.id')
    // Of a new head, an event tells; it is no reason for another one.
    const left = await app
      .db('events as e')
      .whereNotExists(waiting)
      .whereNot('e.type', 'audit.head_signed')
      .pluck('e.type')
    expect(left).to.deep.equal([])
  })
}
