/** Mails as jobs. A job mints the secret it mails, so no raw secret rests in the queue. */
import type { Mailer } from '../../adapters/mail.ts'
import { type MailName, renderMail } from '../../adapters/templates.ts'
import { faceOf } from './branding.ts'
import { faceAt, wordingAt } from './clients/face.ts'
import * as handover from './clients/handover.ts'
import type { Outside, UserRow } from './context.ts'
import type { Tenant } from './directory.ts'
import { UNDO_LIFETIME } from './email-change.ts'
import { CODE_LIFETIME, mint as mintCode } from './factors/codes.ts'
import { mint as mintInvitation } from './invitations/links.ts'
import { LIFETIME as MAGIC_LINK_LIFETIME } from './magic-links.ts'
import * as secrets from './secrets.ts'
import * as users from './users.ts'

export interface MailJob {
  tenantId: string
  template: MailName
  userId?: string
  /** Where there is no user, or another address than the user's. */
  email?: string
  locales: string[]
  /** client_id of the app whose sign-in caused it: the mail, and the page that its link opens, look and speak like that app. */
  clientId?: string
  ip?: string
  /** new-sign-in: the device in our words, and where it is: country (ISO 3166-1 alpha-2) and city. */
  device?: string
  country?: string
  city?: string
  at?: string
  /** mfa-code: the waiting sign-in. */
  attemptId?: string
  /** invitation, welcome: which one. */
  invitationId?: string
  /** Which sending of its secret this is. */
  number?: number
  /** factor-changed: which and how, such as totp-added. */
  what?: string
  /** webhook-disabled: where it led, and why it ended. */
  host?: string
  why?: 'failing' | 'gone'
  /** client-approved, client-rejected: the app's key, its client where it has a secret to fetch, why not. */
  app?: string
  client?: string
  reason?: string
  /** locked: how long, in seconds. */
  seconds?: number
  /** identity-linked, identity-unlinked: its name. */
  provider?: string
  /** magic-link: the hosted sign-in that waits for it, and whether it may make an account. */
  interactionId?: string
  mayRegister?: boolean
  /** email-change: the address so far, if any. email-change-notice: the one that is wanted. */
  from?: string | null
  to?: string
}

const HOUR = 3600

/** An address with what is known of where it is. */
function placed(ip: string, place: (string | undefined)[]): string {
  const known = place.filter(Boolean).join(', ')
  return known ? `${ip} (${known})` : ip
}

/** Sends one mail. A user that is gone by now gets none, nor does one without an address: no secret is made for them either. */
export async function send(out: Outside, mailer: Mailer, job: MailJob): Promise<void> {
  const tenant = await out.directory.byId(job.tenantId)
  if (!tenant) return
  const user = job.userId ? await users.byId(out.db, tenant.id, job.userId) : undefined
  const to = job.email ?? user?.email
  if (!to || (job.userId && !user)) return
  const content = await contentOf(out, tenant, job, to, user)
  // What it would be about is over.
  if (!content) return
  const locale = user?.locale ?? job.locales[0] ?? 'en'
  const face = faceOf(tenant, new URL(tenant.issuer).origin)
  const client = job.clientId === undefined ? undefined : await out.directory.client(tenant.id, job.clientId)
  const branding = client ? faceAt(face, client) : face
  const wording = client ? wordingAt(tenant.wording, client) : tenant.wording
  const mail = renderMail(job.template, locale, { branding, email: to, ...content }, wording)
  await mailer.send({ tenantId: tenant.id, to, ...mail })
}

async function contentOf(out: Outside, tenant: Tenant, job: MailJob, to: string, user: UserRow | undefined) {
  const { settings, issuer } = tenant
  const from = job.clientId === undefined ? {} : { clientId: job.clientId }
  const forgot = `${issuer}/forgot-password${job.clientId === undefined ? '' : `?client_id=${encodeURIComponent(job.clientId)}`}`
  const mint = (
    purpose: secrets.Purpose,
    lifetime: number,
    data: object = { email: user!.email },
    keepEarlier = false,
  ) =>
    out.db.transaction((trx) =>
      secrets.create(trx, {
        tenantId: tenant.id,
        purpose,
        userId: user!.id,
        data: { ...data, ...from },
        lifetime,
        keepEarlier,
      }),
    )
  switch (job.template) {
    case 'verify-email':
      return {
        link: `${issuer}/verify-email?token=${await mint('verify_email', settings.email_link_lifetime)}`,
        expires: settings.email_link_lifetime,
      }
    case 'reset-password':
      return {
        link: `${issuer}/reset-password?token=${await mint('reset_password', settings.reset_link_lifetime)}`,
        expires: settings.reset_link_lifetime,
      }
    case 'welcome':
    case 'invitation': {
      const made = await mintInvitation(out.db, tenant.id, { invitationId: job.invitationId!, number: job.number! })
      if (!made) return undefined
      const { token, code, expires } = made
      return {
        link: `${issuer}/invitation?token=${token}`,
        expires: Math.ceil(expires / HOUR) * HOUR,
        ...(job.template === 'invitation' && { code }),
      }
    }
    case 'enrol-mfa':
      return { link: `${issuer}/` }
    case 'magic-link': {
      const { token, code } = await out.db.transaction((trx) =>
        secrets.createWithCode(trx, {
          tenantId: tenant.id,
          purpose: 'magic_link',
          address: users.emailKey(to),
          ...(user && { userId: user.id }),
          data: { email: to, interactionId: job.interactionId, mayRegister: job.mayRegister, ...from },
          lifetime: MAGIC_LINK_LIFETIME,
        }),
      )
      return { link: `${issuer}/magic-link?token=${token}`, code, expires: MAGIC_LINK_LIFETIME }
    }
    case 'mfa-code': {
      const code = await mintCode(out.db, tenant.id, { attemptId: job.attemptId!, number: job.number! })
      return code ? { link: forgot, code, expires: CODE_LIFETIME } : undefined
    }
    case 'email-change': {
      const data = { from: job.from, to }
      return {
        link: `${issuer}/account/email/confirm?token=${await mint('change_email', settings.email_link_lifetime, data)}`,
        expires: settings.email_link_lifetime,
      }
    }
    case 'email-change-notice': {
      const data = { from: to, to: job.to }
      return {
        link: `${issuer}/account/email/undo?token=${await mint('undo_email', UNDO_LIFETIME, data, true)}`,
        expires: UNDO_LIFETIME,
        at: new Date(),
      }
    }
    case 'client-request':
    case 'client-rejected':
      return { link: `${issuer}/`, ...(job.app && { app: job.app }), ...(job.reason && { reason: job.reason }) }
    case 'client-approved': {
      const app = job.app!
      if (!job.client) return { link: `${issuer}/auth/clients/${app}/config`, app }
      const token = await handover.mint(out.db, tenant.id, job.client)
      return { link: `${issuer}/client-secret?token=${token}`, app, expires: handover.LIFETIME }
    }
    case 'account-deleted':
      return { link: `${issuer}/`, at: new Date(), ...(job.ip && { ip: job.ip }) }
    case 'account-exists':
      return { link: `${issuer}/`, forgotLink: forgot }
    case 'impersonated':
      return { link: `${issuer}/account/sessions`, at: job.at ? new Date(job.at) : new Date() }
    case 'webhook-disabled':
      return { link: `${issuer}/docs`, at: new Date(), host: job.host!, why: job.why! }
    case 'locked':
      return { link: forgot, expires: job.seconds ?? 3600 }
    default:
      return {
        link: forgot,
        at: job.at ? new Date(job.at) : new Date(),
        ...(job.ip && { ip: placed(job.ip, [job.city, job.country]) }),
        ...(job.device && { device: job.device }),
        ...(job.what && { what: job.what }),
        ...(job.provider && { provider: job.provider }),
      }
  }
}
