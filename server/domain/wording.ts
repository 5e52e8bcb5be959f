/**
 * A tenant's own words in place of the program's, by language and key: of pages, text messages and mails. They are texts in
 * the little language of the catalogues ({name}, plurals), never markup or code, so what they are put into stays ours.
 */
import { type Catalogue, catalogues, parse, variables } from '../../adapters/i18n.ts'
import { blocksOf, type MailName, mailNames, renderMail, sampleMail } from '../../adapters/templates.ts'
import { fail } from '../kernel/errors.ts'
import { faceOf } from './branding.ts'
import type { Context } from './context.ts'

/** Bounds of what each tenant object holds in memory. */
const MAX_TEXTS = 500
export const MAX_LENGTH = 2000

export interface TextView {
  key: string
  /** What is shown: the tenant's own, or the program's. */
  text: string
  default: string
  changed: boolean
  /** Names that may stand in braces. */
  variables: string[]
}

const english = catalogues.get('en')!
/** NOT_FOUND for a language that the program does not speak. */
function catalogueOf(locale: string): Catalogue {
  const found = catalogues.get(locale)
  if (!found) throw fail('NOT_FOUND', `No such language; there are ${[...catalogues.keys()].join(', ')}`)
  return { ...english, ...found }
}
/** What tells languages apart is no text. */
const isText = (key: string) => Object.hasOwn(english, key) && !key.startsWith('language.')

async function ownOf(ctx: Context, locale: string): Promise<Catalogue> {
  const rows = await ctx.db('tenant_texts').where({ tenant_id: ctx.tenant.id, locale }).select('key', 'value')
  return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
}

const view = (key: string, catalogue: Catalogue, own: Catalogue): TextView => ({
  key,
  text: own[key] ?? catalogue[key]!,
  default: catalogue[key]!,
  changed: Object.hasOwn(own, key),
  variables: variables(english[key]!),
})

/** In the order of keys. `q` is part of the key or of either text. */
export async function list(
  ctx: Context,
  locale: string,
  { q, changed }: { q?: string | undefined; changed?: boolean | undefined },
  { limit, offset }: { limit: number; offset: number },
): Promise<{ items: TextView[]; total: number }> {
  const catalogue = catalogueOf(locale)
  const own = await ownOf(ctx, locale)
  const part = q?.toLowerCase()
  const found = Object.keys(catalogue)
    .filter(isText)
    .sort()
    .map((key) => view(key, catalogue, own))
    .filter((text) => changed === undefined || text.changed === changed)
    .filter((text) => !part || [text.key, text.text, text.default].some((in_) => in_.toLowerCase().includes(part)))
  return { items: found.slice(offset, offset + limit), total: found.length }
}

/** null goes back to the program's words. All or none: NOT_FOUND for an unknown key, VALIDATION_ERROR for a bad text. */
export async function change(ctx: Context, locale: string, texts: Record<string, string | null>): Promise<void> {
  const catalogue = catalogueOf(locale)
  const details = Object.entries(texts).flatMap(([key, value]) => problem(key, value))
  if (details[0]) throw fail('VALIDATION_ERROR', `${details[0].field} ${details[0].message}`, { details })
  const tenant_id = ctx.tenant.id
  // Two changes at once must not pass the bound together.
  await ctx.db('tenants').where({ id: tenant_id }).forNoKeyUpdate().first('id')
  const own = await ownOf(ctx, locale)
  const given = Object.entries(texts)
  const gone = given.filter(([key, value]) => Object.hasOwn(own, key) && (value === null || value === catalogue[key]))
  const written = given.filter(([key, value]) => value !== null && value !== catalogue[key] && value !== own[key])
  const keys = [...gone, ...written].map(([key]) => key)
  if (keys.length === 0) return
  await ctx.db('tenant_texts').where({ tenant_id, locale }).whereIn('key', keys).delete()
  if (written.length > 0)
    await ctx
      .db('tenant_texts')
      .insert(written.map(([key, value]) => ({ tenant_id, locale, key, value, updated_by: ctx.actor?.userId ?? null })))
  const [{ n }] = (await ctx.db('tenant_texts').where({ tenant_id }).count({ n: '*' })) as [{ n: string }]
  if (Number(n) > MAX_TEXTS) throw fail('VALIDATION_ERROR', `A tenant can have ${MAX_TEXTS} texts of its own`)
  ctx.event('texts.changed', { data: { locale, keys: keys.sort() } })
}

/** Own words of one app for its pages and mails. VALIDATION_ERROR. */
export function assertAppTexts(field: string, texts: Record<string, string>): void {
  for (const [key, value] of Object.entries(texts)) {
    if (!isText(key) || key.startsWith('sms.'))
      throw fail('VALIDATION_ERROR', `${field}: no text of pages or mails: ${key}`)
    const [wrong] = problem(key, value)
    if (wrong) throw fail('VALIDATION_ERROR', `${field}: ${key} ${wrong.message}`)
  }
}

function problem(key: string, value: string | null): { field: string; message: string }[] {
  if (!isText(key)) throw fail('NOT_FOUND', `No such text: ${key}`)
  if (value === null) return []
  const wrong = (message: string) => [{ field: key, message }]
  if (value.trim() === '' || value.length > MAX_LENGTH) return wrong(`must have 1 to ${MAX_LENGTH} characters`)
  if (/[\p{Cc}\p{Cf}]/u.test(value.replace(/[\n\u200d]/g, ''))) return wrong('has characters that cannot be seen')
  try {
    parse(value)
  } catch {
    return wrong('has braces that do not match')
  }
  const [known, used] = [variables(english[key]!), variables(value)]
  const unknown = used.find((name) => !known.includes(name))
  if (unknown !== undefined)
    return wrong(`has no {${unknown}}; there ${known.length > 0 ? `is {${known.join('}, {')}}` : 'are none'}`)
  // Without its code the message is of no use.
  return known.includes('code') && !used.includes('code') ? wrong('must have {code}') : []
}

export interface MailView {
  name: MailName
  locale: string
  /** By short key: subject, heading, text, button … */
  blocks: Record<string, Omit<TextView, 'key'>>
}

/** NOT_FOUND. */
function mailOf(name: string): MailName {
  const found = mailNames.find((known) => known === name)
  if (!found) throw fail('NOT_FOUND', 'No such mail')
  return found
}

export async function mails(ctx: Context): Promise<{ name: MailName; blocks: string[]; changedIn: string[] }[]> {
  const rows = await ctx.db('tenant_texts').where({ tenant_id: ctx.tenant.id }).select('locale', 'key')
  return mailNames.map((name) => {
    const blocks = blocksOf(name)
    const keys = new Set(Object.values(blocks))
    const changedIn = new Set<string>(rows.filter(({ key }) => keys.has(key)).map(({ locale }) => locale))
    return { name, blocks: Object.keys(blocks), changedIn: [...changedIn].sort() }
  })
}

export async function mail(ctx: Context, key: string, locale: string): Promise<MailView> {
  const name = mailOf(key)
  const catalogue = catalogueOf(locale)
  const own = await ownOf(ctx, locale)
  const blocks = Object.entries(blocksOf(name)).map(([block, full]) => {
    const { key: _, ...rest } = view(full, catalogue, own)
    return [block, rest]
  })
  return { name, locale, blocks: Object.fromEntries(blocks) }
}

/** Texts by the full keys of the mail. VALIDATION_ERROR for a block it has not. */
function fullKeys(name: MailName, blocks: Record<string, string | null>): Record<string, string | null> {
  const known = blocksOf(name)
  return Object.fromEntries(
    Object.entries(blocks).map(([block, value]) => {
      if (!Object.hasOwn(known, block))
        throw fail('VALIDATION_ERROR', `${block}: this mail has ${Object.keys(known).join(', ')}`)
      return [known[block]!, value]
    }),
  )
}

export async function changeMail(
  ctx: Context,
  key: string,
  locale: string,
  blocks: Record<string, string | null>,
): Promise<MailView> {
  await change(ctx, locale, fullKeys(mailOf(key), blocks))
  return mail(ctx, key, locale)
}

/** All its blocks as the program has them. */
export async function resetMail(ctx: Context, key: string, locale: string): Promise<MailView> {
  const nothing = Object.keys(blocksOf(mailOf(key))).map((block) => [block, null])
  return changeMail(ctx, key, locale, Object.fromEntries(nothing))
}

/** The mail with made-up facts, as it is or with these blocks; nothing is stored or sent. */
export async function preview(
  ctx: Context,
  key: string,
  locale: string,
  blocks: Record<string, string | null>,
): Promise<{ subject: string; html: string; text: string }> {
  const name = mailOf(key)
  const catalogue = catalogueOf(locale)
  const drafts = fullKeys(name, blocks)
  const details = Object.entries(drafts).flatMap(([full, value]) => problem(full, value))
  if (details[0]) throw fail('VALIDATION_ERROR', `${details[0].field} ${details[0].message}`, { details })
  const own: Record<string, string | null> = { ...(await ownOf(ctx, locale)), ...drafts }
  const texts = Object.fromEntries(Object.entries(own).map(([full, value]) => [full, value ?? catalogue[full]!]))
  const face = faceOf(ctx.tenant, new URL(ctx.tenant.issuer).origin)
  return renderMail(name, locale, sampleMail(name, face, ctx.tenant.issuer), new Map([[locale, texts]]))
}
