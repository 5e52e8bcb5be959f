/** Browsers of the tenant's allowed origins may call the API with bearer tokens; no cookies, so no credentials (Fetch, CORS). */
import type { Context as KoaContext } from 'koa'

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE'
const HEADERS = 'authorization, content-type, if-match, if-none-match, idempotency-key, accept-language, x-device-token'
const EXPOSED =
  'Idempotency-Replayed, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, WWW-Authenticate, X-Request-Id, ETag, Location'

export async function cors(koa: KoaContext, next: () => Promise<void>): Promise<void> {
  koa.vary('Origin')
  const origin = koa.get('origin')
  const { settings } = koa.req.gatehouse.tenant
  // An app that is not registered yet cannot have been allowed.
  const registers = settings.dynamic_registration !== 'off' && /^\/oauth\/register(\/|$)/.test(koa.path)
  if (!origin || !(registers || settings.allowed_origins.includes(origin))) return next()
  koa.set('Access-Control-Allow-Origin', origin)
  if (koa.method !== 'OPTIONS' || !koa.get('access-control-request-method')) {
    koa.set('Access-Control-Expose-Headers', EXPOSED)
    return next()
  }
  koa.set('Access-Control-Allow-Methods', METHODS)
  koa.set('Access-Control-Allow-Headers', HEADERS)
  koa.set('Access-Control-Max-Age', '600')
  koa.status = 204
}
