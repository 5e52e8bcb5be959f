/** The tenant's face, an uploaded logo as a data: URL, and its own texts by language/key. */
import type { Context } from '../../server/domain/context.ts'
import { fail } from '../../server/kernel/errors.ts'
import * as branding from '../branding.ts'
import { call, type Entry, type Section, without } from './section.ts'

const LOGO = /^data:image\/(?:png|jpeg|webp|gif);base64,([A-Za-z0-9+/]+={0,2})$/

export const brandingSection: Section = {
  name: 'branding',
  permission: 'settings:read',
  async read(ctx) {
    const row = await ctx.db('tenants').where({ id: ctx.tenant.id }).first('branding')
    const entries = new Map<string, Entry>(Object.entries(without(row.branding, 'logo')))
    if (row.branding.logo) entries.set('logo', await logoOf(ctx))
    return entries
  },
  create: change,
  update: change,
  async remove(ctx, key) {
    if (key !== 'logo') return call(ctx, branding.update, { [key]: null })
    const row = await ctx.db('tenants').where({ id: ctx.tenant.id }).first('branding')
    // A logo_uri in the same document has taken its place by now.
    if (row.branding.logo) await call(ctx, branding.removeLogo, {})
  },
}

async function logoOf(ctx: Context): Promise<string> {
  const own = { tenant_id: ctx.tenant.id, kind: 'logo' }
  const row = await ctx.db('tenant_images').where(own).first('content_type', 'bytes')
  return `data:${row.content_type};base64,${row.bytes.toString('base64')}`
}

async function change(ctx: Context, key: string, value: Entry): Promise<void> {
  if (key !== 'logo') return call(ctx, branding.update, { [key]: value })
  const [, data] = LOGO.exec(String(value)) ?? []
  if (!data) throw fail('VALIDATION_ERROR', 'must be a PNG, JPEG, WebP or GIF as data:…;base64,…')
  await call(ctx, branding.setLogo, { data })
}

const changeText = (ctx: Context, key: string, value: Entry) => {
  const [locale, ...rest] = key.split('/')
  if (rest.length === 0) throw fail('VALIDATION_ERROR', 'must be named language/text, such as en/login.title')
  return call(ctx, branding.changeTexts, { locale, texts: { [rest.join('/')]: value } })
}
export const textsSection: Section = {
  name: 'texts',
  permission: 'settings:read',
  async read(ctx) {
    const rows = await ctx.db('tenant_texts').where({ tenant_id: ctx.tenant.id }).orderBy(['locale', 'key'])
    return new Map(rows.map((row) => [`${row.locale}/${row.key}`, row.value]))
  },
  create: changeText,
  update: changeText,
  remove: (ctx, key) => changeText(ctx, key, null),
}
