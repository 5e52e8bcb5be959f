/** The cookie by which a browser is known again as a device; see server/domain/devices.ts. */
import type { Context as KoaContext } from 'koa'
import type { Context } from '../server/domain/context.ts'
import * as devices from '../server/domain/devices.ts'

/** Seconds a browser keeps it; browsers allow no more than 400 days. */
const MEMORY = 400 * 86_400

/** Sends the cookie, the one this browser has or a new one; the context knows it from then on. */
export function keepDevice(koa: KoaContext, ctx: Context): void {
  ctx.request.deviceToken ??= devices.newToken()
  const secure = ctx.out.config.publicUrl.startsWith('https:') ? '; Secure' : ''
  const cookie = `${devices.cookieName(ctx.out, ctx.tenant)}=${ctx.request.deviceToken}`
  koa.append(
    'Set-Cookie',
    `${cookie}; Path=${ctx.tenant.mountPath || '/'}; Max-Age=${MEMORY}; HttpOnly; SameSite=Lax${secure}`,
  )
}
