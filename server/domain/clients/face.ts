/** The face and the words of an app over those of its tenant: for people who come from it, on pages and in mails. */
import type { Branding as Face } from '../../../adapters/branding.ts'
import type { Wording } from '../../../adapters/i18n.ts'
import type { ClientRecord } from '../directory.ts'

export function faceAt(face: Face, { branding }: ClientRecord): Face {
  const { logo_uri: logoUri, primary_color: primaryColor } = branding
  return { ...face, ...(logoUri && { logoUri }), ...(primaryColor && { primaryColor }) }
}

/** By client, whose record is another object after a change, and by the tenant's words below. */
const wordings = new WeakMap<ClientRecord, WeakMap<Wording, Wording>>()

export function wordingAt(tenants: Wording, client: ClientRecord): Wording {
  const own = Object.entries(client.branding.texts ?? {}).filter(([, { messages }]) => messages)
  if (own.length === 0) return tenants
  const made = wordings.get(client) ?? new WeakMap<Wording, Wording>()
  wordings.set(client, made)
  const known = made.get(tenants)
  if (known) return known
  const words = new Map(tenants)
  for (const [locale, { messages }] of own) words.set(locale, { ...words.get(locale), ...messages })
  made.set(tenants, words)
  return words
}
