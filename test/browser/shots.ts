// `node test/browser/shots.ts [view…]`: pictures of the views in every shape, for people to look at.
import { mkdirSync } from 'node:fs'
import { launchChromium } from './chromium.ts'
import { samples } from './samples.ts'
import { serveSamples } from './serve.ts'

const folder = new URL('../screenshots/', import.meta.url).pathname
mkdirSync(folder, { recursive: true })
const wanted = process.argv.slice(2)
const names = Object.keys(samples).filter((name) => wanted.length === 0 || wanted.includes(name))
const server = await serveSamples()
const browser = await launchChromium()

for (const [shape, width, height] of [
  ['phone', 375, 740],
  ['desktop', 1200, 800],
] as const) {
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme })
    for (const name of names) {
      await page.goto(`${server.url}/view/${name}`, { waitUntil: name === 'docs' ? 'networkidle' : 'load' })
      await page.screenshot({ path: `${folder}${name}-${shape}-${colorScheme}.png`, fullPage: true })
    }
    await page.close()
  }
}
await browser.close()
await server.close()
