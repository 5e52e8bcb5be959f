/** What the stories in Chromium share: visitors whose console is watched, a third-party app on a port, a look at a page. */
import { mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { Context } from 'mocha'
import * as client from 'openid-client'
import type { Browser, BrowserContextOptions, Page, Response } from 'playwright-core'
import type { TestApp } from '../support/app.ts'
import { authorizationRequest, type RelyingParty, type Request, relyingParty } from '../support/rp.ts'
import { chromiumFor } from './chromium.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const pictures = new URL('../screenshots/', import.meta.url).pathname
mkdirSync(pictures, { recursive: true })

export const phone = { viewport: { width: 375, height: 740 } } as const
export const dark = { colorScheme: 'dark' } as const

export interface Visitor {
  page: Page
  /** What the console said: blocked by CSP, script errors, missing files. */
  complaints: string[]
  /** The answer the current page came with. */
  answer(): Response
  /** False without JavaScript, where axe cannot run either. */
  scripts: boolean
  close(): Promise<void>
}

/** One person with a browser of their own. */
export async function visitor(browser: Browser, options: BrowserContextOptions = {}): Promise<Visitor> {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1100, height: 760 }, ...options })
  context.setDefaultTimeout(8000)
  const page = await context.newPage()
  const complaints: string[] = []
  let last: Response | undefined
  page.on('console', (message) => {
    const text = message.text()
    // A page that is itself the answer 4xx is announced like this.
    if (/^Failed to load resource: the server responded with a status of 4/.test(text)) return
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(text)
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('response', (response) => {
    const request = response.request()
    if (request.isNavigationRequest() && request.frame() === page.mainFrame()) last = response
  })
  return {
    page,
    complaints,
    answer: () => last!,
    scripts: options.javaScriptEnabled !== false,
    close: () => context.close(),
  }
}

const looked = new Set<string>()

/**
 * Looks at a page of ours: one heading, no frames allowed, nothing blocked, not wider than the window; and, once for each
 * name, no serious finding of axe and a picture.
 */
export async function look(who: Visitor, name: string): Promise<void> {
  const { page } = who
  // The API reference has the document's title as a second one.
  expect(await page.locator('h1').count(), `headings of ${name}`).to.equal(name === 'docs' ? 2 : 1)
  const headers = who.answer().headers()
  expect(headers['content-security-policy'], name)
    .to.include("frame-ancestors 'none'")
    .and.include("default-src 'none'")
  expect(headers['x-frame-options'], name).to.equal('DENY')
  expect(headers['cache-control'], name).to.equal('no-store')
  if (!looked.has(name)) {
    looked.add(name)
    await page.screenshot({ path: `${pictures}live-${name}.png`, fullPage: true })
    expect(
      await page.evaluate('document.documentElement.scrollWidth - innerWidth'),
      `${name} is too wide`,
    ).to.be.at.most(0)
    if (who.scripts) expect(await findings(page), name).to.deep.equal([])
  }
  expect(who.complaints, name).to.deep.equal([])
}

async function findings(page: Page): Promise<string[]> {
  const { violations } = (await page.evaluate(`${axe};axe.run({ resultTypes: ['violations'] })`)) as {
    violations: { id: string; impact: string; nodes: { target: string[] }[] }[]
  }
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
}

export interface Arrival {
  method: string
  url: URL
  form: URLSearchParams
}
/** A third-party app: answers everything with a small page and keeps what arrives at it. */
export interface ThirdParty {
  url: string
  callback: string
  bye: string
  arrivals: Arrival[]
  /** The markup of the page it shows at /stage. */
  show(html: string): string
  close(): Promise<void>
}

export async function thirdParty(): Promise<ThirdParty> {
  const arrivals: Arrival[] = []
  let stage = ''
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk)
    const url = new URL(req.url!, origin)
    res.setHeader('content-type', 'text/html')
    if (url.pathname === '/favicon.ico') return res.writeHead(204).end()
    if (url.pathname === '/stage') return res.end(stage)
    arrivals.push({ method: req.method!, url, form: new URLSearchParams(Buffer.concat(chunks).toString()) })
    res.end('<!doctype html><html lang="en"><title>Notes</title><h1>Back in the app</h1>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: origin,
    callback: `${origin}/callback`,
    bye: `${origin}/bye`,
    arrivals,
    show(html) {
      stage = `<!doctype html><html lang="en"><title>Stage</title>${html}`
      return `${origin}/stage`
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export interface Stage {
  browser: Browser
  app: TestApp
  third: ThirdParty
  rp: RelyingParty
  close(): Promise<void>
}

/** All that a sign-in in Chromium takes, for a suite's before(). `start` starts our app, `fields` are of the third party's client. */
export async function openStage(suite: Context, start: () => Promise<TestApp>, fields: object = {}): Promise<Stage> {
  const browser = await chromiumFor(suite)
  const [app, third] = await Promise.all([start(), thirdParty()])
  const rp = await registered(app, third, fields)
  return {
    browser,
    app,
    third,
    rp,
    async close() {
      await browser.close()
      await third.close()
      await app.close()
    },
  }
}

/** The third party registered at our provider by an administrator. */
export const registered = (app: TestApp, third: ThirdParty, fields: object = {}): Promise<RelyingParty> =>
  relyingParty(app, {
    client_name: 'Harbour Notes',
    client_uri: third.url,
    redirect_uris: [third.callback],
    post_logout_redirect_uris: [third.bye],
    ...fields,
  })

/** An authorization request that leads back to the third party. */
export const request = (rp: RelyingParty, third: ThirdParty, extra: Record<string, string> = {}): Promise<Request> =>
  authorizationRequest(rp, { redirect_uri: third.callback, ...extra })

/** Redeems the code that came back last, as a third party does with openid-client. */
export async function redeem(rp: RelyingParty, third: ThirdParty, asked: Request) {
  const last = third.arrivals.at(-1)!
  const answer =
    last.method === 'POST'
      ? new globalThis.Request(last.url, {
          method: 'POST',
          body: last.form,
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        })
      : last.url
  return client.authorizationCodeGrant(rp.config, answer, {
    pkceCodeVerifier: asked.verifier,
    expectedState: asked.state,
    expectedNonce: asked.nonce,
  })
}

/** Fills the sign-in form and sends it. */
export async function signIn({ page }: Visitor, who: { email: string; password: string }): Promise<void> {
  await page.fill('#email', who.email)
  await page.fill('#password', who.password)
  await page.click('button[value=login]')
}

/** Signs in, allows what is asked, and waits for the app. */
export async function signInAndAllow(who: Visitor, person: { email: string; password: string }): Promise<void> {
  await signIn(who, person)
  await arrive(who)
}

/** Allows what is asked, if something is, and waits for the app. */
export async function arrive({ page }: Visitor): Promise<void> {
  await page.locator('button[value=allow]').or(page.getByText('Back in the app')).first().waitFor()
  if (await page.locator('button[value=allow]').isVisible()) await page.click('button[value=allow]')
  await page.getByText('Back in the app').waitFor()
}

export const heading = ({ page }: Visitor) => page.locator('h1').innerText()
