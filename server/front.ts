/**
 * The front door for every request, before any framework: request id, the caller's real address, our own host name,
 * and the tenant; then to the OpenID provider or to the application.
 */
import { type IncomingMessage, type RequestListener, type ServerResponse, STATUS_CODES } from 'node:http'
import { isIP } from 'node:net'
import { isOutage } from '../adapters/knex.ts'
import type { Metrics } from '../adapters/metrics.ts'
import { randomToken } from '../adapters/sealing.ts'
import type { Outside } from './domain/context.ts'
import type { Tenant } from './domain/directory.ts'
import { DEFAULT_TENANT } from './domain/ids.ts'
import { type Failure, fail, OUTAGE } from './kernel/errors.ts'
import { patience } from './kernel/patience.ts'

export interface Passport {
  requestId: string
  ip: string
  tenant: Tenant
  /** For metrics: never the raw path. */
  surface?: string
  route?: string
  /** Lifts the time limit of the body, for who reads it by a limit of their own. */
  unhurried?(): void
}
declare module 'node:http' {
  interface IncomingMessage {
    gatehouse: Passport
    originalUrl?: string
  }
}

export interface Doors {
  /** Answers without needing a tenant, or returns false. */
  probe(req: IncomingMessage, res: ServerResponse): Promise<boolean>
  provider(tenant: Tenant): (req: IncomingMessage, res: ServerResponse) => Promise<void>
  app(req: IncomingMessage, res: ServerResponse): Promise<void>
  /** Says no in the shape the caller reads: a page, or the surface's failure. */
  refuse(req: IncomingMessage, res: ServerResponse, failure: Failure): Promise<void>
}

const READ = ['GET', 'HEAD']
const POST = ['POST']
const BOTH = ['GET', 'HEAD', 'POST']
/** Paths of the OpenID provider with their methods; OPTIONS goes to it for CORS. */
const OAUTH = new Map([
  ['/oauth/authorize', BOTH],
  ['/oauth/logout', BOTH],
  ['/oauth/userinfo', BOTH],
  ['/oauth/authorize/:uid', READ],
  ['/oauth/logout/success', READ],
  ['/oauth/jwks', READ],
  ['/oauth/token', POST],
  ['/oauth/introspect', POST],
  ['/oauth/revoke', POST],
  ['/oauth/par', POST],
  ['/oauth/logout/confirm', POST],
  ['/.well-known/openid-configuration', READ],
  ['/.well-known/oauth-authorization-server', READ],
])
const RESUME = /^(\/oauth\/authorize)\/[\w-]+$/
const FORWARDING = ['x-forwarded-host', 'forwarded', 'x-forwarded-port']
const REQUEST_ID = /^[\w.:-]{1,100}$/

export function createFront(out: Outside, metrics: Metrics, doors: Doors): RequestListener {
  const { config, directory, log } = out
  const { host, protocol } = new URL(config.publicUrl)
  const https = protocol === 'https:'
  // These lines hold nothing to redact, and there is one for every request.
  const accessLog = log.child({}, { formatters: { log: (fields) => fields } })
  const fault = (res: ServerResponse, error: unknown, requestId: string) => {
    if (res.headersSent) return void res.destroy()
    const away = isOutage(error)
    if (!away) log.error({ err: error, requestId }, 'request failed')
    const status = away ? 503 : 500
    problem(
      res,
      status,
      away ? 'UNAVAILABLE' : 'INTERNAL_ERROR',
      away ? OUTAGE : 'Something went wrong on our side',
      requestId,
    )
  }

  return async (req, res) => {
    const started = performance.now()
    const offered = req.headers['x-request-id']
    const requestId =
      config.trustProxy > 0 && typeof offered === 'string' && REQUEST_ID.test(offered) ? offered : randomToken(9)
    const ip = clientAddress(req, config.trustProxy)
    res.setHeader('X-Request-Id', requestId)
    res.setHeader('X-Content-Type-Options', 'nosniff')
    if (https) res.setHeader('Strict-Transport-Security', 'max-age=63072000; includeSubDomains')
    res.once('close', () => {
      const ms = performance.now() - started
      metrics.http(
        {
          surface: req.gatehouse?.surface ?? 'other',
          route: req.gatehouse?.route ?? 'other',
          method: req.method ?? 'GET',
          status: res.statusCode,
        },
        ms / 1000,
      )
      if (res.statusCode === 429) metrics.refused('rate_limit')
      if (res.statusCode === 503) metrics.refused('unavailable')
      accessLog.info(
        {
          requestId,
          method: req.method,
          path: pathOf(req.originalUrl ?? req.url ?? '/'),
          status: res.statusCode,
          ms: Math.round(ms * 100) / 100,
          ip,
        },
        'request',
      )
    })
    // Nothing behind this line believes what the network says about host, scheme or address.
    for (const name of FORWARDING) if (req.headers[name] !== undefined) delete req.headers[name]
    req.headers.host = host
    req.headers['x-forwarded-proto'] = https ? 'https' : 'http'
    req.headers['x-forwarded-for'] = ip
    req.originalUrl = req.url ?? '/'
    const unhurried = hurry(req, res)
    try {
      if (await doors.probe(req, res)) return
      const tenant = await tenantOf(req, directory)
      // Where there is none, the default one has the words.
      const face = tenant ?? (await directory.byId(DEFAULT_TENANT))
      if (!face) return problem(res, 404, 'NOT_FOUND', 'No such tenant', requestId)
      req.gatehouse = { requestId, ip, tenant: face, unhurried }
      if (!tenant) return await doors.refuse(req, res, fail('NOT_FOUND', 'No such tenant'))
      if (tenant.status !== 'active')
        return await doors.refuse(req, res, fail('TENANT_SUSPENDED', 'This tenant is suspended'))
      const path = pathOf(req.url!)
      const route = OAUTH.has(path) ? path : path.replace(RESUME, '$1/:uid')
      const methods = OAUTH.get(route)
      if (methods) {
        if (!methods.includes(req.method!) && req.method !== 'OPTIONS') {
          res.setHeader('Allow', methods.join(', '))
          return problem(res, 405, 'METHOD_NOT_ALLOWED', `This path has no ${req.method}`, requestId)
        }
        req.gatehouse.surface = 'oauth'
        req.gatehouse.route = route
        await doors.provider(tenant)(req, res)
      } else await doors.app(req, res)
    } catch (error) {
      fault(res, error, requestId)
    }
  }
}

/** Cuts off who sends a body too slowly; answers how to lift that. Nothing is to be done where there is no body. */
function hurry(req: IncomingMessage, res: ServerResponse): () => void {
  const { 'content-length': length, 'transfer-encoding': encoding } = req.headers
  if (encoding === undefined && (length === undefined || length === '0')) return () => {}
  const timer = setTimeout(() => {
    if (req.complete) return
    if (res.headersSent) req.socket.destroy()
    else req.socket.end('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n')
  }, patience.body)
  const lift = () => clearTimeout(timer)
  req.once('end', lift)
  res.once('close', lift)
  return lift
}

const pathOf = (url: string): string => {
  const end = url.indexOf('?')
  return end === -1 ? url : url.slice(0, end)
}

/** The default tenant, or the one of /t/<slug>, whose prefix is taken off req.url. RFC 8414 puts it behind .well-known. */
async function tenantOf(req: IncomingMessage, directory: Outside['directory']): Promise<Tenant | undefined> {
  const url = req.url ?? '/'
  const known = /^\/\.well-known\/(oauth-authorization-server|openid-configuration)\/t\/([^/?]+)$/.exec(url)
  if (known) {
    req.url = `/.well-known/${known[1]}`
    req.originalUrl = `/t/${known[2]}${req.url}`
    return mountedTenant(directory, known[2]!)
  }
  if (!url.startsWith('/t/')) return directory.byId(DEFAULT_TENANT)
  const mounted = /^\/t\/([a-z0-9-]{1,63})(?=[/?]|$)/.exec(url)
  if (!mounted) return undefined
  const rest = url.slice(mounted[0].length)
  req.url = rest.startsWith('/') ? rest : `/${rest}`
  return mountedTenant(directory, mounted[1]!)
}

/** The default tenant has one issuer; a second address for it would break `iss` checks. */
async function mountedTenant(directory: Outside['directory'], slug: string): Promise<Tenant | undefined> {
  const tenant = await directory.bySlug(slug)
  return tenant?.id === DEFAULT_TENANT ? undefined : tenant
}

/** The address `hops` proxies away from us, as the outermost trusted proxy saw it. */
function clientAddress(req: IncomingMessage, hops: number): string {
  const direct = (req.socket.remoteAddress ?? '127.0.0.1').replace(/^::ffff:/, '').replace(/%.*$/, '')
  if (hops === 0) return direct
  const forwarded = req.headers['x-forwarded-for']
  if (forwarded === undefined) return direct
  const passed = String(forwarded)
    .split(',')
    .map((s) => s.trim())
    .filter(Boolean)
  const seen = passed.at(-hops) ?? passed[0] ?? direct
  const address = seen.replace(/^::ffff:/, '')
  return isIP(address) && !address.includes('%') ? address : direct
}

function problem(res: ServerResponse, status: number, code: string, detail: string, requestId: string): void {
  res.statusCode = status
  res.setHeader('Content-Type', 'application/problem+json')
  if (status === 503) res.setHeader('Retry-After', '2')
  res.end(
    JSON.stringify({
      type: `urn:gatehouse:error:${code.toLowerCase().replaceAll('_', '-')}`,
      title: STATUS_CODES[status],
      status,
      detail,
      code,
      request_id: requestId,
    }),
  )
}
