// A tenant's colour made safe to read: from one hex value the button, its text, and link colours for light and dark
// pages that keep WCAG AA contrast (4.5:1) whatever was chosen.

export interface Branding {
  name: string
  /** https: or data: address of an image. */
  logoUri?: string
  /** #rrggbb; anything else is ignored. */
  primaryColor?: string
  policyUri?: string
  tosUri?: string
}

type Rgb = [number, number, number]
const white: Rgb = [255, 255, 255]
const black: Rgb = [0, 0, 0]
// The card surfaces of gatehouse.css, the harder of the backgrounds that links stand on.
const lightSurface: Rgb = [244, 245, 243]
const darkSurface: Rgb = [32, 38, 38]

/** What becomes of a colour, as #rrggbb. */
export interface Tones {
  button: string
  buttonText: string
  /** WCAG 2.2, of the two above: at least 4.5 for any colour, as black or white is chosen for the text. */
  buttonContrast: number
  /** On light and on dark pages. */
  link: string
  linkDark: string
  /** Whether links could not have the very colour. */
  adjusted: boolean
}

/** Undefined for a missing or malformed colour. */
export function tones(hex: string | undefined): Tones | undefined {
  const color = parseHex(hex)
  if (!color) return
  const onBrand = contrast(color, white) >= contrast(color, black) ? white : black
  const [link, linkDark] = [towards(color, black, lightSurface), towards(color, white, darkSurface)]
  return {
    button: format(color),
    buttonText: onBrand === white ? '#fff' : '#000',
    buttonContrast: Math.floor(contrast(color, onBrand) * 10) / 10,
    link: format(link),
    linkDark: format(linkDark),
    adjusted: link !== color || linkDark !== color,
  }
}

/** Declarations for `:root` and for its dark twin, or undefined for a missing or malformed colour. */
export function palette(hex: string | undefined): { light: string; dark: string } | undefined {
  const made = tones(hex)
  if (!made) return
  const common = `--brand:${made.button};--on-brand:${made.buttonText};`
  return { light: `${common}--link:${made.link}`, dark: `${common}--link:${made.linkDark}` }
}

function parseHex(hex: string | undefined): Rgb | undefined {
  const digits = /^#([0-9a-f]{6})$/i.exec(hex ?? '')?.[1]
  if (digits) return [0, 2, 4].map((at) => Number.parseInt(digits.slice(at, at + 2), 16)) as Rgb
}

/** Mixes in steps until readable on the surface. */
function towards(color: Rgb, end: Rgb, surface: Rgb): Rgb {
  if (contrast(color, surface) >= 4.6) return color
  for (let share = 0.05; share < 1; share += 0.05) {
    const mixed = color.map((value, i) => Math.round(value + (end[i]! - value) * share)) as Rgb
    if (contrast(mixed, surface) >= 4.6) return mixed
  }
  return end
}

/** WCAG 2.2 contrast ratio, 1 to 21. */
export function contrast(a: Rgb, b: Rgb): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number]
  return (high + 0.05) / (low + 0.05)
}

function luminance(color: Rgb): number {
  const [r, g, b] = color.map((value) => {
    const c = value / 255
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  }) as Rgb
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

const format = (color: Rgb) => `#${color.map((value) => value.toString(16).padStart(2, '0')).join('')}`
