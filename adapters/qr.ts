/** QR codes as SVG. */
import { lazily } from './lazily.ts'

const uqr = lazily<typeof import('uqr')>('uqr')

/** Black on white with the quiet zone that readers need. */
export const qrSvg = (text: string): string => uqr().renderSVG(text, { ecc: 'M', border: 4, pixelSize: 6 })
