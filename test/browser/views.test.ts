// Every view in a real Chromium: no serious axe finding, nothing blocked by the CSP, no sideways scrolling on a small
// phone, in light and dark (`node test/browser/shots.ts` takes pictures); and the conveniences of page.js with their plain counterparts.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect } from 'chai'
import type { Browser, Page } from 'playwright-core'
import { chromiumFor } from './chromium.ts'
import { samples } from './samples.ts'
import { serveSamples } from './serve.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const shapes = [
  { name: 'phone-light', width: 320, height: 640, colorScheme: 'light', locale: 'de-DE' },
  { name: 'desktop-dark', width: 1200, height: 800, colorScheme: 'dark', locale: 'en-US' },
] as const

/** Findings of axe that are serious or critical, readable in a failure. */
async function findings(page: Page): Promise<string[]> {
  // Through the debugger, so that the page's CSP stays as it is.
  const { violations } = (await page.evaluate(`${axe};axe.run({ resultTypes: ['violations'] })`)) as {
    violations: { id: string; impact: string; nodes: { target: string[] }[] }[]
  }
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
}

describe('views in Chromium', function () {
  this.timeout(30_000)
  let browser: Browser
  let server: Awaited<ReturnType<typeof serveSamples>>

  before(async function () {
    browser = await chromiumFor(this)
    server = await serveSamples({
      yellow: { name: 'Sunny', primaryColor: '#ffe600', policyUri: '/p', tosUri: '/t' },
      navy: { name: 'Deep', primaryColor: '#0a1045' },
    })
  })
  after(async () => {
    await browser?.close()
    await server?.close()
  })

  async function open(options: object, path: string): Promise<{ page: Page; complaints: string[] }> {
    const page = await browser.newPage(options)
    const complaints: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(String(error)))
    await page.goto(`${server.url}${path}`)
    return { page, complaints }
  }

  for (const { name: shape, width, height, ...options } of shapes) {
    describe(`on ${shape}`, () => {
      let page: Page
      let complaints: string[]
      before(async () => {
        ;({ page, complaints } = await open({ ...options, viewport: { width, height } }, '/view/login'))
      })
      after(() => page.close())

      for (const name of Object.keys(samples)) {
        it(name, async () => {
          await page.goto(`${server.url}/view/${name}`)
          if (name === 'docs') await page.locator('.opblock-tag').first().waitFor()
          expect(await findings(page)).to.deep.equal([])
          expect(complaints.splice(0)).to.deep.equal([])
          const sideways = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
          expect(sideways, 'wider than the window').to.be.at.most(0)
          expect(await page.locator('h1').count(), 'one main heading').to.be.at.least(1)
        })
      }
    })
  }

  for (const brand of ['yellow', 'navy']) {
    for (const colorScheme of ['light', 'dark'] as const) {
      it(`keeps contrast in the tenant colour ${brand}, ${colorScheme}`, async () => {
        const { page } = await open({ colorScheme }, `/view/register?brand=${brand}`)
        expect(await findings(page)).to.deep.equal([])
        await page.close()
      })
    }
  }

  it('the API reference stays accessible with an operation and the key dialog open', async () => {
    const { page, complaints } = await open({ colorScheme: 'dark' }, '/view/docs')
    await page.locator('.opblock-tag').first().click()
    await page.locator('.opblock-post .opblock-summary-control').click()
    await page.locator('.opblock-post textarea').waitFor()
    expect(await findings(page)).to.deep.equal([])
    await page.locator('.btn.authorize').click()
    await page.locator('.dialog-ux').waitFor()
    expect(await findings(page)).to.deep.equal([])
    expect(complaints).to.deep.equal([])
    await page.selectOption('#document', '/openapi/v1.json')
    expect(new URL(page.url()).hash).to.equal('#v1')
    await page.close()
  })

  it('links errors to their fields and focuses the first', async () => {
    const { page } = await open({ javaScriptEnabled: false }, '/view/register.wrong')
    const email = page.locator('#email')
    expect(await email.getAttribute('aria-invalid')).to.equal('true')
    expect(await email.getAttribute('aria-describedby')).to.equal('email-error')
    expect(await page.locator('#email-error').textContent()).to.include('name@example.com')
    expect(await page.locator('input:focus').getAttribute('id')).to.equal('email')
    expect(await email.inputValue()).to.equal('ada@')
    expect(await page.locator('#password').inputValue()).to.equal('')
    expect(await page.title()).to.match(/^Error: /)
    await page.close()
  })

  it('works without JavaScript: the form posts, nothing useless is shown', async () => {
    const { page } = await open({ javaScriptEnabled: false }, '/view/login')
    expect(await page.locator('.reveal').isVisible()).to.equal(false)
    await page.fill('#email', 'ada@example.com')
    await page.fill('#password', 'secret')
    await page.click('button[value=login]')
    const answer = JSON.parse((await page.locator('body').textContent())!)
    expect(answer.csrf).to.equal('good')
    expect(answer.body).to.include({ email: 'ada@example.com', password: 'secret', action: 'login' })
    await page.close()
  })

  it('with JavaScript shows a password on demand and ticks its rules', async () => {
    const { page, complaints } = await open({}, '/view/register')
    const reveal = page.locator('.reveal')
    await reveal.click()
    expect(await page.locator('#password').getAttribute('type')).to.equal('text')
    expect(await reveal.getAttribute('aria-pressed')).to.equal('true')
    await page.fill('#password', 'Öl1')
    expect(await page.locator('.rules .met').count()).to.equal(2)
    await page.fill('#password', 'Öl1 und Wasser')
    expect(await page.locator('.rules .met').count()).to.equal(3)
    expect(await findings(page)).to.deep.equal([])
    await page.fill('#email', 'ada@example.com')
    await page.click('button[value=register]')
    const answer = JSON.parse((await page.locator('body').textContent())!)
    expect(answer.csrf).to.equal('good')
    expect(answer.body.action).to.equal('register')
    expect(complaints).to.deep.equal([])
    await page.close()
  })

  it('a mail in the mailbox leads out of its frame in the same window', async () => {
    const { page } = await open({}, '/view/mailbox-mail')
    const link = page.frameLocator('.mail-frame').locator('a').first()
    expect(await link.getAttribute('href')).to.include('/verify-email?token=')
    await page.route('**/verify-email?*', (route) => route.fulfill({ body: 'arrived' }))
    await link.click()
    await page.waitForURL('**/verify-email?*')
    await page.close()
  })

  it('the language switch keeps the address and changes the page', async () => {
    const { page } = await open({ locale: 'en-US' }, '/view/login?x=1')
    await page.click('text=Deutsch')
    expect(page.url()).to.include('x=1').and.include('lang=de')
    expect(await page.locator('h1').textContent()).to.equal('Anmelden')
    await page.goto(`${server.url}/view/register`)
    expect(await page.locator('h1').textContent()).to.equal('Konto anlegen')
    await page.close()
  })
})
