// The pieces a mail is built of, each as HTML (inline styles, one column, readable in dark mode) and as plain text, so
// that one template gives both parts and they cannot drift apart.
import { type Branding, tones } from './branding.ts'

export interface Blocks {
  paragraph(text: string): string
  /** A call to action; the plain text shows the address itself. */
  button(label: string, link: string): string
  /** Something to read off and type. */
  typed(label: string, code: string): string
  facts(rows: [label: string, value: string | undefined][]): string
  address(label: string, link: string): string
  /** HTML only: the button's address for readers whose button does not work. */
  fallback(label: string, link: string): string
  small(text: string): string
}

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (c) => escapes[c]!)

export const textBlocks: Blocks = {
  paragraph: (text) => `${text}\n\n`,
  button: (label, link) => `${label}:\n${link}\n\n`,
  typed: (label, code) => `${label} ${code}\n\n`,
  facts: (rows) =>
    `${present(rows)
      .map(([label, value]) => `${label}: ${value}\n`)
      .join('')}\n`,
  address: (label, link) => `${label}\n${link}\n\n`,
  fallback: () => '',
  small: (text) => `${text}\n\n`,
}

/** Light and dark button colours for a tenant. */
export const mailColors = (branding: Branding) => {
  const { button, buttonText, link, linkDark } = tones(branding.primaryColor) ?? tones('#0b6b63')!
  return { brand: button, onBrand: buttonText, link, linkDark }
}

export function htmlBlocks(colors: ReturnType<typeof mailColors>): Blocks {
  const e = escapeHtml
  const p = (style: string, inner: string, cls = '') =>
    `<p${cls && ` class="${cls}"`} style="margin:0 0 16px;${style}">${inner}</p>\n`
  const anchor = (link: string) =>
    `<a class="link" href="${e(link)}" style="color:${colors.link};word-break:break-all">${e(link)}</a>`
  return {
    paragraph: (text) => p('', e(text)),
    button: (label, link) =>
      `<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:8px 0 24px"><tr><td bgcolor="${colors.brand}" style="border-radius:10px;background:${colors.brand}"><a href="${e(link)}" style="display:inline-block;padding:13px 24px;border-radius:10px;color:${colors.onBrand};font-weight:600;text-decoration:none">${e(label)}</a></td></tr></table>\n`,
    typed: (label, code) =>
      p('', e(label), 'soft') +
      p('font:600 26px/1.3 ui-monospace,Menlo,Consolas,monospace;letter-spacing:5px', e(code)),
    facts: (rows) =>
      `<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:0 0 20px">${present(rows)
        .map(
          ([label, value]) =>
            `<tr><td class="soft" style="padding:2px 16px 2px 0;color:#55615f;vertical-align:top">${e(label)}</td><td style="padding:2px 0">${e(value)}</td></tr>`,
        )
        .join('')}</table>\n`,
    address: (label, link) => p('font-size:14px;color:#55615f', `${e(label)}<br>${anchor(link)}`, 'soft'),
    fallback: (label, link) => p('font-size:14px;color:#55615f', `${e(label)}<br>${anchor(link)}`, 'soft'),
    small: (text) => p('font-size:14px;color:#55615f', e(text), 'soft'),
  }
}

const present = (rows: [string, string | undefined][]) => rows.filter((row): row is [string, string] => Boolean(row[1]))
