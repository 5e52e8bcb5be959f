/** A row as Koa middleware: the one place where authentication, limits, validation, transaction and envelope meet. */
import { Readable } from 'node:stream'
import type { Context as KoaContext, Middleware } from 'koa'
import { readForm, readJson, refuseNul } from './body.ts'
import { stream } from './download.ts'
import { type Failure, fail } from './errors.ts'
import { assertMatch, etagOf, names } from './etag.ts'
import { type Kept, type Use, useOf } from './idempotency.ts'
import type { Auth, Limit, LimitState, Operation } from './operation.ts'
import { patience } from './patience.ts'
import { decoder, encoder, type Json, type Row, type Surface, wire } from './surface.ts'
import { type Upload, uploadOf } from './upload.ts'
import { bodyCheck, type Check, queryCheck } from './validate.ts'

/** Besides the body: Set-Cookie lines, an address to go to in place of it, and whether the work goes on (202). */
export interface Reply {
  cookies: string[]
  redirect?: string
  accepted?: boolean
}

/** What the kernel needs from the application; C is the application's context. */
export interface Kernel<C> {
  /** Builds the context with the caller in it. A credential that is sent but bad is UNAUTHORIZED, never "nobody". */
  authenticate(koa: KoaContext): Promise<C>
  permit(ctx: C, auth: Auth, row: Row, input: Json): void
  limit(ctx: C, limit: Limit): Promise<LimitState>
  /** Called before a body is read that may take long to come. */
  unhurried(koa: KoaContext): void
  /** The caller's own user id. */
  self(ctx: C): string | undefined
  /** Runs fn in a transaction and commits its events and jobs with it. */
  within<T>(ctx: C, effect: Operation['effect'], fn: (ctx: C) => Promise<T>): Promise<T>
  /** The answer that was kept for this use; undefined for nobody in particular, and for the first. Within the transaction. */
  recall(ctx: C, use: Use): Promise<Kept | undefined>
  remember(ctx: C, use: Use, kept: Kept): Promise<void>
  /** What the answer carries besides its body. */
  reply(ctx: C): Reply
  /** Any thrown value as a Failure. */
  failure(error: unknown, koa: KoaContext): Failure
}

/** Method + path + operation of one surface as middleware. Compiles its schemas once. */
export function handler<C>(kernel: Kernel<C>, surface: Surface, row: Row): Middleware {
  const { op } = row
  const asQuery = takesQuery(row)
  const schema = rowInput(surface, row)
  const valid = asQuery ? queryCheck(schema) : bodyCheck(schema)
  const validForm = row.form ? queryCheck(schema) : valid
  const decode = decoder(surface, op.input)
  const encode = encoder(surface, op.output)
  const isPage = Boolean((op.output as Json).page)
  const bodyOf = (result: unknown) => {
    const body = encode(result)
    return surface.ok(isPage ? named(surface, body, row.as ?? 'items') : body)
  }

  return async (koa) => {
    // Answers are of one person, many with tokens in them (RFC 6749 5.1).
    koa.set('Cache-Control', 'no-store')
    try {
      const ctx = await kernel.authenticate(koa)
      const self = row.self ? kernel.self(ctx) : undefined
      kernel.permit(ctx, op.auth, row, { ...koa.params, ...(row.self && { [row.self]: self }) })
      if (op.limit) setLimitHeaders(koa, op.limit, await kernel.limit(ctx, op.limit))
      const upload = op.upload && uploadOf(koa.req, Object.keys(op.upload))
      const raw = await rawInput(koa, row, asQuery)
      check(isForm(koa, row) ? validForm : valid, raw)
      const input = { ...decode(raw), ...row.fixed, ...(row.self && { [row.self]: self }) }
      if (upload) kernel.unhurried(koa)
      const prepared = await op.prepare?.(ctx, input, upload as Upload)
      const use = useOf(koa.get('idempotency-key'), row, raw)
      let version: string | undefined
      let kept: Kept | undefined
      const result = await kernel.within(ctx, op.effect, async (inner) => {
        kept = use && (await kernel.recall(inner, use))
        if (kept) return undefined
        if (op.version && op.effect === 'write') assertMatch(koa.get('if-match'), await op.version(inner, input, true))
        const value = await op.run(inner, input, prepared)
        if (op.version && row.method !== 'DELETE') version = await op.version(inner, input, false)
        if (use)
          await kernel.remember(inner, use, {
            status: row.status!,
            body: bodyOf(value),
            etag: version && etagOf(version),
          })
        return value
      })
      if (kept) return repeat(koa, kept)
      if (version !== undefined) koa.set('ETag', etagOf(version))
      if (version !== undefined && row.method === 'GET' && names(koa.get('if-none-match'), etagOf(version))) {
        koa.status = 304
        return
      }
      const { cookies, redirect, accepted } = kernel.reply(ctx)
      if (cookies.length > 0) koa.append('Set-Cookie', cookies)
      if (redirect !== undefined) {
        koa.status = 303
        return koa.redirect(redirect)
      }
      koa.status = accepted ? 202 : (row.status ?? 200)
      if (result instanceof Readable) return stream(koa, result)
      koa.body = bodyOf(result)
    } catch (error) {
      if (op.upload) abandon(koa)
      sendFailure(koa, surface, kernel.failure(error, koa))
    }
  }
}

function repeat(koa: KoaContext, { status, body, etag }: Kept): void {
  koa.set('Idempotency-Replayed', 'true')
  if (etag !== undefined) koa.set('ETag', etag)
  koa.status = status
  koa.body = body
}

/** Whether input beside the path comes in the query. */
export const takesQuery = ({ method, op }: Row): boolean =>
  method === 'GET' || method === 'DELETE' || op.upload !== undefined

/** What is left of a body nobody wants is read for a while and forgotten. */
function abandon(koa: KoaContext): void {
  if (koa.req.complete) return
  koa.req.resume()
  const timer = setTimeout(() => koa.req.destroy(), patience.leave).unref()
  koa.req.once('close', () => clearTimeout(timer))
}

/** Checks and decodes input for calling an operation inside the process; throws VALIDATION_ERROR. */
export function inputOf(surface: Pick<Surface, 'name'>, op: Operation): (raw: Json) => any {
  const valid = bodyCheck(wire(surface, op.input))
  const decode = decoder(surface, op.input)
  return (raw) => {
    check(valid, raw)
    return decode(raw)
  }
}

/** The wire schema of a row's input: what the row fills in itself is not asked of the caller. */
export function rowInput(surface: Surface, row: Row): Json {
  const schema = wire(surface, row.op.input)
  const filled = new Set([row.self, ...Object.keys(row.fixed ?? {})].filter((k) => k !== undefined))
  for (const key of filled) {
    const name = surface.name(undefined, key)
    delete schema.properties[name]
    schema.required = schema.required?.filter((k: string) => k !== name)
  }
  return schema
}

async function rawInput(koa: KoaContext, row: Row, asQuery: boolean): Promise<Json> {
  const url = `${koa.path}${koa.querystring}`
  refuseNul(url.includes('%00') || url.includes('\u0000'))
  const body = isForm(koa, row)
    ? await readForm(koa.req)
    : row.op.upload || (asQuery && !koa.request.length)
      ? {}
      : await readJson(koa.req)
  const raw: Json = { ...(asQuery ? koa.query : {}), ...body }
  for (const [key, value] of Object.entries(koa.params as Record<string, string>)) {
    if (key !== 'realm') raw[row.names?.[key] ?? key] = value
  }
  return raw
}

const isForm = (koa: KoaContext, row: Row) => Boolean(row.form && koa.is('application/x-www-form-urlencoded'))

function check(problemsOf: Check, raw: Json): void {
  const details = problemsOf(raw)
  if (!details) return
  const [first] = details
  throw fail('VALIDATION_ERROR', first ? `${first.field || 'request'} ${first.message}` : 'Invalid request', {
    details,
  })
}

function named(surface: Surface, page: Json, as: string): Json {
  const { items, ...rest } = page
  return surface.id === 'sso' ? { page: items, rest } : { [as]: items, ...rest }
}

/** As the documents have them, and as draft-ietf-httpapi-ratelimit-headers-10 does. RATE_LIMITED where nothing is left. */
function setLimitHeaders(koa: KoaContext, { name, seconds }: Limit, state: LimitState): void {
  koa.set('X-RateLimit-Limit', String(state.limit))
  koa.set('X-RateLimit-Remaining', String(state.remaining))
  koa.set('X-RateLimit-Reset', String(state.reset))
  // The second in which it ends is rounded up.
  const wait = Math.min(seconds, Math.max(0, state.reset - Math.floor(Date.now() / 1000)))
  koa.set('RateLimit-Policy', `"${name}";q=${state.limit};w=${seconds}`)
  koa.set('RateLimit', `"${name}";r=${state.remaining};t=${wait}`)
  if (state.ok) return
  throw fail('RATE_LIMITED', `Too many requests. Try again in ${state.retryAfter} s`, { retryAfter: state.retryAfter })
}

export function sendFailure(koa: KoaContext, surface: Pick<Surface, 'fail'>, failure: Failure): void {
  koa.status = failure.status
  if (failure.retryAfter !== undefined) koa.set('Retry-After', String(Math.max(1, Math.ceil(failure.retryAfter))))
  if (failure.status === 401 && !koa.response.get('WWW-Authenticate')) koa.set('WWW-Authenticate', 'Bearer')
  koa.set(failure.headers)
  const { type, body } = surface.fail(failure, koa.state.requestId, koa.method)
  koa.body = body
  koa.type = type
}
