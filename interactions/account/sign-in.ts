/**
 * The way to /account for who is not signed in, or not recently enough: an authorization request of the built-in client.
 * The browser session it leaves is what counts; the code is never redeemed, and nobody could: its verifier is thrown away.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Context } from '../../server/domain/context.ts'
import { DIRECT_CLIENT } from '../../server/domain/ids.ts'
import { fail } from '../../server/kernel/errors.ts'
import { type PageHandler, seeOther } from '../page.ts'

/** Seconds a person may take to sign in. */
const PATIENCE = 3600

const mac = (ctx: Context, text: string): string =>
  createHmac('sha256', ctx.out.sealing.derive('account state')).update(`${ctx.tenant.id}\n${text}`).digest('base64url')

/** The state parameter: where to go afterwards, signed so that nobody else can choose it. */
function stateFor(ctx: Context, path: string): string {
  const until = Math.floor(Date.now() / 1000) + PATIENCE
  const text = `${Buffer.from(path).toString('base64url')}.${until}`
  return `${text}.${mac(ctx, text)}`
}

function pathOf(ctx: Context, state: unknown): string | undefined {
  const [path = '', until = '', given = ''] = typeof state === 'string' ? state.split('.') : []
  const expected = Buffer.from(mac(ctx, `${path}.${until}`))
  const sent = Buffer.from(given)
  if (sent.length !== expected.length || !timingSafeEqual(sent, expected)) return undefined
  return Number(until) > Date.now() / 1000 ? Buffer.from(path, 'base64url').toString() : undefined
}

export interface Again {
  /** Ask for credentials although somebody is signed in. */
  again?: boolean
  /** An authentication context that must be reached (OIDC Core acr_values). */
  acr?: string | undefined
  /** The address of the account that is meant. */
  hint?: string | undefined
}

/** The address that signs somebody in and comes back to `path`, which begins with the tenant's mount path. */
export function signInAddress(ctx: Context, path: string, { again = false, acr, hint }: Again = {}): string {
  const query = new URLSearchParams({
    client_id: DIRECT_CLIENT,
    response_type: 'code',
    scope: 'openid',
    redirect_uri: `${ctx.tenant.issuer}/account/callback`,
    state: stateFor(ctx, path),
    code_challenge: randomBytes(32).toString('base64url'),
    code_challenge_method: 'S256',
    ...(again && { prompt: 'login' }),
    ...(acr && { acr_values: acr }),
    ...(hint && { login_hint: hint }),
  })
  return `${ctx.tenant.mountPath}/oauth/authorize?${query}`
}

export const callback: PageHandler = async (koa, ctx) => {
  const path = pathOf(ctx, koa.query.state)
  if (path === undefined) throw fail('UNAUTHORIZED', 'This sign-in has expired')
  // Whoever gave up signing in would be asked again at once.
  seeOther(koa, koa.query.error === undefined ? path : `${ctx.tenant.mountPath}/`)
}
