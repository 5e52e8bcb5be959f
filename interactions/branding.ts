/** The logo that a tenant uploaded. Its address has the hash of its bytes, so it may be kept for ever. */
import * as branding from '../server/domain/branding.ts'
import { fail } from '../server/kernel/errors.ts'
import type { PageHandler } from './page.ts'

export const logo: PageHandler = async (koa, ctx) => {
  const found = await branding.logo(ctx, String(koa.params.hash))
  if (!found) throw fail('NOT_FOUND', 'No such picture')
  koa.set({
    'Cache-Control': 'public, max-age=31536000, immutable',
    'Content-Security-Policy': "default-src 'none'; sandbox",
    'Cross-Origin-Resource-Policy': 'cross-origin',
    'X-Content-Type-Options': 'nosniff',
  })
  koa.type = found.type
  koa.body = found.bytes
}
