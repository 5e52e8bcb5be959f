/** The meter beside a new password: estimated by the server, in words, never in the way. */
import { expect } from 'chai'
import { startApp } from '../support/app.ts'
import { dark, look, openStage, phone, request, type Stage, visitor } from './stage.ts'

describe('the password meter in Chromium', function () {
  this.timeout(60_000)
  let stage: Stage
  let { browser, app, third, rp } = {} as Stage
  before(async function () {
    stage = await openStage(this, startApp)
    ;({ browser, app, third, rp } = stage)
  })
  after(() => stage?.close())

  const open = async (options: object, language?: string) => {
    const who = await visitor(browser, options)
    const asked = await request(rp, third, language ? { ui_locales: language } : {})
    await who.page.goto(asked.href)
    await who.page.click(language ? 'text=Konto anlegen' : 'text=Create an account')
    return who
  }

  it('says how good a password is while it is typed, with the person’s own words in mind', async () => {
    const nora = await open({ ...phone, ...dark })
    const { page } = nora
    const place = page.locator('.strength')
    expect(await place.isVisible()).to.equal(false)
    await page.fill('#email', 'nora.lindgren@example.com')
    for (const [typed, words, score] of [
      ['lindgren1', 'little more than your name', 1],
      ['password1', 'too easy to guess', 1],
      ['correct horse battery staple 41', 'Very good', 4],
    ] as const) {
      await page.fill('#password', typed)
      await page.locator('.strength p', { hasText: words }).waitFor()
      const value: number = await page.locator('.strength meter').evaluate((meter: any) => meter.value)
      expect(value, typed).to.be.at.most(score)
    }
    expect(await page.locator('.strength meter').evaluate((meter: any) => meter.value)).to.equal(4)
    await look(nora, 'register-meter')
    await page.fill('#password', '')
    await place.waitFor({ state: 'hidden' })
    expect(nora.complaints).to.deep.equal([])
    await nora.close()
  })

  it('speaks German', async () => {
    const { page, close } = await open({}, 'de')
    await page.fill('#password', 'correct horse battery staple 41')
    await page.locator('.strength p', { hasText: 'Sehr gut' }).waitFor()
    await close()
  })

  it('is not there without JavaScript, and registering works', async () => {
    const { page, close } = await open({ javaScriptEnabled: false })
    expect(await page.locator('.strength').isVisible()).to.equal(false)
    await page.fill('#email', 'plain@example.com')
    await page.fill('#password', 'Sturdy-Harbour-42')
    await page.click('button[value=register]')
    expect(await app.db('users').where({ email_key: 'plain@example.com' }).first('id')).to.be.an('object')
    await close()
  })

  it('answers our own pages only', async () => {
    const ask = (body: Record<string, string>, headers: Record<string, string> = {}) =>
      fetch(`${app.url}/password-meter`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
        body: new URLSearchParams(body).toString(),
      })
    expect((await ask({ typed: 'x' })).status).to.equal(403)
    expect((await ask({ typed: 'x' }, { origin: 'https://evil.example.com' })).status).to.equal(403)
    expect((await fetch(`${app.url}/password-meter?typed=x`)).status).to.be.oneOf([404, 405])
  })
})
