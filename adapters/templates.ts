// Mails from views/mail: one template a mail, rendered twice, as HTML and as plain text, in the language of the reader.
// No name or other free text of a user goes into a mail: whoever registers a stranger's address must not write to it.
import { fileURLToPath } from 'node:url'
import { Eta } from 'eta'
import type { Branding } from './branding.ts'
import { type Catalogue, catalogues, translator, type Wording } from './i18n.ts'
import { htmlBlocks, mailColors, textBlocks } from './mail-blocks.ts'

export interface MailData {
  /** The tenant's face. */
  branding: Branding
  /** The recipient's address, named in the footer. */
  email: string
  /** Where the button leads; required by all mails (sign-in page, reset page or one-time link). */
  link: string
  /** Seconds the link or code works, or the lock lasts. */
  expires?: number
  /** verify-email, magic-link, invitation: a code to type instead. */
  code?: string
  /** account-exists: the page to reset the password. */
  forgotLink?: string
  /** identity-linked, identity-unlinked: its name. */
  provider?: string
  /** password-changed, new-sign-in: when and from where. */
  at?: Date
  ip?: string
  /** factor-changed: which and how, such as totp-added. */
  what?: string
  /** client-approved, client-rejected: the app's key; why it was not approved, in an administrator's words. */
  app?: string
  reason?: string
  /** webhook-disabled: where it led, and why it ended. */
  host?: string
  why?: 'failing' | 'gone'
  /** From a parsed user agent ("Firefox on Linux"), never the raw header, which is a stranger's text. */
  device?: string
}

export const mailNames = [
  'verify-email',
  'reset-password',
  'account-exists',
  'password-changed',
  'new-sign-in',
  'locked',
  'mfa-code',
  'factor-changed',
  'impersonated',
  'magic-link',
  'email-change',
  'email-change-notice',
  'account-deleted',
  'identity-linked',
  'identity-unlinked',
  'welcome',
  'invitation',
  'enrol-mfa',
  'webhook-disabled',
  'client-request',
  'client-approved',
  'client-rejected',
] as const

export type MailName = (typeof mailNames)[number]

const subjects: Record<MailName, string> = {
  'verify-email': 'verify',
  'reset-password': 'reset',
  'account-exists': 'exists',
  'password-changed': 'changed',
  'new-sign-in': 'signin',
  locked: 'locked',
  'mfa-code': 'mfaCode',
  'factor-changed': 'factor',
  impersonated: 'impersonated',
  'magic-link': 'magic',
  'identity-linked': 'linked',
  'identity-unlinked': 'unlinked',
  'email-change': 'emailChange',
  'email-change-notice': 'emailNotice',
  'account-deleted': 'deleted',
  welcome: 'welcome',
  invitation: 'invitation',
  'enrol-mfa': 'enrol',
  'webhook-disabled': 'webhook',
  'client-request': 'clientRequest',
  'client-approved': 'clientApproved',
  'client-rejected': 'clientRejected',
}

const eta = new Eta({ views: fileURLToPath(new URL('../views/mail', import.meta.url)), cache: true, autoEscape: true })

const english: Catalogue = catalogues.get('en')!
/** Keys of the catalogue that the mail is made of, by their short names; those under `mail.` are shared by all. */
export function blocksOf(name: MailName): Record<string, string> {
  const start = `mail.${subjects[name]}.`
  const keys = Object.keys(english).filter((key) => key.startsWith(start))
  return Object.fromEntries(keys.map((key) => [key.slice(start.length), key]))
}

/** Made-up facts for a preview. */
export const sampleMail = (name: MailName, branding: Branding, issuer: string): MailData => ({
  branding,
  email: 'ada@example.com',
  link: `${issuer}/…`,
  expires: 3600,
  ...(['verify-email', 'magic-link', 'invitation', 'mfa-code'].includes(name) && { code: '123456' }),
  forgotLink: `${issuer}/forgot-password`,
  provider: 'Example',
  at: new Date(),
  ip: '192.0.2.1',
  what: 'totp-added',
  app: 'my-app',
  reason: 'Its name is too close to ours',
  host: 'hooks.example.com',
  why: 'failing',
  device: 'Firefox on Linux',
})

/** A mail ready to send. `locale` is a BCP 47 tag; English when we do not speak it. */
export function renderMail(name: MailName, locale: string, data: MailData, wording?: Wording) {
  const words = translator([locale], wording)
  const key = `mail.${subjects[name]}`
  // Line breaks in a tenant's name must not become header lines.
  const face = { ...data.branding, name: data.branding.name.replace(/\s+/g, ' ').trim() }
  const vars = {
    name: face.name,
    email: data.email,
    time: words.duration(data.expires ?? 0),
    provider: data.provider ?? '',
    host: data.host ?? '',
    app: data.app ?? '',
  }
  const colors = mailColors(data.branding)
  const subject = words.t(`${key}.subject`, vars).replace(/\s+/g, ' ').trim()
  const say = (part: string) => words.t(part.startsWith('.') ? key + part : part, vars)
  const it = { ...words, ...data, branding: face, say, subject, heading: say('.heading'), colors }
  const html = eta.render(`/${name}`, { ...it, ...htmlBlocks(colors), layout: '/layout.html.eta' })
  const text = eta.render(`/${name}`, { ...it, ...textBlocks, layout: '/layout.txt.eta' })
  return { subject, html, text: `${text.replace(/\n{3,}/g, '\n\n').trim()}\n` }
}
