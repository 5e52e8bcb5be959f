/** One headless Chromium for the browser tests. */
import { existsSync } from 'node:fs'
import type { Context } from 'mocha'
import { type Browser, chromium } from 'playwright-core'
import { skip } from '../support/skip.ts'

const places = [
  process.env.CHROMIUM_PATH ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

const chromiumPath = places.find((path) => path && existsSync(path))

const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic']

/** For a suite's before(), which is skipped where no Chromium is installed. */
export async function chromiumFor(suite: Context): Promise<Browser> {
  if (!chromiumPath) skip(suite, 'no Chromium')
  return launchChromium()
}

export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', ...quiet],
  })
}
