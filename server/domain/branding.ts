/** The face of a tenant: colour, logo and links of its pages and mails. A logo is an address elsewhere, or a small picture of ours. */
import { type Branding as Face, type Tones, tones } from '../../adapters/branding.ts'
import { sha256 } from '../../adapters/sealing.ts'
import { fail } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import type { Branding, Tenant } from './directory.ts'

export const LOGO_BYTES = 128 * 1024

/** As pages and mails show it. `base` goes before our own paths: '' on pages, the issuer's origin in mails. */
export function faceOf(tenant: Pick<Tenant, 'name' | 'branding' | 'mountPath'>, base = ''): Face {
  const { logo, logo_uri, primary_color, policy_uri, tos_uri } = tenant.branding
  const logoUri = logo ? `${base}${tenant.mountPath}/branding/logo/${logo}` : logo_uri
  return {
    name: tenant.name,
    ...(logoUri && { logoUri }),
    ...(primary_color && { primaryColor: primary_color }),
    ...(policy_uri && { policyUri: policy_uri }),
    ...(tos_uri && { tosUri: tos_uri }),
  }
}

/** Key by key; null removes. Another logo_uri takes the place of an uploaded one. */
export function merged(before: Branding, change: Record<string, unknown> = {}): Branding {
  const given = Object.entries(change).filter(([, value]) => value !== undefined)
  const all: Record<string, unknown> = { ...before, ...Object.fromEntries(given) }
  if (typeof change.logo_uri === 'string') delete all.logo
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as Branding
}

export interface BrandingView extends Branding {
  /** What pages make of the colour; null while the program's own is used. */
  colors: Tones | null
}

const brandingOf = async (ctx: Context): Promise<Branding> =>
  (await ctx.db('tenants').where({ id: ctx.tenant.id }).first('branding')).branding

export async function get(ctx: Context): Promise<BrandingView> {
  const branding = await brandingOf(ctx)
  return { ...branding, colors: tones(branding.primary_color) ?? null }
}

export async function change(ctx: Context, wanted: Record<string, unknown>): Promise<BrandingView> {
  const before = await locked(ctx)
  const after = merged(before, wanted)
  if (before.logo && !after.logo) await images(ctx).delete()
  await write(ctx, before, after)
  return get(ctx)
}

const images = (ctx: Context) => ctx.db('tenant_images').where({ tenant_id: ctx.tenant.id, kind: 'logo' })
const locked = async (ctx: Context): Promise<Branding> =>
  (await ctx.db('tenants').where({ id: ctx.tenant.id }).forNoKeyUpdate().first('branding')).branding

async function write(ctx: Context, before: Branding, after: Branding): Promise<void> {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])] as (keyof Branding)[]
  const fields = keys.filter((key) => before[key] !== after[key])
  if (fields.length === 0) return
  await ctx
    .db('tenants')
    .where({ id: ctx.tenant.id })
    .update({
      branding: JSON.stringify(after),
      version: ctx.db.raw('version + 1'),
      updated_at: ctx.db.fn.now(),
    })
  const pick = (from: Branding) => Object.fromEntries(fields.map((key) => [key, from[key] ?? null]))
  ctx.event('branding.changed', { data: { old: pick(before), new: pick(after) } })
}

/** By the first bytes, whatever the sender says. SVG is left out: it is a program. */
const TYPES: [type: string, fits: (bytes: Buffer) => boolean][] = [
  ['image/png', (b) => b.subarray(0, 8).equals(Buffer.from('89504e470d0a1a0a', 'hex'))],
  ['image/jpeg', (b) => b.subarray(0, 3).equals(Buffer.from('ffd8ff', 'hex'))],
  ['image/webp', (b) => b.toString('latin1', 0, 4) === 'RIFF' && b.toString('latin1', 8, 12) === 'WEBP'],
  ['image/gif', (b) => /^GIF8[79]a/.test(b.toString('latin1', 0, 6))],
]

/** `data` is base64. VALIDATION_ERROR for what is no small PNG, JPEG, WebP or GIF. */
export async function setLogo(ctx: Context, data: string): Promise<BrandingView> {
  const bytes = Buffer.from(data, 'base64')
  const type = TYPES.find(([, fits]) => fits(bytes))?.[0]
  if (!type) throw fail('VALIDATION_ERROR', 'data: send a PNG, JPEG, WebP or GIF as base64')
  if (bytes.length > LOGO_BYTES) throw fail('VALIDATION_ERROR', `data: larger than ${LOGO_BYTES / 1024} KiB`)
  const hash = sha256(bytes).toString('base64url')
  const before = await locked(ctx)
  const row = { hash, content_type: type, bytes, created_at: ctx.db.fn.now() }
  await ctx
    .db('tenant_images')
    .insert({ tenant_id: ctx.tenant.id, kind: 'logo', ...row })
    .onConflict(['tenant_id', 'kind'])
    .merge(row)
  await write(ctx, before, merged(before, { logo_uri: null, logo: hash }))
  return get(ctx)
}

export async function removeLogo(ctx: Context): Promise<BrandingView> {
  return change(ctx, { logo: null, logo_uri: null })
}

/** The picture of this address, or undefined. */
export async function logo(ctx: Context, hash: string): Promise<{ type: string; bytes: Buffer } | undefined> {
  const row = await images(ctx).where({ hash }).first('content_type', 'bytes')
  return row && { type: row.content_type, bytes: row.bytes }
}
