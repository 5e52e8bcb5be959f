/**
 * Tokens in HttpOnly cookies, for apps without a back end that are served at our own origin (callback_mode cookies). They
 * count only where a page of this origin asks for it by a header, which no form, link or page of another site can send.
 */
import type { Context, Outside, RequestInfo, TokenSet } from './context.ts'
import type { Tenant } from './directory.ts'

/** The header that says so; its value does not matter. Browsers send it across origins only where CORS allows, which ours does not. */
export const HEADER = 'x-token-cookies'

type Headers = { headers: Record<string, string | string[] | undefined> }

/** Whether a script of a page of ours sent this. Origin and Sec-Fetch-Site must agree where the browser sends them. */
export function isOwnPage({ config }: Pick<Outside, 'config'>, { headers }: Headers): boolean {
  const { origin, 'sec-fetch-site': site } = headers
  return (
    headers[HEADER] !== undefined &&
    (origin === undefined || origin === new URL(config.publicUrl).origin) &&
    (site === undefined || site === 'same-origin')
  )
}

type Kind = 'access_token' | 'refresh_token'
type Place = { out: Pick<Outside, 'config'>; tenant: Tenant }
const isSecure = ({ out }: Place): boolean => out.config.publicUrl.startsWith('https:')

/** The refresh token goes to our own authentication paths only, the access token wherever the tenant is. */
const pathOf = ({ tenant }: Place, kind: Kind): string =>
  kind === 'refresh_token' ? `${tenant.mountPath}/api/auth` : tenant.mountPath || '/'

/** Prefixed (RFC 6265bis 4.1.3), so that no other host of the domain can put its own in their place. */
function nameOf(place: Place, kind: Kind): string {
  if (!isSecure(place)) return kind
  return `${pathOf(place, kind) === '/' ? '__Host-' : '__Secure-'}${kind}`
}

/** The token of that kind; undefined unless a page of ours sent it. */
export const read = (ctx: Place & { request: Pick<RequestInfo, 'ownPage' | 'cookie'> }, kind: Kind) =>
  ctx.request.ownPage ? ctx.request.cookie(nameOf(ctx, kind)) : undefined

function put(ctx: Context, kind: Kind, value: string, seconds: number): void {
  const flags = `HttpOnly; SameSite=Lax${isSecure(ctx) ? '; Secure' : ''}`
  ctx.reply.cookies.push(`${nameOf(ctx, kind)}=${value}; Path=${pathOf(ctx, kind)}; Max-Age=${seconds}; ${flags}`)
}

export function keep(ctx: Context, { accessToken, refreshToken, expiresIn }: TokenSet): void {
  put(ctx, 'access_token', accessToken, expiresIn)
  if (refreshToken !== undefined) put(ctx, 'refresh_token', refreshToken, ctx.tenant.settings.refresh_token_lifetime)
}

/** Takes them away again, from who sent them. */
export function forget(ctx: Context): void {
  if (!ctx.request.ownPage) return
  put(ctx, 'access_token', '', 0)
  put(ctx, 'refresh_token', '', 0)
}
