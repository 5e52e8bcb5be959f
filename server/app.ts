/** Puts the parts together: pages, the API surfaces, the OpenID provider, behind the front door. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import Router from '@koa/router'
import Koa, { type Context as KoaContext } from 'koa'
import { adminApp } from '../admin-api/app.ts'
import { assets } from '../interactions/assets.ts'
import { preparePage, showFailure } from '../interactions/page.ts'
import { providerPages } from '../interactions/provider-pages.ts'
import { pageRoutes } from '../interactions/routes.ts'
import { createKernel, toFailure } from './api/pipeline.ts'
import { cors } from './cors.ts'
import type { Deps } from './deps.ts'
import { createFront } from './front.ts'
import { createProbes, type Readiness } from './health.ts'
import { sendFailure } from './kernel/bind.ts'
import { type Failure, fail } from './kernel/errors.ts'
import { openapi } from './kernel/openapi.ts'
import { surfaceRouter } from './kernel/router.ts'
import type { Surface } from './kernel/surface.ts'
import { createAuthenticate } from './oidc/authenticate.ts'
import { createOidcPort, createProviders, type Providers } from './oidc/providers.ts'
import { adminSurfaces, selfSurfaces, surfaceOf } from './surfaces/index.ts'

export const VERSION = '0.1.0'

export interface App {
  listener: RequestListener
  /** The admin API alone, for ADMIN_PORT. */
  adminListener: RequestListener
  providers: Providers
}

export function createApp(deps: Deps, readiness: Readiness): App {
  const { out } = deps
  const providers = createProviders(out, providerPages(out))
  const oidc = createOidcPort(providers)
  const kernel = createKernel(out, oidc, createAuthenticate())

  const koa = new Koa()
  koa.on('error', (error) => noteLost(deps, error))
  koa.use((ctx, next) => guard(deps, ctx, next))
  koa.use(assets())
  koa.use(pageRoutes(out, oidc, providers).routes())
  koa.use(documents(deps).routes())
  koa.use(cors)
  const selfRouter = surfaceRouter(kernel, selfSurfaces)
  koa.use(selfRouter.routes())
  const admin = adminApp(kernel, adminSurfaces)
  admin.on('error', (error) => noteLost(deps, error))
  if (out.config.adminPort === undefined) for (const middleware of admin.middleware) koa.use(middleware)
  koa.use(notFound)

  const handle = koa.callback()
  admin.middleware.unshift((ctx, next) => guard(deps, ctx, next), cors)
  const adminHandle = admin.use(notFound).callback()

  const probe = createProbes(deps, readiness)
  const front = (app: ReturnType<Koa['callback']>) =>
    createFront(out, deps.metrics, {
      probe,
      provider: (tenant) => providers.of(tenant).handle,
      app: (req, res) => app(req, res),
      refuse: refusals(deps),
    })
  return { listener: front(handle), adminListener: front(adminHandle), providers }
}

function documents(deps: Deps): Router {
  const router = new Router()
  const { publicUrl } = deps.out.config
  const info = { version: VERSION, serverUrl: publicUrl, tokenUrl: `${publicUrl}/oauth/token` }
  const made = new Map<string, object>()
  const serve = (path: string, title: string, surfaces: Surface[]) =>
    router.get(path, (ctx) => {
      if (!made.has(path)) made.set(path, openapi(surfaces, { title, ...info }))
      ctx.set('Access-Control-Allow-Origin', '*')
      ctx.set('Cache-Control', 'public, max-age=300')
      ctx.body = made.get(path)
    })
  const all = [...selfSurfaces, ...adminSurfaces]
  serve('/openapi.json', 'Gatehouse', all)
  for (const id of ['plain', 'v1', 'sso'])
    serve(
      `/openapi/${id}.json`,
      `Gatehouse, ${id} surface`,
      all.filter((s) => s.id === id),
    )
  serve('/openapi/admin.json', 'Gatehouse admin API', adminSurfaces)
  return router
}

/** What no route handled itself: failures in their shape, for people as pages. */
async function guard(deps: Deps, ctx: KoaContext, next: () => Promise<void>): Promise<void> {
  ctx.state.requestId = ctx.req.gatehouse.requestId
  try {
    await next()
  } catch (error) {
    answer(deps, ctx, toFailure(deps.out, error, ctx))
  }
}

/** The front door's own refusals. OAuth endpoints name an error of their own besides (RFC 6749 5.2). */
function refusals(deps: Deps) {
  const koa = new Koa()
  const answers = koa.use((ctx) => {
    const { refusal } = ctx.req as { refusal?: Failure }
    ctx.state.requestId = ctx.req.gatehouse.requestId
    answer(deps, ctx, refusal!)
    if (ctx.path.startsWith('/oauth/') && typeof ctx.body === 'object')
      ctx.body = { error: 'access_denied', error_description: refusal!.message, ...ctx.body }
  })
  const handle = answers.callback()
  return (req: IncomingMessage, res: ServerResponse, failure: Failure) =>
    handle(Object.assign(req, { refusal: failure }), res)
}

/** Nothing answered: no such path, or a path with other methods, which are listed (RFC 9110 15.5.6). */
const LEFT = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE', 'HPE_INVALID_EOF_STATE'])

/** What fails while an answer is sent. A caller who hung up is no fault of ours. */
function noteLost(deps: Deps, error: NodeJS.ErrnoException): void {
  if (!LEFT.has(error.code ?? '')) deps.out.log.error({ err: error }, 'an answer could not be sent')
}

function notFound(ctx: KoaContext): void {
  const methods = [...new Set<string>((ctx.matched ?? []).flatMap((layer: { methods: string[] }) => layer.methods))]
  if (methods.length > 0) {
    ctx.set('Allow', methods.join(', '))
    if (ctx.method !== 'OPTIONS') throw fail('METHOD_NOT_ALLOWED', `This path has no ${ctx.method}`)
    ctx.status = 204
    return
  }
  throw fail('NOT_FOUND', `There is nothing at ${ctx.method} ${ctx.path}`)
}

function answer(deps: Deps, ctx: KoaContext, failure: ReturnType<typeof fail>): void {
  if (ctx.accepts('json', 'html') === 'html') {
    preparePage(ctx, deps.out, ctx.req.gatehouse.tenant)
    showFailure(ctx, failure)
  } else sendFailure(ctx, surfaceOf(ctx.path), failure)
}
