/** Text messages as jobs. A job mints the code it sends, so no raw code rests in the queue. */
import { translator } from '../../adapters/i18n.ts'
import type { Texter } from '../../adapters/sms.ts'
import type { Outside } from './context.ts'
import { mint as mintSecondFactor } from './factors/codes.ts'
import { mint as mintSetUp } from './factors/sms.ts'
import { LIFETIME } from './magic-links.ts'
import type { Purpose } from './numbers.ts'
import * as secrets from './secrets.ts'
import * as users from './users.ts'

export interface SmsJob {
  tenantId: string
  template: 'mfa-code' | 'otp'
  userId: string
  /** E.164. */
  to?: string
  locales: string[]
  /** mfa-code: of a waiting sign-in (which sending), or of a factor that is being set up. */
  attemptId?: string
  number?: number
  credentialId?: string
  /** otp: what the code is good for. */
  purpose?: Purpose
}

/** Sends one text. Whoever is gone, or needs no code any more, gets none. */
export async function send(out: Outside, texter: Texter, job: SmsJob): Promise<void> {
  const tenant = await out.directory.byId(job.tenantId)
  const user = tenant && (await users.byId(out.db, tenant.id, job.userId))
  if (!tenant || !user || !job.to) return
  const code = await mint(out, job)
  if (!code) return
  const words = translator([user.locale ?? job.locales[0] ?? 'en'], tenant.wording)
  const key = job.template === 'otp' && job.purpose !== 'sign_in' ? 'sms.verify' : 'sms.code'
  const text = words.t(key, { code, name: tenant.name.replace(/\s+/g, ' ').trim() })
  // The last line lets phones fill the code in, on our pages only (WICG sms-one-time-codes).
  await texter.send({ tenantId: tenant.id, to: job.to, text: `${text}\n\n@${new URL(tenant.issuer).host} #${code}` })
}

async function mint(out: Outside, job: SmsJob): Promise<string | undefined> {
  if (job.credentialId) return mintSetUp(out.db, job.tenantId, job.credentialId)
  if (job.attemptId) return mintSecondFactor(out.db, job.tenantId, { attemptId: job.attemptId, number: job.number! })
  const { code } = await out.db.transaction((trx) =>
    secrets.createWithCode(trx, {
      tenantId: job.tenantId,
      purpose: 'otp_sms',
      address: job.to!,
      userId: job.userId,
      data: { purpose: job.purpose },
      lifetime: LIFETIME,
    }),
  )
  return code
}
