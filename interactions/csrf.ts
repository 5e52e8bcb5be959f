// CSRF protection of our form posts: a signed double-submit token bound to a random cookie, and the browser's own word
// on where the request came from (Sec-Fetch-Site, Origin).
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { Context } from 'koa'
import { randomToken } from '../adapters/sealing.ts'

export type CsrfFailure = 'origin' | 'cookie' | 'token'

// Where the value of a cookie set in this very response is found again.
const issued = 'csrfCookie'

/**
 * A token for the hidden field `_csrf`. Sets the cookie when the browser has none: `__Host-gh_csrf` over https (which
 * a sibling domain cannot plant), `gh_csrf` over http. The salt makes every token different (BREACH).
 */
export function csrfToken(ctx: Context, secretKey: KeyObject): string {
  const salt = randomToken(12)
  return `${salt}.${sign(salt, cookieValue(ctx), secretKey)}`
}

/**
 * Undefined when a POST is good, else why not. `body` is the parsed form; `origin` is ours, from configuration and
 * never from the Host header.
 */
export function checkCsrf(
  ctx: Context,
  body: Record<string, unknown>,
  secretKey: KeyObject,
  origin: string,
): CsrfFailure | undefined {
  if (!sameOrigin(ctx, origin)) return 'origin'
  const cookie = ctx.cookies.get(cookieName(origin.startsWith('https:')))
  if (!cookie) return 'cookie'
  const [salt, mac, ...rest] = typeof body._csrf === 'string' ? body._csrf.split('.') : []
  if (!salt || !mac || rest.length > 0) return 'token'
  return equal(mac, sign(salt, cookie, secretKey)) ? undefined : 'token'
}

/** Sec-Fetch-Site cannot be written by scripts; Origin is the answer of browsers that don't send it (plain http). */
function sameOrigin(ctx: Context, origin: string): boolean {
  const site = ctx.get('Sec-Fetch-Site')
  if (site) return site === 'same-origin' || site === 'none'
  const sender = ctx.get('Origin')
  return !sender || sender === origin
}

function cookieValue(ctx: Context): string {
  const secure = ctx.state.page.secure === true
  const known = ctx.cookies.get(cookieName(secure)) ?? ctx.state[issued]
  if (known) return known
  const value = randomToken(18)
  ctx.state[issued] = value
  const flags = `Path=/; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`
  ctx.append('Set-Cookie', `${cookieName(secure)}=${value}; ${flags}`)
  return value
}

const cookieName = (secure: boolean) => (secure ? '__Host-gh_csrf' : 'gh_csrf')

const sign = (salt: string, cookie: string, secretKey: KeyObject) =>
  createHmac('sha256', secretKey).update(`gatehouse csrf 1\0${salt}\0${cookie}`).digest('base64url')

function equal(a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}
