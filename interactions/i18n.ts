// Which language a page speaks: a choice made on our pages, the app's ui_locales, a kept choice, the browser.
import type { Context } from 'koa'
import { languages, pickLocale, type Translator, translator, type Wording } from '../adapters/i18n.ts'

const cookie = 'gh_locale'
const year = 365 * 24 * 3600

/**
 * The translator for this request. `?lang=de` (the language switch) is kept in the cookie `gh_locale` together with the
 * ui_locales it overrules, so that a person's choice outlasts the app's wish in this flow, but not in another app's.
 */
export function negotiate(ctx: Context, uiLocales = '', secure = false, wording?: Wording): Translator {
  const chosen = pickLocale([String(ctx.query.lang ?? '')])
  if (chosen) {
    keep(ctx, chosen, uiLocales, secure)
    return translator([chosen], wording)
  }
  const [kept = '', overruled = ''] = decode(ctx.cookies.get(cookie)).split('|')
  const app = uiLocales.split(' ').filter(Boolean)
  const order = kept && overruled === uiLocales ? [kept, ...app] : [...app, kept]
  return translator([...order.filter(Boolean), ...ctx.acceptsLanguages()], wording)
}

/** The languages for the switch in the page's footer, each with the address of this page in it. */
export function languageSwitch(ctx: Context, current: string) {
  return languages.map(({ locale, name }) => {
    const query = new URLSearchParams(ctx.querystring)
    query.set('lang', locale)
    return { locale, name, href: `?${query}`, current: locale === current }
  })
}

function keep(ctx: Context, locale: string, uiLocales: string, secure: boolean) {
  const value = encodeURIComponent(uiLocales ? `${locale}|${uiLocales.slice(0, 100)}` : locale)
  const flags = `Path=/; Max-Age=${year}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`
  ctx.append('Set-Cookie', `${cookie}=${value}; ${flags}`)
}

function decode(value = ''): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return ''
  }
}
