/** How the tenant looks and speaks: branding, logo, texts of pages, mails with previews. */
import { paged, pageInput } from '../server/api/shapes.ts'
import * as branding from '../server/domain/branding.ts'
import { operation } from '../server/domain/context.ts'
import { versionBy } from '../server/domain/versions.ts'
import * as wording from '../server/domain/wording.ts'
import {
  array,
  boolean,
  nullable,
  number,
  object,
  optional,
  page,
  record,
  resource,
  string,
  text,
  uri,
} from '../server/kernel/schema.ts'
import { wholePage } from './shapes.ts'

const tag = 'Branding'
const read = { permission: 'settings:read' }
const write = { permission: 'settings:write' }

/** What may be said of the face of a tenant, by operations' keys. */
export const brandingFields = {
  logoUri: uri({ pattern: '^https://' }),
  primaryColor: text(7, { pattern: '^#[0-9a-fA-F]{6}$' }),
  policyUri: uri({ pattern: '^https?://' }),
  tosUri: uri({ pattern: '^https?://' }),
}
const STORED = {
  logoUri: 'logo_uri',
  primaryColor: 'primary_color',
  policyUri: 'policy_uri',
  tosUri: 'tos_uri',
} as const
type Key = keyof typeof STORED
export const brandingKeys = Object.keys(STORED) as Key[]
/** As it is stored. */
export const storedBranding = (given: Record<string, unknown> | undefined) =>
  given && Object.fromEntries(Object.entries(given).map(([key, value]) => [STORED[key as Key], value]))
export const brandingView = (row: object) =>
  Object.fromEntries(brandingKeys.map((key) => [key, (row as Record<string, unknown>)[STORED[key]]]))

const Branding = resource('Branding', {
  logoUri: nullable(string({ description: 'Elsewhere, or where the uploaded logo is' })),
  logoUploaded: boolean(),
  primaryColor: nullable(string()),
  policyUri: nullable(string()),
  tosUri: nullable(string()),
  colors: nullable(
    object(
      {
        button: string(),
        buttonText: string(),
        buttonContrast: number({ description: 'WCAG 2.2 contrast ratio of the two; 4.5 and more is AA' }),
        link: string({ description: 'On light pages; made darker where the colour could not be read' }),
        linkDark: string({ description: 'On dark pages; made lighter where the colour could not be read' }),
        adjusted: boolean({ description: 'Links cannot have the very colour' }),
      },
      { description: 'What pages and mails make of primary_color' },
    ),
  ),
})

type Looks = Awaited<ReturnType<typeof branding.get>>
const view = (issuer: string, { logo, colors, ...row }: Looks) => ({
  ...Object.fromEntries(Object.entries(brandingView(row)).map(([key, value]) => [key, value ?? null])),
  ...(logo && { logoUri: `${issuer}/branding/logo/${logo}` }),
  logoUploaded: logo !== undefined,
  colors,
})

const version = versionBy('branding', [], branding.get)

export const get = operation({
  id: 'branding.get',
  summary: 'Get branding',
  tag,
  auth: read,
  effect: 'read',
  input: object({}),
  output: Branding,
  version,
  run: async (ctx) => view(ctx.tenant.issuer, await branding.get(ctx)) as any,
})

export const update = operation({
  id: 'branding.update',
  summary: 'Change branding',
  description:
    'Absent keys stay, null clears. Whatever the colour, texts in it can be read: see `colors` of the answer.',
  tag,
  auth: write,
  effect: 'write',
  input: object(Object.fromEntries(brandingKeys.map((key) => [key, optional(nullable(brandingFields[key]))]))),
  example: { primaryColor: '#0a7d4f' },
  output: Branding,
  version,
  run: async (ctx, input) =>
    view(ctx.tenant.issuer, await branding.change(ctx, storedBranding(input as Record<string, unknown>)!)) as any,
})

export const setLogo = operation({
  id: 'branding.set_logo',
  summary: 'Upload a logo',
  description: `A PNG, JPEG, WebP or GIF of at most ${branding.LOGO_BYTES / 1024} KiB, told by its bytes. Served by Gatehouse itself.`,
  tag,
  auth: write,
  effect: 'write',
  input: object({ data: text(Math.ceil(branding.LOGO_BYTES / 3) * 4, { pattern: '^[A-Za-z0-9+/]+={0,2}$' }) }),
  example: { data: 'R0lGODlhAQABAAAAACw=' },
  output: Branding,
  version,
  run: async (ctx, { data }) => view(ctx.tenant.issuer, await branding.setLogo(ctx, data)) as any,
})

export const removeLogo = operation({
  id: 'branding.remove_logo',
  summary: 'Remove the logo',
  tag,
  auth: write,
  effect: 'write',
  input: object({}),
  output: Branding,
  version,
  run: async (ctx) => view(ctx.tenant.issuer, await branding.removeLogo(ctx)) as any,
})

const locale = text(35, { description: 'A language of the program, such as en or de' })
const texts = record(nullable(text(wording.MAX_LENGTH)), { maxProperties: 500 })
const shown = {
  text: string({ description: 'What is shown' }),
  default: string({ description: 'The words of the program' }),
  changed: boolean(),
  variables: array(string(), { description: 'Names that may stand in braces' }),
}
const Text = resource('Text', { key: string(), ...shown })

const textsVersion = versionBy('texts', ['locale'], async (ctx, input) => {
  const { items } = await wording.list(ctx, input.locale, { changed: true }, { limit: 10_000, offset: 0 })
  return items.map(({ key, text }) => [key, text])
})

export const listTexts = operation({
  id: 'texts.list',
  summary: 'List texts of pages, mails and text messages',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({
    locale,
    q: optional(text(100, { description: 'Part of the key or the text' })),
    changed: optional(boolean()),
    ...pageInput,
  }),
  output: page(Text),
  version: textsVersion,
  async run(ctx, { locale: in_, q, changed, ...input }) {
    return paged(input, (window) => wording.list(ctx, in_, { q, changed }, window))
  },
})

export const changeTexts = operation({
  id: 'texts.change',
  summary: 'Change texts',
  description: 'By key; null goes back to the words of the program. Plain text; `{name}` and the like are filled in.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ locale, texts }),
  example: { texts: { 'login.title': 'Welcome back', 'login.submit': null } },
  output: page(Text),
  version: textsVersion,
  async run(ctx, input) {
    await wording.change(ctx, input.locale, input.texts)
    const all = await wording.list(ctx, input.locale, {}, { limit: 10_000, offset: 0 })
    return wholePage(all.items.filter(({ key }) => Object.hasOwn(input.texts, key)))
  },
})

const Mail = resource('MailTemplate', {
  name: string(),
  locale: string(),
  blocks: record(object(shown), { description: 'subject, heading, text, button …' }),
})
const which = { name: text(64), locale }

const mailVersion = versionBy('mail', ['name', 'locale'], (ctx, input) => wording.mail(ctx, input.name, input.locale))

export const listMails = operation({
  id: 'mail_templates.list',
  summary: 'List mails',
  tag,
  auth: read,
  effect: 'read',
  input: object({}),
  output: page(
    resource('MailSummary', {
      name: string(),
      blocks: array(string(), { description: 'What it is made of' }),
      changedIn: array(string(), { description: 'Languages in which the tenant has words of its own' }),
    }),
  ),
  run: async (ctx) => wholePage(await wording.mails(ctx)),
})

export const getMail = operation({
  id: 'mail_templates.get',
  summary: 'Get a mail in one language',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object(which),
  output: Mail,
  version: mailVersion,
  run: (ctx, input) => wording.mail(ctx, input.name, input.locale) as any,
})

export const changeMail = operation({
  id: 'mail_templates.change',
  summary: 'Change a mail in one language',
  description: 'By block; null goes back to the words of the program. Plain text: layout, buttons and links stay.',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object({ ...which, blocks: texts }),
  example: { blocks: { subject: 'Welcome to {name}', heading: 'Hello!' } },
  output: Mail,
  version: mailVersion,
  run: (ctx, input) => wording.changeMail(ctx, input.name, input.locale, input.blocks) as any,
})

export const resetMail = operation({
  id: 'mail_templates.reset',
  summary: 'Reset a mail to the words of the program',
  tag,
  auth: write,
  effect: 'write',
  errors: ['NOT_FOUND'],
  input: object(which),
  output: Mail,
  version: mailVersion,
  run: (ctx, input) => wording.resetMail(ctx, input.name, input.locale) as any,
})

export const previewMail = operation({
  id: 'mail_templates.preview',
  summary: 'Preview a mail',
  description: 'With made-up facts, and with these blocks in place of the stored ones. Nothing is stored or sent.',
  tag,
  auth: read,
  effect: 'read',
  errors: ['NOT_FOUND'],
  input: object({ ...which, blocks: optional(texts) }),
  example: { blocks: { subject: 'Welcome to {name}' } },
  output: resource('MailPreview', {
    subject: string(),
    html: string({ maxLength: 200_000 }),
    text: string({ maxLength: 100_000 }),
  }),
  run: (ctx, input) => wording.preview(ctx, input.name, input.locale, input.blocks ?? {}),
})
