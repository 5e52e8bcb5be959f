/** QR codes as SVG. */
import { renderSVG } from 'uqr'

/** Black on white with the quiet zone that readers need. */
export const qrSvg = (text: string): string => renderSVG(text, { ecc: 'M', border: 4, pixelSize: 6 })
