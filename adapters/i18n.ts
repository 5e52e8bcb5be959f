// Message catalogues and their little language: flat keys to strings with {name} and {n, plural, one {…} other {…}}.
// A language is one file in views/messages; English is the fallback for a missing key. Text only, never markup.
import { readdirSync, readFileSync } from 'node:fs'

export type Vars = Record<string, string | number>
export type Catalogue = Record<string, string>

export interface Translator {
  locale: string
  dir: 'ltr' | 'rtl'
  /** The message in this language; an unknown key comes back as itself, so that it is seen. */
  t(key: string, vars?: Vars): string
  has(key: string): boolean
  /** A message key or ready text: what a failure carries. */
  message(keyOrText: string, vars?: Vars): string
  /** Seconds in words, rounded up: "10 minutes". */
  duration(seconds: number): string
  /** Date and time, UTC, in the style of the language. */
  date(value: Date | string | number): string
}

type Part = string | { name: string; plural?: Record<string, Part[]> }

const folder = new URL('../views/messages/', import.meta.url)
const fallback = 'en'

/** Locale to catalogue, read once at start from views/messages. */
export const catalogues: ReadonlyMap<string, Catalogue> = new Map(
  readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => [file.slice(0, -5), JSON.parse(readFileSync(new URL(file, folder), 'utf8'))]),
)

/** Languages that can be chosen, with their own names ("Deutsch"). */
export const languages = [...catalogues].map(([locale, messages]) => ({
  locale,
  name: messages['language.name'] ?? locale,
}))

/** The best catalogue for BCP 47 tags in order of preference: exact, then without subtags (RFC 4647, section 3.4). */
export function pickLocale(wanted: readonly string[]): string | undefined {
  for (const tag of wanted) {
    for (let range = tag.toLowerCase().replaceAll('_', '-'); range; range = range.slice(0, range.lastIndexOf('-'))) {
      const found = languages.find(({ locale }) => locale.toLowerCase() === range)
      if (found) return found.locale
      if (!range.includes('-')) break
    }
  }
}

/** Own words of a tenant over those of the program: locale to catalogue. */
export type Wording = ReadonlyMap<string, Catalogue>
const noWording: Wording = new Map()

const translators = new WeakMap<Wording, Map<string, Translator>>()

/** A translator for the first of the wanted languages that we speak, else English. */
export function translator(wanted: readonly string[], wording: Wording = noWording): Translator {
  const locale = pickLocale(wanted) ?? fallback
  const made = translators.get(wording) ?? new Map<string, Translator>()
  translators.set(wording, made)
  const known = made.get(locale)
  if (known) return known
  const fresh = createTranslator(locale, wording)
  made.set(locale, fresh)
  return fresh
}

function createTranslator(locale: string, wording: Wording): Translator {
  const messages = { ...catalogues.get(fallback), ...catalogues.get(locale), ...wording.get(locale) }
  const parsed = new Map<string, Part[]>()
  const plurals = new Intl.PluralRules(locale)
  const dates = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' })
  const has = (key: string) => Object.hasOwn(messages, key)

  function t(key: string, vars: Vars = {}): string {
    if (!has(key)) return key
    let parts = parsed.get(key)
    if (!parts) {
      parts = parse(messages[key]!)
      parsed.set(key, parts)
    }
    return write(parts, vars, plurals)
  }

  function duration(seconds: number): string {
    const n = Math.max(1, Math.ceil(seconds))
    const fits = (unit: number, upTo: number) => n % unit === 0 || n > upTo
    if (n > 86_400 && fits(86_400, 48 * 3600)) return t('time.days', { n: Math.ceil(n / 86_400) })
    if (fits(3600, 90 * 60)) return t('time.hours', { n: Math.ceil(n / 3600) })
    if (fits(60, 90)) return t('time.minutes', { n: Math.ceil(n / 60) })
    return t('time.seconds', { n })
  }

  return {
    locale,
    dir: messages['language.dir'] === 'rtl' ? 'rtl' : 'ltr',
    t,
    has,
    message: (keyOrText, vars) => (has(keyOrText) ? t(keyOrText, vars) : keyOrText),
    duration,
    date: (value) => `${dates.format(new Date(value))} UTC`,
  }
}

function write(parts: Part[], vars: Vars, plurals: Intl.PluralRules, count?: number): string {
  let text = ''
  for (const part of parts) {
    if (typeof part === 'string') text += count === undefined ? part : part.replaceAll('#', String(count))
    else if (part.plural) {
      const n = Number(vars[part.name])
      text += write(part.plural[plurals.select(n)] ?? part.plural.other ?? [], vars, plurals, n)
    } else text += vars[part.name] ?? `{${part.name}}`
  }
  return text
}

/** Reads one message. Throws on unbalanced braces, so that a broken catalogue fails its test. */
export function parse(source: string): Part[] {
  const parts: Part[] = []
  let at = 0
  while (at < source.length) {
    const open = source.indexOf('{', at)
    if (open < 0) break
    if (open > at) parts.push(source.slice(at, open))
    const close = closing(source, open)
    parts.push(argument(source.slice(open + 1, close)))
    at = close + 1
  }
  if (at < source.length) parts.push(source.slice(at))
  return parts
}

function argument(inside: string): Part {
  const plural = /^\s*(\w+)\s*,\s*plural\s*,/.exec(inside)
  if (!plural) return { name: inside.trim() }
  const forms: Record<string, Part[]> = {}
  let at = plural[0].length
  while (true) {
    const open = inside.indexOf('{', at)
    if (open < 0) return { name: plural[1]!, plural: forms }
    const close = closing(inside, open)
    forms[inside.slice(at, open).trim()] = parse(inside.slice(open + 1, close))
    at = close + 1
  }
}

function closing(source: string, open: number): number {
  let depth = 0
  for (let at = open; at < source.length; at++) {
    if (source[at] === '{') depth++
    if (source[at] === '}' && --depth === 0) return at
  }
  throw new Error(`Unbalanced braces in message: ${source}`)
}

/** The variables a message uses; translations of one key must agree on them. */
export function variables(source: string): string[] {
  const names = new Set<string>()
  const walk = (parts: Part[]) => {
    for (const part of parts) {
      if (typeof part === 'string') continue
      names.add(part.name)
      for (const form of Object.values(part.plural ?? {})) walk(form)
    }
  }
  walk(parse(source))
  return [...names].sort()
}
