/** Where a webhook may lead: https to public addresses; http, and what OUTBOUND_ALLOW adds, only as far as no secret is lost. */
import { fail } from '../../kernel/errors.ts'
import type { Context } from '../context.ts'

/**
 * What people choose for themselves must not reach the operator's own network, and be it one that OUTBOUND_ALLOW opens for
 * others: answers are shown to them.
 */
export const publicOnly = (out: Pick<Context['out'], 'config'>, tenantWide: boolean): boolean =>
  out.config.production && !tenantWide

const refused = (message: string) =>
  fail('VALIDATION_ERROR', `url: ${message}`, { details: [{ field: 'url', message }] })

/** The URL as it is stored. Looks the name up, so outside any transaction. VALIDATION_ERROR says what is wrong with it. */
export async function checkAddress(ctx: Context, text: string, tenantWide: boolean): Promise<string> {
  const url = URL.parse(text)
  if (!url || !['https:', 'http:'].includes(url.protocol)) throw refused('must be an address with https://')
  if (url.username || url.password) throw refused('must not contain credentials: verify the signature instead')
  url.hash = ''
  const place = await ctx.out.outbound.locate(url, { publicOnly: publicOnly(ctx.out, tenantWide) })
  if (place === 'refused') throw refused('must be a public address')
  if (url.protocol === 'http:' && ctx.out.config.production && place !== 'allowed')
    throw refused('must be an address with https://')
  return url.href
}
