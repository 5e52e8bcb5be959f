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

/** Declarations for `:root` and for its dark twin, or undefined for a missing or malformed colour. */
export function palette(hex: string | undefined): { light: string; dark: string } | undefined {
  const color = parseHex(hex)
  if (!color) return
  const onBrand = contrast(color, white) >= contrast(color, black) ? '#fff' : '#000'
  const common = `--brand:${format(color)};--on-brand:${onBrand};`
  return {
    light: `${common}--link:${format(towards(color, black, lightSurface))}`,
    dark: `${common}--link:${format(towards(color, white, darkSurface))}`,
  }
}

function parseHex(hex: string | undefined): Rgb | undefined {
  const digits = /^#([0-9a-f]{6})$/i.exec(hex ?? '')?.[1]
  if (digits) return [0, 2, 4].map((at) => Number.parseInt(digits.slice(at, at + 2), 16)) as Rgb
}

/** Mixes in steps until readable on the surface. */
function towards(color: Rgb, end: Rgb, surface: Rgb): Rgb {
  for (let share = 0; share < 1; share += 0.05) {
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
