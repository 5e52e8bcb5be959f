// Turns a view and its data into an HTML answer: the page context (language, tenant's face, nonce, CSRF token) and the
// security headers that every page needs.
import type { KeyObject } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { Eta } from 'eta'
import type { Context, Middleware } from 'koa'
import { type Branding, palette } from '../adapters/branding.ts'
import type { Translator, Vars, Wording } from '../adapters/i18n.ts'
import { randomToken } from '../adapters/sealing.ts'
import type { ClientBranding } from '../server/domain/directory.ts'
import { asset } from './assets.ts'
import { csrfToken } from './csrf.ts'
import { languageSwitch, negotiate } from './i18n.ts'

/** What pages need to know of the request; later middleware overwrites base, branding and uiLocales per tenant and flow. */
export interface Page {
  /** Mount prefix of the tenant: '' or '/t/acme'. */
  base: string
  branding: Branding
  /** The app's own words, by language. */
  texts?: ClientBranding['texts']
  /** The app that people come from. */
  client?: { name: string; uri: string | undefined }
  /** The tenant's own words. */
  wording?: Wording
  /** The app's ui_locales parameter, space separated. */
  uiLocales?: string
  /** Our own origin, from configuration. */
  origin: string
  secure: boolean
  csrfKey: KeyObject
  development: boolean
}

export interface PagesOptions {
  publicUrl: string
  csrfKey: KeyObject
  development: boolean
  branding?: Branding
}

const eta = new Eta({ views: fileURLToPath(new URL('../views', import.meta.url)), cache: true, autoEscape: true })
const uncached = new Eta({ ...eta.config, cache: false, cacheFilepaths: false })

/** Puts the page context on `ctx.state.page`; must run before anything that renders. */
export function pages({ publicUrl, csrfKey, development, branding }: PagesOptions): Middleware {
  const { origin, protocol } = new URL(publicUrl)
  return (ctx, next) => {
    const page: Page = {
      base: '',
      branding: branding ?? { name: 'Gatehouse' },
      origin,
      secure: protocol === 'https:',
      csrfKey,
      development,
    }
    ctx.state.page = page
    return next()
  }
}

/**
 * Answers with a page. A status set before is kept, else 200. The view's first comment says what data it takes.
 * form-action is left out on purpose: browsers apply it to the redirects after a post, so it would stop a sign-in from
 * returning to the app (whose own further redirects we cannot know).
 */
export function render(ctx: Context, view: string, data: object = {}): void {
  const page: Page = ctx.state.page
  const nonce = randomToken(16)
  const html = (page.development ? uncached : eta).render(`/${view}`, { ...data, ...pageContext(ctx, page, nonce) })
  ctx.set('Content-Security-Policy', policy(view, nonce, asks(data)))
  ctx.set({
    'Cache-Control': 'no-store',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
    // Not no-referrer: with it browsers send `Origin: null` on form posts, which csrf.ts must refuse.
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
  })
  ctx.type = 'text/html; charset=utf-8'
  ctx.body = html
}

/** Pages with a passkey's button or a password's meter: their scripts ask us. */
const asks = (data: { passkey?: unknown; rules?: unknown }) => Boolean(data.passkey || data.rules)

function policy(view: string, nonce: string, asks: boolean): string {
  // These two show style attributes that are not ours: swagger-ui's, and a mail's in its sandboxed frame.
  const anyStyle = view === 'docs' || view === 'mailbox-mail'
  // A passkey's challenge is fetched when it is needed, so that showing a page writes nothing.
  const fetches = asks || view === 'docs' || view === 'demo'
  return [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    anyStyle ? "style-src 'self' 'unsafe-inline'" : `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data: https:",
    ...(fetches ? ["connect-src 'self'"] : []),
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

function pageContext(ctx: Context, page: Page, nonce: string) {
  const words = negotiate(ctx, page.uiLocales, page.secure, page.wording)
  let token: string | undefined
  return {
    ...words,
    // A failure says how long to wait as `seconds`; messages show it as {time}.
    message: (text: string, vars?: Vars) => words.message(text, inWords(words, vars)),
    base: page.base,
    branding: page.branding,
    appTexts: page.texts?.[words.locale] ?? {},
    palette: palette(page.branding.primaryColor),
    development: page.development,
    // The answer to a post has no address of its own to show again in another language.
    languages: ctx.method === 'GET' ? languageSwitch(ctx, words.locale) : [],
    nonce,
    asset,
    /** Lazy: only a page with a form sets the cookie. */
    csrf: () => {
      token ??= csrfToken(ctx, page.csrfKey)
      return token
    },
    rich: (key: string, vars: Vars, links: Record<string, string>) => rich(words.t, key, vars, links),
    /** An address that others chose, such as a client's: only web addresses become links. */
    web: (uri?: string) => (/^(https?:\/\/|\/(?![/\\]))/i.test(uri ?? '') ? uri : undefined),
    escape: (value: unknown) => eta.config.escapeFunction(value),
    json: (value: unknown) => JSON.stringify(value).replaceAll('<', '\\u003c'),
  }
}

const inWords = (words: Translator, vars?: Vars) =>
  vars?.seconds === undefined ? vars : { ...vars, time: words.duration(Number(vars.seconds)) }

/** A message whose {names} in `html` are put in as markup; everything else is escaped. What is bold keeps the stop behind it on its line. */
function rich(t: (key: string, vars: Vars) => string, key: string, vars: Vars, html: Record<string, string>): string {
  const mark = randomToken(12)
  const marks = Object.fromEntries(Object.keys(html).map((name) => [name, `${mark}:${name}:`]))
  return eta.config
    .escapeFunction(t(key, { ...vars, ...marks }))
    .replace(new RegExp(`${mark}:(\\w+):([.,:]?)`, 'g'), (_, name: string, stop: string) =>
      html[name]!.replace(/(<\/strong>)?$/, `${stop}$1`),
    )
}
