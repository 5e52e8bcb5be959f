/** OpenID Connect Back-Channel Logout 1.0, as a job: tells a client that a session is over. */
import { newUnit, units } from '../../adapters/oidc.ts'
import type { Outside } from '../domain/context.ts'
import type { Providers } from './providers.ts'

export async function sendBackchannelLogout(
  out: Outside,
  providers: Providers,
  job: { tenantId: string; clientId: string; userId: string; sessionId: string },
): Promise<void> {
  const tenant = await out.directory.byId(job.tenantId)
  if (!tenant) return
  const provider = providers.of(tenant).provider as any
  const unit = newUnit({
    tenantId: tenant.id,
    hasWebhooks: tenant.hasWebhooks,
    db: out.db,
    ip: '127.0.0.1',
    userAgent: '',
  })
  await units.run(unit, async () => {
    const client = await provider.Client.find(job.clientId)
    if (client?.backchannelLogoutUri) await client.backchannelLogout(job.userId, job.sessionId)
  })
}
